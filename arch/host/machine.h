/*
 * The simulated machine: what tests on the host see of it beyond arch/arch.h.
 *
 * RAM is one host buffer; arch_linear_base makes phys_to_virt() reach it. Harts are structures: the
 * test says which one it is (machine_hart_select), so one host thread plays all of them in any
 * order it likes. Going to user mode notes who was entered with what, and returns.
 *
 * machine.c: RAM, harts, notes, timer, interrupts, console, power. tlb.c: a shadow TLB per hart,
 * satp, all arch_fence_* functions, loads and stores as user mode would make them.
 */
#ifndef ARCH_HOST_MACHINE_H
#define ARCH_HOST_MACHINE_H

#include <setjmp.h>
#include "arch/arch.h"

struct machine_options {
    pfn_t first_page;      /* of RAM; 0: 0x80000 */
    uint64_t pages;        /* of RAM, a multiple of PAGES_PER_BLOCK; 0: 4 blocks */
    unsigned harts;        /* 0: 1 */
    unsigned levels;       /* 3, 4, 5; 0: 3 */
    unsigned asid_bits;    /* as it is: 0 is a machine without ASIDs */
    uint32_t features;     /* BOOT_HAS_* */
    uint64_t device_pages; /* IO memory from page PAGES_PER_BLOCK up; the buffer does not back it */
};

/* Where a hart went last when the kernel left. */
enum machine_way {
    MACHINE_NOWHERE,
    MACHINE_ENTER_FAULT,    /* thread: the worker; value[0..4]: its a0..a4 */
    MACHINE_ENTER_CALL,     /* thread: the worker; client; value[0..7]: a0..a7 */
    MACHINE_ENTER_MESSAGE,  /* thread: the worker; value[0]: badge */
    MACHINE_RESUME_FULL,    /* thread, whose x[] are the registers */
    MACHINE_RESUME_SAME,    /* the same */
    MACHINE_RESUME_MESSAGE, /* thread; value[0]: a0 */
    MACHINE_IDLE            /* arch_wait() with nothing that could end it: see machine_idle_jump */
};

struct machine_note {
    enum machine_way way;
    struct thread *thread;
    struct thread *client;
    uint64_t value[8];
    uint64_t times; /* how often the hart left the kernel so far */
};

struct machine_hart {
    struct hart hart; /* what the kernel knows; harts[i] points here */
    struct machine_note note;
    uint64_t timer_deadline; /* ~0: not armed */
    bool software_pending;
    unsigned waits;           /* arch_wait() in a row */
    uint64_t interrupts_sent; /* software interrupts to it so far */
    bool fp_dirty;
    uint64_t f[32];
    uint64_t fcsr;
};

struct machine {
    struct machine_options options; /* with the defaults filled in */
    uint8_t *ram;
    uint64_t time;      /* ticks; arch_time() adds time_step after each reading */
    uint64_t time_step; /* 1 at start */
    uint64_t instructions;
    struct machine_hart hart[HARTS_MAX];
};

extern struct machine machine;

/*
 * Start anew: fresh zeroed RAM, harts online, block_count and block_total set up with all blocks of
 * RAM data and empty, all others pinned, device pages data (they can be mapped), space_levels and
 * space_user_end set, hart 0 selected. May be called again; what was there before is forgotten.
 */
void machine_start(const struct machine_options *options);

/* This host thread is now hart `id`. */
void machine_hart_select(unsigned id);

/* True if the page is RAM that the buffer backs. */
bool machine_page_is_ram(pfn_t page);

/* The note of the selected hart; machine_note_clear() makes `way` MACHINE_NOWHERE. */
const struct machine_note *machine_note(void);
void machine_note_clear(void);

/* Raise a source of the interrupt controller (1..INTERRUPTS_MAX-1). */
void machine_source_raise(uint32_t source);
/* What is enabled, and what was claimed and not yet completed. */
bool machine_source_enabled(uint32_t source);
bool machine_source_in_service(uint32_t source);

/* What was written to the console so far, NUL-terminated; machine_console_echo copies to stderr. */
const char *machine_console(void);
void machine_console_clear(void);
extern bool machine_console_echo;

/* Power: arch_power_off jumps here if machine_power_caught is set, else the program exits. */
extern jmp_buf machine_power_jump;
extern bool machine_power_caught;
extern int machine_power_status;

/* Idle: if set, arch_wait() jumps here when nothing is pending or armed, or after a few times in a
 * row. Else the former is a test's error. */
extern jmp_buf machine_idle_jump;
extern bool machine_idle_caught;

/* Called in spin loops (arch_relax): what the other harts do meanwhile. Without it a hart that has
 * to wait for another is a test's error, as nobody else runs. */
extern void (*machine_relax_hook)(void);

/* Called for arch_interrupt_hart() after it is noted, if set. */
extern void (*machine_interrupt_hook)(unsigned hart_id);

/* tlb.c: called by machine_start when the machine's options are known; empties all shadow TLBs. */
void machine_tlb_start(void);

#endif

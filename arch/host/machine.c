/*
 * The simulated machine, for tests of the portable kernel: RAM, harts, interrupts, timer, console
 * and power. The translation hardware is tlb.c. See machine.h for how tests use it.
 *
 * Nothing here runs on its own: time moves when it is read, harts run when the test selects them.
 * So a test decides every interleaving, and a failure repeats.
 */
#include "arch/host/machine.h"

#include "arch/host/tlb.h"

#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/ipc.h"
#include "kernel/space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_PAGE_DEFAULT 0x80000
#define PAGES_DEFAULT      (4 * PAGES_PER_BLOCK)
#define CONSOLE_BYTES      65536
#define WAITS_MAX          8 /* of a hart in a row, before a test that catches idleness gets it */
#define NEVER              (~0UL)

struct source {
    bool pending;
    bool enabled;
    bool in_service;
};

struct machine machine;

uint64_t arch_linear_base;
uint32_t arch_features;
unsigned arch_asid_bits;
uint64_t arch_timebase_hz = 10000000;

jmp_buf machine_power_jump;
bool machine_power_caught;
int machine_power_status;
jmp_buf machine_idle_jump;
bool machine_idle_caught;
bool machine_console_echo;
void (*machine_relax_hook)(void);
void (*machine_interrupt_hook)(unsigned hart_id);

static _Thread_local struct machine_hart *selected = &machine.hart[0];
static struct source sources[INTERRUPTS_MAX];
static char console_text[CONSOLE_BYTES];
static size_t console_used;
static size_t ram_mapped_bytes;
static void *ram_mapped;

/* A test asked the machine for something that does not exist: the test is wrong. */
_Noreturn static void misused(const char *what)
{
    fprintf(stderr, "simulated machine: %s\n", what);
    abort();
}

static void options_fill(const struct machine_options *options)
{
    struct machine_options *o = &machine.options;
    *o = options ? *options : (struct machine_options){.asid_bits = 16};
    if (o->first_page == 0)
        o->first_page = FIRST_PAGE_DEFAULT;
    if (o->pages == 0)
        o->pages = PAGES_DEFAULT;
    if (o->harts == 0)
        o->harts = 1;
    if (o->levels == 0)
        o->levels = 3;
    if (o->first_page % PAGES_PER_BLOCK || o->pages % PAGES_PER_BLOCK)
        misused("RAM is not made of whole blocks");
    if (o->harts > HARTS_MAX || o->levels < 3 || o->levels > 5 || o->asid_bits > 16)
        misused("no such machine");
    if (o->device_pages > o->first_page - PAGES_PER_BLOCK)
        misused("device pages run into RAM");
}

/* RAM starts on a block boundary of the host too, so that alignment mistakes look the same. */
static void ram_map(void)
{
    if (ram_mapped)
        munmap(ram_mapped, ram_mapped_bytes);
    ram_mapped_bytes = (machine.options.pages << PAGE_SHIFT) + BLOCK_BYTES;
    ram_mapped = mmap(NULL, ram_mapped_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram_mapped == MAP_FAILED)
        misused("no host memory for RAM");
    uint64_t start = ((uint64_t)ram_mapped + BLOCK_BYTES - 1) & ~(BLOCK_BYTES - 1);
    machine.ram = (uint8_t *)start;
    arch_linear_base = start - (machine.options.first_page << PAGE_SHIFT);
}

static void blocks_start(void)
{
    const struct machine_options *o = &machine.options;
    free(block_count);
    block_total = (o->first_page + o->pages) / PAGES_PER_BLOCK;
    memory_first_page = o->first_page;
    block_count = calloc(block_total, sizeof(*block_count));
    if (block_count == NULL)
        misused("no host memory for block counters");
    for (uint64_t i = 0; i < block_total; i++) {
        bool ram = i >= o->first_page / PAGES_PER_BLOCK;
        bool device = i >= 1 && (i - 1) * PAGES_PER_BLOCK < o->device_pages;
        block_count[i] = ram || device ? 0 : BLOCK_PINNED;
    }
}

static void hart_start(unsigned id)
{
    struct machine_hart *m = &machine.hart[id];
    m->timer_deadline = NEVER;
    m->hart.id = id;
    m->hart.machine_id = id;
    m->hart.timer_next = NEVER;
    m->hart.blocks = block_count;
    m->hart.online = 1;
    for (unsigned p = 0; p <= PRIORITY_MAX; p++)
        TAILQ_INIT(&m->hart.run[p]);
    TAILQ_INIT(&m->hart.stops);
    TAILQ_INIT(&m->hart.workers);
    harts[id] = &m->hart;
}

void machine_start(const struct machine_options *options)
{
    options_fill(options);
    ram_map();
    blocks_start();
    memset(machine.hart, 0, sizeof(machine.hart));
    memset(harts, 0, sizeof(harts[0]) * HARTS_MAX);
    for (unsigned i = 0; i < machine.options.harts; i++)
        hart_start(i);
    harts_online = machine.options.harts;
    machine.time = 0;
    machine.time_step = 1;
    machine.instructions = 0;
    memset(sources, 0, sizeof(sources));
    machine_console_clear();
    machine_power_caught = false;
    machine_idle_caught = false;
    machine_relax_hook = NULL;
    machine_interrupt_hook = NULL;
    arch_features = machine.options.features;
    arch_asid_bits = machine.options.asid_bits;
    space_levels = machine.options.levels;
    space_user_end = 1UL << (PAGE_SHIFT + TABLE_SHIFT * space_levels - 1);
    machine_hart_select(0);
    machine_tlb_start();
}

/* Harts. */

void machine_hart_select(unsigned id)
{
    if (id >= machine.options.harts)
        misused("no such hart");
    selected = &machine.hart[id];
}

struct hart *this_hart(void)
{
    return &selected->hart;
}

bool machine_page_is_ram(pfn_t page)
{
    return page >= machine.options.first_page &&
           page - machine.options.first_page < machine.options.pages;
}

void arch_interrupt_hart(unsigned hart_id)
{
    kassert(hart_id < machine.options.harts);
    machine.hart[hart_id].software_pending = true;
    machine.hart[hart_id].interrupts_sent++;
    if (machine_interrupt_hook)
        machine_interrupt_hook(hart_id);
}

void arch_relax(void)
{
    if (machine_relax_hook == NULL)
        misused("a hart waits for another, and nobody plays that one");
    machine_relax_hook();
}

/* Translation: what does not concern the TLB. */

void arch_root_init(uint64_t *root)
{
    (void)root; /* the simulated kernel runs untranslated: there is no kernel half */
}

uint64_t arch_satp(pfn_t root, uint64_t asid)
{
    kassert(asid >> arch_asid_bits == 0);
    return (uint64_t)(space_levels + 5) << 60 | asid << 44 | root;
}

uint64_t arch_satp_kernel(void)
{
    return 0; /* no translation: user mode could do nothing with it */
}

/* Time and interrupts. */

uint64_t arch_time(void)
{
    uint64_t now = machine.time;
    machine.time += machine.time_step;
    return now;
}

void arch_timer_set(uint64_t deadline)
{
    selected->timer_deadline = deadline;
}

uint64_t arch_instructions(void)
{
    return machine.instructions++;
}

static uint32_t source_ready(void)
{
    for (uint32_t s = 1; s < INTERRUPTS_MAX; s++)
        if (sources[s].pending && sources[s].enabled && !sources[s].in_service)
            return s;
    return 0;
}

unsigned arch_interrupt_pending(void)
{
    if (selected->software_pending) {
        selected->software_pending = false;
        return ARCH_IRQ_SOFTWARE;
    }
    if (machine.time >= selected->timer_deadline)
        return ARCH_IRQ_TIMER;
    return source_ready() ? ARCH_IRQ_EXTERNAL : ARCH_IRQ_NONE;
}

/* The hart sleeps for ever, or the test has seen enough of it. */
_Noreturn static void idle_end(void)
{
    selected->waits = 0;
    selected->note.way = MACHINE_IDLE;
    selected->note.times++;
    if (!machine_idle_caught)
        misused("the hart would wait for ever");
    longjmp(machine_idle_jump, 1);
}

void arch_wait(void)
{
    if (machine_idle_caught && ++selected->waits > WAITS_MAX)
        idle_end();
    if (selected->software_pending || source_ready())
        return;
    if (selected->timer_deadline == NEVER)
        idle_end();
    if (machine.time < selected->timer_deadline)
        machine.time = selected->timer_deadline;
}

uint32_t arch_source_claim(void)
{
    uint32_t s = source_ready();
    if (s) {
        sources[s].pending = false;
        sources[s].in_service = true;
    }
    return s;
}

void arch_source_complete(uint32_t source)
{
    kassert(arch_source_exists(source));
    sources[source].in_service = false;
}

void arch_source_enable(uint32_t source, bool on)
{
    kassert(arch_source_exists(source));
    sources[source].enabled = on;
}

bool arch_source_exists(uint32_t source)
{
    return source >= 1 && source < INTERRUPTS_MAX;
}

void machine_source_raise(uint32_t source)
{
    if (!arch_source_exists(source))
        misused("no such interrupt source");
    sources[source].pending = true;
}

bool machine_source_enabled(uint32_t source)
{
    return arch_source_exists(source) && sources[source].enabled;
}

bool machine_source_in_service(uint32_t source)
{
    return arch_source_exists(source) && sources[source].in_service;
}

/* Floating point: one register file per hart. */

bool arch_fp_dirty(void)
{
    return selected->fp_dirty;
}

void arch_fp_save(struct thread *t)
{
    memcpy(t->f, selected->f, sizeof(t->f));
    t->fcsr = selected->fcsr;
    selected->fp_dirty = false;
}

void arch_fp_load(struct thread *t)
{
    memcpy(selected->f, t->f, sizeof(t->f));
    selected->fcsr = t->fcsr;
    selected->fp_dirty = false;
}

void arch_fp_zero(void)
{
    memset(selected->f, 0, sizeof(selected->f));
    selected->fcsr = 0;
    selected->fp_dirty = false;
}

/* Going to user mode. */

static bool note_set(struct machine_note note)
{
    kassert(note.thread != NULL);
    note.times = selected->note.times + 1;
    selected->note = note;
    selected->waits = 0;
    if (note.way != MACHINE_RESUME_SAME && note.thread->space)
        tlb_satp_load((unsigned)selected->hart.id, note.thread->satp);
    hart_idle(&selected->hart);
    return true;
}

bool enter_fault(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc, uint64_t sequence,
                 struct thread *worker)
{
    return note_set((struct machine_note){
        .way = MACHINE_ENTER_FAULT,
        .thread = worker,
        .client = worker->client,
        .value = {badge, address, cause, pc, sequence},
    });
}

bool enter_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                uint64_t badge, uint64_t number)
{
    struct thread *worker = selected->hart.entering;

    return note_set((struct machine_note){
        .way = MACHINE_ENTER_CALL,
        .thread = worker,
        .client = worker->client,
        .value = {a0, a1, a2, a3, a4, a5, badge, number},
    });
}

bool enter_call_forwarded(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                          uint64_t a5, uint64_t badge, uint64_t number)
{
    return enter_call(a0, a1, a2, a3, a4, a5, badge, number);
}

bool enter_forwarded(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                     uint64_t sequence, uint64_t info0, uint64_t info1, uint64_t sp)
{
    struct thread *worker = selected->hart.entering;

    return note_set((struct machine_note){
        .way = MACHINE_ENTER_FAULT,
        .thread = worker,
        .client = worker->client,
        .value = {badge, address, cause, pc, sequence, info0, info1, sp},
    });
}

bool enter_message(struct thread *worker, uint64_t badge)
{
    return note_set((struct machine_note){.way = MACHINE_ENTER_MESSAGE,
                                          .thread = worker,
                                          .client = worker->client,
                                          .value = {badge}});
}

bool resume_full(struct thread *t)
{
    return note_set((struct machine_note){.way = MACHINE_RESUME_FULL, .thread = t});
}

bool resume_same(struct thread *t)
{
    return note_set((struct machine_note){.way = MACHINE_RESUME_SAME, .thread = t});
}

bool resume_message(struct thread *t, uint64_t a0)
{
    return note_set(
        (struct machine_note){.way = MACHINE_RESUME_MESSAGE, .thread = t, .value = {a0}});
}

const struct machine_note *machine_note(void)
{
    return &selected->note;
}

void machine_note_clear(void)
{
    uint64_t times = selected->note.times;
    selected->note = (struct machine_note){.way = MACHINE_NOWHERE, .times = times};
}

/* Console and power. */

void arch_console_write(const char *text, size_t bytes)
{
    if (machine_console_echo)
        fwrite(text, 1, bytes, stderr);
    if (bytes > sizeof(console_text) - 1 - console_used)
        bytes = sizeof(console_text) - 1 - console_used;
    memcpy(console_text + console_used, text, bytes);
    console_used += bytes;
    console_text[console_used] = 0;
}

const char *machine_console(void)
{
    return console_text;
}

void machine_console_clear(void)
{
    console_used = 0;
    console_text[0] = 0;
}

void arch_power_off(int status)
{
    machine_power_status = status;
    if (machine_power_caught)
        longjmp(machine_power_jump, 1);
    exit(status);
}

/* Called by kernel_panic: a failed kernel assertion ends the test where it stands, with the
 * sanitizer's or debugger's view of the stack still there. */
void arch_crash_details(void)
{
    fprintf(stderr, "%s\nsimulated machine: the kernel stopped on hart %lu\n", console_text,
            (unsigned long)selected->hart.id);
    abort();
}

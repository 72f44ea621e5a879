/*
 * Fuzzing the memory server's calls and faults: the input is a program's life. Each input runs in a
 * fresh address space; afterwards nothing may be left of it and the recounts must find nothing.
 */
#include "core_world.h"
#include "failing.h"
#include "tests/fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_EVERY 64 /* inputs; a recount looks at every page */

/* Mostly pages of a small window or of the program itself, sometimes anything. */
static uint64_t take_address(struct input *in, const struct client *c)
{
    uint64_t how = take(in, 1);
    uint64_t page = take(in, 1) << PAGE_SHIFT;

    switch (how % 8) {
    case 0:
        return c->mm->stack_top - page;
    case 1:
        return 0x10000 + page;
    case 2:
        return c->mm->brk_start + page;
    case 3:
        return take(in, 8);
    case 4:
        return 0x20000000 - (4UL << PAGE_SHIFT) + page + how; /* not aligned */
    default:
        return 0x20000000 - (64UL << PAGE_SHIFT) + page;
    }
}

static uint64_t take_bytes(struct input *in)
{
    uint64_t how = take(in, 1);

    return how < 200 ? how << PAGE_SHIFT : how < 250 ? how * 1000 : take(in, 8);
}

static void step_call(struct input *in, struct client *c)
{
    static const long calls[] = {
        NR_mmap,    NR_mmap,          NR_munmap,       NR_mprotect,   NR_brk,
        NR_mremap,  NR_madvise,       NR_mincore,      NR_msync,      NR_mlock,
        NR_munlock, NR_mlockall,      NR_munlockall,   NR_membarrier, NR_riscv_flush_icache,
        MM_REPORT,  MM_NATIVE_ENABLE, MM_NATIVE_CREATE};
    long number = calls[take(in, 1) % (sizeof calls / sizeof calls[0])];
    uint64_t a[6];

    a[0] = take_address(in, c);
    a[1] = take_bytes(in);
    a[2] = take(in, 1) % 9;
    a[3] = take(in, 3);
    a[4] = take_address(in, c);
    a[5] = 0;
    if (number == NR_mmap)
        a[3] |= MAP_ANONYMOUS;
    if (number == NR_mremap) {
        a[2] = take_bytes(in);
        a[3] = take(in, 1) % 8;
    }
    if (number == NR_madvise)
        a[2] = take(in, 1) % 28;
    if (number == NR_madvise && a[2] > MADV_COLLAPSE)
        a[2] += MADV_GUARD_INSTALL - MADV_COLLAPSE - 1;
    if (number >= MM_CREATE) {
        a[0] = take(in, 1) % 12;
        a[1] = take(in, 1);
        a[2] = a[3] % 8 ? a[2] : take(in, 8);
    }
    sim_call(c, number, a, NULL);
}

static void step_access(struct input *in, struct client *c)
{
    vaddr_t at = take_address(in, c);
    uint64_t how = take(in, 1);

    for (unsigned i = 0; i <= how / 16; i++)
        sim_access(c, at + i * PAGE_BYTES, (enum sim_access)(how % 3), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool booted;
    static unsigned runs;
    static uint64_t free_pages;
    struct input in = {data, data + bytes};

    if (!booted) {
        core_world_boot(&(struct world){.memory_pages = 16 * PAGES_PER_BLOCK});
        booted = true;
        core_world_end(core_world_program(0));
        free_pages = core_world_free_pages();
    }
    if (take(&in, 1) % 4 == 0)
        sim_fail_alloc(1 + take(&in, 1));
    if (take(&in, 1) % 4 == 0)
        sim_fail_call(1 + take(&in, 1));
    struct client *c = core_world_try_program(0);
    while (c && in.at < in.end) {
        switch (take(&in, 1) % 4) {
        case 0:
            sim_idle(0);
            break;
        case 1:
            step_call(&in, c);
            break;
        default:
            step_access(&in, c);
        }
    }
    sim_fail_alloc(0);
    sim_fail_call(0);
    if (c && runs % 8 == 0)
        core_world_check();
    if (c)
        core_world_end(c);
    if (++runs % CHECK_EVERY == 0) {
        core_world_check();
        if (core_world_free_pages() != free_pages)
            ktap_fail(__FILE__, __LINE__, "pages were lost");
    }
    return 0;
}

/*
 * The page allocator by itself: the memory server's own sources, with a placement that is nothing
 * but memory of this program. Machines from 128 MiB to 1 TiB are played in as much address space,
 * of which only descriptors and lists are touched, so what a row counts is the allocator's
 * instructions and nothing else. What the machine has no room for is left out.
 */
#include "mmserver/core/memblock.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/zone.h"
#include "user/bench/lib/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT     256U
#define WARM       64U
#define BULK       128U
#define FIRST_PAGE 0x80000UL

/* ---- the placement ---- */

uint64_t place_linear_base;

long place_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5, uint64_t out[2])
{
    (void)a0, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)out;
    return number == CALL_BLOCK_CLASS ? 0 : -ERR_CALL;
}

long place_call_switching(long number, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return place_call(number, a0, a1, a2, 0, 0, 0, NULL);
}

void place_relax(void)
{
}

void place_log(const char *text, size_t bytes)
{
    fwrite(text, 1, bytes, stdout);
}

_Noreturn void place_panic(const char *file, int line, const char *what)
{
    printf("%s:%d: %s\n", file, line, what);
    exit(1);
}

/* ---- machines ---- */

static bool machine_start(uint64_t pages)
{
    static const struct boot_info info = {.harts = 1};
    void *memory = mmap(NULL, pages << PAGE_SHIFT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return false;
    place_linear_base = (uintptr_t)memory - (FIRST_PAGE << PAGE_SHIFT);
    memset(workers, 0, sizeof workers);
    worker_count = 1;
    numa_init();
    memblock_init(&memblock);
    memblock_add(&memblock, FIRST_PAGE << PAGE_SHIFT, pages << PAGE_SHIFT, 0, 0);
    memblock_grant(&memblock, FIRST_PAGE, pages, SLOT_MEMORY);
    if (!phys_init(&info))
        bench_fail("phys_init", 0);
    phys.range[phys.ranges++] = (struct phys_range){FIRST_PAGE, FIRST_PAGE + pages, SLOT_MEMORY};
    return true;
}

static void machine_stop(uint64_t pages)
{
    munmap(page_pointer(FIRST_PAGE), pages << PAGE_SHIFT);
}

/* ---- rows ---- */

static struct worker *const w = &workers[0];
static struct bench_row row;

#define COUNTED(statement)                    \
    ({                                        \
        uint64_t begun = bench_now();         \
        statement;                            \
        bench_now() - begun - bench_overhead; \
    })

static void pair(const char *op, unsigned order, gfp_t gfp, bool single)
{
    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (unsigned i = 0; i < WARM + REPEAT; i++) {
        pfn_t pfn;
        uint64_t count = single ? COUNTED(pfn = page_alloc_gfp(w, gfp))
                                : COUNTED(pfn = pages_alloc(w, order, gfp));

        if (!pfn)
            bench_fail(op, i);
        count += single ? COUNTED(page_free(w, pfn)) : COUNTED(pages_free(w, pfn, order));
        if (i >= WARM)
            bench_add(&row, count);
    }
    bench_close(&row);
}

static void user_pair(const char *op)
{
    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (unsigned i = 0; i < WARM + REPEAT; i++) {
        pfn_t pfn;
        uint64_t count = COUNTED(pfn = page_alloc_user(w));

        count += COUNTED(page_free(w, pfn));
        if (i >= WARM)
            bench_add(&row, count);
    }
    bench_close(&row);
}

/* Lists long enough that nothing but them is needed, then so much that they overflow each time. */
static void bulk(unsigned pages, const char *alloc_op, const char *free_op)
{
    struct bench_row give;
    pfn_t page[1024];

    bench_open(&row, alloc_op, BENCH_BY_OTHER, pages, REPEAT);
    bench_open(&give, free_op, BENCH_BY_OTHER, pages, REPEAT);
    for (unsigned i = 0; i < WARM + REPEAT; i++) {
        uint64_t got, count = COUNTED(got = page_alloc_bulk(w, pages, page, GFP_USER));

        if (got != pages)
            bench_fail(alloc_op, (long)got);
        for (unsigned k = 0; k < pages; k++) /* as a client's pages come back */
            page_of(page[k])->state = PAGE_ANON;
        uint64_t freed = COUNTED(page_free_bulk(w, pages, page));
        if (i >= WARM) {
            bench_add(&row, count);
            bench_add(&give, freed);
        }
    }
    bench_close(&give);
    bench_close(&row);
}

static void orders(void)
{
    static char op[ORDERS][32];

    for (unsigned order = 0; order < ORDERS; order++) {
        snprintf(op[order], sizeof op[order], "pages_order_%u_pair", order);
        pair(op[order], order, GFP_USER, false);
    }
}

int main(void)
{
    static const struct {
        const char *name;
        uint64_t pages;
    } machine[] = {{"128MiB", 32768},
                   {"1GiB", 1UL << 18},
                   {"16GiB", 1UL << 22},
                   {"128GiB", 1UL << 25},
                   {"1TiB", 1UL << 28}};
    char op[64];

    bench_start();
    for (unsigned i = 0; i < sizeof machine / sizeof machine[0]; i++) {
        snprintf(op, sizeof op, "pages_user_pair_%s", machine[i].name);
        if (!machine_start(machine[i].pages)) {
            bench_skip(op, "there is not so much address space");
            continue;
        }
        user_pair(op);
        snprintf(op, sizeof op, "pages_server_pair_%s", machine[i].name);
        pair(op, 0, GFP_KERNEL, true);
        snprintf(op, sizeof op, "pages_buddy_pair_%s", machine[i].name);
        pair(op, 0, GFP_USER, false);
        if (machine[i].pages == 1UL << 18) {
            orders();
            bulk(BULK, "pages_bulk_alloc_per_page", "pages_bulk_free_per_page");
            bulk(1024, "pages_bulk_alloc_1024_per_page", "pages_bulk_free_1024_per_page");
        }
        machine_stop(machine[i].pages);
    }
    return 0;
}

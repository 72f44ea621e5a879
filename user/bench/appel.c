/*
 * What programs that do memory management of their own need from a system (A. Appel, K. Li,
 * "Virtual memory primitives for user programs", 1991): trap, prot1, protN, unprot, dirty, by
 * SIGSEGV and mprotect. Over N touched pages of one mapping, in an order that is random and always
 * the same.
 *
 *   trap               a store to a protected page, to its handler and back behind the store
 *   prot1, unprot      one page loses, gets its right to be written
 *   protN              all pages lose it at once, for each page
 *   prot1_trap_unprot  a store; the handler protects another page, and unprotects this one
 *   dirty              all pages are protected, then each is written to: the handler notes the page
 *                      and unprotects it. For each page: the way to learn which pages change
 */
#include <signal.h>
#include <string.h>

#include "user/bench/lib/bench.h"

#define PAGES  128U
#define ROUNDS 4U

#define CONTEXT_PC  176 /* of Linux's struct ucontext */
#define STORE_BYTES 4

static enum { SKIP, PROTECT_OTHER, NOTE } mode;
static char *area;
static unsigned order[PAGES], dirty[PAGES], dirty_count, other;

static void protect(struct bench_row *row, unsigned page, size_t pages, int prot)
{
    long result =
        BENCH_CALL3(row, SYS_mprotect, area + page * BENCH_PAGE, pages * BENCH_PAGE, prot);

    if (result)
        bench_fail("mprotect", result);
}

static void mprotect_raw(unsigned page, int prot)
{
    bench_ecall(SYS_mprotect, (uint64_t)(area + page * BENCH_PAGE), BENCH_PAGE, (uint64_t)prot, 0,
                0, 0);
}

static void handler(int signal, siginfo_t *info, void *context)
{
    unsigned page = (unsigned)(((char *)info->si_addr - area) / BENCH_PAGE);

    (void)signal;
    if (mode == SKIP) {
        *(uint64_t *)((char *)context + CONTEXT_PC) += STORE_BYTES;
        return;
    }
    if (mode == PROTECT_OTHER)
        mprotect_raw(other, PROT_READ);
    else
        dirty[dirty_count++] = page;
    mprotect_raw(page, BENCH_RW);
}

/* A store of four bytes' length, so that the handler can pass over it. */
static uint64_t store(void *at)
{
    uint64_t start, end;

    __asm__ volatile(".option push\n\t.option norvc\n\t"
                     "rdinstret %[start]\n\t"
                     "sb zero, 0(%[at])\n\t"
                     "rdinstret %[end]\n\t"
                     ".option pop"
                     : [start] "=&r"(start), [end] "=&r"(end)
                     : [at] "r"(at)
                     : "memory");
    return end - start - bench_overhead;
}

static void store_row(struct bench_row *row, unsigned page)
{
    bench_events_begin();
    uint64_t cost = store(area + page * BENCH_PAGE);
    bench_events_end(row);
    bench_add(row, cost);
}

static void shuffle(void)
{
    uint64_t state = 1;

    for (unsigned i = 0; i < PAGES; i++)
        order[i] = i;
    for (unsigned i = PAGES; i > 1; i--) {
        unsigned k = (unsigned)(bench_random(&state) % i), was = order[i - 1];

        order[i - 1] = order[k];
        order[k] = was;
    }
}

static void single_pages(void)
{
    struct bench_row prot1, trap, unprot;

    bench_open(&prot1, "appel_prot1", BENCH_BY_PAGER, 1, PAGES);
    bench_open(&trap, "appel_trap", BENCH_BY_OTHER, 1, PAGES);
    bench_open(&unprot, "appel_unprot", BENCH_BY_PAGER, 1, PAGES);
    mode = SKIP;
    protect(NULL, 0, 1, PROT_READ); /* the first signal ever costs more: in no row */
    store(area);
    protect(NULL, 0, 1, BENCH_RW);
    for (unsigned i = 0; i < PAGES; i++)
        protect(&prot1, order[i], 1, PROT_READ);
    for (unsigned i = 0; i < PAGES; i++)
        store_row(&trap, order[i]);
    for (unsigned i = 0; i < PAGES; i++)
        protect(&unprot, order[i], 1, BENCH_RW);
    bench_close(&prot1);
    bench_close(&trap);
    bench_close(&unprot);
}

static void together(void)
{
    struct bench_row row, set;

    bench_open(&row, "appel_prot1_trap_unprot", BENCH_BY_OTHER, 1, PAGES);
    mode = PROTECT_OTHER;
    protect(NULL, 0, PAGES, BENCH_RW);
    protect(NULL, order[0], 1, PROT_READ);
    for (unsigned i = 0; i < PAGES; i++) {
        other = order[(i + 1) % PAGES];
        store_row(&row, order[i]);
    }
    bench_close(&row);

    bench_open(&row, "appel_dirty", BENCH_BY_OTHER, 1, PAGES * ROUNDS);
    bench_open(&set, "appel_protN_per_page", BENCH_BY_PAGER, PAGES, ROUNDS);
    mode = NOTE;
    for (unsigned round = 0; round < ROUNDS; round++) {
        dirty_count = 0;
        protect(&set, 0, PAGES, PROT_READ);
        for (unsigned i = 0; i < PAGES; i++)
            store_row(&row, order[i]);
        if (dirty_count != PAGES || memcmp(dirty, order, sizeof dirty) != 0)
            bench_fail("the list of dirty pages is wrong", dirty_count);
    }
    bench_close(&set);
    bench_close(&row);
}

int main(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    bench_start();
    if (sigaction(SIGSEGV, &action, NULL))
        bench_fail("sigaction", -1);
    shuffle();
    area = bench_map(BENCH_AREA, PAGES);
    for (unsigned i = 0; i < PAGES; i++)
        area[i * BENCH_PAGE] = 1;
    single_pages();
    together();
    bench_unmap(area, PAGES);
    return 0;
}

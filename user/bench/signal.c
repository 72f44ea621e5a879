/*
 * A SIGSEGV handler as a pager: the handler makes the page accessible (mprotect) or maps it (mmap),
 * or does nothing but move the program on. From the faulting store to the instruction after it.
 */
#include <signal.h>
#include <string.h>

#include "user/bench/lib/bench.h"

#define REPEAT     64
#define CONTEXT_PC 176 /* of Linux's struct ucontext */

static enum { PROTECT, MAP, SKIP_ONLY } mode;
static uint64_t skip_pc; /* where SKIP_ONLY goes on */

static void handler(int signal, siginfo_t *info, void *context)
{
    uintptr_t page = (uintptr_t)info->si_addr & ~(BENCH_PAGE - 1);

    (void)signal;
    if (mode == PROTECT)
        bench_ecall(SYS_mprotect, page, BENCH_PAGE, BENCH_RW, 0, 0, 0);
    else if (mode == MAP)
        bench_ecall(SYS_mmap, page, BENCH_PAGE, BENCH_RW, BENCH_ANON | MAP_FIXED, (uint64_t)-1, 0);
    else
        *(uint64_t *)((char *)context + CONTEXT_PC) = skip_pc;
}

static uint64_t store_skipped(void *at)
{
    uint64_t start, end, pc;

    __asm__ volatile("la %[pc], 1f\n\t"
                     "sd %[pc], %[skip]\n\t"
                     "rdinstret %[start]\n\t"
                     "sb zero, 0(%[at])\n"
                     "1:\n\t"
                     "rdinstret %[end]"
                     : [start] "=&r"(start), [end] "=&r"(end), [pc] "=&r"(pc), [skip] "=m"(skip_pc)
                     : [at] "r"(at)
                     : "memory");
    return end - start - bench_overhead;
}

/* The first signal ever brings the way of signals into memory: once, so in no row. */
static void warm_up(void)
{
    char *at = bench_map(0, 1);

    mode = SKIP_ONLY;
    BENCH_CALL3(NULL, SYS_mprotect, at, BENCH_PAGE, PROT_NONE);
    store_skipped(at);
    bench_unmap(at, 1);
}

static void row(const char *op, int how)
{
    struct bench_row row;
    char *at = bench_map(0, REPEAT);

    mode = how;
    if (mode == PROTECT)
        for (size_t i = 0; i < REPEAT; i++)
            at[i * BENCH_PAGE] = 1;
    if (mode == MAP)
        bench_unmap(at, REPEAT);
    else
        BENCH_CALL3(NULL, SYS_mprotect, at, REPEAT * BENCH_PAGE, PROT_NONE);
    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (size_t i = 0; i < REPEAT; i++) {
        void *to = at + i * BENCH_PAGE;

        bench_events_begin();
        uint64_t cost = mode == SKIP_ONLY ? store_skipped(to) : bench_store(to);
        bench_events_end(&row);
        bench_add(&row, cost);
    }
    bench_close(&row);
    bench_unmap(at, REPEAT);
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
    warm_up();
    row("sigsegv_pager_page_present", PROTECT);
    row("sigsegv_pager_page_absent", MAP);
    row("sigsegv_fault_signal_sigreturn_only", SKIP_ONLY);
    return 0;
}

/*
 * fork, the child's end, wait: the whole as the parent sees it, over 0 to 64 MiB of touched memory.
 * Raw calls: the child runs nothing but its exit.
 */
#include <signal.h>

#include "user/bench/lib/bench.h"

#define REPEAT 16
#define MIB    256UL /* pages */

/* fork, and _exit in the child, with no function call in between: the child must not return. */
static long fork_and_exit(void)
{
    register long a0 __asm__("a0") = SIGCHLD;
    register long a1 __asm__("a1") = 0, a2 __asm__("a2") = 0, a3 __asm__("a3") = 0;
    register long a4 __asm__("a4") = 0, a7 __asm__("a7") = SYS_clone;

    __asm__ volatile("ecall\n\t"
                     "bnez a0, 1f\n\t"
                     "li a7, %[exit_group]\n\t"
                     "ecall\n"
                     "1:"
                     : "+r"(a0), "+r"(a7)
                     : "r"(a1), "r"(a2), "r"(a3), "r"(a4), [exit_group] "i"(SYS_exit_group)
                     : "memory");
    return a0;
}

/* One sample, in instructions. */
static uint64_t fork_exit_wait(const char *op)
{
    uint64_t begun = bench_now();
    long pid = fork_and_exit();
    long waited = bench_ecall(SYS_wait4, (uint64_t)pid, 0, 0, 0, 0, 0).result;
    uint64_t ended = bench_now();

    if (pid <= 0 || waited != pid)
        bench_fail(op, pid <= 0 ? pid : waited);
    return ended - begun;
}

static uint64_t row(const char *op, size_t pages)
{
    struct bench_row row;
    uint64_t least = ~0UL;
    char *at = pages ? bench_map(0, pages) : NULL;

    for (size_t i = 0; i < pages; i++)
        at[i * BENCH_PAGE] = 1;
    fork_exit_wait(op);
    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (int i = 0; i < REPEAT; i++) {
        bench_events_begin();
        uint64_t cost = fork_exit_wait(op);
        bench_events_end(&row);
        bench_add(&row, cost);
        least = cost < least ? cost : least;
    }
    bench_close(&row);
    if (pages)
        bench_unmap(at, pages);
    return least;
}

/* What one more page costs, from the cheapest runs of two sizes. */
static void slope(const char *op, uint64_t small, uint64_t large, unsigned pages)
{
    struct bench_row row;

    bench_open(&row, op, BENCH_BY_OTHER, pages, 1);
    bench_add(&row, large - small);
    bench_close(&row);
}

int main(void)
{
    bench_start();
    bench_events_over_fork();
    if (bench_has_runs()) { /* then all memory is in them, and that is measured alone */
        row("fork_exit_wait_16MiB_of_64kB_folios", 16 * MIB);
        return 0;
    }
    uint64_t none = row("fork_exit_wait_0MiB", 0);
    uint64_t one = row("fork_exit_wait_1MiB", MIB);
    uint64_t some = row("fork_exit_wait_16MiB", 16 * MIB);
    uint64_t many = row("fork_exit_wait_64MiB", 64 * MIB);
    slope("fork_exit_wait_slope_0_to_1MiB_per_page", none, one, MIB);
    slope("fork_exit_wait_slope_16_to_64MiB_per_page", some, many, 48 * MIB);
    return 0;
}

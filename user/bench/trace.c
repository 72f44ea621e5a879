/*
 * Faults and calls of each kind between two marks, for harness/trace_plugin.c. Each is done a few
 * times before, so that what it finds is what a later one finds; then a few are traced, so that one
 * which met the refill of a list can be told from the others.
 *
 * The mark is an instruction without effect, so this runs anywhere. The lines `TRACE N NAME` say
 * what traces N, N + KINDS, N + 2 KINDS, ... are.
 */
#include <signal.h>
#include <stdio.h>

#include "user/bench/lib/bench.h"

#define WARM  8U
#define BLOCK 512U

#define MARK(k) __asm__ volatile("slti zero, zero, %0" ::"i"(k) : "memory")
#define KINDS   16U /* harness/trace.py has this too */
/* The code that is traced is the access or the call alone. */
#define TRACE_ONE(n, again, before, code)    \
    do {                                     \
        const unsigned i = WARM + (again);   \
        (void)i;                             \
        before;                              \
        MARK(2 * ((n) + (again)*KINDS));     \
        code;                                \
        MARK(2 * ((n) + (again)*KINDS) + 1); \
    } while (0)
#define TRACE(n, name, before, code)          \
    do {                                      \
        for (unsigned i = 0; i < WARM; i++) { \
            before;                           \
            code;                             \
        }                                     \
        TRACE_ONE(n, 0U, before, code);       \
        TRACE_ONE(n, 1U, before, code);       \
        TRACE_ONE(n, 2U, before, code);       \
        printf("TRACE %u %s\n", (n), (name)); \
    } while (0)

static char *page(char *at, size_t i)
{
    return at + i * BENCH_PAGE;
}

static void write_to(char *at)
{
    *(volatile char *)at = 1;
}

static void read_from(const char *at)
{
    (void)*(const volatile char *)at;
}

static void use_up_zeroed(void)
{
    char *at = bench_map(0, 3072);

    bench_write_pages(NULL, at, 3072);
    bench_unmap(at, 3072);
}

static long call(long number, void *at, size_t bytes, uint64_t third)
{
    return bench_ecall(number, (uint64_t)at, bytes, third, 0, 0, 0).result;
}

static void anonymous(void)
{
    char *area = bench_map(BENCH_AREA, 64UL * BLOCK);

    write_to(page(area, 0));
    read_from(page(area, BLOCK));
    TRACE(0U, "first write to a page, zeroing it", (void)0, write_to(page(area, i + 1)));
    TRACE(1U, "first read of a page: the zero page", (void)0, read_from(page(area, BLOCK + i + 1)));
    TRACE(2U, "write to a page that was read before", (void)0, write_to(page(area, BLOCK + i + 1)));
    TRACE(3U, "first write where the leaf table is missing", (void)0,
          write_to(page(area, (i + 2) * BLOCK)));
    bench_unmap(area, 64UL * BLOCK);
}

/* The child waits for its end, and the parent writes. */
static void copies(void)
{
    char *area = bench_map(BENCH_AREA, 64);

    bench_write_pages(NULL, area, 64);
    long pid = bench_ecall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0).result;
    while (pid == 0)
        bench_ecall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    if (pid < 0)
        bench_fail("fork", pid);
    bench_ecall(SYS_wait4, (uint64_t)pid, 0, 0, 0, 0, 0);
    TRACE(5U, "write to a page that was shared with a child that is gone", (void)0,
          write_to(page(area, 40 + i)));

    int waits[2];
    char byte;
    if (BENCH_CALL2(NULL, SYS_pipe2, waits, 0))
        bench_fail("pipe2", -1);
    pid = bench_ecall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0).result;
    while (pid == 0) {
        BENCH_CALL1(NULL, SYS_close, waits[1]);
        BENCH_CALL3(NULL, SYS_read, waits[0], &byte, 1);
        bench_ecall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    }
    TRACE(4U, "write to a page shared with a child: a copy", (void)0, write_to(page(area, i + 1)));
    BENCH_CALL1(NULL, SYS_close, waits[1]);
    bench_ecall(SYS_wait4, (uint64_t)pid, 0, 0, 0, 0, 0);
    bench_unmap(area, 64);
}

static void files(void)
{
    long fd = BENCH_CALL2(NULL, SYS_memfd_create, "trace", 0);
    char *at;

    if (fd < 0 || BENCH_CALL2(NULL, SYS_ftruncate, fd, BLOCK * BENCH_PAGE))
        bench_fail("memfd_create", fd);
    at = (char *)bench_call(NULL, SYS_mmap, 0, BLOCK * BENCH_PAGE, BENCH_RW, MAP_SHARED,
                            (uint64_t)fd, 0);
    bench_write_pages(NULL, at, BLOCK);
    bench_unmap(at, BLOCK);
    at = (char *)bench_call(NULL, SYS_mmap, 0, BLOCK * BENCH_PAGE, PROT_READ, MAP_SHARED,
                            (uint64_t)fd, 0);
    TRACE(6U, "read of a file page, and the 15 around it", (void)0, read_from(page(at, 16 * i)));
    bench_unmap(at, BLOCK);
}

static void calls(void)
{
    char *area = bench_map(BENCH_AREA, 64);
    char *other = area + (1UL << 30);

    bench_write_pages(NULL, area, 64);
    TRACE(7U, "mprotect of a page in use: read-only",
          call(SYS_mprotect, page(area, 1), BENCH_PAGE, BENCH_RW);
          write_to(page(area, 1)), call(SYS_mprotect, page(area, 1), BENCH_PAGE, PROT_READ));
    TRACE(8U, "mmap of a page", (void)bench_munmap(NULL, (uintptr_t)other, 1),
          bench_ecall(SYS_mmap, (uint64_t)other, BENCH_PAGE, BENCH_RW, BENCH_ANON | MAP_FIXED,
                      (uint64_t)-1, 0));
    TRACE(9U, "munmap of a page in use", bench_mmap(NULL, (uintptr_t)other, 1, 0);
          write_to(other), call(SYS_munmap, other, BENCH_PAGE, 0));
    bench_unmap(area, 64);
}

int main(void)
{
    bench_start();
    use_up_zeroed();
    anonymous();
    copies();
    files();
    calls();
    return 0;
}

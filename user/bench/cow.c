/*
 * Writes to pages that a fork has shared: the first one copies, and when the other side is gone the
 * page is its owner's again. The parent's rows are measured in the parent while the child sleeps or
 * after its end; the child's rows in the child, which prints them.
 */
#include <signal.h>
#include <unistd.h>

#include "user/bench/lib/bench.h"

#define PAGES 512UL

static char *touched(void)
{
    char *at = bench_map(0, PAGES);

    for (size_t i = 0; i < PAGES; i++)
        at[i * BENCH_PAGE] = 1;
    return at;
}

static long fork_now(void)
{
    return BENCH_CALL2(NULL, SYS_clone, SIGCHLD, 0);
}

static void reap(const char *op, long pid)
{
    int status = -1;

    if (BENCH_CALL3(NULL, SYS_wait4, pid, &status, 0) != pid || status)
        bench_fail(op, status);
}

static void write_all(const char *op, char *at)
{
    struct bench_row row;

    bench_open(&row, op, BENCH_BY_PAGER, 1, PAGES);
    for (size_t i = 0; i < PAGES; i++)
        bench_write(&row, at + i * BENCH_PAGE);
    bench_close(&row);
}

/* The child waits for the end of the pipe, or writes and ends. */
static void copies(const char *op, bool in_child)
{
    char *at = touched(), byte;
    int ends[2];

    if (BENCH_CALL2(NULL, SYS_pipe2, ends, 0))
        bench_fail(op, -1);
    long pid = fork_now();
    if (pid < 0)
        bench_fail(op, pid);
    if (pid == 0) {
        if (in_child)
            write_all(op, at);
        BENCH_CALL1(NULL, SYS_close, ends[1]);
        BENCH_CALL3(NULL, SYS_read, ends[0], &byte, 1);
        _exit(0);
    }
    if (!in_child)
        write_all(op, at);
    BENCH_CALL1(NULL, SYS_close, ends[1]);
    BENCH_CALL1(NULL, SYS_close, ends[0]);
    reap(op, pid);
    bench_unmap(at, PAGES);
}

static void reuse_parent(const char *op)
{
    char *at = touched();
    long pid = fork_now();

    if (pid < 0)
        bench_fail(op, pid);
    if (pid == 0)
        _exit(0);
    reap(op, pid);
    write_all(op, at);
    bench_unmap(at, PAGES);
}

/* The parent unmaps its part, then the child is the last owner. */
static void reuse_child(const char *op)
{
    char *at = touched(), byte;
    int ends[2];

    if (BENCH_CALL2(NULL, SYS_pipe2, ends, 0))
        bench_fail(op, -1);
    long pid = fork_now();
    if (pid < 0)
        bench_fail(op, pid);
    if (pid == 0) {
        BENCH_CALL1(NULL, SYS_close, ends[1]);
        BENCH_CALL3(NULL, SYS_read, ends[0], &byte, 1);
        write_all(op, at);
        _exit(0);
    }
    bench_unmap(at, PAGES);
    BENCH_CALL1(NULL, SYS_close, ends[1]);
    BENCH_CALL1(NULL, SYS_close, ends[0]);
    reap(op, pid);
}

int main(void)
{
    bench_start();
    copies("cow_break_copy_parent", false);
    reuse_parent("cow_break_reuse_last_owner_parent");
    copies("cow_break_copy_child", true);
    reuse_child("cow_break_reuse_last_owner_child");
    return 0;
}

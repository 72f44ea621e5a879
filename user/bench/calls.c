/* The smallest system calls: what it costs to be answered at all. */
#include "user/bench/lib/bench.h"

#define REPEAT 512
/* Nobody's: below 512, so it goes the way of all calls that are not about memory. */
#define SYS_NOBODYS 500

static void one(const char *op, long number)
{
    struct bench_row row;

    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    BENCH_CALL1(NULL, number, 0);
    for (int i = 0; i < REPEAT; i++)
        BENCH_CALL1(&row, number, 0);
    bench_close(&row);
}

static void pipe_row(void)
{
    static const char op[] = "pipe_write1_read1_same_process";
    struct bench_row write_row, read_row;
    int fds[2];
    char byte = 1;

    if (BENCH_CALL2(NULL, SYS_pipe2, fds, 0) != 0) {
        bench_skip(op, "there are no pipes");
        return;
    }
    bench_open(&write_row, op, BENCH_BY_OTHER, 1, REPEAT);
    bench_open(&read_row, op, BENCH_BY_OTHER, 1, REPEAT);
    for (int i = 0; i < REPEAT; i++) {
        if (BENCH_CALL3(&write_row, SYS_write, fds[1], &byte, 1) != 1 ||
            BENCH_CALL3(&read_row, SYS_read, fds[0], &byte, 1) != 1)
            bench_fail(op, i);
    }
    bench_print_sum(op, 1, (struct bench_row *const[]){&write_row, &read_row}, 2);
    bench_drop(&read_row);
    bench_drop(&write_row);
}

int main(void)
{
    bench_start();
    one("ecall_enosys_bare", SYS_NOBODYS);
    one("getpid", SYS_getpid);
    one("getppid", SYS_getppid);
    pipe_row();
    return 0;
}

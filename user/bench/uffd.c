/*
 * Linux's pager in user mode: a second thread that gets faults from a userfaultfd and resolves them
 * by a copy, or by the zero page. From the faulting access to the instruction behind it.
 *
 * Elsewhere there is no such thing; then there are no rows.
 */
#include "user/bench/lib/bench.h"

#define REPEAT      512U
#define STACK_WORDS 2048

#define UFFD_USER_MODE_ONLY 1
#define UFFD_API            0xaaUL
#define UFFDIO_API          0xc018aa3fUL
#define UFFDIO_REGISTER     0xc020aa00UL
#define UFFDIO_COPY         0xc028aa03UL
#define UFFDIO_ZEROPAGE     0xc020aa04UL
#define REGISTER_MISSING    1

struct message {
    uint8_t event, reserved[7];
    uint64_t flags, address, more;
};

static long descriptor;
static volatile bool by_copy;
static uint64_t stack[STACK_WORDS] __attribute__((aligned(16)));
static char source[BENCH_PAGE] __attribute__((aligned(4096)));

static long call(long number, uint64_t a, uint64_t b, uint64_t c)
{
    return bench_ecall(number, a, b, c, 0, 0, 0).result;
}

static void resolve(uint64_t page)
{
    uint64_t copy[5] = {page, (uint64_t)source, BENCH_PAGE, 0, 0};
    uint64_t zero[4] = {page, BENCH_PAGE, 0, 0};

    if (by_copy)
        call(SYS_ioctl, (uint64_t)descriptor, UFFDIO_COPY, (uint64_t)copy);
    else
        call(SYS_ioctl, (uint64_t)descriptor, UFFDIO_ZEROPAGE, (uint64_t)zero);
}

static void pager(void)
{
    struct message m;

    while (call(SYS_read, (uint64_t)descriptor, (uint64_t)&m, sizeof m) == (long)sizeof m)
        resolve(m.address & ~(BENCH_PAGE - 1));
    bench_thread_end();
}

static void row(const char *op, bool copy)
{
    struct bench_row row;
    char *at = bench_map(BENCH_AREA, REPEAT + 1);
    uint64_t range[4] = {(uint64_t)at, (REPEAT + 1) * BENCH_PAGE, REGISTER_MISSING, 0};
    long error = call(SYS_ioctl, (uint64_t)descriptor, UFFDIO_REGISTER, (uint64_t)range);

    if (error)
        bench_fail(op, error);
    by_copy = copy;
    bench_open(&row, op, BENCH_BY_OTHER, 1, REPEAT);
    bench_load(at); /* the leaf table */
    for (unsigned i = 1; i <= REPEAT; i++) {
        if (copy)
            bench_write(&row, at + i * BENCH_PAGE);
        else
            bench_read(&row, at + i * BENCH_PAGE);
    }
    bench_close(&row);
    bench_unmap(at, REPEAT + 1);
}

int main(void)
{
    uint64_t api[3] = {UFFD_API, 0, 0};

    bench_start();
    descriptor = call(SYS_userfaultfd, UFFD_USER_MODE_ONLY, 0, 0);
    if (descriptor < 0) {
        bench_skip("uffd_missing_roundtrip_thread_COPY", "there is no userfaultfd");
        return 0;
    }
    source[0] = 1;
    long error = call(SYS_ioctl, (uint64_t)descriptor, UFFDIO_API, (uint64_t)api);
    if (error)
        bench_fail("UFFDIO_API", error);
    error = bench_thread(pager, stack + STACK_WORDS);
    if (error < 0)
        bench_fail("clone", error);
    row("uffd_missing_roundtrip_thread_COPY", true);
    row("uffd_missing_roundtrip_thread_ZEROPAGE", false);
    return 0;
}

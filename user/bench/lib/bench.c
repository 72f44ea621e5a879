/*
 * Rows of samples, the kernel's counters, and printing.
 *
 * Samples lie in one static pool that is written once before anything is measured, so that taking
 * one down never faults. The pool is given out in order and free again when no row is open.
 */
#include "user/bench/lib/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "native.h"
#include "user/bench/lib/mark.h"

#define POOL_SAMPLES         65536u
#define NATIVE_SLOT_KERNEL   NATIVE_FREE
#define TABLE_ENTRIES_WANTED 512
#define TICK_INSTRUCTIONS    100
#define SETTLE_S             4

uint64_t bench_overhead;

static uint64_t unit = 1; /* instructions that the counter's step stands for */

static uint64_t pool[POOL_SAMPLES];
static unsigned pool_used, open_rows;
static bool have_counters;
static bool pager_in_kernel;

/* In a page of its own, see bench_events_over_fork(). */
static struct {
    uint64_t before[COUNT_KERNEL], after[COUNT_KERNEL], reading[COUNT_KERNEL];
} events __attribute__((aligned(BENCH_PAGE)));

bool bench_on_pagoda(void)
{
    struct utsname name;

    return access("/proc/pagoda", F_OK) == 0 ||
           (uname(&name) == 0 && strcmp(name.sysname, "Pagoda") == 0);
}

_Noreturn void bench_fail(const char *what, long result)
{
    printf("# failed: %s: %ld\n", what, result);
    exit(1);
}

void bench_skip(const char *op, const char *why)
{
    printf("# no row %s: %s\n", op, why);
}

static void counters(uint64_t to[COUNT_KERNEL])
{
    if (have_counters)
        native_call(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, (uint64_t)to,
                    COUNT_KERNEL * sizeof(uint64_t), ~0UL, 0, 0);
}

static bool counters_open(void)
{
    if (!bench_on_pagoda())
        return false;
    long result = native_enable();
    if (result < 0)
        printf("# no events: the counters cannot be had: %ld\n", result);
    return result == 0;
}

bool bench_command_line_has(const char *word)
{
    char text[1024] = "";
    FILE *file = fopen("/proc/cmdline", "r");

    if (file == NULL)
        return false;
    size_t got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[got] = '\0';
    return strstr(text, word) != NULL;
}

/*
 * Linux keeps the counter of instructions from programs. The clock it gives, and under -icount the
 * clock ticks once per TICK_INSTRUCTIONS; means over many samples come out right, single samples do
 * not. So that the same program counts exactly elsewhere, its reading instructions are replaced.
 */
static void count_by_clock(void)
{
    extern char __text_start[], __text_end[];
    const uint32_t mask = 0xfffff07f, rdinstret = 0xc0202073, rdtime = 0xc0102073;
    uintptr_t start = (uintptr_t)__text_start & ~(BENCH_PAGE - 1);

    if (mprotect((void *)start, (size_t)((uintptr_t)__text_end - start),
                 PROT_READ | PROT_WRITE | PROT_EXEC))
        bench_fail("mprotect", -1);
    for (char *at = __text_start; at + sizeof mask <= __text_end; at += 2) {
        uint32_t word;

        memcpy(&word, at, sizeof word);
        if ((word & mask) != rdinstret)
            continue;
        word = rdtime | (word & ~mask);
        memcpy(at, &word, sizeof word);
    }
    __asm__ volatile("fence.i" ::: "memory");
    unit = TICK_INSTRUCTIONS;
    nanosleep(&(struct timespec){.tv_sec = SETTLE_S}, NULL); /* what starts up beside us is done */
}

void bench_start(void)
{
    memset(pool, 1, sizeof(pool));
    memset(&events, 0, sizeof events);
    if (bench_command_line_has("bench_count=clock"))
        count_by_clock();
    uint64_t start = bench_now(), end = bench_now();
    bench_overhead = end - start;
    for (int i = 0; i < 16; i++) {
        __asm__ volatile("rdinstret %0\n\trdinstret %1" : "=&r"(start), "=&r"(end)::"memory");
        if (end - start < bench_overhead)
            bench_overhead = end - start;
    }
    pager_in_kernel = bench_command_line_has("pager=kernel");
    have_counters = counters_open();
    struct bench_row nothing = {.op = "nothing"};
    bench_events_begin();
    bench_events_end(&nothing);
    memcpy(events.reading, nothing.events, sizeof events.reading);
}

void bench_open(struct bench_row *row, const char *op, enum bench_answer answer, unsigned per,
                unsigned max)
{
    if (max > POOL_SAMPLES - pool_used)
        bench_fail("too many samples", max);
    *row = (struct bench_row){
        .op = op, .per = per, .answer = answer, .max = max, .sample = &pool[pool_used]};
    pool_used += max;
    open_rows++;
    MARK_AT(MARK_ROW_BEGINS, row);
}

void bench_add(struct bench_row *row, uint64_t instructions)
{
    if (row->count == row->max)
        bench_fail("more samples than announced", row->max);
    row->sample[row->count++] = instructions * unit;
}

void bench_events_over_fork(void)
{
    if (madvise(&events, sizeof events, MADV_DONTFORK))
        bench_fail("madvise", -1);
}

void bench_events_begin(void)
{
    counters(events.before);
    mark_open();
}

void bench_events_end(struct bench_row *row)
{
    MARK_AT(MARK_CLOSE, row);
    counters(events.after);
    for (unsigned i = 0; i < COUNT_KERNEL; i++)
        row->events[i] += events.after[i] - events.before[i] - events.reading[i];
}

/* ---- printing ---- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* value / divisor with as many decimals as it needs, at most three. */
static void print_quotient(const char *name, uint64_t value, uint64_t divisor)
{
    uint64_t thousandths = (value * 1000 + divisor / 2) / divisor;
    unsigned fraction = (unsigned)(thousandths % 1000), digits = 3;

    for (; digits > 0 && fraction % 10 == 0; digits--)
        fraction /= 10;
    printf("\"%s\": %lu", name, (unsigned long)(thousandths / 1000));
    if (digits)
        printf(".%0*u", (int)digits, fraction);
}

static void print_events(const struct bench_row *row, uint64_t divisor)
{
    const uint64_t *e = row->events;
    uint64_t straight = e[COUNT_fault_fast] + e[COUNT_call_fast] + e[COUNT_message_fast];
    bool one_trap = row->answer == BENCH_BY_PAGER && pager_in_kernel;

    printf("\"events\": {");
    print_quotient("traps", straight * (one_trap ? 1 : 2) + e[COUNT_trap_slow], divisor);
    printf(", ");
    print_quotient("satp", straight * (one_trap ? 0 : 2) + e[COUNT_satp_slow], divisor);
    printf(", ");
    print_quotient("fences_local", e[COUNT_fence_local], divisor);
    printf(", ");
    print_quotient("fences_remote", e[COUNT_fence_remote], divisor);
    printf("}");
}

static void print_row(const struct bench_row *row)
{
    uint64_t sum = 0;
    unsigned n = row->count;

    if (n == 0) {
        bench_skip(row->op, "not measured");
        return;
    }
    qsort(row->sample, n, sizeof(row->sample[0]), compare);
    for (unsigned i = 0; i < n; i++)
        sum += row->sample[i];
    printf("BENCH {\"op\": \"%s\", \"unit\": \"instructions\", ", row->op);
    print_quotient("min", row->sample[0], row->per);
    printf(", ");
    print_quotient("median", row->sample[(n - 1) / 2] + row->sample[n / 2], 2UL * row->per);
    printf(", ");
    print_quotient("mean", sum, (uint64_t)n * row->per);
    printf(", \"n\": %u, \"per\": %u, ", n, row->per);
    print_events(row, (uint64_t)n * row->per);
    printf("}\n");
    mark_tell(row, row->op);
}

void bench_drop(struct bench_row *row)
{
    row->count = 0;
    if (--open_rows == 0)
        pool_used = 0;
}

void bench_close(struct bench_row *row)
{
    print_row(row);
    bench_drop(row);
}

void bench_print_sum(const char *op, unsigned per, struct bench_row *const rows[], unsigned count)
{
    struct bench_row sum;

    bench_open(&sum, op, rows[0]->answer, per, rows[0]->max);
    for (unsigned i = 0; i < rows[0]->count; i++) {
        uint64_t total = 0;
        for (unsigned k = 0; k < count; k++)
            total += i < rows[k]->count ? rows[k]->sample[i] : 0;
        bench_add(&sum, total / unit);
    }
    for (unsigned k = 0; k < count; k++) {
        for (unsigned i = 0; i < COUNT_KERNEL; i++)
            sum.events[i] += rows[k]->events[i];
        MARK_AT(MARK_ROW_ADDS, rows[k]);
    }
    bench_close(&sum);
}

/* ---- threads ---- */

#define THREAD_FLAGS 0x50f00 /* CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */

long bench_thread(void (*entry)(void), void *stack_top)
{
    register long a0 __asm__("a0") = THREAD_FLAGS;
    register void *a1 __asm__("a1") = stack_top;
    register long a7 __asm__("a7") = SYS_clone;
    register void (*go)(void) __asm__("t0") = entry;

    __asm__ volatile("ecall\n\t"
                     "bnez a0, 1f\n\t"
                     "jalr t0\n"
                     "1:"
                     : "+r"(a0)
                     : "r"(a1), "r"(a7), "r"(go)
                     : "memory", "a2", "a3", "a4", "ra");
    return a0;
}

_Noreturn void bench_thread_end(void)
{
    for (;;)
        bench_ecall(SYS_exit, 0, 0, 0, 0, 0, 0);
}

/* ---- operations ---- */

long bench_call(struct bench_row *row, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                uint64_t e, uint64_t f)
{
    if (row)
        bench_events_begin();
    struct bench_timed timed = bench_ecall(number, a, b, c, d, e, f);
    if (row) {
        bench_events_end(row);
        bench_add(row, timed.instructions);
    }
    return timed.result;
}

void bench_write(struct bench_row *row, void *at)
{
    bench_events_begin();
    uint64_t instructions = bench_store(at);
    bench_events_end(row);
    bench_add(row, instructions);
}

void bench_read(struct bench_row *row, const void *at)
{
    bench_events_begin();
    uint64_t instructions = bench_load(at);
    bench_events_end(row);
    bench_add(row, instructions);
}

void bench_write_pages(struct bench_row *row, char *start, size_t pages)
{
    uint64_t sum = 0;

    if (row)
        bench_events_begin();
    for (size_t i = 0; i < pages; i++)
        sum += bench_store(start + i * BENCH_PAGE);
    if (row) {
        bench_events_end(row);
        bench_add(row, sum);
    }
}

char *bench_map(uintptr_t at, size_t pages)
{
    long result = bench_mmap(NULL, at, pages, 0);

    if (result < 0 && result >= -4095)
        bench_fail("mmap", result);
    return (char *)result;
}

void bench_unmap(void *start, size_t pages)
{
    long result = bench_munmap(NULL, (uintptr_t)start, pages);

    if (result != 0)
        bench_fail("munmap", result);
}

bool bench_has_runs(void)
{
    const size_t pages = 32; /* a whole run is among them wherever they lie */
    unsigned char there[32] = {0};
    char *start = bench_map(0, pages);

    start[pages / 2 * BENCH_PAGE] = 1;
    BENCH_CALL3(NULL, SYS_mincore, start, pages * BENCH_PAGE, there);
    bench_unmap(start, pages);
    return (there[pages / 2 - 1] & 1) || (there[pages / 2 + 1] & 1);
}

uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15UL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
    return z ^ (z >> 31);
}

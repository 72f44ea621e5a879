/*
 * Benchmarks: instructions and events of single operations, as lines `BENCH {json}`.
 *
 * A program opens a row per operation, adds one sample per repetition, and closes the row, which
 * prints it. Only the operation itself stands between the two readings of the counter: one ecall,
 * or one load or store. What an empty pair of readings costs is subtracted, so a store that does
 * not fault counts 1. Events come from the kernel's counters, read before and after each
 * operation outside the counted part; where there are none (Linux) they are 0.
 *
 * The counts are exact where the machine counts instructions and one hart works. Elsewhere the
 * programs run all the same and their numbers mean nothing.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <pagoda/counter.h>

#define BENCH_PAGE      4096UL
#define BENCH_HARTS_MAX 4
#define BENCH_RW        (PROT_READ | PROT_WRITE)
#define BENCH_ANON      (MAP_PRIVATE | MAP_ANONYMOUS)
/* Where programs map at addresses of their own choice; far from what the system places. */
#define BENCH_AREA 0x1000000000UL

/* Who answers the operation: it decides how many traps stand behind a counted event. */
enum bench_answer {
    BENCH_BY_PAGER, /* the memory server: in user mode or in the kernel */
    BENCH_BY_OTHER  /* a program in any case */
};

struct bench_row {
    const char *op;
    unsigned per; /* pages or calls that one sample covers */
    enum bench_answer answer;
    unsigned count, max;
    uint64_t *sample;
    uint64_t events[COUNT_KERNEL];
};

/* A thread of this process that runs entry() on the stack below `stack_top` and never returns from
 * it; it ends with the process, or by bench_thread_end(). Its number, or what the system says. */
long bench_thread(void (*entry)(void), void *stack_top);
_Noreturn void bench_thread_end(void);

/* Once, first: calibrates, and gets at the kernel's counters where there are any. */
void bench_start(void);
bool bench_on_pagoda(void);
/* Does this stand on the kernel's command line? */
bool bench_command_line_has(const char *word);
/* Room for `max` samples; `per` divides them. At most as many rows are open as the pool holds. */
void bench_open(struct bench_row *row, const char *op, enum bench_answer answer, unsigned per,
                unsigned max);
/* A sample without events. */
void bench_add(struct bench_row *row, uint64_t instructions);
/* The events between the two are the row's. */
void bench_events_begin(void);
void bench_events_end(struct bench_row *row);
/* There will be a fork between the two: children do not get what is written down there. */
void bench_events_over_fork(void);
/* Print the row, or say that there is none if no sample came. */
void bench_close(struct bench_row *row);
/* Forget a row that stood only for a part of a sum. */
void bench_drop(struct bench_row *row);
/* Print a row whose samples are the sums of the samples of `count` open rows. */
void bench_print_sum(const char *op, unsigned per, struct bench_row *const rows[], unsigned count);
/* A line that says why an operation has no row. */
void bench_skip(const char *op, const char *why);
/* Fails the program: it ends with status 1. */
_Noreturn void bench_fail(const char *what, long result);

/* Fresh memory at a place of the system's or the program's choice (at != 0); ends the program when
 * there is none. */
char *bench_map(uintptr_t at, size_t pages);
void bench_unmap(void *start, size_t pages);
/* Does a write to new memory bring 64 KiB at once? */
bool bench_has_runs(void);
/* splitmix64 */
uint64_t bench_random(uint64_t *state);

/* What an empty pair of readings counts. */
extern uint64_t bench_overhead;

static inline uint64_t bench_now(void)
{
    uint64_t now;

    __asm__ volatile("rdinstret %0" : "=r"(now)::"memory");
    return now;
}

struct bench_timed {
    uint64_t instructions;
    long result;
};

static inline struct bench_timed bench_ecall(long number, uint64_t a, uint64_t b, uint64_t c,
                                             uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t a0 __asm__("a0") = a;
    register uint64_t a1 __asm__("a1") = b;
    register uint64_t a2 __asm__("a2") = c;
    register uint64_t a3 __asm__("a3") = d;
    register uint64_t a4 __asm__("a4") = e;
    register uint64_t a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;
    register uint64_t start __asm__("s2"), end __asm__("s3");

    /* The clobbers are those of a kernel call; a system call keeps more. */
    __asm__ volatile("rdinstret %[start]\n\t"
                     "ecall\n\t"
                     "rdinstret %[end]"
                     : [start] "=&r"(start), [end] "=&r"(end), "+r"(a0), "+r"(a1), "+r"(a2),
                       "+r"(a3), "+r"(a4), "+r"(a5), "+r"(a7)
                     :
                     : "memory", "a6", "t0", "t1", "t2", "t3", "t4", "t5", "t6");
    return (struct bench_timed){end - start - bench_overhead, (long)a0};
}

static inline uint64_t bench_store(void *at)
{
    uint64_t start, end;

    __asm__ volatile("rdinstret %[start]\n\t"
                     "sb %[value], 0(%[at])\n\t"
                     "rdinstret %[end]"
                     : [start] "=&r"(start), [end] "=&r"(end)
                     : [at] "r"(at), [value] "r"(1L)
                     : "memory");
    return end - start - bench_overhead;
}

static inline uint64_t bench_load(const void *at)
{
    uint64_t start, end, value;

    __asm__ volatile("rdinstret %[start]\n\t"
                     "lb %[value], 0(%[at])\n\t"
                     "rdinstret %[end]"
                     : [start] "=&r"(start), [end] "=&r"(end), [value] "=&r"(value)
                     : [at] "r"(at)
                     : "memory");
    return end - start - bench_overhead;
}

/* The same with sample and events taken down; row NULL: not measured. */
long bench_call(struct bench_row *row, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                uint64_t e, uint64_t f);
void bench_write(struct bench_row *row, void *at);
void bench_read(struct bench_row *row, const void *at);
/* One sample: the sum over `pages` pages from `start` on. */
void bench_write_pages(struct bench_row *row, char *start, size_t pages);

#define BENCH_CALL1(row, nr, a)    bench_call(row, nr, (uint64_t)(a), 0, 0, 0, 0, 0)
#define BENCH_CALL2(row, nr, a, b) bench_call(row, nr, (uint64_t)(a), (uint64_t)(b), 0, 0, 0, 0)
#define BENCH_CALL3(row, nr, a, b, c) \
    bench_call(row, nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), 0, 0, 0)

/* mmap of private anonymous memory; at 0: the system chooses. Gives what the system gives. */
static inline long bench_mmap(struct bench_row *row, uintptr_t at, size_t pages, int more_flags)
{
    return bench_call(row, SYS_mmap, at, pages * BENCH_PAGE, BENCH_RW,
                      (uint64_t)(BENCH_ANON | more_flags | (at ? MAP_FIXED : 0)), (uint64_t)-1, 0);
}

static inline long bench_munmap(struct bench_row *row, uintptr_t at, size_t pages)
{
    return BENCH_CALL2(row, SYS_munmap, at, pages * BENCH_PAGE);
}

#endif

/*
 * KTAP for host tests: a test program declares cases, this runner runs and reports them.
 *
 *     KTAP_CASE(split_merges_back)
 *     {
 *         EXPECT(buddy_free_pages() > 0);
 *         EXPECT_EQ(buddy_order(page), 3);
 *     }
 *
 * Each case runs in a child process of its own, so a case finds fresh global state and one that
 * crashes (or that a sanitizer stops) fails alone. The name of every case is also put into the
 * ELF section .ktap_cases, where the harness reads it without running the program; a name that is
 * declared but not reported counts as a failure.
 *
 * Usage of a test program: NAME [--seed N] [--list] [--no-fork] [substring of a case's name]...
 */
#ifndef PAGODA_TESTS_HOST_KTAP_H
#define PAGODA_TESTS_HOST_KTAP_H

#include <stdbool.h>
#include <stdint.h>

struct ktap_case {
    const char *name;
    void (*run)(void);
    struct ktap_case *next; /* in order of declaration */
};

/* Called before main() by each KTAP_CASE. The case must live as long as the program. */
void ktap_register(struct ktap_case *item);

/* The seed of this run (--seed, 1 if not given), the same for all cases. */
uint64_t ktap_seed(void);

/* Pseudo-random numbers (splitmix64), started from the seed at the begin of every case. */
uint64_t ktap_random(void);

/* Uniform in [0, bound); bound must not be 0. */
uint64_t ktap_random_below(uint64_t bound);

/* End the running case, from any depth of calls; they do not return. */
_Noreturn void ktap_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void ktap_skip(const char *reason);

/* Prints one diagnostic line, shown with the case when it fails. */
void ktap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define KTAP_CASE(id)                                                                       \
    static void ktap_run_##id(void);                                                        \
    static const char ktap_name_##id[] __attribute__((section(".ktap_cases"), used)) = #id; \
    static struct ktap_case ktap_case_##id = {ktap_name_##id, ktap_run_##id, 0};            \
    __attribute__((constructor)) static void ktap_register_##id(void)                       \
    {                                                                                       \
        ktap_register(&ktap_case_##id);                                                     \
    }                                                                                       \
    static void ktap_run_##id(void)

#define EXPECT(condition)                                              \
    do {                                                               \
        if (!(condition))                                              \
            ktap_fail(__FILE__, __LINE__, "expected: %s", #condition); \
    } while (0)

/* Both sides are compared, and shown, as 64-bit numbers. */
#define EXPECT_EQ(actual, expected)                                                                \
    do {                                                                                           \
        uint64_t ktap_actual = (uint64_t)(actual);                                                 \
        uint64_t ktap_expected = (uint64_t)(expected);                                             \
        if (ktap_actual != ktap_expected)                                                          \
            ktap_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), expected %s = %lld (0x%llx)",      \
                      #actual, (long long)ktap_actual, (unsigned long long)ktap_actual, #expected, \
                      (long long)ktap_expected, (unsigned long long)ktap_expected);                \
    } while (0)

#define KTAP_SKIP(reason) ktap_skip(reason)

#endif

/*
 * Guest tests: cases, expectations and KTAP output.
 *
 * A test program is a list of KTAP_CASEs. Their names also stand, NUL-separated and in order, in
 * the ELF section .ktap_cases, so that the harness knows them without running anything.
 * A case whose name starts with pagoda_ is skipped where the program runs on another system.
 *
 * What is meant to kill its process runs in a process of its own: a KTAP_CHILD function of the
 * same program, started by ktap_child().
 *
 *   PROGRAM            runs all cases
 *   PROGRAM CASE...    runs these only
 *   KTAP_INDENT=1      indents the output by four spaces (set by init)
 *   KTAP_SEED=N        the seed of random tests (default 1)
 */
#ifndef KTAP_H
#define KTAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ktap_case {
    const char *name;
    void (*fn)(void);
    int line; /* the order of the cases */
    struct ktap_case *next;
};

struct ktap_child {
    const char *name;
    int (*fn)(const char *arg); /* gives the exit status */
    struct ktap_child *next;
};

void ktap_register_case(struct ktap_case *test);
void ktap_register_child(struct ktap_child *child);

#define KTAP_CASE(name_)                                                                     \
    static void ktap_case_##name_(void);                                                     \
    __asm__(".pushsection .ktap_cases,\"a\",@progbits\n.asciz \"" #name_ "\"\n.popsection"); \
    __attribute__((constructor)) static void ktap_register_##name_(void)                     \
    {                                                                                        \
        static struct ktap_case test = {                                                     \
            .name = #name_, .fn = ktap_case_##name_, .line = __LINE__};                      \
        ktap_register_case(&test);                                                           \
    }                                                                                        \
    static void ktap_case_##name_(void)

#define KTAP_CHILD(name_)                                                            \
    static int ktap_child_##name_(const char *arg);                                  \
    __attribute__((constructor)) static void ktap_register_child_##name_(void)       \
    {                                                                                \
        static struct ktap_child child = {.name = #name_, .fn = ktap_child_##name_}; \
        ktap_register_child(&child);                                                 \
    }                                                                                \
    static int ktap_child_##name_(__attribute__((unused)) const char *arg)

/* Marks the running case failed and prints a line "# file:line: text". */
void ktap_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints a diagnostic line "# text". */
void ktap_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ktap_skip(const char *reason);

/* The case goes on after a failed EXPECT and ends after a failed REQUIRE. */
#define EXPECT(expr)                                    \
    do {                                                \
        if (!(expr))                                    \
            ktap_fail(__FILE__, __LINE__, "%s", #expr); \
    } while (0)
#define REQUIRE(expr)                                   \
    do {                                                \
        if (!(expr)) {                                  \
            ktap_fail(__FILE__, __LINE__, "%s", #expr); \
            return;                                     \
        }                                               \
    } while (0)
#define EXPECT_EQ(got_, want_)                                                                     \
    do {                                                                                           \
        long got__ = (long)(got_), want__ = (long)(want_);                                         \
        if (got__ != want__)                                                                       \
            ktap_fail(__FILE__, __LINE__, "%s is %ld (0x%lx), not %s = %ld (0x%lx)", #got_, got__, \
                      (unsigned long)got__, #want_, want__, (unsigned long)want__);                \
    } while (0)
/* The raw system call (see SYSCALL) is answered by this Linux error. */
#define EXPECT_ERROR(call_, errno_) \
    ktap_expect_error(__FILE__, __LINE__, #call_, (long)(call_), errno_, #errno_)
#define SKIP(reason)       \
    do {                   \
        ktap_skip(reason); \
        return;            \
    } while (0)

/* For what the user-mode emulator gets wrong; the reason says how. */
#define SKIP_EMULATED(reason)          \
    do {                               \
        if (ktap_emulated())           \
            SKIP("emulator: " reason); \
    } while (0)

void ktap_expect_error(const char *file, int line, const char *call, long result, int want_errno,
                       const char *want_name);

/* A system call with its answer made -errno.h number, so that it compares with -EINVAL etc. */
#define SYSCALL(...) ktap_raw(pg_syscall(__VA_ARGS__))
long ktap_raw(long result);

/* Runs a KTAP_CHILD in a process of its own; gives its wait status, or -1 (and fails the case). */
int ktap_child(const char *name, const char *arg);
/* Describes a wait status, for messages. */
const char *ktap_status_text(int status);

#define EXPECT_CHILD_SIGNAL(name_, arg_, signal_)                                  \
    do {                                                                           \
        int status__ = ktap_child(name_, arg_);                                    \
        if (!WIFSIGNALED(status__) || WTERMSIG(status__) != (signal_))             \
            ktap_fail(__FILE__, __LINE__, "child %s(%s): %s, not %s", name_, arg_, \
                      ktap_status_text(status__), #signal_);                       \
    } while (0)
#define EXPECT_CHILD_EXIT(name_, arg_, code_)                                           \
    do {                                                                                \
        int status__ = ktap_child(name_, arg_);                                         \
        if (!WIFEXITED(status__) || WEXITSTATUS(status__) != (code_))                   \
            ktap_fail(__FILE__, __LINE__, "child %s(%s): %s, not exit %d", name_, arg_, \
                      ktap_status_text(status__), code_);                               \
    } while (0)

/* True on Pagoda, false on Linux. */
bool ktap_on_pagoda(void);
/* True where a user-mode emulator stands in for the kernel and is not exact. */
bool ktap_emulated(void);
uint64_t ktap_seed(void);
/* The program's own path, argument count and vector. */
const char *ktap_self(void);
int ktap_argc(void);
char **ktap_argv(void);
/* splitmix64: the next number of the sequence in *state. */
uint64_t ktap_random(uint64_t *state);

/* ---- what tests about memory share ---- */

#define PAGE ((size_t)4096)

/* Maps fresh private anonymous memory; NULL (and the case failed) when that is refused. */
void *ktap_map(size_t length, int prot);
/* True when all bytes of [start, start + length) are `value`. */
bool ktap_all_bytes(const void *start, size_t length, uint8_t value);

/* One line of /proc/self/maps. */
struct ktap_vma {
    uintptr_t start;
    uintptr_t end;
    char prot[5]; /* as printed: rwxp */
};
/*
 * The mappings that meet [start, end), in order, at most `max`; gives how many, or -1 (and the
 * case failed) when /proc/self/maps cannot be read.
 */
int ktap_vmas(const void *start, const void *end, struct ktap_vma *out, int max);
/* The number after "Name:" in a file like /proc/meminfo, or -1. */
long ktap_proc_number(const char *path, const char *name);

#endif

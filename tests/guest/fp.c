/*
 * Floating-point registers: all 32 and fcsr survive page faults, system calls and other users.
 *
 * One assembly block loads every register from `in`, does something that enters the kernel, and
 * stores every register to `out`; the two must be equal bit for bit.
 */
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define FP_COUNT 32

#define FP_ALL(op, base)                                                                           \
    op " f0, 0(" base ")\n" op " f1, 8(" base ")\n" op " f2, 16(" base ")\n" op " f3, 24(" base    \
       ")\n" op " f4, 32(" base ")\n" op " f5, 40(" base ")\n" op " f6, 48(" base ")\n" op         \
       " f7, 56(" base ")\n" op " f8, 64(" base ")\n" op " f9, 72(" base ")\n" op " f10, 80(" base \
       ")\n" op " f11, 88(" base ")\n" op " f12, 96(" base ")\n" op " f13, 104(" base ")\n" op     \
       " f14, 112(" base ")\n" op " f15, 120(" base ")\n" op " f16, 128(" base ")\n" op            \
       " f17, 136(" base ")\n" op " f18, 144(" base ")\n" op " f19, 152(" base ")\n" op            \
       " f20, 160(" base ")\n" op " f21, 168(" base ")\n" op " f22, 176(" base ")\n" op            \
       " f23, 184(" base ")\n" op " f24, 192(" base ")\n" op " f25, 200(" base ")\n" op            \
       " f26, 208(" base ")\n" op " f27, 216(" base ")\n" op " f28, 224(" base ")\n" op            \
       " f29, 232(" base ")\n" op " f30, 240(" base ")\n" op " f31, 248(" base ")\n"

#define FP_CLOBBERS                                                                                \
    "memory", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12",     \
        "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", \
        "f26", "f27", "f28", "f29", "f30", "f31"

/* `action` may use t0 (its operand) and change t0, a0 to a2, a7. */
#define FP_ROUND(in, out, operand, action)                                      \
    do {                                                                        \
        register uintptr_t t0_ __asm__("t0") = (uintptr_t)(operand);            \
        __asm__ volatile(FP_ALL("fld", "%[from]") action FP_ALL("fsd", "%[to]") \
                         : "+r"(t0_)                                            \
                         : [from] "r"(in), [to] "r"(out)                        \
                         : "a0", "a1", "a2", "a7", FP_CLOBBERS);                \
    } while (0)

static void fill(uint64_t regs[FP_COUNT], uint64_t seed)
{
    for (int i = 0; i < FP_COUNT; i++)
        regs[i] = ktap_random(&seed);
}

static uint32_t get_fcsr(void)
{
    uint32_t value;

    __asm__ volatile("frcsr %0" : "=r"(value));
    return value;
}

static void set_fcsr(uint32_t value)
{
    __asm__ volatile("fscsr %0" ::"r"(value));
}

KTAP_CASE(registers_survive_a_read_fault)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];
    void *page = ktap_map(PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(page != NULL);
    fill(in, 1);
    FP_ROUND(in, out, page, "ld t0, 0(t0)\n");
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
    munmap(page, PAGE);
}

KTAP_CASE(registers_survive_write_faults)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];
    char *pages = ktap_map(64 * PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(pages != NULL);
    for (size_t i = 0; i < 64; i++) {
        fill(in, i);
        FP_ROUND(in, out, pages + i * PAGE, "sd zero, 0(t0)\n");
        EXPECT(memcmp(in, out, sizeof(in)) == 0);
    }
    munmap(pages, 64 * PAGE);
}

KTAP_CASE(fp_store_itself_faults)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];
    uint64_t *page = ktap_map(PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(page != NULL);
    fill(in, 2);
    FP_ROUND(in, out, page, "fsd f17, 8(t0)\n");
    EXPECT_EQ(page[1], in[17]);
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
    munmap(page, PAGE);
}

KTAP_CASE(registers_survive_system_calls)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];

    fill(in, 3);
    FP_ROUND(in, out, 0, "li a7, 172\necall\n"); /* getpid */
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
    FP_ROUND(in, out, 0, "li a7, 124\necall\n"); /* sched_yield */
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
    FP_ROUND(in, out, 0, "li a0, 0\nli a7, 214\necall\n"); /* brk */
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
}

KTAP_CASE(fcsr_survives_a_fault_and_system_calls)
{
    volatile char *page = ktap_map(PAGE, PROT_READ | PROT_WRITE);
    uint32_t old = get_fcsr();

    REQUIRE(page != NULL);
    set_fcsr(0x6a); /* round up, flags NV, OF, NX... */
    uint32_t before = get_fcsr();
    page[0] = 1;
    pg_syscall(SYS_getpid);
    pg_syscall(SYS_sched_yield);
    uint32_t after = get_fcsr();
    set_fcsr(old);
    EXPECT_EQ(before, 0x6a);
    EXPECT_EQ(after, 0x6a);
    munmap((void *)page, PAGE);
}

KTAP_CASE(new_process_starts_with_clean_fp_state)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];

    fill(in, 4);
    FP_ROUND(in, out, 0, "nop\n");
    set_fcsr(0x7f & ~0x60);
    EXPECT_CHILD_EXIT("report_fcsr", "", 0);
    set_fcsr(0);
}

KTAP_CHILD(report_fcsr)
{
    return (int)get_fcsr();
}

/* ---- preemption: long loops in user mode, several at once, each with its own values ---- */

#define SPIN_ROUNDS 40

static int spin_wrong(uint64_t seed, unsigned long iterations)
{
    uint64_t in[FP_COUNT], out[FP_COUNT];
    int wrong = 0;

    for (int round = 0; round < SPIN_ROUNDS; round++) {
        fill(in, seed + (uint64_t)round);
        set_fcsr((uint32_t)(seed % 5) << 5 | (uint32_t)(seed & 31));
        FP_ROUND(in, out, iterations, "1: addi t0, t0, -1\nbnez t0, 1b\n");
        wrong += memcmp(in, out, sizeof(in)) != 0;
        wrong += get_fcsr() != ((uint32_t)(seed % 5) << 5 | (uint32_t)(seed & 31));
    }
    set_fcsr(0);
    return wrong;
}

static void *spin_thread(void *arg)
{
    return (void *)(intptr_t)spin_wrong((uint64_t)(uintptr_t)arg, 200000);
}

KTAP_CASE(registers_survive_preemption_by_threads)
{
    struct pg_thread *threads[4];

    for (uintptr_t i = 0; i < 4; i++) {
        threads[i] = pg_thread_create(spin_thread, (void *)(i * 1000 + 7), 0);
        REQUIRE(threads[i] != NULL);
    }
    EXPECT_EQ(spin_wrong(99, 200000), 0);
    for (int i = 0; i < 4; i++)
        EXPECT_EQ((intptr_t)pg_thread_join(threads[i]), 0);
}

KTAP_CHILD(spin)
{
    return spin_wrong((uint64_t)arg[0], 200000) != 0;
}

KTAP_CASE(registers_survive_preemption_by_a_process)
{
    char *argv[] = {(char *)ktap_self(), "--child", "spin", "b", NULL};
    int status = -1;
    pid_t pid = pg_spawn(ktap_self(), argv, environ, NULL);

    REQUIRE(pid > 0);
    EXPECT_EQ(spin_wrong(5, 200000), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(arithmetic_is_right)
{
    volatile double a = 1.0, b = 3.0;
    volatile float c = 2.0f;

    EXPECT((a / b) * b == 1.0);
    EXPECT(__builtin_sqrt(c * c * c * c) == 4.0);
    EXPECT((long)(a / b * 1e9) == 333333333);
}

/* Returns from its handler by itself, with all registers spoiled: those of the frame come back. */
static void return_by_itself(int signal, siginfo_t *info, void *context)
{
    static const uint64_t spoiled[FP_COUNT];

    (void)signal, (void)context;
    set_fcsr(0);
    __asm__ volatile(FP_ALL("fld", "%[from]") "mv sp, %[frame]\nli a5, 0\nli a7, 139\necall\n"
                     :
                     : [from] "r"(spoiled), [frame] "r"(info)
                     : "a5", "a7", FP_CLOBBERS);
}

KTAP_CASE(registers_survive_a_handler_that_returns_by_itself)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO}, old;
    uint64_t in[FP_COUNT], out[FP_COUNT];

    action.sa_sigaction = return_by_itself;
    sigaction(SIGUSR1, &action, &old);
    fill(in, 5);
    set_fcsr(0x45);
    FP_ROUND(in, out, getpid(), "mv a0, t0\nli a1, 10\nli a7, 129\necall\n");
    EXPECT_EQ(get_fcsr(), 0x45);
    set_fcsr(0);
    EXPECT(memcmp(in, out, sizeof(in)) == 0);
    sigaction(SIGUSR1, &old, NULL);
}

/*
 * Handlers: what they are given, on which stack and under which mask they run, and how everything
 * is as it was when they return, jump away, or change their frame.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>

#include "ktap.h"
#include "pg.h"

#define RW (PROT_READ | PROT_WRITE)

#ifndef SYS_sigaltstack
#define SYS_sigaltstack 132
#endif

/* Linux's struct ucontext on riscv64, in words. */
#define UC_STACK_SP    2
#define UC_STACK_FLAGS 3
#define UC_STACK_BYTES 4
#define UC_MASK        5
#define UC_REGS        22 /* pc, x1..x31 */

#define SIGNAL_BIT(n)  (1UL << ((n)-1))
#define STACK_ON       1
#define STACK_DISABLED 2
#define STACK_BYTES    16384

struct stack {
    uint64_t sp;
    int32_t flags, pad;
    uint64_t bytes;
};

struct action {
    void (*handler)(int, siginfo_t *, void *);
    uint64_t flags, mask;
};

#define RESETHAND 0x80000000UL
#define NODEFER   0x40000000UL
#define ONSTACK   0x08000000UL
#define SIGINFO   4UL

static volatile int count;
static volatile uint64_t seen[8];
static jmp_buf escape;

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), uint64_t flags,
                   uint64_t mask)
{
    const struct action action = {handler, flags | SIGINFO, mask};

    EXPECT_EQ(SYSCALL(SYS_rt_sigaction, (long)signal, &action, 0l, 8l), 0);
}

static uint64_t mask_now(void)
{
    uint64_t mask = ~0UL;

    SYSCALL(SYS_rt_sigprocmask, (long)SIG_BLOCK, 0l, &mask, 8l);
    return mask;
}

static void mask_set(uint64_t mask)
{
    SYSCALL(SYS_rt_sigprocmask, (long)SIG_SETMASK, &mask, 0l, 8l);
}

static void raise_here(int signal)
{
    SYSCALL(SYS_tgkill, (long)getpid(), SYSCALL(SYS_gettid), (long)signal);
}

/* The instruction at the faulting pc is 4 bytes long in all that follows. */
static void skip(int signal, siginfo_t *info, void *context)
{
    uint64_t *uc = context;

    seen[0] = (uint64_t)signal;
    seen[1] = (uint64_t)info->si_signo;
    seen[2] = (uint64_t)info->si_code;
    seen[3] = (uint64_t)info->si_addr;
    seen[4] = uc[UC_REGS];
    seen[5] = mask_now();
    seen[6] = uc[UC_MASK];
    seen[7] = (uint64_t)context;
    uc[UC_REGS] += 4;
    count++;
}

static uint64_t fault_at(uint64_t address)
{
    uint64_t pc;

    __asm__ volatile("la %0, 1f\n"
                     ".option push\n.option norvc\n"
                     "1: sb zero, 0(%1)\n"
                     ".option pop"
                     : "=&r"(pc)
                     : "r"(address)
                     : "memory");
    return pc;
}

KTAP_CASE(handler_of_a_fault_is_told_what_and_where)
{
    SKIP_EMULATED("SIGSEGV is never blocked");
    handle(SIGSEGV, skip, 0, SIGNAL_BIT(SIGUSR1));
    for (uint64_t address = 0; address < 64; address += 8) {
        count = 0;
        uint64_t pc = fault_at(address);
        EXPECT_EQ(count, 1);
        EXPECT(seen[0] == SIGSEGV && seen[1] == SIGSEGV && seen[2] == 1 && seen[3] == address);
        EXPECT_EQ(seen[4], pc);
        EXPECT_EQ(seen[5], SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGUSR1));
        EXPECT_EQ(seen[6], 0);
        EXPECT_EQ(seen[7] % 16, 0);
        EXPECT_EQ(mask_now(), 0);
    }
    char *p = ktap_map(PAGE, PROT_READ);
    fault_at((uint64_t)p);
    EXPECT(seen[2] == 2 && seen[3] == (uint64_t)p);
    munmap(p, PAGE);
}

/* All registers but sp, gp, tp hold a value of their own across a fault and its handler. */
#define SET(n)   "addi x" #n ", t0, " #n "\n"
#define CHECK(n) "addi x" #n ", x" #n ", -" #n "\nxor x" #n ", x" #n ", t0\nor t1, t1, x" #n "\n"
#define EACH(of)                                                                             \
    of(7) of(9) of(10) of(11) of(12) of(13) of(14) of(15) of(16) of(17) of(18) of(19) of(20) \
        of(21) of(22) of(23) of(24) of(25) of(26) of(27) of(28) of(29) of(30) of(31)

static uint64_t registers_round(uint64_t base)
{
    register uint64_t t0 __asm__("t0") = base;
    register uint64_t t1 __asm__("t1") = 0;

    __asm__ volatile(
        EACH(SET) ".option push\n.option norvc\nsb zero, 0(zero)\n.option pop\n" EACH(CHECK)
        : "+r"(t0), "+r"(t1)
        :
        : "memory", "x7", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x18",
          "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
          "x31");
    return t1 | (t0 ^ base);
}

KTAP_CASE(all_registers_survive)
{
    handle(SIGSEGV, skip, 0, 0);
    for (uint64_t i = 0; i < 50; i++)
        EXPECT_EQ(registers_round(i * 0x0123456789abcUL), 0);
}

static __attribute__((noinline)) void deeper(unsigned bytes)
{
    volatile char *room = __builtin_alloca(bytes);

    room[0] = 1;
    fault_at(8);
    room[bytes - 1] = 1;
}

KTAP_CASE(frame_may_lie_anywhere_on_the_stack)
{
    handle(SIGSEGV, skip, 0, 0);
    count = 0;
    for (unsigned bytes = 16; bytes < 9000; bytes += 16)
        deeper(bytes);
    EXPECT_EQ(count, 562);
}

static void maps_it(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    count++;
    mmap((void *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, RW,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

KTAP_CASE(handler_is_a_pager)
{
    char *p = ktap_map(64 * PAGE, RW);

    REQUIRE(p != NULL);
    munmap(p, 64 * PAGE);
    handle(SIGSEGV, maps_it, 0, 0);
    count = 0;
    for (unsigned i = 0; i < 64; i++)
        p[i * PAGE + i] = (char)i;
    for (unsigned i = 0; i < 64; i++)
        EXPECT_EQ(p[i * PAGE + i], (char)i);
    EXPECT_EQ(count, 64);
    munmap(p, 64 * PAGE);
}

static volatile uint64_t nested_mask[2];

static void nests(int signal, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    nested_mask[signal == SIGUSR1] = mask_now();
    count = count * 10 + (signal == SIGUSR1 ? 1 : 2);
    if (signal == SIGUSR1) {
        raise_here(SIGUSR2);
        fault_at(0);
    }
    count = count * 10 + (signal == SIGUSR1 ? 1 : 2);
}

KTAP_CASE(handlers_nest)
{
    SKIP_EMULATED("a handler's mask has bits of its own");
    handle(SIGUSR1, nests, 0, 0);
    handle(SIGUSR2, nests, 0, SIGNAL_BIT(SIGHUP));
    handle(SIGSEGV, skip, 0, 0);
    count = 0;
    raise_here(SIGUSR1);
    EXPECT_EQ(count, 1231); /* the fault counts one, inside SIGUSR1's */
    EXPECT_EQ(nested_mask[1], SIGNAL_BIT(SIGUSR1));
    EXPECT_EQ(nested_mask[0], SIGNAL_BIT(SIGUSR1) | SIGNAL_BIT(SIGUSR2) | SIGNAL_BIT(SIGHUP));
    EXPECT_EQ(mask_now(), 0);
}

KTAP_CASE(blocked_inside_its_own_handler)
{
    SKIP_EMULATED("a handler's mask has bits of its own");
    handle(SIGUSR1, nests, 0, SIGNAL_BIT(SIGUSR2));
    handle(SIGUSR2, nests, 0, 0);
    handle(SIGSEGV, skip, 0, 0);
    count = 0;
    raise_here(SIGUSR1);
    EXPECT_EQ(count, 2122); /* 1, the fault's one more, 1, and then SIGUSR2's */
    EXPECT_EQ(mask_now(), 0);
}

static void jumps(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    count++;
    longjmp(escape, 1);
}

KTAP_CASE(handler_may_jump_away)
{
    SKIP_EMULATED("a handler's mask has bits of its own");
    handle(SIGSEGV, jumps, NODEFER, 0);
    count = 0;
    for (volatile int i = 0; i < 500; i++)
        if (setjmp(escape) == 0)
            fault_at(0);
    EXPECT_EQ(count, 500);
    EXPECT_EQ(mask_now(), 0);
}

KTAP_CHILD(faults_in_handler)
{
    (void)arg;
    handle(SIGSEGV, maps_it, 0, 0);
    mask_set(SIGNAL_BIT(SIGSEGV));
    fault_at(0);
    return 0;
}

KTAP_CASE(fault_whose_signal_is_blocked_ends_the_process)
{
    EXPECT_CHILD_SIGNAL("faults_in_handler", "", SIGSEGV);
}

KTAP_CHILD(handler_once)
{
    (void)arg;
    handle(SIGSEGV, skip, RESETHAND, 0);
    fault_at(0);
    fault_at(0);
    return 0;
}

KTAP_CASE(handler_that_is_reset_runs_once)
{
    EXPECT_CHILD_SIGNAL("handler_once", "", SIGSEGV);
}

static void changes_mask(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    ((uint64_t *)context)[UC_MASK] = SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGKILL);
    ((uint64_t *)context)[UC_REGS] += 4;
}

KTAP_CASE(handler_changes_the_mask_in_its_frame)
{
    SKIP_EMULATED("a handler's mask has bits of its own");
    handle(SIGSEGV, changes_mask, 0, 0);
    fault_at(0);
    EXPECT_EQ(mask_now(), SIGNAL_BIT(SIGHUP));
    mask_set(0);
}

/* ---- the alternate stack ---- */

static long stack_set(void *sp, int flags, uint64_t bytes)
{
    const struct stack stack = {(uint64_t)sp, flags, 0, bytes};

    return SYSCALL(SYS_sigaltstack, &stack, 0l);
}

static void on_stack(int signal, siginfo_t *info, void *context)
{
    uint64_t *uc = context;
    struct stack now = {0};

    (void)info;
    SYSCALL(SYS_sigaltstack, 0l, &now);
    seen[0] = (uint64_t)&now;
    seen[1] = (uint64_t)now.flags;
    seen[2] = uc[UC_STACK_SP];
    seen[3] = (uint32_t)uc[UC_STACK_FLAGS];
    seen[4] = uc[UC_STACK_BYTES];
    seen[5] = (uint64_t)stack_set(0, STACK_DISABLED, 0);
    if (signal == SIGSEGV)
        uc[UC_REGS] += 4;
    count++;
}

KTAP_CASE(handler_runs_on_the_alternate_stack)
{
    char *stack = ktap_map(STACK_BYTES, RW);

    REQUIRE(stack != NULL);
    EXPECT_EQ(stack_set(stack, 0, STACK_BYTES), 0);
    for (int i = 0; i < 2; i++) {
        count = 0;
        handle(i ? SIGUSR1 : SIGSEGV, on_stack, ONSTACK, 0);
        if (i)
            raise_here(SIGUSR1);
        else
            fault_at(0);
        EXPECT_EQ(count, 1);
        EXPECT(seen[0] - (uint64_t)stack < STACK_BYTES);
        EXPECT(seen[1] == STACK_ON && seen[2] == (uint64_t)stack && seen[4] == STACK_BYTES);
        EXPECT_EQ(seen[3], 0);
        EXPECT_EQ(seen[5], -EPERM);
    }
    struct stack now = {0};
    EXPECT_EQ(SYSCALL(SYS_sigaltstack, 0l, &now), 0);
    EXPECT(now.sp == (uint64_t)stack && now.flags == 0 && now.bytes == STACK_BYTES);
    EXPECT_EQ(stack_set(0, STACK_DISABLED, 0), 0);
    munmap(stack, STACK_BYTES);
}

static void overflow_escape(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    longjmp(escape, 1);
}

static __attribute__((noinline)) uint64_t recurse(uint64_t n)
{
    volatile char room[1024];

    room[0] = (char)n;
    return n ? recurse(n - 1) + (uint64_t)room[0] : 0;
}

KTAP_CASE(stack_overflow_is_handled_on_the_alternate_stack)
{
    char *stack = ktap_map(STACK_BYTES, RW);
    volatile int escapes = 0;

    REQUIRE(stack != NULL);
    EXPECT_EQ(stack_set(stack, 0, STACK_BYTES), 0);
    handle(SIGSEGV, overflow_escape, ONSTACK | NODEFER, 0);
    for (volatile int i = 0; i < 3; i++) {
        if (setjmp(escape) == 0)
            recurse(1UL << 40);
        else
            escapes++;
    }
    EXPECT_EQ(escapes, 3);
    EXPECT_EQ(stack_set(0, STACK_DISABLED, 0), 0);
    munmap(stack, STACK_BYTES);
}

KTAP_CHILD(stack_overflow)
{
    (void)arg;
    handle(SIGSEGV, skip, 0, 0);
    return (int)recurse(1UL << 40);
}

KTAP_CASE(no_room_for_a_frame_ends_the_process)
{
    EXPECT_CHILD_SIGNAL("stack_overflow", "", SIGSEGV);
}

/* ---- hostile frames ---- */

static uint64_t hostile_pc, hostile_sp;

static void hostile(int signal, siginfo_t *info, void *context)
{
    uint64_t *uc = context;

    (void)signal, (void)info;
    if (count++)
        _exit(9);
    uc[UC_REGS] = hostile_pc;
    uc[UC_REGS + 2] = hostile_sp;
}

/* arg: pc in hexadecimal. The handler has no stack at its second entry. */
KTAP_CHILD(returns_to)
{
    hostile_pc = strtoul(arg, NULL, 16);
    hostile_sp = 0xffffffffffffff00UL;
    handle(SIGSEGV, hostile, NODEFER, 0);
    fault_at(0);
    return 0;
}

KTAP_CASE(handler_returns_to_nowhere)
{
    EXPECT_CHILD_SIGNAL("returns_to", "0", SIGSEGV);
    EXPECT_CHILD_SIGNAL("returns_to", "ffffffff80200000", SIGSEGV);
    EXPECT_CHILD_SIGNAL("returns_to", "8000000000000000", SIGSEGV);
}

/* arg: sp in hexadecimal. */
KTAP_CHILD(sigreturn_at)
{
    register uint64_t a0 __asm__("a0") = strtoul(arg, NULL, 16);

    __asm__ volatile("mv sp, a0\nli a5, 0\nli a7, 139\necall\nebreak" : : "r"(a0));
    return 0;
}

KTAP_CASE(sigreturn_without_a_frame_ends_the_process)
{
    EXPECT_CHILD_SIGNAL("sigreturn_at", "0", SIGSEGV);
    EXPECT_CHILD_SIGNAL("sigreturn_at", "ffffffffffffffff", SIGSEGV);
    EXPECT_CHILD_SIGNAL("sigreturn_at", "ffffffc000000000", SIGSEGV);
    EXPECT_CHILD_SIGNAL("sigreturn_at", "3ffffffff8", SIGSEGV);
}

/* ---- processes ---- */

static void forks(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info;
    ((uint64_t *)context)[UC_REGS] += 4;
    count = (int)SYSCALL(SYS_clone, (long)SIGCHLD, 0l, 0l, 0l, 0l);
}

KTAP_CASE(both_return_from_a_handler_that_forks)
{
    int status = 0;

    SKIP_EMULATED("a handler's mask has bits of its own");
    handle(SIGSEGV, forks, 0, 0);
    fault_at(0);
    if (count == 0)
        _exit(mask_now() == 0 ? 7 : 8);
    EXPECT(count > 0);
    EXPECT_EQ(SYSCALL(SYS_wait4, (long)count, &status, 0l, 0l), count);
    EXPECT_EQ(status, 7 << 8);
}

static void count_it(int signal)
{
    (void)signal;
    count++;
}

/* A program that has made a hole finds it so after a signal. */
KTAP_CHILD(makes_a_hole)
{
    struct sigaction action = {.sa_handler = count_it};
    unsigned char there;

    (void)arg;
    sigaction(SIGUSR2, &action, NULL);
    char *hole = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, PAGE);
    raise_here(SIGUSR2);
    return count != 1 || SYSCALL(SYS_mincore, hole, PAGE, &there) != -ENOMEM;
}

KTAP_CASE(nothing_is_mapped_by_a_signal)
{
    EXPECT_CHILD_EXIT("makes_a_hole", "", 0);
}

/*
 * Integer registers: all 31 survive page faults, system calls (a0, the result, excepted) and
 * preemption. round.S does the register work.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

enum round_kind { BY_LOAD, BY_STORE, BY_ECALL, BY_LOOP, BY_JUMP };

#define REG_COUNT 32
#define REG_T0    5
#define REG_T1    6
#define REG_A0    10
#define REG_A7    17

uint64_t regs_in[REG_COUNT];
uint64_t regs_out[REG_COUNT];
void regs_round(unsigned kind);

static void fill(uint64_t seed)
{
    for (int i = 0; i < REG_COUNT; i++)
        regs_in[i] = ktap_random(&seed);
}

/* Reports each register that differs, but for `except`. */
static void check(int except)
{
    for (int i = 1; i < REG_COUNT; i++) {
        if (i != except && regs_in[i] != regs_out[i])
            ktap_fail(__FILE__, __LINE__, "x%d is 0x%lx, not 0x%lx", i, regs_out[i], regs_in[i]);
    }
}

KTAP_CASE(survive_read_faults)
{
    char *p = ktap_map(32 * PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(p != NULL);
    for (size_t i = 0; i < 32; i++) {
        fill(i + 1);
        regs_in[REG_T0] = (uintptr_t)p + i * PAGE;
        regs_round(BY_LOAD);
        check(0);
    }
    munmap(p, 32 * PAGE);
}

KTAP_CASE(survive_write_faults)
{
    char *p = ktap_map(32 * PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(p != NULL);
    for (size_t i = 0; i < 32; i++) {
        fill(i + 100);
        regs_in[REG_T0] = (uintptr_t)p + i * PAGE;
        regs_round(BY_STORE);
        check(0);
    }
    munmap(p, 32 * PAGE);
}

KTAP_CASE(survive_write_after_read_faults)
{
    char *p = ktap_map(32 * PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(p != NULL);
    for (size_t i = 0; i < 32; i++) {
        fill(i + 200);
        regs_in[REG_T0] = (uintptr_t)p + i * PAGE;
        regs_round(BY_LOAD);
        check(0);
        regs_round(BY_STORE);
        check(0);
    }
    munmap(p, 32 * PAGE);
}

KTAP_CASE(survive_an_instruction_fault)
{
    uint32_t *p = ktap_map(PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(p != NULL);
    p[0] = 0x00030067; /* jr t1 */
    mprotect(p, PAGE, PROT_READ | PROT_EXEC);
    __asm__ volatile("fence.i" ::: "memory");
    fill(7);
    regs_in[REG_T0] = (uintptr_t)p;
    regs_round(BY_JUMP);
    check(0);
    munmap(p, PAGE);
}

static void system_call(uint64_t seed, long number, const long *args, int count)
{
    fill(seed);
    for (int i = 0; i < count; i++)
        regs_in[REG_A0 + i] = (uint64_t)args[i];
    regs_in[REG_A7] = (uint64_t)number;
    regs_round(BY_ECALL);
    check(REG_A0);
}

KTAP_CASE(survive_getpid)
{
    system_call(11, SYS_getpid, NULL, 0);
    EXPECT_EQ(regs_out[REG_A0], getpid());
}

KTAP_CASE(survive_an_unknown_call)
{
    system_call(12, 5000, NULL, 0);
    EXPECT_EQ((long)regs_out[REG_A0], -38);
}

KTAP_CASE(survive_sched_yield)
{
    system_call(13, SYS_sched_yield, NULL, 0);
    EXPECT_EQ(regs_out[REG_A0], 0);
}

KTAP_CASE(survive_memory_calls)
{
    const long map_args[] = {0, 4 * (long)PAGE, 3, 0x22, -1, 0};
    const long bad_args[] = {1, (long)PAGE};

    system_call(14, SYS_mmap, map_args, 6);
    long p = (long)regs_out[REG_A0];
    EXPECT(p > 0);
    *(volatile char *)p = 1;
    const long protect_args[] = {p, 4 * (long)PAGE, 1};
    system_call(15, SYS_mprotect, protect_args, 3);
    EXPECT_EQ(regs_out[REG_A0], 0);
    const long unmap_args[] = {p, 4 * (long)PAGE};
    system_call(16, SYS_munmap, unmap_args, 2);
    EXPECT_EQ(regs_out[REG_A0], 0);
    system_call(17, SYS_munmap, bad_args, 2);
    EXPECT_EQ((long)regs_out[REG_A0], -22);
}

KTAP_CASE(survive_a_call_that_copies)
{
    long now[2];
    const long args[] = {1, (long)now};

    system_call(18, SYS_clock_gettime, args, 2);
    EXPECT_EQ(regs_out[REG_A0], 0);
}

KTAP_CASE(survive_a_sleep)
{
    const long want[2] = {0, 2000000};
    const long args[] = {(long)want, 0};

    system_call(19, SYS_nanosleep, args, 2);
    EXPECT_EQ(regs_out[REG_A0], 0);
}

KTAP_CHILD(spin)
{
    for (int i = 0; i < 40; i++) {
        fill((uint64_t)i + (uint64_t)arg[0]);
        regs_in[REG_T0] = 300000;
        regs_round(BY_LOOP);
        regs_in[REG_T0] = 0;
        if (memcmp(regs_in + 1, regs_out + 1, sizeof(regs_in) - sizeof(regs_in[0])) != 0)
            return 1;
    }
    return 0;
}

KTAP_CASE(survive_preemption)
{
    static const char *const seeds[] = {"a", "b", "c"};
    pid_t pids[3];

    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        char *argv[] = {(char *)ktap_self(), "--child", "spin", (char *)seeds[i], NULL};
        pids[i] = pg_spawn(ktap_self(), argv, environ, NULL);
        REQUIRE(pids[i] > 0);
    }
    for (int i = 0; i < 3; i++) {
        int status = -1;
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT_EQ(status, 0);
    }
}

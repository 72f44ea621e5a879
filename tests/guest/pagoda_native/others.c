/* The kernel capability, interrupts, and what the memory server says to programs. */
#include "tests/guest/pagoda_native/native_test.h"

#include <errno.h>

#include "pg.h"

NATIVE_CASE(kernel_capability_is_for_counters)
{
    static uint64_t counters[COUNT_KERNEL + 2];
    uint64_t first;

    EXPECT_CALL(CALL(CALL_LOG_WRITE, NATIVE_SLOT_KERNEL, "x", 1), -ERR_RIGHTS);
    EXPECT_CALL(CALL(CALL_POWER_OFF, NATIVE_SLOT_KERNEL, 0), -ERR_RIGHTS);
    counters[COUNT_KERNEL] = 99;
    EXPECT_EQ(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, sizeof(counters), ~0UL),
              COUNT_KERNEL * 8);
    EXPECT_EQ(counters[COUNT_KERNEL], 99);
    first = counters[COUNT_trap_slow];
    EXPECT_EQ(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, 12, 0), 8);
    CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, sizeof(counters), ~0UL);
    EXPECT(counters[COUNT_trap_slow] > first);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, counters, 8, 64), -ERR_HART);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, KERNEL_ADDRESS, 8, 0), -ERR_ADDRESS);
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, 16, 8, 0), -ERR_ADDRESS);
    /* The program's own code is not writable. */
    EXPECT_CALL(CALL(CALL_COUNTERS_READ, NATIVE_SLOT_KERNEL, (uint64_t)native_switch & ~7UL, 8, 0),
                -ERR_ADDRESS);
}

NATIVE_CASE(interrupts_need_their_capability)
{
    EXPECT_CALL(CALL(CALL_INTERRUPT_BIND, SLOT_DONE, SLOT_DONE, 1), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_INTERRUPT_BIND, NO_SLOT, SLOT_DONE, 1), -ERR_SLOT);
    EXPECT_CALL(CALL(CALL_INTERRUPT_ACK, SLOT_DONE), -ERR_TYPE);
    EXPECT_CALL(CALL(CALL_INSTRUCTION_FENCE, NATIVE_SPACE), -ERR_RIGHTS);
    EXPECT_OK(CALL(CALL_INSTRUCTION_FENCE, SLOT_SPACE));
    EXPECT_CALL(CALL(CALL_SPACE_INFO, SLOT_DONE), -ERR_TYPE);
}

NATIVE_CASE(privileged_server_calls_are_refused)
{
    static const long privileged[] = {
        MM_CREATE,         MM_EXEC,        MM_RELEASE,     MM_THREAD_CREATE, MM_THREAD_START,
        MM_THREAD_DESTROY, MM_THREAD_REGS, MM_THREAD_MOVE, MM_THREAD_HART,   MM_FAULT_IN,
        MM_MAP_FILE,       MM_THREAD_STOP, MM_THREAD_USE,  MM_PAGE_NODE};

    for (size_t i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++)
        for (long arg = 0; arg < 4; arg++)
            EXPECT_EQ(SYSCALL(privileged[i], arg, arg, arg), -EPERM);
}

/* The server's books are right after all this. */
NATIVE_CASE(the_servers_recount_finds_nothing)
{
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}

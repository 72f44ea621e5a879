/* The stack: it grows by itself, deep enough, and its end is the program's end. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "ktap.h"
#include "pg.h"

#define FRAME_BYTES 1024

/* Uses about `bytes` of stack and gives the number of frames. */
static __attribute__((noinline)) unsigned recurse(size_t bytes)
{
    volatile char frame[FRAME_BYTES];

    frame[0] = (char)bytes;
    frame[FRAME_BYTES - 1] = 1;
    if (bytes <= FRAME_BYTES)
        return frame[FRAME_BYTES - 1];
    unsigned below = recurse(bytes - FRAME_BYTES);
    /* Every frame still holds what it was given. */
    return frame[0] == (char)bytes ? below + (unsigned)frame[FRAME_BYTES - 1] : 0;
}

KTAP_CASE(grows_to_64_kib)
{
    EXPECT_EQ(recurse(64 << 10), 64);
}

KTAP_CASE(grows_to_1_mib)
{
    EXPECT_EQ(recurse(1 << 20), 1024);
}

KTAP_CASE(grows_to_4_mib)
{
    EXPECT_EQ(recurse(4 << 20), 4096);
}

KTAP_CASE(deep_first_touch)
{
    volatile char *far_below = (char *)__builtin_frame_address(0) - (512 << 10);

    *far_below = 1;
    EXPECT_EQ(*far_below, 1);
    EXPECT_EQ(far_below[-64], 0);
}

static __attribute__((noinline)) bool fresh_stack_is_zero(void)
{
    char *deep = (char *)__builtin_frame_address(0) - (6 << 20);

    return ktap_all_bytes(deep - 4 * PAGE, 4 * PAGE, 0);
}

KTAP_CASE(untouched_stack_is_zero)
{
    EXPECT(fresh_stack_is_zero());
}

KTAP_CHILD(overflow)
{
    return (int)recurse((size_t)1 << 40);
}

KTAP_CASE(endless_recursion_dies)
{
    EXPECT_CHILD_SIGNAL("overflow", "", SIGSEGV);
}

KTAP_CHILD(touch_far_below)
{
    volatile char *p = (char *)__builtin_frame_address(0) - ((size_t)1 << 30);

    *p = 1;
    return 0;
}

KTAP_CASE(access_far_below_the_limit_dies)
{
    EXPECT_CHILD_SIGNAL("touch_far_below", "", SIGSEGV);
}

KTAP_CHILD(run_stack)
{
    volatile uint32_t code[2] = {0x00008067, 0x00008067}; /* ret */

    __asm__ volatile("fence.i" ::: "memory");
    ((void (*)(void))(uintptr_t)code)();
    return 0;
}

KTAP_CASE(stack_is_not_executable)
{
    EXPECT_CHILD_SIGNAL("run_stack", "", SIGSEGV);
}

KTAP_CASE(stack_shows_in_maps)
{
    struct ktap_vma vma[2];
    char here = 0;

    EXPECT_EQ(ktap_vmas(&here, &here + 1, vma, 2), 1);
    EXPECT(strncmp(vma[0].prot, "rw-", 3) == 0);
}

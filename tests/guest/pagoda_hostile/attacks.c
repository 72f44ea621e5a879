/*
 * Single attacks: combinations of allowed calls that would gain something if a rule were missing.
 * Each case says what would be gained.
 */
#include "hostile.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"

#define STACK_BYTES 8192
#define MARKER      0x1badb002deadbeefUL

static uint8_t thread_stack[STACK_BYTES] __attribute__((aligned(16)));
static uint8_t pager_stack[STACK_BYTES] __attribute__((aligned(16)));
static long marked_page;

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

/* Runs as a thread of this process, or where it was moved to. */
static void store_and_wait(void *at)
{
    *(volatile uint64_t *)at = 1;
    for (;;)
        native_call(CALL_NULL, 0, 0, 0, 0, 0, 0);
}

/*
 * A thread of this process, whose faults the memory server answers, moved to a space that the
 * server did not choose. The server would map its pages there, where it does not know of them.
 */
KTAP_CASE(pagoda_the_servers_route_does_not_follow_to_ones_own_space)
{
    struct batch_op op = {
        .code = BATCH_UNMAP, .flags = BATCH_KEEP, .count = 1, .address = HONEST_AREA};

    REQUIRE(hostile_world());
    char *there = mmap((void *)HONEST_AREA, PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    REQUIRE(there == (char *)HONEST_AREA);
    thread_stack[STACK_BYTES - 1] = 0;
    REQUIRE(GOOD(native_thread(SLOT_ATTACK, store_and_wait, there, thread_stack + STACK_BYTES,
                               MM_PRIORITY_CLIENT - 1)));
    if (native_call(CALL_THREAD_SET, SLOT_ATTACK, THREAD_SPACE, SLOT_HONEST_SPACE, 0, 0, 0) == 0) {
        native_call(CALL_THREAD_START, SLOT_ATTACK, 0, 0, 0, 0, 0);
        pause_ms(50);
    }
    GOOD(native_stop(SLOT_ATTACK));
    GOOD(native_operation(SLOT_HONEST_SPACE, &op));
    EXPECT_EQ(op.done, 0);
    munmap(there, PAGE);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}

static long answer_marked(struct native_worker *worker, struct native_event *event)
{
    (void)worker;
    if (event->kind != ENTER_FAULT) {
        event->a[0] = 0;
        native_stop(SLOT_ATTACK + 1);
        return CALL_PARK;
    }
    event->a[0] = native_data_entry((uint64_t)marked_page, RW);
    event->a[1] = NATIVE_SLOT_DATA;
    return CALL_FAULT_REPLY;
}

/*
 * A pager of one's own for a thread in the space that the memory server keeps: it could put its
 * pages into tables whose content the server believes to know.
 */
KTAP_CASE(pagoda_nobody_else_maps_in_the_servers_spaces)
{
    static struct native_worker pager = {
        .handler = answer_marked, .stack = pager_stack, .stack_bytes = STACK_BYTES};
    uint64_t marker = MARKER;

    REQUIRE(hostile_world());
    volatile uint64_t *two = ktap_map(2 * PAGE, PROT_READ | PROT_WRITE), *fresh = two + PAGE / 8;
    marked_page = native_data(1);
    REQUIRE(two != NULL && marked_page >= 0);
    two[0] = 1; /* the leaf table is there */
    REQUIRE(GOOD(native_poke((uint64_t)marked_page, 8, &marker, sizeof(marker))));
    REQUIRE(GOOD(native_object(CAP_ENDPOINT, 0, SLOT_ATTACK + 2)));
    REQUIRE(GOOD(native_worker_start(SLOT_ATTACK + 3, SLOT_ATTACK + 2, &pager)));
    thread_stack[STACK_BYTES - 1] = 0;
    REQUIRE(GOOD(native_thread(SLOT_ATTACK + 1, store_and_wait, (void *)fresh,
                               thread_stack + STACK_BYTES, MM_PRIORITY_CLIENT - 1)));
    if (native_call(CALL_THREAD_SET, SLOT_ATTACK + 1, THREAD_PAGER, SLOT_ATTACK + 2, 0, 0, 0) ==
        0) {
        native_call(CALL_THREAD_START, SLOT_ATTACK + 1, 0, 0, 0, 0, 0);
        pause_ms(50);
    }
    GOOD(native_stop(SLOT_ATTACK + 1));
    EXPECT(fresh[1] != MARKER);
    munmap((void *)two, 2 * PAGE);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}

/* A thread above the memory server and the personality would have the hart for itself. */
KTAP_CASE(pagoda_no_priority_above_that_of_programs)
{
    REQUIRE(hostile_world());
    REQUIRE(GOOD(native_object(CAP_THREAD, 0, SLOT_ATTACK + 4)));
    EXPECT(native_call(CALL_THREAD_SET, SLOT_ATTACK + 4, THREAD_PRIORITY, MM_PRIORITY_SERVER, 0, 0,
                       0) != 0);
    EXPECT(native_call(CALL_THREAD_SET, SLOT_ATTACK + 4, THREAD_PRIORITY, MM_PRIORITY_PERSONALITY,
                       0, 0, 0) != 0);
    GOOD(native_call(CALL_THREAD_SET, SLOT_ATTACK + 4, THREAD_PRIORITY, MM_PRIORITY_CLIENT, 0, 0,
                     0));
    GOOD(native_again(CALL_CAP_DELETE, SELF_TABLE, SLOT_ATTACK + 4));
}

/* The idle time of a hart belongs to the worker that the memory server has there. */
KTAP_CASE(pagoda_idle_time_is_not_for_the_taking)
{
    struct native_client client = {.slot = SLOT_ATTACK + 6, .space = SLOT_HONEST_SPACE};

    REQUIRE(hostile_world());
    REQUIRE(GOOD(native_object(CAP_ENDPOINT, 0, SLOT_ATTACK + 5)));
    REQUIRE(GOOD(native_client(&client)));
    EXPECT(native_call(CALL_WORKER_BIND, SLOT_ATTACK + 6, SLOT_ATTACK + 5, HONEST_AREA, HONEST_AREA,
                       0, WORKER_IDLE) != 0);
    GOOD(native_again(CALL_CAP_DELETE, SELF_TABLE, SLOT_ATTACK + 6));
    GOOD(native_again(CALL_CAP_DELETE, SELF_TABLE, SLOT_ATTACK + 5));
}

/*
 * A process that ends and leaves objects that hold each other, the ones that have to go first made
 * first. The memory server has to get its memory back all the same.
 */
KTAP_CHILD(leaves_a_knot)
{
    const uint64_t thread = SLOT_ATTACK, space = thread + 1, endpoint = thread + 2;
    const uint64_t table = thread + 3;

    if (native_open() || native_object(CAP_THREAD, 0, thread) || native_space(space) ||
        native_object(CAP_ENDPOINT, 0, endpoint) || native_object(CAP_TABLE, 1, table))
        return 1;
    native_call(CALL_THREAD_SET, thread, THREAD_SPACE, space, 0, 0, 0);
    native_call(CALL_THREAD_SET, thread, THREAD_TABLE, table, 0, 0, 0);
    native_call(CALL_THREAD_SET, thread, THREAD_PAGER, endpoint, 0, 0, 0);
    native_call(CALL_THREAD_SET, thread, THREAD_PERSONALITY, endpoint, 0, 0, 0);
    native_call(CALL_CAP_COPY, NATIVE_SLOT_DATA, table, 1, RIGHT_ALL, 0, 0);
    return 0;
}

KTAP_CASE(pagoda_a_knot_of_objects_comes_undone)
{
    EXPECT_CHILD_EXIT("leaves_a_knot", "",
                      0); /* what the first one makes the system keep, it may */
    long before_kib = ktap_proc_number("/proc/meminfo", "MemFree");
    for (unsigned i = 0; i < 3; i++)
        EXPECT_CHILD_EXIT("leaves_a_knot", "", 0);
    long after_kib = ktap_proc_number("/proc/meminfo", "MemFree");
    ktap_note("free memory before and after: %ld, %ld KiB", before_kib, after_kib);
    EXPECT(before_kib > 0 && after_kib > before_kib - 2048);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}

/* Amounts that overflow what the server calculates with them. */
KTAP_CASE(pagoda_absurd_amounts_are_refused)
{
    static const unsigned long amounts[] = {3, 1UL << 40, (1UL << 55) + 1, 1UL << 63, ~0UL};

    REQUIRE(hostile_world());
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        EXPECT(pg_syscall(MM_NATIVE_CREATE, CAP_MEMORY, SLOT_ATTACK + 8, amounts[i]) < 0);
        EXPECT(pg_syscall(MM_NATIVE_CREATE, CAP_TABLE, SLOT_ATTACK + 8, 100 * amounts[i]) < 0);
        EXPECT(pg_syscall(MM_NATIVE_CREATE, amounts[i] | 0x40, SLOT_ATTACK + 8, 0L) < 0);
        EXPECT(pg_syscall(MM_NATIVE_CREATE, CAP_ENDPOINT, amounts[i] + 1000, 0L) < 0);
        EXPECT(pg_syscall(MM_NATIVE_THREAD, amounts[i] + 1000, 0L) < 0);
        EXPECT(pg_syscall(MM_NATIVE_ENABLE, amounts[i]) < 0);
    }
}

/* Scheduling: busy threads share a hart, sleepers sleep, and time goes on. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define MS 1000000l

static uint64_t now_ns(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_ns(long ns)
{
    struct timespec want = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    nanosleep(&want, NULL);
}

KTAP_CASE(monotonic_clock_never_goes_back)
{
    uint64_t last = now_ns();

    for (int i = 0; i < 1000; i++) {
        uint64_t now = now_ns();
        EXPECT(now >= last);
        last = now;
    }
}

KTAP_CASE(clock_advances_while_busy)
{
    uint64_t start = now_ns();

    for (volatile long i = 0; i < 3000000; i++)
        continue;
    EXPECT(now_ns() > start);
}

KTAP_CASE(sleep_takes_its_time)
{
    uint64_t start = now_ns();

    sleep_ns(20 * MS);
    uint64_t took = now_ns() - start;
    EXPECT(took >= 20 * (uint64_t)MS);
    EXPECT(took < 2000 * (uint64_t)MS);
}

KTAP_CASE(sleep_of_zero_returns)
{
    struct timespec zero = {0};

    EXPECT_EQ(SYSCALL(SYS_nanosleep, &zero, 0l), 0);
}

KTAP_CASE(sleep_with_bad_nanoseconds_is_einval)
{
    struct timespec bad = {.tv_nsec = 1000000000};

    EXPECT_ERROR(SYSCALL(SYS_nanosleep, &bad, 0l), EINVAL);
    bad = (struct timespec){.tv_sec = -1};
    EXPECT_ERROR(SYSCALL(SYS_nanosleep, &bad, 0l), EINVAL);
}

KTAP_CASE(yield_returns)
{
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(SYSCALL(SYS_sched_yield), 0);
}

#define SPINNERS 3

static volatile bool stop;
static volatile unsigned long counts[SPINNERS];

static void *count_up(void *arg)
{
    size_t i = (size_t)arg;

    while (!stop)
        counts[i]++;
    return NULL;
}

static cpu_set_t all_harts;

/* The caller, and what it makes, run on the first of its harts until go_anywhere(). */
static void stay_on_one(void)
{
    cpu_set_t one;

    REQUIRE(sched_getaffinity(0, sizeof(all_harts), &all_harts) == 0);
    CPU_ZERO(&one);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all_harts)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void go_anywhere(void)
{
    sched_setaffinity(0, sizeof(all_harts), &all_harts);
}

/* All on one hart: each gets at least a third of its fair share. */
KTAP_CASE(busy_threads_share_a_hart)
{
    struct pg_thread *threads[SPINNERS];
    unsigned long total = 0;

    stay_on_one();
    stop = false;
    for (size_t i = 0; i < SPINNERS; i++) {
        counts[i] = 0;
        threads[i] = pg_thread_create(count_up, (void *)i, 0);
        REQUIRE(threads[i] != NULL);
    }
    sleep_ns(400 * MS);
    stop = true;
    for (int i = 0; i < SPINNERS; i++) {
        pg_thread_join(threads[i]);
        total += counts[i];
    }
    for (int i = 0; i < SPINNERS; i++) {
        if (counts[i] < total / SPINNERS / 3)
            ktap_fail(__FILE__, __LINE__, "thread %d counted %lu of %lu", i, counts[i], total);
    }
    go_anywhere();
}

/* A system call is no reason to wait until a thread that computes has used its slice. */
KTAP_CASE(calls_beside_a_busy_thread_do_not_wait_for_it)
{
    cpu_set_t set;

    stay_on_one();
    stop = false;
    struct pg_thread *thread = pg_thread_create(count_up, NULL, 0);
    REQUIRE(thread != NULL);
    uint64_t start = now_ns();
    for (int i = 0; i < 200; i++)
        EXPECT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    uint64_t took = now_ns() - start;
    stop = true;
    pg_thread_join(thread);
    go_anywhere();
    if (took > 2000 * (uint64_t)MS)
        ktap_fail(__FILE__, __LINE__, "200 calls took %lu us", (unsigned long)(took / 1000));
}

KTAP_CASE(sleeper_wakes_beside_a_busy_thread)
{
    struct pg_thread *thread;

    stop = false;
    counts[0] = 0;
    thread = pg_thread_create(count_up, NULL, 0);
    REQUIRE(thread != NULL);
    uint64_t start = now_ns();
    sleep_ns(20 * MS);
    uint64_t took = now_ns() - start;
    stop = true;
    pg_thread_join(thread);
    EXPECT(took >= 20 * (uint64_t)MS);
    EXPECT(took < 2000 * (uint64_t)MS);
    EXPECT(counts[0] > 0);
}

KTAP_CASE(affinity_to_no_hart_is_einval)
{
    cpu_set_t none;

    CPU_ZERO(&none);
    EXPECT_ERROR(SYSCALL(SYS_sched_setaffinity, 0l, sizeof(none), &none), EINVAL);
}

KTAP_CASE(affinity_decides_the_hart)
{
    cpu_set_t before, one;

    REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        unsigned here = ~0u;
        if (!CPU_ISSET(cpu, &before))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        EXPECT_EQ(getcpu(&here, NULL), 0);
        EXPECT_EQ(here, cpu);
    }
    sched_setaffinity(0, sizeof(before), &before);
}

KTAP_CHILD(sleep_20_ms)
{
    uint64_t start = now_ns();

    sleep_ns(20 * MS);
    return now_ns() - start >= 20 * (uint64_t)MS ? 0 : 1;
}

KTAP_CASE(several_processes_sleep_at_once)
{
    pid_t pids[4];

    for (int i = 0; i < 4; i++) {
        char *argv[] = {(char *)ktap_self(), "--child", "sleep_20_ms", NULL};
        pids[i] = pg_spawn(ktap_self(), argv, environ, NULL);
        REQUIRE(pids[i] > 0);
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        EXPECT_EQ(waitpid(pids[i], &status, 0), pids[i]);
        EXPECT_EQ(status, 0);
    }
}

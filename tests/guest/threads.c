/* Threads: creation, end, thread-local storage, mutexes, and faults of many at once. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define THREADS 6
#define RW      (PROT_READ | PROT_WRITE)

static __thread int tls_value = 11;
static __thread int tls_zero;

/* Runs fn(i) in THREADS threads and joins them; false when one could not be made. */
static bool run_all(void *(*fn)(void *), void *results[THREADS])
{
    struct pg_thread *threads[THREADS];
    bool good = true;

    for (uintptr_t i = 0; i < THREADS; i++)
        threads[i] = pg_thread_create(fn, (void *)i, 0);
    for (int i = 0; i < THREADS; i++) {
        good &= threads[i] != NULL;
        if (threads[i] == NULL)
            ktap_fail(__FILE__, __LINE__, "thread %d: %s", i, strerror(errno));
        else
            results[i] = pg_thread_join(threads[i]);
    }
    return good;
}

static void *give_back(void *arg)
{
    return (char *)arg + 1;
}

KTAP_CASE(join_gives_the_result)
{
    struct pg_thread *thread = pg_thread_create(give_back, (void *)41, 0);

    REQUIRE(thread != NULL);
    EXPECT_EQ((uintptr_t)pg_thread_join(thread), 42);
}

KTAP_CASE(several_at_once)
{
    void *results[THREADS];

    REQUIRE(run_all(give_back, results));
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT_EQ((uintptr_t)results[i], i + 1);
}

KTAP_CASE(create_and_join_100_in_a_row)
{
    for (uintptr_t i = 0; i < 100; i++) {
        struct pg_thread *thread = pg_thread_create(give_back, (void *)i, 0);
        REQUIRE(thread != NULL);
        EXPECT_EQ((uintptr_t)pg_thread_join(thread), i + 1);
    }
}

static void *use_tls(void *arg)
{
    int good = tls_value == 11 && tls_zero == 0;

    tls_value = (int)(uintptr_t)arg;
    tls_zero = 7 + (int)(uintptr_t)arg;
    for (int i = 0; i < 100; i++) {
        pg_syscall(SYS_sched_yield);
        good &= tls_value == (int)(uintptr_t)arg && tls_zero == 7 + (int)(uintptr_t)arg;
    }
    return (void *)(uintptr_t)good;
}

KTAP_CASE(tls_is_separate)
{
    void *results[THREADS];

    REQUIRE(run_all(use_tls, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT_EQ((uintptr_t)results[i], 1);
    EXPECT_EQ(tls_value, 11);
    EXPECT_EQ(tls_zero, 0);
}

static void *use_errno(void *arg)
{
    errno = 0;
    for (int i = 0; i < 100; i++) {
        if ((uintptr_t)arg % 2)
            close(-1);
        else
            pg_ret(pg_syscall(5000));
        pg_syscall(SYS_sched_yield);
        if (errno != ((uintptr_t)arg % 2 ? EBADF : ENOSYS))
            return (void *)1;
    }
    return NULL;
}

KTAP_CASE(errno_is_separate)
{
    void *results[THREADS];

    REQUIRE(run_all(use_errno, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT(results[i] == NULL);
}

static void *identity(void *arg)
{
    (void)arg;
    return (void *)(uintptr_t)((unsigned long)getpid() << 32 | (unsigned)gettid());
}

KTAP_CASE(same_process_own_thread_ids)
{
    void *results[THREADS];

    REQUIRE(run_all(identity, results));
    for (int i = 0; i < THREADS; i++) {
        EXPECT_EQ((uintptr_t)results[i] >> 32, getpid());
        EXPECT((uint32_t)(uintptr_t)results[i] != (uint32_t)gettid());
        for (int j = 0; j < i; j++)
            EXPECT(results[i] != results[j]);
    }
}

static bool atomics_whole;
static uint8_t *region;
static size_t region_pages;

static void *touch_own(void *arg)
{
    size_t wrong = 0;

    for (size_t i = (size_t)arg; i < region_pages; i += THREADS) {
        region[i * PAGE] = (uint8_t)((size_t)arg + 1);
        wrong += !ktap_all_bytes(region + i * PAGE + 1, PAGE - 1, 0);
    }
    return (void *)wrong;
}

KTAP_CASE(faults_on_disjoint_pages)
{
    void *results[THREADS];
    size_t wrong = 0;

    region_pages = 240;
    region = ktap_map(region_pages * PAGE, RW);
    REQUIRE(region != NULL);
    REQUIRE(run_all(touch_own, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT(results[i] == NULL);
    for (size_t i = 0; i < region_pages; i++)
        wrong += region[i * PAGE] != i % THREADS + 1;
    EXPECT_EQ(wrong, 0);
    munmap(region, region_pages * PAGE);
}

static void *count_on_same(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < region_pages; i++)
        __atomic_fetch_add((uint32_t *)(region + i * PAGE), 1, __ATOMIC_RELAXED);
    return NULL;
}

static long minor_faults(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_minflt;
}

/*
 * An emulator whose harts take turns makes two accesses of an atomic instruction: a load that maps
 * the zero page, and a store that faults again. Between the two fences of another hart may be
 * under way, so that the load is of the zero page and the store to the page that took its place.
 * Then counts are lost that no machine loses.
 */
static bool atomic_is_one_access(void)
{
    uint32_t *word = ktap_map(PAGE, RW);

    if (!word)
        return false;
    minor_faults(); /* which may have its own first faults */
    long before = minor_faults();
    __atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
    long faults = minor_faults() - before;
    munmap(word, PAGE);
    return faults == 1;
}

static bool count_is_wrong(size_t page)
{
    uint32_t count = *(uint32_t *)(region + page * PAGE);

    return atomics_whole ? count != THREADS : count - 1 >= THREADS;
}

/* Each page is faulted by several threads at about the same time; no count may be lost. */
KTAP_CASE(faults_on_the_same_pages)
{
    void *results[THREADS];
    size_t wrong = 0;

    atomics_whole = atomic_is_one_access();

    region_pages = 120;
    for (int round = 0; round < 3; round++) {
        region = ktap_map(region_pages * PAGE, RW);
        REQUIRE(region != NULL);
        REQUIRE(run_all(count_on_same, results));
        for (size_t i = 0; i < region_pages; i++)
            wrong += count_is_wrong(i);
        munmap(region, region_pages * PAGE);
    }
    EXPECT_EQ(wrong, 0);
}

static void *read_then_count(void *arg)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < region_pages; i++)
        sum += *(volatile uint32_t *)(region + i * PAGE + 8);
    count_on_same(arg);
    return (void *)(uintptr_t)sum;
}

/* Few pages: each replaced zero page costs a fence on every hart. */
KTAP_CASE(read_and_write_faults_on_the_same_pages)
{
    void *results[THREADS];
    size_t wrong = 0;

    atomics_whole = atomic_is_one_access();
    region_pages = 24;
    region = ktap_map(region_pages * PAGE, RW);
    REQUIRE(region != NULL);
    REQUIRE(run_all(read_then_count, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT(results[i] == NULL);
    for (size_t i = 0; i < region_pages; i++)
        wrong += count_is_wrong(i);
    EXPECT_EQ(wrong, 0);
    munmap(region, region_pages * PAGE);
}

static void *map_and_unmap(void *arg)
{
    size_t wrong = 0;

    for (int i = 0; i < 15; i++) {
        size_t size = (1 + (size_t)(i % 7)) * PAGE;
        uint8_t *p = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return (void *)1;
        for (size_t at = 0; at < size; at += PAGE) {
            p[at] = 1;
            wrong += !ktap_all_bytes(p + at + 1, PAGE - 1, 0);
        }
        memset(p, (int)(uintptr_t)arg + 1, size);
        wrong += !ktap_all_bytes(p, size, (uint8_t)((uintptr_t)arg + 1));
        wrong += munmap(p, size) != 0;
    }
    return (void *)wrong;
}

KTAP_CASE(mapping_and_unmapping_at_once)
{
    void *results[THREADS];

    REQUIRE(run_all(map_and_unmap, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT(results[i] == NULL);
}

static struct pg_mutex mutex;
static long shared_count;

static void *count_locked(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        pg_mutex_lock(&mutex);
        long seen = shared_count;
        if (i % 50 == 0)
            pg_syscall(SYS_sched_yield);
        shared_count = seen + 1;
        pg_mutex_unlock(&mutex);
    }
    return NULL;
}

KTAP_CASE(mutex_excludes)
{
    void *results[THREADS];

    shared_count = 0;
    REQUIRE(run_all(count_locked, results));
    EXPECT_EQ(shared_count, THREADS * 500);
    EXPECT_EQ(mutex.state, 0);
}

static void *allocate(void *arg)
{
    for (int i = 0; i < 200; i++) {
        size_t size = 16 + (size_t)(i * 37 % 900);
        uint8_t *p = malloc(size);
        if (p == NULL)
            return (void *)1;
        memset(p, (int)(uintptr_t)arg, size);
        if (i % 20 == 0)
            pg_syscall(SYS_sched_yield);
        if (!ktap_all_bytes(p, size, (uint8_t)(uintptr_t)arg))
            return (void *)2;
        free(p);
    }
    return NULL;
}

KTAP_CASE(malloc_at_once)
{
    void *results[THREADS];

    REQUIRE(run_all(allocate, results));
    for (int i = 0; i < THREADS; i++)
        EXPECT(results[i] == NULL);
}

static uint32_t futex_word;

static void *wait_for_word(void *arg)
{
    (void)arg;
    while (__atomic_load_n(&futex_word, __ATOMIC_ACQUIRE) == 0)
        pg_futex_wait(&futex_word, 0);
    return (void *)(uintptr_t)futex_word;
}

KTAP_CASE(futex_wakes_a_waiter)
{
    struct pg_thread *thread = pg_thread_create(wait_for_word, NULL, 0);

    REQUIRE(thread != NULL);
    for (int i = 0; i < 10; i++)
        pg_syscall(SYS_sched_yield);
    __atomic_store_n(&futex_word, 5, __ATOMIC_RELEASE);
    pg_futex_wake(&futex_word, 1);
    EXPECT_EQ((uintptr_t)pg_thread_join(thread), 5);
}

KTAP_CASE(futex_wait_on_a_changed_word_is_eagain)
{
    uint32_t word = 1;

    EXPECT_ERROR(SYSCALL(SYS_futex, &word, 128l, 2l, 0l), EAGAIN);
}

KTAP_CASE(futex_wake_without_waiters_gives_0)
{
    uint32_t word = 1;

    EXPECT_EQ(SYSCALL(SYS_futex, &word, 129l, 10l), 0);
}

static void *exit_all(void *arg)
{
    (void)arg;
    _exit(33);
}

KTAP_CHILD(exit_from_thread)
{
    pg_thread_join(pg_thread_create(exit_all, NULL, 0));
    return 1;
}

KTAP_CASE(exit_group_from_a_thread)
{
    EXPECT_CHILD_EXIT("exit_from_thread", "", 33);
}

static void *spin_forever(void *arg)
{
    for (;;)
        pg_syscall(SYS_sched_yield);
    return arg;
}

KTAP_CHILD(exit_beside_a_thread)
{
    pg_thread_create(spin_forever, NULL, 0);
    return 34;
}

KTAP_CASE(exit_ends_running_threads)
{
    EXPECT_CHILD_EXIT("exit_beside_a_thread", "", 34);
}

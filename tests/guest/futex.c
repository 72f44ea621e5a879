/*
 * Futexes between processes and threads: which waits and wake-ups belong together, and what a
 * thread that ends leaves to those who wait. After LTP's futex tests and kselftest's.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define NR_FUTEX           98
#define NR_SET_ROBUST_LIST 99
#define NR_GET_ROBUST_LIST 100
#define WAIT               0
#define WAKE               1
#define REQUEUE            3
#define CMP_REQUEUE        4
#define WAKE_OP            5
#define WAIT_BITSET        9
#define WAKE_BITSET        10
#define PRIVATE            128
#define REALTIME           256
#define OWNER_DIED         0x40000000
#define WAITERS            0x80000000
#define RW                 (PROT_READ | PROT_WRITE)

static long futex(volatile void *word, int operation, long value, const struct timespec *time)
{
    return pg_syscall(NR_FUTEX, (uintptr_t)word, operation, value, (uintptr_t)time, 0, ~0U);
}

static volatile int *shared_page(void)
{
    void *at = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return at == MAP_FAILED ? NULL : at;
}

/* A second at most, until `count` were woken. */
static int wakes(volatile void *word, int operation, int count)
{
    int woken = 0;

    for (int i = 0; i < 1000 && woken < count; i++) {
        woken += (int)futex(word, operation, count - woken, NULL);
        if (woken < count)
            usleep(1000);
    }
    return woken;
}

static int status_of(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return status;
}

KTAP_CASE(processes_meet_in_shared_memory)
{
    volatile int *word = shared_page();

    REQUIRE(word);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(futex(word, WAIT, 0, NULL) == 0 ? 0 : 1);
    EXPECT_EQ(wakes(word, WAKE, 1), 1);
    EXPECT_EQ(status_of(pid), 0);
    munmap((void *)word, PAGE);
}

/* One object, at two addresses of one process and at a third of another. */
KTAP_CASE(address_does_not_matter)
{
    long fd = pg_syscall(279, (uintptr_t) "word", 0); /* memfd_create */

    REQUIRE(fd >= 0);
    REQUIRE(pg_syscall(46, fd, 4 * PAGE) == 0); /* ftruncate */
    char *one = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, (int)fd, 0);
    char *two = mmap(NULL, PAGE, RW, MAP_SHARED, (int)fd, (off_t)(2 * PAGE));
    REQUIRE(one != MAP_FAILED && two != MAP_FAILED);
    volatile int *in_one = (int *)(one + 2 * PAGE + 64), *in_two = (int *)(two + 64);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        munmap(one, 4 * PAGE);
        *in_two = 5;
        _exit(futex(in_two, WAIT, 5, NULL) == 0 ? 0 : 1);
    }
    while (*in_one != 5)
        usleep(1000);
    EXPECT_EQ(futex(in_one + 1, WAKE, 9, NULL), 0); /* another word */
    EXPECT_EQ(wakes(in_one, WAKE, 1), 1);
    EXPECT_EQ(status_of(pid), 0);
    munmap(one, 4 * PAGE);
    munmap(two, PAGE);
    close((int)fd);
}

static int private_word;

KTAP_CASE(private_words_of_a_fork_are_two)
{
    struct timespec time = {.tv_nsec = 100000000};
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(futex(&private_word, WAIT, 0, &time) == -110 ? 0 : 1);
    usleep(20000);
    EXPECT_EQ(futex(&private_word, WAKE, 9, NULL), 0);
    EXPECT_EQ(status_of(pid), 0);
}

/* A private wait in shared memory is between the threads of a process. */
KTAP_CASE(private_wait_in_shared_memory)
{
    struct timespec time = {.tv_nsec = 100000000};
    volatile int *word = shared_page();

    SKIP_EMULATED("private and shared are the same");
    REQUIRE(word);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(futex(word, WAIT | PRIVATE, 0, &time) == -110 ? 0 : 1);
    usleep(20000);
    EXPECT_EQ(futex(word, WAKE, 9, NULL), 0);
    EXPECT_EQ(futex(word, WAKE | PRIVATE, 9, NULL), 0);
    EXPECT_EQ(status_of(pid), 0);
    munmap((void *)word, PAGE);
}

struct waiter {
    volatile int *word;
    unsigned bits;
    volatile long result;
};

static void *waits(void *arg)
{
    struct waiter *w = arg;

    w->result = pg_syscall(NR_FUTEX, (uintptr_t)w->word, WAIT_BITSET | PRIVATE, 0, 0, 0, w->bits);
    return NULL;
}

static volatile int first, second;

KTAP_CASE(bits_choose_who_wakes)
{
    struct waiter w[3] = {{&first, 1, 99}, {&first, 2, 99}, {&first, 4, 99}};
    struct pg_thread *thread[3];

    for (int i = 0; i < 3; i++)
        REQUIRE((thread[i] = pg_thread_create(waits, &w[i], 0)));
    usleep(20000);
    EXPECT_EQ(pg_syscall(NR_FUTEX, (uintptr_t)&first, WAKE_BITSET | PRIVATE, 9, 0, 0, 2), 1);
    EXPECT_EQ((long)pg_thread_join(thread[1]), 0);
    EXPECT(w[0].result == 99 && w[1].result == 0 && w[2].result == 99);
    EXPECT_EQ(pg_syscall(NR_FUTEX, (uintptr_t)&first, WAKE_BITSET | PRIVATE, 9, 0, 0, 5), 2);
    pg_thread_join(thread[0]);
    pg_thread_join(thread[2]);
    EXPECT_ERROR(pg_syscall(NR_FUTEX, (uintptr_t)&first, WAKE_BITSET, 9, 0, 0, 0), EINVAL);
    EXPECT_ERROR(pg_syscall(NR_FUTEX, (uintptr_t)&first, WAIT_BITSET, 0, 0, 0, 0), EINVAL);
}

static long requeue(int operation, long wake, long move, long value)
{
    return pg_syscall(NR_FUTEX, (uintptr_t)&first, operation | PRIVATE, wake, move,
                      (uintptr_t)&second, value);
}

KTAP_CASE(waiters_are_moved)
{
    struct waiter w[4];
    struct pg_thread *thread[4];

    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter){&first, ~0U, 99};
        REQUIRE((thread[i] = pg_thread_create(waits, &w[i], 0)));
    }
    usleep(30000);
    EXPECT_ERROR(requeue(CMP_REQUEUE, 1, 9, 7), EAGAIN);
    EXPECT_EQ(requeue(CMP_REQUEUE, 1, 2, 0), 3);
    EXPECT_EQ(futex(&second, WAKE | PRIVATE, 9, NULL), 2);
    EXPECT_EQ(futex(&first, WAKE | PRIVATE, 9, NULL), 1);
    for (int i = 0; i < 4; i++) {
        pg_thread_join(thread[i]);
        EXPECT_EQ(w[i].result, 0);
    }
    EXPECT_EQ(requeue(REQUEUE, 1, 1, 0), 0);
    EXPECT_ERROR(requeue(REQUEUE, -1, 1, 0), EINVAL);
}

/* FUTEX_WAKE_OP: operation, comparison, operand, what is compared with. */
static long wake_op(unsigned operation, unsigned comparison, unsigned operand, unsigned against)
{
    unsigned packed =
        operation << 28 | comparison << 24 | (operand & 0xfff) << 12 | (against & 0xfff);

    return pg_syscall(NR_FUTEX, (uintptr_t)&first, WAKE_OP | PRIVATE, 1, 1, (uintptr_t)&second,
                      packed);
}

KTAP_CASE(wake_op_changes_the_word)
{
    struct waiter w[2] = {{&first, ~0U, 99}, {&second, ~0U, 99}};
    struct pg_thread *thread[2];

    second = 5;
    EXPECT_EQ(wake_op(1, 0, 3, 5), 0); /* += 3 */
    EXPECT_EQ(second, 8);
    wake_op(2, 0, 3, 5); /* |= 3 */
    EXPECT_EQ(second, 11);
    wake_op(3, 0, 2, 5); /* &= ~2 */
    EXPECT_EQ(second, 9);
    wake_op(4, 0, 0xfff, 5); /* ^= -1 */
    EXPECT_EQ(second, ~9);
    wake_op(8, 0, 4, 5); /* = 1 << 4 */
    EXPECT_EQ(second, 16);
    second = 0;
    for (int i = 0; i < 2; i++)
        REQUIRE((thread[i] = pg_thread_create(waits, &w[i], 0)));
    usleep(20000);
    EXPECT_EQ(wake_op(0, 1, 1, 0), 1); /* was 0, so it is not unequal: only the first */
    EXPECT_EQ(wake_op(0, 0, 0, 1), 1); /* was 1 */
    for (int i = 0; i < 2; i++) {
        pg_thread_join(thread[i]);
        EXPECT_EQ(w[i].result, 0);
    }
    EXPECT_ERROR(ktap_raw(wake_op(7, 0, 0, 0)), ENOSYS);
    EXPECT_ERROR(ktap_raw(wake_op(0, 9, 0, 0)), ENOSYS);
}

static long elapsed_msec(const struct timespec *begin)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

KTAP_CASE(waits_end_in_time)
{
    struct timespec begin, limit = {.tv_nsec = 20000000};

    first = 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    EXPECT_ERROR(ktap_raw(futex(&first, WAIT, 0, &limit)), ETIMEDOUT);
    EXPECT(elapsed_msec(&begin) >= 19);
    limit = begin; /* absolute, and in the past */
    EXPECT_ERROR(ktap_raw(futex(&first, WAIT_BITSET, 0, &limit)), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec++;
    limit.tv_nsec = 0; /* at most a second from now */
    EXPECT_ERROR(ktap_raw(futex(&first, WAIT_BITSET | REALTIME, 0, &limit)), ETIMEDOUT);
    EXPECT(elapsed_msec(&begin) < 10000);
    EXPECT_ERROR(futex(&first, WAIT, 7, &limit), EAGAIN);
    limit = (struct timespec){.tv_nsec = 1000000000};
    EXPECT_ERROR(futex(&first, WAIT, 0, &limit), EINVAL);
    EXPECT_ERROR(futex(&first, WAIT, 0, (void *)8), EFAULT);
}

KTAP_CASE(bad_words_are_refused)
{
    EXPECT_ERROR(futex((void *)2, WAKE, 1, NULL), EINVAL);
    EXPECT_ERROR(futex((void *)8, WAIT, 0, NULL), EFAULT);
    EXPECT_ERROR(futex((void *)8, WAIT | PRIVATE, 0, NULL), EFAULT);
    SKIP_EMULATED("does not look at words that it does not read");
    EXPECT_ERROR(futex((void *)8, WAKE, 1, NULL), EFAULT);
    EXPECT_EQ(futex((void *)8, WAKE | PRIVATE, 1, NULL), 0);
    EXPECT_ERROR(futex((void *)-8, WAKE | PRIVATE, 1, NULL), EFAULT);
    EXPECT_ERROR(ktap_raw(futex(&first, WAIT | REALTIME | 64, 0, NULL)), ENOSYS);
    EXPECT_ERROR(pg_syscall(NR_FUTEX, (uintptr_t)&first, WAKE_OP, 1, 1, 8, 0), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_FUTEX, (uintptr_t)&first, CMP_REQUEUE, 1, 1, 2, 0), EINVAL);
}

/* A wait that a stop interrupts looks at its word again. */
KTAP_CASE(stop_does_not_lose_the_wake_up)
{
    volatile int *word = shared_page();

    REQUIRE(word);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        while (*word == 0)
            futex(word, WAIT, 0, NULL);
        _exit(0);
    }
    usleep(10000);
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, 2);
    *word = 1;
    futex(word, WAKE, 1, NULL);
    kill(pid, SIGCONT);
    EXPECT_EQ(status_of(pid), 0);
    munmap((void *)word, PAGE);
}

/* ---- robust lists ---- */

struct entry {
    struct entry *next;
    volatile unsigned word;
};

struct head {
    struct entry *first;
    long offset;
    struct entry *pending;
};

static long set_list(struct head *head)
{
    return pg_syscall(NR_SET_ROBUST_LIST, (uintptr_t)head, sizeof(*head));
}

/* A child owns three locks in shared memory, and is just taking a fourth, when it ends. */
KTAP_CASE(locks_of_a_thread_that_ends)
{
    struct entry *lock = (struct entry *)shared_page();

    SKIP_EMULATED("has no robust lists");
    REQUIRE(lock);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        static struct head head;
        unsigned tid = (unsigned)pg_syscall(SYS_gettid);

        head = (struct head){&lock[0], (long)offsetof(struct entry, word), &lock[3]};
        lock[0] = (struct entry){&lock[1], tid};
        lock[1] = (struct entry){&lock[2], tid | WAITERS};
        lock[2] = (struct entry){(struct entry *)&head, tid + 1}; /* another's */
        lock[3] = (struct entry){NULL, tid};
        set_list(&head);
        while (lock[4].word == 0)
            usleep(1000);
        pg_syscall(SYS_kill, getpid(), SIGKILL);
    }
    while (lock[3].word == 0)
        usleep(1000);
    pid_t second_pid = fork();
    REQUIRE(second_pid >= 0);
    if (second_pid == 0) { /* waits for the second lock */
        unsigned seen = lock[1].word;
        lock[4].word = 1;
        while (lock[1].word == seen)
            futex(&lock[1].word, WAIT, (int)seen, NULL);
        _exit(lock[1].word == (OWNER_DIED | WAITERS) ? 0 : 1);
    }
    EXPECT_EQ(status_of(pid), SIGKILL);
    EXPECT_EQ(status_of(second_pid), 0);
    EXPECT_EQ(lock[0].word, OWNER_DIED);
    EXPECT_EQ(lock[2].word, (unsigned)pid + 1);
    EXPECT_EQ(lock[3].word, OWNER_DIED);
    munmap(lock, PAGE);
}

/* Lists that lead nowhere, to themselves, or into what cannot be written, do no harm. */
KTAP_CASE(hostile_lists_end)
{
    struct entry *lock = (struct entry *)shared_page();

    SKIP_EMULATED("has no robust lists");
    REQUIRE(lock);
    for (int i = 0; i < 6; i++) {
        pid_t pid = fork();

        REQUIRE(pid >= 0);
        if (pid == 0) {
            static struct head head;
            static const struct entry constant;
            struct entry *const to[] = {lock,
                                        (struct entry *)8,
                                        (struct entry *)-8,
                                        (void *)&constant,
                                        (struct entry *)((char *)lock + 1),
                                        NULL};

            head = (struct head){to[i], (long)offsetof(struct entry, word), to[5 - i]};
            lock[0] = (struct entry){lock, (unsigned)pg_syscall(SYS_gettid)}; /* to itself */
            set_list(i == 5 ? (struct head *)0x123450 : &head);
            _exit(0);
        }
        EXPECT_EQ(status_of(pid), 0);
    }
    munmap(lock, PAGE);
}

KTAP_CASE(list_is_told)
{
    struct head head = {0};
    uintptr_t address = 0;
    size_t bytes = 0;

    SKIP_EMULATED("has no robust lists");
    EXPECT_ERROR(pg_syscall(NR_SET_ROBUST_LIST, (uintptr_t)&head, 8), EINVAL);
    EXPECT_EQ(set_list(&head), 0);
    EXPECT_EQ(pg_syscall(NR_GET_ROBUST_LIST, 0, (uintptr_t)&address, (uintptr_t)&bytes), 0);
    EXPECT(address == (uintptr_t)&head && bytes == sizeof(head));
    EXPECT_ERROR(pg_syscall(NR_GET_ROBUST_LIST, 0, 8, (uintptr_t)&bytes), EFAULT);
    EXPECT_ERROR(pg_syscall(NR_GET_ROBUST_LIST, 999999, (uintptr_t)&address, (uintptr_t)&bytes),
                 ESRCH);
    set_list(NULL);
}

KTAP_CASE(pagoda_words_are_the_personalitys)
{
    uint64_t key[2];

    EXPECT_ERROR(pg_syscall(MM_WORD_KEY, 1, (uintptr_t)&first, (uintptr_t)key), EPERM);
    EXPECT_ERROR(pg_syscall(MM_WORD_SWAP, 1, (uintptr_t)&first, 0, 1), EPERM);
}

/*
 * Many at once, on all harts there are: threads that fault in one space while it is forked, and
 * large spaces that end at the same moment, recounted right behind.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define RW         (PROT_READ | PROT_WRITE)
#define PROCESSES  3
#define THREADS    3
#define ROUNDS     3
#define LARGE      (16UL << 20)
#define SMALL      (512 * PAGE)
#define PAGES_EACH (SMALL / PAGE / THREADS)

static void recount(void)
{
    if (ktap_on_pagoda())
        EXPECT_EQ(pg_syscall(MM_CHECK, 0), 0);
}

static void stay_on(unsigned hart)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(hart, &set);
    sched_setaffinity(0, sizeof(set), &set); /* refused where there is no such hart */
}

/* Pages of all kinds, in small entries and large ones. */
static void fill(size_t bytes)
{
    int fd = (int)pg_syscall(SYS_memfd_create, (uintptr_t) "crowd", 0);
    uint8_t *anon = mmap(NULL, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *huge = mmap(NULL, bytes / 2, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (fd < 0 || anon == MAP_FAILED || huge == MAP_FAILED || ftruncate(fd, (off_t)bytes / 8))
        _exit(1);
    uint8_t *shared = mmap(NULL, bytes / 8, RW, MAP_SHARED, fd, 0);
    uint8_t *own = mmap(NULL, bytes / 8, RW, MAP_PRIVATE, fd, 0);
    if (shared == MAP_FAILED || own == MAP_FAILED)
        _exit(1);
    madvise(anon, bytes, 15 /* NOHUGEPAGE */);
    madvise(huge, bytes / 2, 14 /* HUGEPAGE */);
    for (size_t at = 0; at < bytes; at += PAGE)
        anon[at] = 1;
    for (size_t at = 0; at < bytes / 2; at += 64 * PAGE)
        huge[at] = 1;
    for (size_t at = 0; at < bytes / 8; at += PAGE) {
        shared[at] = 1;
        if (at & PAGE)
            own[at] = 2;
        else
            (void)*(volatile uint8_t *)(own + at);
    }
}

/* They wait for each other, then end at once; some are killed in the middle. */
static pid_t large_process(unsigned number, int ready, int go)
{
    pid_t child = fork();
    char byte;

    if (child)
        return child;
    stay_on(number);
    fill(LARGE);
    if (write(ready, "", 1) != 1 || read(go, &byte, 1) < 0)
        _exit(1);
    if (number & 1)
        kill(getpid(), 9);
    _exit(0);
}

KTAP_CASE(large_spaces_end_at_once)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t child[PROCESSES];
        int ready[2], go[2], status;
        char byte;

        REQUIRE(pipe(ready) == 0 && pipe(go) == 0);
        for (unsigned i = 0; i < PROCESSES; i++)
            child[i] = large_process(i, ready[1], go[0]);
        for (unsigned i = 0; i < PROCESSES; i++)
            EXPECT_EQ(read(ready[0], &byte, 1), 1);
        for (unsigned i = 0; i < PROCESSES; i++)
            EXPECT_EQ(write(go[1], "", 1), 1);
        for (unsigned i = 0; i < PROCESSES; i++) {
            EXPECT_EQ(waitpid(child[i], &status, 0), child[i]);
            EXPECT(status == 0 || WTERMSIG(status) == 9);
            recount();
        }
        recount();
        for (unsigned i = 0; i < 2; i++) {
            close(ready[i]);
            close(go[i]);
        }
    }
}

/* ---- threads of one space ---- */

static struct {
    uint8_t *area;
    volatile uint32_t stop;
    uint32_t wrong;
} crowd;

/* Each has its pages among those of the others, in the same leaf tables. */
static void *faulting(void *arg)
{
    size_t own = (size_t)(uintptr_t)arg;
    uint64_t random = ktap_seed() + own;

    stay_on((unsigned)own);
    while (!crowd.stop) {
        size_t page = (ktap_random(&random) % PAGES_EACH) * THREADS + own;
        volatile uint8_t *p = crowd.area + page * PAGE;
        uint8_t before = *p;

        *p = (uint8_t)(before + 1);
        if (*p != (uint8_t)(before + 1))
            __atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
        if (ktap_random(&random) % 16 == 0) {
            madvise((void *)(uintptr_t)p, PAGE, MADV_DONTNEED);
            if (*p != 0)
                __atomic_fetch_add(&crowd.wrong, 1, __ATOMIC_RELAXED);
        }
        if (ktap_random(&random) % 64 == 0) {
            mprotect((void *)(uintptr_t)p, PAGE, PROT_READ);
            mprotect((void *)(uintptr_t)p, PAGE, RW);
        }
    }
    return NULL;
}

/* A copy made while threads fault has for each page what it had at some time, and keeps it. */
static void copy_stays(void)
{
    uint32_t sum = 0, again = 0;

    mprotect(crowd.area, SMALL, RW); /* a thread may have been at it */
    for (size_t at = 0; at < SMALL; at += PAGE)
        sum += crowd.area[at];
    for (size_t at = 0; at < SMALL; at += 8 * PAGE) {
        crowd.area[at]++;
        sum++;
    }
    for (size_t at = 0; at < SMALL; at += PAGE)
        again += crowd.area[at];
    _exit(((sum - again) & 0xff) == 0 ? 0 : 1);
}

KTAP_CASE(threads_fault_while_their_space_is_forked)
{
    struct pg_thread *thread[THREADS];

    crowd.area = ktap_map(SMALL, RW);
    crowd.stop = 0;
    REQUIRE(crowd.area);
    for (uintptr_t i = 0; i < THREADS; i++)
        thread[i] = pg_thread_create(faulting, (void *)i, 0);
    for (unsigned round = 0; round < 12; round++) {
        int status = -1;
        pid_t child = fork();

        if (child == 0)
            copy_stays();
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    crowd.stop = 1; /* a recount amid so many faults would find them in motion */
    for (unsigned i = 0; i < THREADS; i++)
        if (thread[i])
            pg_thread_join(thread[i]);
    EXPECT_EQ(crowd.wrong, 0);
    munmap(crowd.area, SMALL);
    recount();
}

/* Processes of several threads that end while those fault. */
KTAP_CASE(processes_end_while_their_threads_fault)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t child[PROCESSES];
        int status;

        for (unsigned i = 0; i < PROCESSES; i++) {
            child[i] = fork();
            if (child[i] == 0) {
                crowd.area = mmap(NULL, SMALL, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                crowd.stop = 0;
                for (uintptr_t t = 0; t < THREADS; t++)
                    pg_thread_create(faulting, (void *)t, 0);
                for (unsigned n = 0; n < 4; n++)
                    sched_yield();
                if (i & 1)
                    kill(getpid(), 9);
                _exit(0);
            }
        }
        for (unsigned i = 0; i < PROCESSES; i++) {
            EXPECT_EQ(waitpid(child[i], &status, 0), child[i]);
            EXPECT(status == 0 || WTERMSIG(status) == 9);
        }
        recount();
    }
}

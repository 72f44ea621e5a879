/*
 * Memory is exhausted: who ends, who goes on, and what oom_score and oom_score_adj say of it.
 *
 * A holder is a child that has so much memory and waits. An eater takes more and more, and exits
 * with 0 when it has as much as it wanted. The ballast is a holder that is never chosen; it leaves
 * little of memory to the others, so that the cases take little time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define RW              (PROT_READ | PROT_WRITE)
#define NOT_ON_THE_HOST SKIP_EMULATED("the memory would be the host's")

static volatile int *ready; /* holders that have what they hold */

static void adjust(int value)
{
    char text[16];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    int bytes = snprintf(text, sizeof(text), "%d", value);

    if (fd < 0 || write(fd, text, (size_t)bytes) != bytes)
        _exit(90);
    close(fd);
}

#define LEFT_KIB   (160L << 10)
#define HUGE_PAGES 14 /* madvise */

static pid_t ballast;

static void touch(char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += PAGE)
        at[i] = (char)(i / PAGE);
}

static char *fresh(size_t bytes)
{
    char *at = mmap(NULL, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        _exit(91);
    return at;
}

static pid_t holder(size_t kib, int value)
{
    int before = *ready;
    pid_t pid = fork();

    if (pid == 0) {
        adjust(value);
        touch(fresh(kib * 1024), kib * 1024);
        ++*ready;
        for (;;)
            usleep(1000000);
    }
    for (int i = 0; i < 20000 && *ready == before; i++)
        usleep(1000);
    EXPECT_EQ(*ready, before + 1);
    return pid;
}

/* By touching, or by read() into memory that is not there yet. */
static pid_t eater(size_t kib, bool by_read)
{
    const size_t part = 1UL << 20;
    pid_t pid = fork();

    if (pid)
        return pid;
    char *at = fresh(kib * 1024);
    int zero = open("/dev/zero", O_RDONLY);
    for (size_t done = 0; done < kib * 1024;) {
        size_t now = kib * 1024 - done < part ? kib * 1024 - done : part;
        long got = by_read ? read(zero, at + done, now) : (long)now;
        if (got <= 0)
            _exit(92);
        if (!by_read)
            touch(at + done, now);
        done += (size_t)got;
    }
    _exit(0);
}

static int status_of(pid_t pid)
{
    int status = -1;

    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static bool is_there(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

/* The memory of one that was killed may be given away before it has ended. */
static bool soon_gone(pid_t pid)
{
    for (int i = 0; i < 10000 && is_there(pid); i++)
        usleep(1000);
    return waitpid(pid, NULL, WNOHANG) != 0;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    EXPECT_EQ(status_of(pid), SIGKILL);
}

/* That many percent of what can be had now. */
static size_t percent(long of_kib, int percents)
{
    return (size_t)(of_kib * percents / 100);
}

static long available(void)
{
    *ready = 0;
    return ktap_proc_number("/proc/meminfo", "MemAvailable");
}

/* Linux keeps freed pages in lists of each processor, up to 64 MiB in one, and does not count them
 * as available. Short lists, then; where there is no such knob there is nothing to be done. */
static void keep_lists_short(void)
{
    int fd = open("/proc/sys/vm/percpu_pagelist_high_fraction", O_WRONLY);

    if (fd < 0)
        return;
    EXPECT_EQ(write(fd, "100000", 6), 6);
    close(fd);
}

static bool prepare(void)
{
    keep_lists_short();
    ready = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ready == MAP_FAILED)
        return false;
    size_t bytes = (size_t)(available() - LEFT_KIB) * 1024;
    ballast = fork();
    if (ballast == 0) {
        adjust(-1000);
        char *at = fresh(bytes);
        madvise(at, bytes, HUGE_PAGES);
        touch(at, bytes);
        *ready = 1;
        for (;;)
            usleep(1000000);
    }
    for (int i = 0; i < 20000 && !*ready; i++)
        usleep(1000);
    EXPECT(*ready);
    return true;
}

static void finish(void)
{
    EXPECT(is_there(ballast));
    end(ballast);
    munmap((void *)ready, PAGE);
}

static void largest_ends(bool by_read)
{
    long kib = available();
    pid_t large = holder(percent(kib, 60), 0), small = holder(percent(kib, 5), 0);
    pid_t eats = eater(percent(kib, 55), by_read);

    EXPECT_EQ(status_of(eats), 0);
    EXPECT(soon_gone(large));
    kill(large, SIGKILL);
    EXPECT(is_there(small));
    end(small);
}

KTAP_CASE(largest_ends_and_who_lacked_memory_goes_on)
{
    NOT_ON_THE_HOST;
    REQUIRE(prepare());
    largest_ends(false);
    finish();
}

KTAP_CASE(calls_that_lack_memory_go_on_too)
{
    NOT_ON_THE_HOST;
    REQUIRE(prepare());
    largest_ends(true);
    finish();
}

KTAP_CASE(who_lacks_memory_may_be_the_largest)
{
    NOT_ON_THE_HOST;
    REQUIRE(prepare());
    long kib = available();
    pid_t small = holder(percent(kib, 10), 0);

    EXPECT_EQ(status_of(eater(percent(kib, 120), false)), SIGKILL);
    EXPECT_EQ(status_of(eater(percent(kib, 120), true)), SIGKILL);
    EXPECT(is_there(small));
    end(small);
    finish();
}

KTAP_CASE(oom_score_adj_decides)
{
    NOT_ON_THE_HOST;
    REQUIRE(prepare());
    long kib = available();
    pid_t never = holder(percent(kib, 50), -1000), first = holder(percent(kib, 15), 1000);

    EXPECT_EQ(status_of(eater(percent(kib, 42), false)), 0);
    EXPECT(soon_gone(first));
    EXPECT_EQ(status_of(eater(percent(kib, 60), false)), SIGKILL); /* there is no other left */
    EXPECT(is_there(never));
    end(never);
    finish();
}

/* ---- the files ---- */

static long score_of(pid_t pid)
{
    char path[64], text[32] = "";

    snprintf(path, sizeof(path), "/proc/%d/oom_score", (int)pid);
    int fd = open(path, O_RDONLY);
    EXPECT(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return strtol(text, NULL, 10);
}

KTAP_CASE(scores_follow_size_and_adjustment)
{
    NOT_ON_THE_HOST;
    REQUIRE(prepare());
    long kib = available();
    pid_t small = holder(1024, 0), large = holder(percent(kib, 40), 0);
    pid_t never = holder(1024, -1000), first = holder(1024, 1000), later = holder(1024, -500);

    EXPECT(score_of(small) >= 600 && score_of(small) < 700);
    EXPECT(score_of(large) > score_of(small) + 20 && score_of(large) < 1333);
    EXPECT_EQ(score_of(never), 0);
    EXPECT(score_of(first) >= 1300 && score_of(first) <= 1340);
    EXPECT(score_of(later) > 300 && score_of(later) < score_of(small));
    end(small);
    end(large);
    end(never);
    end(first);
    end(later);
    finish();
}

static long write_adj(const char *text)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    long result = SYSCALL(SYS_write, fd, text, strlen(text));

    close(fd);
    return result;
}

KTAP_CHILD(adjusts_without_rights)
{
    if (write_adj("-100") != 4 || pg_syscall(146 /* setuid */, 65534) ||
        pg_syscall(167, 4, 1, 0, 0, 0)) /* prctl: its files in /proc are its own again */
        return 1;
    if (write_adj("300") != 3 || write_adj("-100") != 4 || write_adj("500") != 3)
        return 2;
    return write_adj("-101") == -EACCES ? 0 : 3;
}

KTAP_CASE(oom_score_adj_has_limits)
{
    NOT_ON_THE_HOST;
    EXPECT_EQ(write_adj("1001"), -EINVAL);
    EXPECT_EQ(write_adj("-1001"), -EINVAL);
    EXPECT_EQ(write_adj("abc"), -EINVAL);
    EXPECT_EQ(write_adj("0\n"), 2);
    EXPECT_CHILD_EXIT("adjusts_without_rights", "", 0);
}

/* What processes and the machine have used: rusage of those that ended, switches, /proc/stat. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_WAIT4      260l
#define USED_CHILDREN (-1)
#define PAGES_TOUCHED 1024l /* 4 MiB */
#define FAULTS_LEAST  64l   /* of them, if one maps sixteen pages */
#define NO_HUGE_PAGES 15    /* MADV_NOHUGEPAGE */

static char text[16384];

static bool slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t bytes = 0, got = 0;

    while (fd >= 0 && bytes < (ssize_t)sizeof(text) - 1 &&
           (got = read(fd, text + bytes, sizeof(text) - 1 - (size_t)bytes)) > 0)
        bytes += got;
    text[bytes] = 0;
    close(fd);
    return bytes > 0;
}

/* The number behind a word that begins a line; -1: there is none. */
static long number_of(const char *word)
{
    size_t bytes = strlen(word);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, bytes) == 0)
            return strtol(line + bytes, NULL, 10);
    }
    return -1;
}

static void touch(long pages)
{
    char *at = ktap_map((size_t)pages * PAGE, PROT_READ | PROT_WRITE);

    REQUIRE(at != NULL);
    madvise(at, (size_t)pages * PAGE, NO_HUGE_PAGES);
    for (long i = 0; i < pages; i++)
        at[i * PAGE] = 1;
}

/* ---- rusage of who has ended ---- */

static long wait_for(pid_t pid, struct rusage *usage)
{
    int status = -1;

    memset(usage, 0, sizeof(*usage));
    EXPECT_EQ(pg_syscall(NR_WAIT4, pid, (uintptr_t)&status, 0, (uintptr_t)usage), pid);
    return status;
}

KTAP_CASE(faults_and_size_of_a_child_are_told)
{
    struct rusage small, large, before, after;
    pid_t pid;

    getrusage(USED_CHILDREN, &before);
    if ((pid = fork()) == 0)
        _exit(0);
    EXPECT_EQ(wait_for(pid, &small), 0);
    if ((pid = fork()) == 0) {
        touch(PAGES_TOUCHED);
        _exit(3);
    }
    EXPECT_EQ(wait_for(pid, &large), 3 << 8);
    EXPECT(large.ru_minflt >= small.ru_minflt + FAULTS_LEAST);
    EXPECT(large.ru_maxrss >= PAGES_TOUCHED * 4);
    getrusage(USED_CHILDREN, &after);
    EXPECT_EQ(after.ru_minflt - before.ru_minflt, small.ru_minflt + large.ru_minflt);
    EXPECT(after.ru_maxrss >= large.ru_maxrss && after.ru_maxrss >= before.ru_maxrss);
}

KTAP_CASE(a_grandchild_counts_once_it_was_waited_for)
{
    struct rusage usage;
    pid_t pid = fork();

    if (pid == 0) {
        pid_t grand = fork();
        if (grand == 0) {
            touch(PAGES_TOUCHED);
            _exit(0);
        }
        int status;
        _exit(waitpid(grand, &status, 0) != grand);
    }
    EXPECT_EQ(wait_for(pid, &usage), 0);
    EXPECT(usage.ru_minflt >= FAULTS_LEAST);
    EXPECT(usage.ru_maxrss >= PAGES_TOUCHED * 4);
}

KTAP_CASE(what_was_given_back_counts_for_the_peak)
{
    struct rusage usage;
    pid_t pid = fork();

    if (pid == 0) {
        char *at = ktap_map(PAGES_TOUCHED * PAGE, PROT_READ | PROT_WRITE);
        if (!at)
            _exit(1);
        memset(at, 1, PAGES_TOUCHED * PAGE);
        munmap(at, PAGES_TOUCHED * PAGE);
        getrusage(RUSAGE_SELF, &usage);
        _exit(usage.ru_maxrss < PAGES_TOUCHED * 4);
    }
    EXPECT_EQ(wait_for(pid, &usage), 0);
    EXPECT(usage.ru_maxrss >= PAGES_TOUCHED * 4);
}

/* ---- switches ---- */

KTAP_CASE(who_waits_switches_of_its_own_will)
{
    const struct timespec nap = {0, 2000000};
    struct rusage before, after;

    SKIP_EMULATED("switches are the host's");
    getrusage(RUSAGE_SELF, &before);
    REQUIRE(slurp("/proc/self/status"));
    long told = number_of("voluntary_ctxt_switches:");
    EXPECT(told >= before.ru_nvcsw);
    for (int i = 0; i < 5; i++)
        nanosleep(&nap, NULL);
    getrusage(RUSAGE_SELF, &after);
    EXPECT(after.ru_nvcsw >= before.ru_nvcsw + 5);
    REQUIRE(slurp("/proc/self/status"));
    EXPECT(number_of("voluntary_ctxt_switches:") >= told + 5);
}

KTAP_CASE(who_has_more_to_do_is_preempted)
{
    unsigned long one = 1;
    struct rusage usage;
    struct timespec now, end;
    pid_t pid[2];

    SKIP_EMULATED("switches are the host's");
    for (int i = 0; i < 2; i++) {
        if ((pid[i] = fork()) == 0) {
            pg_syscall(SYS_sched_setaffinity, 0, sizeof(one), (uintptr_t)&one);
            clock_gettime(CLOCK_MONOTONIC, &end);
            end.tv_sec++;
            do {
                clock_gettime(CLOCK_MONOTONIC, &now);
                getrusage(RUSAGE_SELF, &usage);
            } while (usage.ru_nivcsw < 2 && now.tv_sec <= end.tv_sec + 8);
            _exit(usage.ru_nivcsw < 2);
        }
    }
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(wait_for(pid[i], &usage), 0);
}

/* ---- the machine ---- */

struct cpu_line {
    unsigned long user, nice, system, idle, more[6];
};

static bool cpu_line(const char *name, struct cpu_line *line)
{
    char *at = strstr(text, name);

    if (!at)
        return false;
    at += strlen(name);
    for (unsigned long *to = &line->user; to < &line->more[6]; to++)
        *to = strtoul(at, &at, 10);
    return *at == '\n';
}

KTAP_CASE(stat_counts_the_time_of_the_harts)
{
    struct cpu_line before, after, first;
    const struct timespec nap = {0, 100000000};

    SKIP_EMULATED("the file is the host's");
    REQUIRE(slurp("/proc/stat") && cpu_line("cpu  ", &before) && cpu_line("cpu0 ", &first));
    EXPECT(first.user + first.system + first.idle <= before.user + before.system + before.idle + 3);
    long made = number_of("processes "), switches = number_of("ctxt ");
    EXPECT(number_of("procs_running ") >= 1 && number_of("procs_blocked ") >= 0);
    EXPECT(number_of("intr ") > 0 && number_of("btime ") > 0);
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        int status;
        if (pid == 0)
            _exit(0);
        waitpid(pid, &status, 0);
    }
    nanosleep(&nap, NULL);
    REQUIRE(slurp("/proc/stat") && cpu_line("cpu  ", &after));
    EXPECT(number_of("processes ") >= made + 3);
    EXPECT(number_of("ctxt ") > switches);
    EXPECT(after.user >= before.user && after.system >= before.system);
    EXPECT(after.idle >= before.idle);
    EXPECT(after.user + after.system + after.idle >= before.user + before.system + before.idle + 8);
}

static void burn(long clocks)
{
    struct cpu_line before, now;

    REQUIRE(slurp("/proc/stat") && cpu_line("cpu  ", &before));
    for (int i = 0; i < 100000; i++) {
        REQUIRE(slurp("/proc/stat") && cpu_line("cpu  ", &now));
        if (now.user + now.system >= before.user + before.system + (unsigned long)clocks)
            return;
    }
    EXPECT(false);
}

/* Both in hundredths of a second. */
static bool uptime(unsigned long *up, unsigned long *idle)
{
    unsigned long n[4];
    bool good = sscanf(text, "%lu.%2lu %lu.%2lu", &n[0], &n[1], &n[2], &n[3]) == 4;

    *up = n[0] * 100 + n[1];
    *idle = n[2] * 100 + n[3];
    return good;
}

KTAP_CASE(pagoda_busy_and_idle_are_told_apart)
{
    struct cpu_line before, after;
    const struct timespec nap = {0, 300000000};
    unsigned long up[2], idle[2];

    burn(5);
    REQUIRE(slurp("/proc/uptime") && uptime(&up[0], &idle[0]));
    REQUIRE(slurp("/proc/stat") && cpu_line("cpu0 ", &before));
    nanosleep(&nap, NULL);
    REQUIRE(slurp("/proc/stat") && cpu_line("cpu0 ", &after));
    REQUIRE(slurp("/proc/uptime") && uptime(&up[1], &idle[1]));
    EXPECT(up[1] >= up[0] + 29 && idle[1] >= idle[0] + 10);
    EXPECT(after.idle > before.idle);
    /* All of a hart's time together is the machine's. */
    unsigned long sum = after.user + after.system + after.idle;
    EXPECT(sum <= up[1] + 3 && sum + 10 >= up[0]);
}

KTAP_CASE(load_has_its_numbers)
{
    unsigned n[9];

    SKIP_EMULATED("the file is the host's");
    REQUIRE(slurp("/proc/loadavg"));
    REQUIRE(sscanf(text, "%u.%2u %u.%2u %u.%2u %u/%u %u", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
                   &n[6], &n[7], &n[8]) == 9);
    EXPECT(n[6] >= 1 && n[7] >= n[6] && n[8] >= (unsigned)getpid());
}

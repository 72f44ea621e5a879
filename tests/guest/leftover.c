/*
 * A process that is killed leaves nothing behind: processes of many kinds, killed in each way, and
 * afterwards the memory server's recount is right and its capabilities and free memory are what
 * they were.
 */
#include <errno.h>
#include <fcntl.h>
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

#define ROUNDS          6
#define RW              (PROT_READ | PROT_WRITE)
#define ANON            (MAP_PRIVATE | MAP_ANONYMOUS)
#define SOME            (64 * PAGE)
#define HUGE            0x40000 /* MAP_HUGETLB */
#define BLOCK           (2UL << 20)
#define EATEN_KIB       (48L << 10) /* that are left to who ends by exhaustion */
#define SLACK_KIB       256         /* what caches may keep of a set of rounds */
#define MM_ID_OF_SERVER 1

static volatile int *ready; /* in memory shared with the children: one is set up */

/* ---- kinds ---- */

static void *spins(void *arg)
{
    (void)arg;
    for (;;)
        pg_syscall(SYS_sched_yield);
    return NULL;
}

static void *sleeps(void *arg)
{
    (void)arg;
    for (;;)
        usleep(1000000);
    return NULL;
}

static void with_threads(void)
{
    pg_thread_create(spins, NULL, 0);
    pg_thread_create(sleeps, NULL, 0);
    pg_thread_create(sleeps, NULL, 0);
}

static void with_shared_memory(void)
{
    long fd = pg_syscall(279, (uintptr_t) "left", 0); /* memfd_create */
    char *at = mmap(NULL, SOME, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    memset(at, 1, SOME);
    pg_syscall(46, fd, SOME); /* ftruncate */
    char *file = mmap(NULL, SOME, RW, MAP_SHARED, (int)fd, 0);
    memset(file, 2, SOME);
    if (fork() == 0) /* a sharer that outlives it */
        _exit(at[0] + file[0] == 3 ? 0 : 1);
}

static void with_locked_memory(void)
{
    void *at = mmap(NULL, SOME, RW, ANON, -1, 0);

    mlock(at, SOME);
    mprotect(at, PAGE, PROT_READ);
}

static void with_huge_pages(void)
{
    char *pool = mmap(NULL, BLOCK, RW, ANON | HUGE, -1, 0);
    char *own = mmap(NULL, 2 * BLOCK, RW, ANON, -1, 0);

    if (pool != MAP_FAILED)
        memset(pool, 1, BLOCK);
    memset(own, 1, 2 * BLOCK);
}

static void with_open_files(void)
{
    int fds[2], more[2];
    char byte[512] = {0};

    if (pipe(fds) || write(fds[1], byte, sizeof(byte)) < 0 || pipe(more))
        _exit(1);
    for (int i = 0; i < 20; i++)
        open("/dev/null", O_RDONLY);
    long dir = pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t) "/proc/self/fd", O_RDONLY, 0);
    pg_syscall(SYS_dup, dir);
}

static void with_signals_and_timers(void)
{
    struct {
        struct timespec interval, value;
    } spec = {{.tv_nsec = 1000000}, {.tv_nsec = 1}};
    siginfo_t info = {.si_code = -1};
    int event[16] = {0, 0, 40}, id;
    sigset_t set = 1UL << 39;

    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 20; i++)
        pg_syscall(138, getpid(), 40, (uintptr_t)&info);  /* rt_sigqueueinfo */
    pg_syscall(107, 1, (uintptr_t)event, (uintptr_t)&id); /* timer_create */
    pg_syscall(110, id, 0, (uintptr_t)&spec, 0);
}

static void with_children(void)
{
    for (int i = 0; i < 3; i++) {
        ready[1] = 0;
        pid_t pid = fork();
        if (pid == 0 && i == 0)
            _exit(0); /* a zombie */
        if (pid == 0) {
            pg_syscall(167, 1, SIGKILL, 0, 0, 0); /* prctl: die with the parent */
            ready[1] = 1;
            for (;;)
                usleep(1000000);
        }
        while (i && !ready[1])
            usleep(1000);
        if (i == 2)
            pg_syscall(SYS_kill, pid, SIGSTOP);
    }
}

static void plain(void)
{
}

static const struct kind {
    const char *name;
    void (*make)(void);
} kinds[] = {
    {"plain", plain},
    {"threads", with_threads},
    {"shared memory", with_shared_memory},
    {"locked memory", with_locked_memory},
    {"huge pages", with_huge_pages},
    {"open files", with_open_files},
    {"signals and timers", with_signals_and_timers},
    {"children", with_children},
};

/* ---- ways ---- */

enum way { BY_FAULT, BY_KILL, BY_TERM, BY_ABORT_STOPPED, BY_EXIT_OF_A_THREAD, WAYS, BY_OOM };

/* All memory that there is, until somebody ends; who calls it wants to be that one. */
static void eat(size_t bytes)
{
    char *at = mmap(NULL, bytes, RW, ANON, -1, 0);

    madvise(at, bytes, 14); /* in huge pages, as far as there are any */
    for (size_t i = 0; i < bytes; i += PAGE)
        at[i] = 1;
}

static void oom_score_adj(const char *value)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);

    if (write(fd, value, strlen(value)) < 0)
        _exit(1);
    close(fd);
}

static void die(enum way way)
{
    volatile int *volatile nowhere = (volatile int *)8;

    if (way == BY_FAULT)
        *nowhere = 1;
    if (way == BY_EXIT_OF_A_THREAD)
        _exit(3);
    if (way == BY_OOM) {
        oom_score_adj("1000");
        eat(8UL << 30);
    }
    for (;;)
        usleep(1000000);
}

static void one(const struct kind *kind, enum way way)
{
    int status = -1;

    *ready = 0;
    pid_t pid = fork();
    if (pid == 0) {
        kind->make();
        *ready = 1;
        die(way);
    }
    EXPECT(pid > 0);
    for (int i = 0; i < 5000 && !*ready; i++)
        usleep(1000);
    EXPECT(*ready);
    if (way == BY_ABORT_STOPPED) {
        kill(pid, SIGSTOP);
        waitpid(pid, NULL, 2);
    }
    if (way == BY_KILL || way == BY_ABORT_STOPPED)
        kill(pid, SIGKILL);
    if (way == BY_TERM)
        kill(pid, SIGTERM);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (way == BY_EXIT_OF_A_THREAD)
        EXPECT_EQ(status, 3 << 8);
    else
        EXPECT(WIFSIGNALED(status));
    while (waitpid(-1, NULL, WNOHANG) > 0) /* its children are ours now */
        continue;
}

/* Lines of the memory server's list of its capabilities. */
static long capabilities(void)
{
    static char text[4096];
    long lines = 0, at = 0, got;

    while ((got = pg_syscall(MM_REPORT, MM_REPORT_CAPS, MM_ID_OF_SERVER, (uintptr_t)text,
                             sizeof text, at)) > 0) {
        for (long i = 0; i < got; i++)
            lines += text[i] == '\n';
        at += got;
    }
    return lines;
}

static void ways_of(const struct kind *kind)
{
    for (enum way way = 0; way < WAYS; way++)
        one(kind, way);
    usleep(20000);
    long caps = capabilities(), free_kib = ktap_proc_number("/proc/meminfo", "MemFree");
    for (int round = 0; round < ROUNDS; round++) {
        for (enum way way = 0; way < WAYS; way++)
            one(kind, way);
    }
    for (int i = 0; i < 100 && capabilities() != caps; i++)
        usleep(10000);
    long lost = free_kib - ktap_proc_number("/proc/meminfo", "MemFree");
    if (capabilities() != caps || lost > SLACK_KIB)
        ktap_fail(__FILE__, __LINE__, "%s: %ld capabilities, were %ld; %ld KiB lost", kind->name,
                  capabilities(), caps, lost);
}

KTAP_CASE(pagoda_nothing_is_left)
{
    ready = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(ready != MAP_FAILED);
    pg_syscall(167, 36, 1, 0, 0, 0); /* prctl: orphans come to us */
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        ways_of(&kinds[i]);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    pg_syscall(167, 36, 0, 0, 0, 0);
    munmap((void *)ready, PAGE);
}

/* The same by exhaustion; a process that is not chosen holds most of memory, so that it takes
 * little time. */
KTAP_CASE(pagoda_nothing_is_left_by_exhaustion)
{
    ready = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(ready != MAP_FAILED);
    pg_syscall(167, 36, 1, 0, 0, 0); /* prctl: orphans come to us */
    pid_t holder = fork();
    if (holder == 0) {
        oom_score_adj("-1000");
        eat((size_t)(ktap_proc_number("/proc/meminfo", "MemFree") - EATEN_KIB) * 1024);
        *ready = 1;
        for (;;)
            usleep(1000000);
    }
    for (int i = 0; i < 5000 && !*ready; i++)
        usleep(1000);
    EXPECT(*ready);
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        one(&kinds[i], BY_OOM);
        usleep(20000);
        long caps = capabilities(), free_kib = ktap_proc_number("/proc/meminfo", "MemFree");
        for (int round = 0; round < 2; round++)
            one(&kinds[i], BY_OOM);
        for (int wait = 0; wait < 100 && capabilities() != caps; wait++)
            usleep(10000);
        long lost = free_kib - ktap_proc_number("/proc/meminfo", "MemFree");
        if (capabilities() != caps || lost > SLACK_KIB)
            ktap_fail(__FILE__, __LINE__, "%s: %ld capabilities, were %ld; %ld KiB lost",
                      kinds[i].name, capabilities(), caps, lost);
    }
    kill(holder, SIGKILL);
    EXPECT_EQ(waitpid(holder, NULL, 0), holder);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
    pg_syscall(167, 36, 0, 0, 0, 0);
    munmap((void *)ready, PAGE);
}

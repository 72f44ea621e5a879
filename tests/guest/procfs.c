/* /proc and /sys as programs look at them: descriptors, threads, what a process began with, knobs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

static char text[65536];

/* The whole file into `text`: its length, or -errno.h's number. */
static long slurp(const char *path)
{
    long fd = SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t)path, O_RDONLY, 0), bytes = 0, got;

    if (fd < 0)
        return fd;
    while ((got = pg_syscall(SYS_read, fd, (uintptr_t)text + (size_t)bytes,
                             sizeof(text) - 1 - (size_t)bytes)) > 0)
        bytes += got;
    text[bytes] = 0;
    close((int)fd);
    return got < 0 ? ktap_raw(got) : bytes;
}

static long spit(const char *path, const char *value)
{
    long fd = SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t)path, O_WRONLY, 0);

    if (fd < 0)
        return fd;
    long result = SYSCALL(SYS_write, fd, (uintptr_t)value, strlen(value));
    close((int)fd);
    return result;
}

static long link_of(const char *path, char *to, size_t room)
{
    long bytes = pg_syscall(SYS_readlinkat, AT_FDCWD, (uintptr_t)path, (uintptr_t)to, room - 1);

    to[bytes > 0 ? bytes : 0] = 0;
    return bytes;
}

/* How many entries of the directory are numbers, and whether `wanted` is one. */
static int numbers_in(const char *path, long wanted, bool *found)
{
    long fd = pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t)path, O_RDONLY | O_DIRECTORY, 0), got;
    int count = 0;

    *found = false;
    while (fd >= 0 && (got = pg_syscall(SYS_getdents64, fd, (uintptr_t)text, sizeof(text))) > 0) {
        for (char *at = text; at < text + got; at += *(uint16_t *)(at + 16)) {
            char *name = at + 19, *end;
            long number = strtol(name, &end, 10);
            if (*name >= '0' && *name <= '9' && !*end) {
                count++;
                *found |= number == wanted;
            }
        }
    }
    if (fd >= 0)
        close((int)fd);
    return count;
}

KTAP_CASE(open_files_are_listed)
{
    char path[64], target[256];
    bool found;

    SKIP_EMULATED("descriptors are the host's");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    int before = numbers_in("/proc/self/fd", fd, &found);
    EXPECT(found && before >= 2);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    EXPECT_EQ(link_of(path, target, sizeof(target)), 9);
    EXPECT(strcmp(target, "/dev/null") == 0);
    int again = open(path, O_RDONLY);
    EXPECT(again >= 0);
    close(again);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    EXPECT(slurp(path) > 0);
    EXPECT(strstr(text, "pos:\t0\n") && strstr(text, "flags:\t02100000\n"));
    close(fd);
    EXPECT_ERROR(slurp(path), ENOENT);
    EXPECT_EQ(numbers_in("/proc/self/fd", fd, &found), before - 1);
}

KTAP_CASE(pipe_is_told_as_one)
{
    char path[64], target[256];
    int fds[2];

    REQUIRE(pipe(fds) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    EXPECT(link_of(path, target, sizeof(target)) > 0);
    EXPECT(strncmp(target, "pipe:[", 6) == 0);
    close(fds[0]);
    close(fds[1]);
}

static volatile long other_tid;
static volatile int other_ends;

static void *other(void *arg)
{
    (void)arg;
    pg_syscall(167, 15, (uintptr_t) "second", 0, 0, 0); /* prctl: its name */
    other_tid = pg_syscall(SYS_gettid);
    while (!other_ends)
        usleep(1000);
    return NULL;
}

KTAP_CASE(threads_are_listed)
{
    char path[64];
    bool found;

    SKIP_EMULATED("threads are the host's");
    struct pg_thread *thread = pg_thread_create(other, NULL, 0);
    REQUIRE(thread);
    while (!other_tid)
        usleep(1000);
    EXPECT_EQ(numbers_in("/proc/self/task", other_tid, &found), 2);
    EXPECT(found);
    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", other_tid);
    EXPECT(slurp(path) > 0 && strcmp(text, "second\n") == 0);
    EXPECT(spit(path, "renamed") > 0);
    EXPECT(slurp(path) > 0 && strcmp(text, "renamed\n") == 0);
    snprintf(path, sizeof(path), "/proc/self/task/%ld/status", other_tid);
    EXPECT(slurp(path) > 0 && strstr(text, "Name:\trenamed\n"));
    snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", other_tid);
    EXPECT(slurp(path) > 0 && strtol(text, NULL, 10) == other_tid);
    other_ends = 1;
    pg_thread_join(thread);
    EXPECT_EQ(numbers_in("/proc/self/task", getpid(), &found), 1);
    EXPECT(found);
    EXPECT_ERROR(slurp(path), ENOENT);
}

KTAP_CASE(environment_and_vector_are_there)
{
    SKIP_EMULATED("shows the emulator's");
    EXPECT(slurp("/proc/self/auxv") > 0);
    EXPECT(memcmp(text, pg_auxv(), 16) == 0);
    long bytes = slurp("/proc/self/environ");
    EXPECT(bytes > 0);
    size_t first = environ[0] ? strlen(environ[0]) + 1 : 0;
    EXPECT(first && (size_t)bytes >= first && memcmp(text, environ[0], first) == 0);
}

/* The number behind a name in the text that was read. */
static long told(const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

KTAP_CASE(reads_and_writes_are_counted)
{
    char bytes[100];
    int fd = open("/dev/zero", O_RDWR);

    SKIP_EMULATED("counts the emulator's");
    EXPECT(slurp("/proc/self/io") > 0);
    long read_bytes = told("rchar: "), written = told("wchar: "), calls = told("syscw: ");
    EXPECT_EQ(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
    EXPECT_EQ(write(fd, bytes, 40), 40);
    EXPECT_EQ(write(fd, bytes, 2), 2);
    EXPECT(slurp("/proc/self/io") > 0);
    EXPECT(told("rchar: ") >= read_bytes + (long)sizeof(bytes));
    EXPECT_EQ(told("wchar: "), written + 42);
    EXPECT_EQ(told("syscw: "), calls + 2);
    close(fd);
}

KTAP_CASE(limits_are_told)
{
    unsigned long limit[2];

    SKIP_EMULATED("limits are the host's");
    EXPECT_EQ(pg_syscall(163, 7, (uintptr_t)limit), 0); /* getrlimit: open files */
    EXPECT(slurp("/proc/self/limits") > 0);
    const char *line = strstr(text, "Max open files");
    REQUIRE(line);
    EXPECT_EQ(strtoul(line + strlen("Max open files"), NULL, 10), limit[0]);
    EXPECT(strstr(text, "Max stack size"));
}

KTAP_CASE(status_tells_ids_and_signals)
{
    SKIP_EMULATED("shows the emulator's");
    signal(SIGUSR1, SIG_IGN);
    EXPECT(slurp("/proc/self/status") > 0);
    EXPECT(strstr(text, "Uid:\t0\t0\t0\t0\n") && strstr(text, "Groups:"));
    const char *line = strstr(text, "SigIgn:\t");
    REQUIRE(line);
    EXPECT(strtoul(line + 8, NULL, 16) & 1UL << (SIGUSR1 - 1));
    signal(SIGUSR1, SIG_DFL);
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        for (;;)
            usleep(100000);
    char path[64];
    kill(pid, SIGSTOP);
    waitpid(pid, NULL, 2);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    EXPECT(slurp(path) > 0 && strstr(text, "State:\tT (stopped)\n"));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    EXPECT_ERROR(slurp(path), ENOENT);
}

KTAP_CASE(rollup_is_the_sum)
{
    SKIP_EMULATED("shows the emulator's");
    EXPECT(slurp("/proc/self/smaps_rollup") > 0);
    const char *rss = strstr(text, "\nRss:");
    REQUIRE(rss);
    EXPECT(strtoul(rss + 5, NULL, 10) > 0);
    EXPECT(strstr(text, "[rollup]"));
}

KTAP_CASE(oom_score_adj_is_kept)
{
    const char *path = "/proc/self/oom_score_adj";
    pid_t pid;
    int status;

    SKIP_EMULATED("is the host's");
    EXPECT_EQ(spit(path, "300"), 3);
    EXPECT(slurp(path) > 0 && strcmp(text, "300\n") == 0);
    REQUIRE((pid = fork()) >= 0);
    if (pid == 0)
        _exit(slurp(path) > 0 && strcmp(text, "300\n") == 0 ? 0 : 1);
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_ERROR(spit(path, "1001"), EINVAL);
    EXPECT_EQ(spit(path, "0"), 1);
}

KTAP_CASE(system_files_are_there)
{
    static const char *const paths[] = {
        "/proc/loadavg",
        "/proc/filesystems",
        "/proc/mounts",
        "/proc/self/mountinfo",
        "/proc/uptime",
        "/proc/version",
        "/proc/swaps",
        "/proc/sys/kernel/osrelease",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/sys/kernel/pid_max",
        "/proc/self/root/proc/self/comm",
        "/proc/sys/kernel/random/uuid",
        "/sys/devices/system/cpu/online",
        "/sys/devices/system/cpu/cpu0/topology/core_id",
        "/proc/self/numa_maps",
        "/proc/self/wchan",
        "/proc/self/schedstat",
        "/proc/self/personality",
        "/proc/thread-self/io",
        "/proc/thread-self/oom_score_adj",
        "/proc/thread-self/numa_maps",
        "/proc/sys/vm/max_map_count",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/min_free_kbytes",
    };

    SKIP_EMULATED("files are the host's");
    for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        long bytes = slurp(paths[i]);
        if (bytes <= 0)
            ktap_fail(__FILE__, __LINE__, "%s: %ld", paths[i], bytes);
    }
    EXPECT(slurp("/sys/devices/system/cpu/online") > 0 && text[0] == '0');
}

KTAP_CASE(numa_maps_counts_pages)
{
    char *all = mmap(NULL, 18 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), head[32];

    SKIP_EMULATED("the file is of the emulator");
    REQUIRE(all != MAP_FAILED);
    mprotect(all + PAGE, 16 * PAGE, PROT_READ | PROT_WRITE);
    memset(all + PAGE, 1, 16 * PAGE);
    REQUIRE(slurp("/proc/self/numa_maps") > 0);
    snprintf(head, sizeof(head), "%08lx default", (unsigned long)all + PAGE);
    char *line = strstr(text, head), *end = line ? strchr(line, '\n') : NULL;
    REQUIRE(line && end);
    *end = 0;
    EXPECT(strcmp(line + strlen(head), " anon=16 dirty=16 N0=16 kernelpagesize_kB=4") == 0);
    munmap(all, 18 * PAGE);
}

/* A child that waits says by what. */
KTAP_CASE(wchan_names_what_is_waited_for)
{
    char path[64];
    int fds[2];

    SKIP_EMULATED("the file is of the emulator");
    REQUIRE(pipe2(fds, 0) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        _exit(read(fds[0], &byte, 1) != 1);
    }
    snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
    for (int i = 0; i < 1000 && (slurp(path) <= 0 || strcmp(text, "0") == 0); i++)
        usleep(1000);
    EXPECT(strstr(text, "read"));
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    EXPECT_EQ(slurp(path), 0);
}

/* The knob is the memory server's: with it a mapping is refused, without it is not. */
KTAP_CASE(pagoda_max_map_count_binds)
{
    void *at[64];
    int made = 0;

    REQUIRE(slurp("/proc/sys/vm/max_map_count") > 0);
    long before = strtol(text, NULL, 10);
    EXPECT_EQ(before, 65530);
    EXPECT_EQ(spit("/proc/sys/vm/max_map_count", "40"), 2);
    for (; made < 64; made++) { /* every second one, so that none joins another */
        at[made] =
            mmap(NULL, PAGE, made % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at[made] == MAP_FAILED)
            break;
    }
    EXPECT(made > 0 && made < 64);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT(spit("/proc/sys/vm/max_map_count", "65530") > 0);
    EXPECT(mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    while (made--)
        munmap(at[made], PAGE);
    EXPECT_ERROR(spit("/proc/sys/vm/max_map_count", "0"), EINVAL);
    EXPECT_ERROR(spit("/proc/sys/vm/max_map_count", "x"), EINVAL);
}

KTAP_CASE(pagoda_overcommit_promises_all)
{
    const size_t much = 1UL << 36;

    EXPECT(mmap(NULL, much, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    EXPECT_EQ(spit("/proc/sys/vm/overcommit_memory", "1"), 1);
    void *at = mmap(NULL, much, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(at != MAP_FAILED);
    munmap(at, much);
    EXPECT_EQ(spit("/proc/sys/vm/overcommit_memory", "0"), 1);
    EXPECT(mmap(NULL, much, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    EXPECT_ERROR(spit("/proc/sys/vm/overcommit_memory", "3"), EINVAL);
}

/*
 * Files of /proc/sys/vm and /sys that can be changed: what they take, and what that does. What is
 * changed is put back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define RW       (PROT_READ | PROT_WRITE)
#define ANON     (MAP_PRIVATE | MAP_ANONYMOUS)
#define BLOCK    (2UL << 20)
#define THP      "/sys/kernel/mm/transparent_hugepage/"
#define VM       "/proc/sys/vm/"
#define THE_HOST SKIP_EMULATED("the knobs are the host's")

static char text[65536];

static long slurp(const char *path)
{
    long fd = SYSCALL(SYS_openat, AT_FDCWD, path, O_RDONLY, 0), done = 0, got;

    text[0] = 0;
    if (fd < 0)
        return fd;
    while ((got = SYSCALL(SYS_read, fd, text + done, sizeof(text) - 1 - (size_t)done)) > 0)
        done += got;
    text[done] = 0;
    SYSCALL(SYS_close, fd);
    return got < 0 ? got : done;
}

/* 0 or the error. */
static long set(const char *path, const char *value)
{
    long fd = SYSCALL(SYS_openat, AT_FDCWD, path, O_WRONLY, 0);
    long result = fd < 0 ? fd : SYSCALL(SYS_write, fd, value, strlen(value));

    if (fd >= 0)
        SYSCALL(SYS_close, fd);
    return result < 0 ? result : 0;
}

static long number(const char *path)
{
    return slurp(path) > 0 ? strtol(text, NULL, 10) : -1;
}

static void set_number(const char *path, long value)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%ld\n", value);
    EXPECT_EQ(set(path, digits), 0);
}

static bool is(const char *path, const char *want)
{
    return slurp(path) > 0 && strcmp(text, want) == 0;
}

/* ---- /proc/sys/vm ---- */

KTAP_CASE(drop_caches_takes_1_to_4)
{
    THE_HOST;
    EXPECT_EQ(set(VM "drop_caches", "1"), 0);
    EXPECT_EQ(set(VM "drop_caches", "2"), 0);
    EXPECT_EQ(set(VM "drop_caches", "3\n"), 0);
    EXPECT_EQ(set(VM "drop_caches", "0"), -EINVAL);
    EXPECT_EQ(set(VM "drop_caches", "5"), -EINVAL);
    EXPECT_EQ(set(VM "drop_caches", "x"), -EINVAL);
}

KTAP_CASE(pagoda_drop_caches_drops_what_nobody_maps)
{
    int fd = open(ktap_self(), O_RDONLY);
    uint8_t *at = mmap(NULL, 16 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    unsigned sum = 0;

    REQUIRE(fd >= 0 && at != MAP_FAILED);
    for (int i = 0; i < 16; i++)
        sum += at[(size_t)i * PAGE];
    EXPECT(sum > 0);
    long mapped = ktap_proc_number("/proc/meminfo", "Cached");
    EXPECT_EQ(set(VM "drop_caches", "1"), 0);
    EXPECT(ktap_proc_number("/proc/meminfo", "Cached") >= 64); /* these are mapped */
    uint8_t first = at[0];
    munmap(at, 16 * PAGE);
    EXPECT_EQ(set(VM "drop_caches", "3"), 0);
    EXPECT(ktap_proc_number("/proc/meminfo", "Cached") <= mapped);
    at = mmap(NULL, 16 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    EXPECT_EQ(at[0], first); /* had again */
    munmap(at, 16 * PAGE);
    close(fd);
}

static bool can_map(long kib, int flags)
{
    void *at = mmap(NULL, (size_t)kib * 1024, RW, ANON | flags, -1, 0);

    if (at != MAP_FAILED)
        munmap(at, (size_t)kib * 1024);
    return at != MAP_FAILED;
}

KTAP_CASE(overcommit_2_keeps_what_it_promises)
{
    THE_HOST;
    long total = ktap_proc_number("/proc/meminfo", "MemTotal"), part = total * 6 / 10;
    long mode = number(VM "overcommit_memory"), ratio = number(VM "overcommit_ratio");

    EXPECT_EQ(ratio, 50);
    EXPECT(can_map(part, 0));
    EXPECT_EQ(set(VM "overcommit_memory", "2"), 0);
    long limit = ktap_proc_number("/proc/meminfo", "CommitLimit");
    EXPECT(limit > total * 45 / 100 && limit <= total / 2);
    EXPECT(!can_map(part, 0));
    EXPECT(!can_map(part, MAP_NORESERVE));
    EXPECT(can_map(total / 8, 0));
    long before = ktap_proc_number("/proc/meminfo", "Committed_AS");
    void *at = mmap(NULL, 64UL << 20, RW, ANON, -1, 0);
    EXPECT(ktap_proc_number("/proc/meminfo", "Committed_AS") >= before + (60L << 10));
    munmap(at, 64UL << 20);
    EXPECT_EQ(set(VM "overcommit_ratio", "95"), 0);
    EXPECT(can_map(part, 0));
    EXPECT_EQ(set(VM "overcommit_memory", "3"), -EINVAL);
    set_number(VM "overcommit_ratio", ratio);
    set_number(VM "overcommit_memory", mode);
    EXPECT(can_map(part, 0));
}

KTAP_CASE(swappiness_takes_0_to_200)
{
    THE_HOST;
    long before = number(VM "swappiness");

    EXPECT_EQ(before, 60);
    EXPECT_EQ(set(VM "swappiness", "200"), 0);
    EXPECT(is(VM "swappiness", "200\n"));
    EXPECT_EQ(set(VM "swappiness", "201"), -EINVAL);
    EXPECT_EQ(set(VM "swappiness", "-1"), -EINVAL);
    set_number(VM "swappiness", before);
}

/* The sum of the zones' min marks, in pages. */
static long min_marks(void)
{
    long sum = 0;

    EXPECT(slurp("/proc/zoneinfo") > 0);
    for (const char *at = text; (at = strstr(at, " min ")); at++)
        sum += strtol(at + 5, NULL, 10);
    return sum;
}

KTAP_CASE(min_free_kbytes_moves_the_marks)
{
    THE_HOST;
    long before = number(VM "min_free_kbytes"), marks = min_marks();

    REQUIRE(before > 0);
    set_number(VM "min_free_kbytes", 2 * before);
    EXPECT_EQ(number(VM "min_free_kbytes"), 2 * before);
    long more = min_marks();
    EXPECT(more > marks * 3 / 2 && more <= marks * 5 / 2 + 8);
    EXPECT_EQ(set(VM "min_free_kbytes", "-5"), -EINVAL);
    set_number(VM "min_free_kbytes", before);
    EXPECT(labs(min_marks() - marks) <= 8);
}

/* ---- /sys/kernel/mm ---- */

static long huge_kib(void *at, int advice)
{
    char *block = (char *)(((uintptr_t)at + BLOCK - 1) & -BLOCK);

    if (advice)
        madvise(at, 3 * BLOCK, advice);
    memset(block, 1, BLOCK);
    return ktap_proc_number("/proc/self/smaps_rollup", "AnonHugePages");
}

static long huge_with(const char *word, int advice)
{
    void *at = mmap(NULL, 3 * BLOCK, RW, ANON, -1, 0);
    long before = ktap_proc_number("/proc/self/smaps_rollup", "AnonHugePages");

    EXPECT_EQ(set(THP "enabled", word), 0);
    /* It stays: where something was before, there may be a table for small pages. */
    return huge_kib(at, advice) - before;
}

KTAP_CASE(pagoda_huge_pages_can_be_switched)
{
    const int advise_huge = 14;

    REQUIRE(slurp(THP "enabled") > 0);
    EXPECT(strcmp(text, "always [madvise] never\n") == 0);
    EXPECT_EQ(huge_with("always", 0), 2048);
    EXPECT(is(THP "enabled", "[always] madvise never\n"));
    EXPECT_EQ(huge_with("never\n", advise_huge), 0);
    EXPECT_EQ(huge_with("madvise", 0), 0);
    EXPECT_EQ(huge_with("madvise", advise_huge), 2048);
    EXPECT_EQ(set(THP "enabled", "sometimes"), -EINVAL);
    EXPECT(is(THP "hpage_pmd_size", "2097152\n"));
}

static long faults_of_two_reads(void)
{
    char *at = mmap(NULL, 3 * BLOCK, RW, ANON, -1, 0);
    volatile char *block = (char *)(((uintptr_t)at + BLOCK - 1) & -BLOCK);
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    EXPECT_EQ(block[5 * PAGE] + block[9 * PAGE], 0);
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

KTAP_CASE(pagoda_huge_pages_how_hard)
{
    const char *const words[] = {"always", "defer", "defer+madvise", "madvise", "never"};
    EXPECT(is(THP "defrag", "always [defer] defer+madvise madvise never\n"));
    for (unsigned i = 0; i < 5; i++) {
        char want[64];
        EXPECT_EQ(set(THP "defrag", words[i]), 0);
        snprintf(want, sizeof(want), "[%s]", words[i]);
        EXPECT(slurp(THP "defrag") > 0 && strstr(text, want));
        EXPECT_EQ(huge_with("always", 0), 2048); /* there is memory: it is had in each way */
    }
    EXPECT_EQ(set(THP "enabled", "always"), 0);
    EXPECT_EQ(set(THP "use_zero_page", "0"), 0);
    EXPECT_EQ(faults_of_two_reads(), 2);
    EXPECT_EQ(set(THP "use_zero_page", "2"), -EINVAL);
    EXPECT_EQ(set(THP "use_zero_page", "1"), 0);
    EXPECT_EQ(faults_of_two_reads(), 1); /* the huge one is there for the second too */
    EXPECT_EQ(set(THP "enabled", "madvise"), 0);
    EXPECT_EQ(set(THP "defrag", "defer"), 0);
}

KTAP_CASE(pagoda_merging_cannot_be_begun)
{
    EXPECT(is("/sys/kernel/mm/ksm/run", "0\n"));
    EXPECT_EQ(set("/sys/kernel/mm/ksm/run", "1"), -EINVAL);
    EXPECT_EQ(set("/sys/kernel/mm/ksm/run", "2"), 0);
    EXPECT_EQ(set("/sys/kernel/mm/ksm/run", "0"), 0);
    EXPECT(is("/sys/kernel/mm/ksm/pages_shared", "0\n"));
}

KTAP_CASE(pagoda_node_0_is_described)
{
    EXPECT(is("/sys/devices/system/node/online", "0\n"));
    EXPECT(slurp("/sys/devices/system/node/node0/meminfo") > 0);
    const char *total = strstr(text, "Node 0 MemTotal:"), *free = strstr(text, "Node 0 MemFree:");
    REQUIRE(total && free);
    long kib = strtol(total + 16, NULL, 10), free_kib = strtol(free + 15, NULL, 10);
    EXPECT(kib > 0 && free_kib > kib / 10 && free_kib < kib);
    EXPECT(labs(kib - ktap_proc_number("/proc/meminfo", "MemTotal")) < kib / 8);
    EXPECT(is("/sys/devices/system/node/node0/distance", "10\n"));
    EXPECT(slurp("/sys/devices/system/node/node0/cpulist") > 0 && text[0] == '0');
    EXPECT(slurp("/sys/devices/system/node/node0/vmstat") > 0);
    const char *pages = strstr(text, "nr_free_pages ");
    EXPECT(pages && strtol(pages + 14, NULL, 10) > 0);
    EXPECT_EQ(slurp("/sys/devices/system/node/node1/meminfo"), -ENOENT);
}

/* Numbers that tools read: what is beyond their range is refused, and the rest is told again. */
KTAP_CASE(numbers_that_are_kept)
{
    static const struct {
        const char *path, *bad;
    } knob[] = {{VM "swappiness", "201"},
                {VM "dirty_ratio", "101"},
                {VM "dirty_background_ratio", "101"},
                {VM "page-cluster", "x"},
                {VM "vfs_cache_pressure", "-1"},
                {THP "khugepaged/max_ptes_none", "512"},
                {THP "khugepaged/pages_to_scan", "-1"}};

    THE_HOST;
    for (unsigned i = 0; i < sizeof(knob) / sizeof(knob[0]); i++) {
        long before = number(knob[i].path);
        EXPECT(before >= 0);
        EXPECT(set(knob[i].path, knob[i].bad) < 0);
        EXPECT_EQ(number(knob[i].path), before);
        set_number(knob[i].path, 17);
        EXPECT_EQ(number(knob[i].path), 17);
        set_number(knob[i].path, before);
    }
}

KTAP_CASE(pagoda_files_of_memory_have_small_pages)
{
    EXPECT(is(THP "shmem_enabled", "always within_size advise [never] deny force\n"));
    EXPECT_EQ(set(THP "shmem_enabled", "never"), 0);
    EXPECT_EQ(set(THP "shmem_enabled", "always"), -EINVAL);
    EXPECT_EQ(set(THP "shmem_enabled", "often"), -EINVAL);
}

/* ---- others ---- */

static void *names_itself(void *arg)
{
    char *to = arg;
    long bytes =
        pg_syscall(SYS_readlinkat, AT_FDCWD, (uintptr_t) "/proc/thread-self", (uintptr_t)to, 63);
    to[bytes > 0 ? bytes : 0] = 0;
    return (void *)pg_syscall(178 /* gettid */);
}

KTAP_CASE(thread_self_is_the_thread)
{
    char name[64], want[64];

    SKIP_EMULATED("shows the emulator's");
    struct pg_thread *thread = pg_thread_create(names_itself, name, 0);
    REQUIRE(thread);
    void *tid = pg_thread_join(thread);
    snprintf(want, sizeof(want), "%d/task/%ld", (int)getpid(), (long)tid);
    EXPECT(strcmp(name, want) == 0);
    EXPECT(slurp("/proc/thread-self/comm") > 0);
}

static long refused(const char *name)
{
    char want[64];

    snprintf(want, sizeof(want), "\ncall_refused_%s ", name);
    if (slurp("/proc/pagoda/stat") <= 0)
        return -1;
    const char *line = strstr(text, want);
    return line ? strtol(line + strlen(want), NULL, 10) : 0;
}

KTAP_CASE(pagoda_refused_calls_are_counted_by_name)
{
    long bpf = refused("bpf"), nameless = refused("480"), other = refused("other");

    EXPECT_ERROR(SYSCALL(280l), ENOSYS);
    EXPECT_ERROR(SYSCALL(280l), ENOSYS);
    EXPECT_ERROR(SYSCALL(480l), ENOSYS);
    EXPECT_EQ(refused("bpf"), bpf + 2);
    EXPECT(strstr(text, "system calls of number 280 refused"));
    EXPECT_EQ(refused("480"), nameless + 1);
    EXPECT_EQ(refused("other"), other);
}

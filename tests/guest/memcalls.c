/*
 * The smaller memory calls: advice, locks, NUMA policies, barriers, limits, what /proc tells. After
 * LTP's madvise, mlock, get_mempolicy and setrlimit tests and kselftest's mlock2 and pagemap tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_GET_MEMPOLICY            236
#define NR_SET_MEMPOLICY            237
#define NR_MIGRATE_PAGES            238
#define NR_MOVE_PAGES               239
#define MOVE                        2
#define MOVE_ALL                    4
#define NR_MEMBARRIER               283
#define NR_PRLIMIT64                261
#define NR_MLOCK2                   284
#define RLIMIT_AS_NR                9
#define FREE                        8
#define COLD                        20
#define MEMBARRIER_PRIVATE          8
#define MEMBARRIER_REGISTER_PRIVATE 16

static char *fresh(unsigned pages)
{
    long at = pg_syscall(SYS_mmap, 0, pages * PAGE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    EXPECT(at > 0);
    return (char *)at;
}

static long advise(const char *at, unsigned pages, long advice)
{
    return pg_syscall(SYS_madvise, at, pages * PAGE, advice);
}

KTAP_CASE(madvise_free_keeps_or_clears)
{
    char *at = fresh(8);

    memset(at, 7, 8 * PAGE);
    EXPECT_EQ(advise(at, 8, FREE), 0);
    for (unsigned i = 0; i < 8; i++)
        EXPECT(at[i * PAGE] == 7 || at[i * PAGE] == 0);
    memset(at, 9, 8 * PAGE); /* written to again: kept */
    EXPECT(ktap_all_bytes(at, 8 * PAGE, 9));
    EXPECT_EQ(advise(at, 8, MADV_DONTNEED), 0);
    EXPECT(ktap_all_bytes(at, 8 * PAGE, 0));
}

/* A user-mode emulator accepts any advice, and has no mlock2 and no limits. */
static bool skipped_in_an_emulator(void)
{
    char *at = fresh(1);
    bool emulated = advise(at, 1, 9999) == 0;

    if (emulated)
        ktap_skip("an emulator answers this itself");
    return emulated;
}

KTAP_CASE(madvise_errors)
{
    char *at = fresh(4);

    if (skipped_in_an_emulator())
        return;

    EXPECT_EQ(advise(at, 4, 9999), -EINVAL);
    EXPECT_EQ(advise(at + 1, 1, MADV_DONTNEED), -EINVAL);
    EXPECT_EQ(pg_syscall(SYS_munmap, at + PAGE, PAGE), 0);
    EXPECT_EQ(advise(at, 4, MADV_NORMAL), -12);
    EXPECT_EQ(advise(at, 4, COLD), -12);
    EXPECT_EQ(pg_syscall(SYS_mlock, at, PAGE), 0);
    EXPECT_EQ(advise(at, 1, MADV_DONTNEED), -EINVAL);
    EXPECT_EQ(advise(at, 1, FREE), -EINVAL);
    EXPECT_EQ(pg_syscall(SYS_munlock, at, PAGE), 0);
    EXPECT_EQ(advise(at, 1, MADV_DONTNEED), 0);
}

KTAP_CASE(mlock2_on_fault)
{
    char *at = fresh(4);
    unsigned char there[4];

    if (skipped_in_an_emulator())
        return;
    EXPECT_EQ(pg_syscall(NR_MLOCK2, at, 4 * PAGE, 2), -EINVAL);
    EXPECT_EQ(pg_syscall(NR_MLOCK2, at, 4 * PAGE, 1), 0);
    at[PAGE] = 1;
    EXPECT_EQ(pg_syscall(SYS_mincore, at, 4 * PAGE, there), 0);
    EXPECT_EQ(there[1] & 1, 1);
    EXPECT_EQ(pg_syscall(NR_MLOCK2, at, 4 * PAGE, 0), 0);
    EXPECT_EQ(pg_syscall(SYS_mincore, at, 4 * PAGE, there), 0);
    EXPECT_EQ(there[0] & there[1] & there[2] & there[3] & 1, 1);
}

KTAP_CASE(membarrier_wants_registration)
{
    long all = pg_syscall(NR_MEMBARRIER, 0, 0, 0);

    EXPECT(all > 0 && (all & MEMBARRIER_PRIVATE));
    EXPECT_EQ(pg_syscall(NR_MEMBARRIER, MEMBARRIER_PRIVATE, 1, 0), -EINVAL);
    EXPECT_EQ(pg_syscall(NR_MEMBARRIER, MEMBARRIER_REGISTER_PRIVATE, 0, 0), 0);
    EXPECT_EQ(pg_syscall(NR_MEMBARRIER, MEMBARRIER_PRIVATE, 0, 0), 0);
    EXPECT_EQ(pg_syscall(NR_MEMBARRIER, 1 << 20, 0, 0), -EINVAL);
}

static long move_pages(long pid, long count, void *pages, const int *nodes, int *status, long flags)
{
    return pg_syscall(NR_MOVE_PAGES, pid, count, pages, nodes, status, flags);
}

/* What an ordinary user may not. */
static int pages_of_others(void *pages, long parent)
{
    uint64_t mask = 1;
    int status[4];

    if (pg_syscall(147l /* setresuid */, 1000, 1000, 1000) ||
        move_pages(0, 4, pages, NULL, status, MOVE_ALL) != -EPERM ||
        move_pages(parent, 4, pages, NULL, status, MOVE) != -EPERM ||
        pg_syscall(NR_MIGRATE_PAGES, parent, 64, &mask, &mask) != -EPERM)
        return 1;
    return 0;
}

KTAP_CASE(pages_tell_their_node)
{
    char *at = fresh(4), *absent = fresh(1);
    void *pages[4] = {at, at + PAGE, absent, at + 3 * PAGE};
    static const int nodes[4], none[1] = {99};
    uint64_t mask = 1, empty = 0;
    int status[4] = {9, 9, 9, 9};

    SKIP_EMULATED("it has no such calls");
    at[0] = 1;
    EXPECT_EQ(*(volatile char *)(at + PAGE), 0); /* the zero page */
    EXPECT_EQ(advise(absent, 1, MADV_DONTNEED), 0);
    EXPECT_EQ(pg_syscall(SYS_munmap, at + 3 * PAGE, PAGE), 0);
    EXPECT_EQ(move_pages(getpid(), 4, pages, nodes, status, MOVE), 0);
    EXPECT_EQ(status[0], 0);
    EXPECT_EQ(status[1], -EFAULT);
    EXPECT_EQ(status[2], -ENOENT);
    EXPECT_EQ(status[3], -EFAULT);
    status[0] = 9;
    EXPECT_EQ(move_pages(0, 1, pages, NULL, status, MOVE_ALL), 0);
    EXPECT_EQ(status[0], 0);
    EXPECT_EQ(move_pages(0, 1, pages, none, status, MOVE), -ENODEV);
    EXPECT_EQ(move_pages(0, 1, pages, NULL, status, 1), -EINVAL);
    EXPECT_EQ(move_pages(0x3fffffff, 1, pages, NULL, status, MOVE), -ESRCH);
    EXPECT_EQ(move_pages(0, 1, (void *)8, NULL, status, MOVE), -EFAULT);
    EXPECT_EQ(move_pages(0, 1, pages, NULL, (int *)8, MOVE), -EFAULT);
    EXPECT_EQ(pg_syscall(NR_MIGRATE_PAGES, getpid(), 64, &mask, &mask), 0);
    EXPECT_EQ(pg_syscall(NR_MIGRATE_PAGES, getpid(), 64, &mask, &empty), -EINVAL);
    EXPECT_EQ(pg_syscall(NR_MIGRATE_PAGES, 0x3fffffffl, 64, &mask, &empty), -ESRCH);
    EXPECT_EQ(pg_syscall(NR_MIGRATE_PAGES, 0, 64, 8, &mask), -EFAULT);
    int node = 9; /* of a page, the zero page's too */
    EXPECT_EQ(pg_syscall(NR_GET_MEMPOLICY, &node, NULL, 0, at + PAGE, 3), 0);
    EXPECT_EQ(node, 0);
    EXPECT_EQ(pg_syscall(NR_GET_MEMPOLICY, &node, NULL, 0, at + 3 * PAGE, 3), -EFAULT);

    long parent = getpid();
    int ended = 9;
    pid_t child = fork();
    if (child == 0)
        _exit(pages_of_others(pages, parent));
    EXPECT_EQ(waitpid(child, &ended, 0), child);
    EXPECT_EQ(ended, 0);
}

KTAP_CASE(address_space_limit)
{
    uint64_t limit[2], old[2];

    if (skipped_in_an_emulator())
        return;
    EXPECT_EQ(pg_syscall(NR_PRLIMIT64, 0, RLIMIT_AS_NR, 0, old), 0);
    limit[0] = 64 << 20;
    limit[1] = old[1];
    EXPECT_EQ(pg_syscall(NR_PRLIMIT64, 0, RLIMIT_AS_NR, limit, 0), 0);
    EXPECT_EQ(pg_syscall(SYS_mmap, 0, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
              -12);
    EXPECT_EQ(pg_syscall(NR_PRLIMIT64, 0, RLIMIT_AS_NR, old, 0), 0);
    long at = pg_syscall(SYS_mmap, 0, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(at > 0);
    EXPECT_EQ(pg_syscall(SYS_munmap, at, 128 << 20), 0);
}

/* The whole of a small text of /proc. */
static void read_proc(const char *path, char *text, size_t room)
{
    long fd = pg_syscall(SYS_openat, -100, path, O_RDONLY, 0);
    size_t done = 0;
    long got = 1;

    EXPECT(fd >= 0);
    while (got > 0 && done + 1 < room) {
        got = pg_syscall(SYS_read, fd, text + done, room - 1 - done);
        done += got > 0 ? (size_t)got : 0;
    }
    text[done] = 0;
    pg_syscall(SYS_close, fd);
}

KTAP_CASE(status_and_smaps_have_linux_lines)
{
    static char text[65536];
    static const char *const lines[] = {"VmPeak:\t", "VmSize:\t", "VmLck:\t",
                                        "VmHWM:\t",  "VmRSS:\t",  "RssAnon:\t",
                                        "VmData:\t", "VmStk:\t",  "VmPTE:\t"};

    read_proc("/proc/self/status", text, sizeof text);
    if (!strstr(text, "VmPeak:"))
        return; /* a user-mode emulator shows its own */
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++)
        EXPECT(strstr(text, lines[i]) != NULL);
    read_proc("/proc/self/smaps", text, sizeof text);
    EXPECT(strstr(text, "\nRss: ") && strstr(text, "\nPss: ") && strstr(text, "\nVmFlags: rd "));
}

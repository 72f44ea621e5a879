/* What /proc/PID/status, statm and smaps_rollup tell of a process's memory, kind by kind. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define PAGES 2048L
#define KIB   (PAGES * 4)
#define NEAR  1024 /* KiB: Linux gathers counts per hart before it adds them up */
#define RW    (PROT_READ | PROT_WRITE)

#define EXPECT_NEAR(got_, want_)                                                             \
    do {                                                                                     \
        long got__ = (got_), want__ = (want_);                                               \
        if (got__ < want__ - NEAR || got__ > want__ + NEAR)                                  \
            ktap_fail(__FILE__, __LINE__, "%s is %ld, not about %ld", #got_, got__, want__); \
    } while (0)

static long status(const char *name)
{
    return ktap_proc_number("/proc/self/status", name);
}

static long rollup(const char *name)
{
    return ktap_proc_number("/proc/self/smaps_rollup", name);
}

static long statm(unsigned field)
{
    static char text[256];
    int fd = open("/proc/self/statm", O_RDONLY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    char *at = text;

    close(fd);
    if (bytes <= 0)
        return -1;
    text[bytes] = 0;
    while (field--)
        strtol(at, &at, 10);
    return strtol(at, NULL, 10) * 4;
}

struct counts {
    long anon, file, shmem, resident, shared;
};

static struct counts counts_now(void)
{
    return (struct counts){status("RssAnon:"), status("RssFile:"), status("RssShmem:"),
                           status("VmRSS:"), statm(2)};
}

/* What has come since, by kind. */
static void expect_more(const struct counts *before, long anon, long file, long shmem)
{
    struct counts now = counts_now();

    EXPECT_NEAR(now.anon - before->anon, anon);
    EXPECT_NEAR(now.file - before->file, file);
    EXPECT_NEAR(now.shmem - before->shmem, shmem);
    EXPECT_NEAR(now.resident - before->resident, anon + file + shmem);
    EXPECT_NEAR(now.shared - before->shared, file + shmem);
    EXPECT_EQ(now.resident, now.anon + now.file + now.shmem);
}

static void touch(volatile uint8_t *p, bool write)
{
    for (long i = 0; i < PAGES; i++) {
        if (write)
            p[i * (long)PAGE] = 1;
        else
            (void)p[i * (long)PAGE];
    }
}

KTAP_CASE(resident_pages_by_kind)
{
    SKIP_EMULATED("it shows the host's");
    struct counts before = counts_now();
    uint8_t *anon = ktap_map(PAGES * PAGE, RW);
    int fd = (int)pg_syscall(SYS_memfd_create, (uintptr_t) "counted", 0);

    REQUIRE(anon && fd >= 0 && ftruncate(fd, PAGES * (long)PAGE) == 0);
    madvise(anon, PAGES * PAGE, 15 /* NOHUGEPAGE */);
    touch(anon, false); /* the zero page is nobody's */
    expect_more(&before, 0, 0, 0);
    touch(anon, true);
    expect_more(&before, KIB, 0, 0);

    uint8_t *shared = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED, fd, 0);
    touch(shared, true);
    expect_more(&before, KIB, 0, KIB);
    uint8_t *private = mmap(NULL, PAGES * PAGE, RW, MAP_PRIVATE, fd, 0);
    touch(private, false);
    expect_more(&before, KIB, 0, 2 * KIB);
    touch(private, true); /* copies */
    expect_more(&before, 2 * KIB, 0, KIB);
    EXPECT_NEAR(rollup("Pss_Shmem:"), KIB);
    EXPECT_NEAR(rollup("Pss_Anon:"), 2 * KIB);

    uint8_t *devzero = mmap(NULL, PAGES * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    touch(devzero, true);
    expect_more(&before, 2 * KIB, 0, 2 * KIB);
    munmap(anon, PAGES * PAGE);
    munmap(shared, PAGES * PAGE);
    munmap(private, PAGES * PAGE);
    munmap(devzero, PAGES * PAGE);
    expect_more(&before, 0, 0, 0);
    EXPECT(status("VmHWM:") >= before.resident + 4 * KIB - NEAR);
    close(fd);
}

KTAP_CASE(totals_and_their_peaks)
{
    SKIP_EMULATED("it shows the host's");
    long size = status("VmSize:"), data = status("VmData:"), locked = status("VmLck:");
    uint8_t *p = ktap_map(PAGES * PAGE, RW);

    REQUIRE(p);
    EXPECT_EQ(status("VmSize:"), size + KIB);
    EXPECT_EQ(status("VmData:"), data + KIB);
    EXPECT_EQ(statm(0), size + KIB);
    EXPECT_EQ(statm(5), status("VmData:") + status("VmStk:"));
    EXPECT_EQ(mlock(p, 16 * PAGE), 0);
    EXPECT_EQ(status("VmLck:"), locked + 64);
    EXPECT_EQ(rollup("Locked:"), locked + 64);
    munmap(p, PAGES * PAGE);
    EXPECT_EQ(status("VmSize:"), size);
    EXPECT_EQ(status("VmLck:"), locked);
    EXPECT(status("VmPeak:") >= size + KIB);
    EXPECT_EQ(status("VmPin:"), 0);
    EXPECT_EQ(status("VmSwap:"), 0);
    EXPECT_EQ(status("HugetlbPages:"), 0);
}

/* Leaf tables and those above them, without the root. */
KTAP_CASE(page_tables)
{
    SKIP_EMULATED("it shows the host's");
    long before = status("VmPTE:");
    uint8_t *p = ktap_map(16UL << 20, RW);

    REQUIRE(p && before > 0 && before % 4 == 0);
    madvise(p, 16UL << 20, 15 /* NOHUGEPAGE */);
    for (size_t at = 0; at < 16UL << 20; at += PAGE)
        p[at] = 1;
    long more = status("VmPTE:") - before;
    EXPECT(more >= 7 * 4 && more <= 10 * 4);
    munmap(p, 16UL << 20);
}

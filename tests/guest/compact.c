/*
 * Compaction: memory that was fragmented on purpose, every other page of it given back, is gathered
 * again; no page loses what it holds, in the process and in its child.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/mm.h>

#define RW          (PROT_READ | PROT_WRITE)
#define SOME_PAGES  8192UL
#define KEPT_KIB    12288 /* that are left free when memory is filled */
#define BLOCK_ORDER 9
#define ORDERS      11
#define MANY_PAGES  8192UL /* in a row: more than is left free */

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    ssize_t wrote = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0)
        close(fd);
    return wrote == (ssize_t)strlen(text);
}

static size_t read_file(const char *path, char *to, size_t room)
{
    int fd = open(path, O_RDONLY);
    size_t bytes = 0;
    ssize_t got;

    while (fd >= 0 && bytes < room - 1 && (got = read(fd, to + bytes, room - 1 - bytes)) > 0)
        bytes += (size_t)got;
    to[bytes] = '\0';
    if (fd >= 0)
        close(fd);
    return bytes;
}

static long meminfo(const char *name)
{
    static char text[4096];

    read_file("/proc/meminfo", text, sizeof(text));
    const char *line = strstr(text, name);
    return line ? strtol(line + strlen(name) + 1, NULL, 10) : -1;
}

/* Free chunks by order, of all zones. */
static void buddyinfo(unsigned long chunks[ORDERS])
{
    static char text[4096];

    memset(chunks, 0, ORDERS * sizeof(chunks[0]));
    read_file("/proc/buddyinfo", text, sizeof(text));
    for (char *at = text; (at = strstr(at, "zone")) != NULL;) {
        at += 4 + strspn(at + 4, " ");
        at += strcspn(at, " ");
        for (unsigned order = 0; order < ORDERS; order++)
            chunks[order] += strtoul(at, &at, 10);
    }
}

static unsigned long pages_in_blocks(void)
{
    unsigned long chunks[ORDERS], pages = 0;

    buddyinfo(chunks);
    for (unsigned order = BLOCK_ORDER; order < ORDERS; order++)
        pages += chunks[order] << order;
    return pages;
}

/* Every page says which it is. */
static void fill(uint64_t *words, size_t pages)
{
    for (size_t i = 0; i < pages; i++)
        words[i * (PAGE / 8)] = i * 0x9e3779b97f4a7c15ul + 1;
}

static void thin(uint64_t *words, size_t pages)
{
    for (size_t i = 0; i < pages; i += 2)
        madvise(words + i * (PAGE / 8), PAGE, MADV_DONTNEED);
}

static size_t wrong(const uint64_t *words, size_t pages)
{
    size_t bad = 0;

    for (size_t i = 1; i < pages; i += 2)
        bad += words[i * (PAGE / 8)] != i * 0x9e3779b97f4a7c15ul + 1;
    return bad;
}

KTAP_CASE(contents_survive)
{
    uint64_t *words = ktap_map(SOME_PAGES * PAGE, RW);

    REQUIRE(words != NULL);
    fill(words, SOME_PAGES);
    thin(words, SOME_PAGES);
    if (!write_file("/proc/sys/vm/compact_memory", "1"))
        SKIP("compact_memory cannot be written");
    EXPECT_EQ(wrong(words, SOME_PAGES), 0);
    /* A page that moved is as private, and as zero where it was given back, as it was. */
    for (size_t i = 0; i < SOME_PAGES; i += 2)
        EXPECT_EQ(words[i * (PAGE / 8)], 0);
    words[PAGE / 8] = 7;
    EXPECT_EQ(words[PAGE / 8], 7);
    munmap(words, SOME_PAGES * PAGE);
}

KTAP_CASE(shared_by_fork_stays_shared)
{
    uint64_t *words = ktap_map(SOME_PAGES * PAGE, RW);
    int status = -1;

    REQUIRE(words != NULL);
    fill(words, SOME_PAGES);
    thin(words, SOME_PAGES);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < 3; i++)
            write_file("/proc/sys/vm/compact_memory", "1");
        if (wrong(words, SOME_PAGES))
            _exit(1);
        memset(words, 0x55, SOME_PAGES * PAGE / 4);
        write_file("/proc/sys/vm/compact_memory", "1");
        _exit(words[1] == 0x5555555555555555ul ? 0 : 2);
    }
    /* Meanwhile it is written and read here. */
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < SOME_PAGES; i += 2)
            words[i * (PAGE / 8)] = round;
        EXPECT_EQ(wrong(words, SOME_PAGES), 0);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(wrong(words, SOME_PAGES), 0);
    munmap(words, SOME_PAGES * PAGE);
}

/* All memory but a little is filled, every other page given back. */
KTAP_CASE(pagoda_contiguous_memory_of_fragments)
{
    long free_kib = meminfo("MemFree:");
    unsigned long chunks[ORDERS], now[ORDERS];

    write_file("/proc/sys/vm/compact_memory", "1");
    buddyinfo(chunks);
    REQUIRE(free_kib > 8 * KEPT_KIB);
    size_t pages = (size_t)(free_kib - KEPT_KIB) / 4;
    uint64_t *words = ktap_map(pages * PAGE, RW);
    REQUIRE(words != NULL);
    fill(words, pages);
    thin(words, pages);
    ktap_note("%lu pages filled, half of them freed; %lu pages in whole blocks",
              (unsigned long)pages, pages_in_blocks());
    EXPECT(pages_in_blocks() < MANY_PAGES);
    EXPECT(write_file("/proc/pagoda/contig", "512 512"));
    EXPECT(write_file("/proc/pagoda/contig", "8192 512"));
    EXPECT_EQ(wrong(words, pages), 0);
    EXPECT(write_file("/proc/sys/vm/compact_memory", "1"));
    EXPECT(pages_in_blocks() > pages / 3);
    EXPECT_EQ(wrong(words, pages), 0);
    munmap(words, pages * PAGE);
    write_file("/proc/sys/vm/compact_memory", "1");
    buddyinfo(now);
    EXPECT(now[ORDERS - 1] + 3 >= chunks[ORDERS - 1]);
}

KTAP_CASE(pagoda_bad_numbers_are_refused)
{
    static const char *const bad[] = {
        "", "x", "-1", "0", "0 1", "1 0", "1 3", "1 2 3", "99999999999999999999", "1 99999999999"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = open("/proc/pagoda/contig", O_WRONLY);
        REQUIRE(fd >= 0);
        EXPECT(i == 0 || (write(fd, bad[i], strlen(bad[i])) < 0 && errno == EINVAL));
        close(fd);
    }
    int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
    EXPECT(write(fd, "2", 1) < 0 && errno == EINVAL);
    close(fd);
    fd = open("/proc/sys/vm/compaction_proactiveness", O_WRONLY);
    EXPECT(write(fd, "101", 3) < 0 && errno == EINVAL);
    EXPECT_EQ(write(fd, "20\n", 3), 3);
    close(fd);
    fd = open("/proc/pagoda/memmap", O_WRONLY);
    EXPECT(fd < 0 && errno == EACCES);
}

static bool memory_is_in_order(void)
{
    char text[256] = "";

    return read_file("/proc/pagoda/check", text, sizeof(text)) && strcmp(text, "ok\n") == 0;
}

/* What was free is put aside but for whole chunks, and again. The last case
 * but one: there is less memory for those behind it. */
KTAP_CASE(pagoda_free_memory_in_one_order)
{
    unsigned long chunks[ORDERS], again[ORDERS];
    uint64_t *before = ktap_map(SOME_PAGES * PAGE, RW);

    REQUIRE(before != NULL);
    fill(before, SOME_PAGES);
    thin(before, SOME_PAGES);
    EXPECT(write_file("/proc/pagoda/fresh_memory", "1"));
    buddyinfo(chunks);
    EXPECT(memory_is_in_order());
    uint64_t *words = ktap_map(SOME_PAGES * PAGE, RW);
    REQUIRE(words != NULL);
    fill(words, SOME_PAGES);
    EXPECT_EQ(wrong(words, SOME_PAGES), 0);
    EXPECT_EQ(wrong(before, SOME_PAGES), 0);
    munmap(words, SOME_PAGES * PAGE);
    munmap(before, SOME_PAGES * PAGE); /* where nothing else is free */
    for (unsigned i = 0; i < 3; i++)
        EXPECT(write_file("/proc/pagoda/fresh_memory", "1"));
    buddyinfo(again);
    /* How long the run is depends on what has come to lie in its way. */
    EXPECT(again[ORDERS - 1] > 0 && chunks[ORDERS - 1] > 0);
    EXPECT(memory_is_in_order());
    EXPECT(!write_file("/proc/pagoda/fresh_memory", "2"));
    EXPECT_ERROR(SYSCALL(MM_TUNE, MM_TUNE_FRESH, 1), EPERM);
}

/* What changes something for all goes through /proc, so through the personality. */
KTAP_CASE(pagoda_calls_are_the_personalitys)
{
    char text[64];

    EXPECT_ERROR(SYSCALL(MM_COMPACT, MM_COMPACT_BEGIN, 0), EPERM);
    EXPECT_ERROR(SYSCALL(MM_CONTIG, 1, 1), EPERM);
    EXPECT_ERROR(SYSCALL(MM_CMA, 0, 1, 0, 0), EPERM);
    EXPECT_ERROR(SYSCALL(MM_REPORT, MM_REPORT_LEAK_MARK, 0, text, sizeof(text), 0), EPERM);
    EXPECT_ERROR(SYSCALL(MM_REPORT, MM_REPORT_LEAK_SCAN, 0, text, sizeof(text), 0), EPERM);
    EXPECT(SYSCALL(MM_REPORT, MM_REPORT_MEMMAP, 0, text, sizeof(text), 0) > 0);
    /* There is no such block, and no such place in the text. */
    EXPECT_EQ(SYSCALL(MM_REPORT, MM_REPORT_MEMMAP_BLOCK, ~0UL, text, sizeof(text), 0), 0);
    EXPECT_EQ(SYSCALL(MM_REPORT, MM_REPORT_MEMMAP_BLOCK, 0, text, sizeof(text), 0), 0);
    EXPECT_EQ(SYSCALL(MM_REPORT, MM_REPORT_MEMMAP, 0, text, sizeof(text), ~0UL >> 1), 0);
    EXPECT_EQ(SYSCALL(MM_REPORT, MM_REPORT_MEMMAP, 0, text, sizeof(text), ~0UL - 3), 0);
}

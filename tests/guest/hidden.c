/*
 * What mprotect hides and shows again, and what becomes of the borders of VMAs. All of it was found
 * by the comparison with Linux (tests/diff). A user-mode emulator has page tables and a list of
 * mappings of its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define RW (PROT_READ | PROT_WRITE)

static long map(unsigned pages, long flags)
{
    return pg_syscall(SYS_mmap, 0l, pages * PAGE, (long)RW, MAP_ANONYMOUS | flags, -1l, 0l);
}

static long protect(long at, unsigned pages, long prot)
{
    return pg_syscall(SYS_mprotect, at, pages * PAGE, prot);
}

static bool skipped_in_an_emulator(void)
{
    long at = map(1, MAP_PRIVATE);
    bool emulated = pg_syscall(SYS_madvise, at, PAGE, 9999l) == 0;

    if (emulated)
        ktap_skip("not a user-mode emulator's");
    pg_syscall(SYS_munmap, at, PAGE);
    return emulated;
}

static long minor_faults(void)
{
    static long usage[18];

    pg_syscall(SYS_getrusage, 0l, usage);
    return usage[8];
}

static unsigned present(long at, unsigned pages)
{
    unsigned char there[16];
    unsigned sum = 0;

    EXPECT_EQ(pg_syscall(SYS_mincore, at, pages * PAGE, there), 0);
    for (unsigned i = 0; i < pages; i++)
        sum |= (there[i] & 1u) << i;
    return sum;
}

/* Faults of reading the first word of each page. */
static long read_faults(long at, unsigned pages, uint64_t expected)
{
    long before = minor_faults();
    uint64_t sum = 0;

    for (unsigned i = 0; i < pages; i++)
        sum += *(volatile uint64_t *)(at + i * PAGE);
    long faults = minor_faults() - before;
    EXPECT_EQ(sum, expected);
    return faults;
}

static void hide_and_show(long flags, unsigned there)
{
    long at = map(8, flags);

    *(volatile uint64_t *)at = 5;
    read_faults(at + PAGE, 2, 0);
    *(volatile uint64_t *)(at + 4 * PAGE) = 7;
    unsigned before = present(at, 8);
    EXPECT_EQ(before & there, there);
    EXPECT_EQ(protect(at, 8, PROT_NONE), 0);
    EXPECT_EQ(present(at, 8), before);
    EXPECT_EQ(protect(at, 8, PROT_READ), 0);
    EXPECT_EQ(read_faults(at, 3, 5), 0);
    EXPECT_EQ(read_faults(at + 4 * PAGE, 1, 7), 0);
    EXPECT_EQ(protect(at, 8, PROT_NONE), 0);
    EXPECT_EQ(protect(at, 8, RW), 0);
    long faults = minor_faults();
    *(volatile uint64_t *)at = 6;
    EXPECT_EQ(minor_faults() - faults, 0);
    EXPECT_EQ(read_faults(at, 5, 13), (there >> 3) & 1 ? 0 : 1);
    pg_syscall(SYS_munmap, at, 8 * PAGE);
}

KTAP_CASE(hidden_private_pages_stay)
{
    if (!skipped_in_an_emulator())
        hide_and_show(MAP_PRIVATE, 0x17);
}

KTAP_CASE(hidden_shared_pages_stay)
{
    if (!skipped_in_an_emulator())
        hide_and_show(MAP_SHARED, 0x17);
}

KTAP_CASE(hidden_file_pages_stay_and_go_with_the_file)
{
    static uint64_t page[PAGE / 8] = {11};
    char name[] = "hidden";

    if (skipped_in_an_emulator())
        return;
    long fd = pg_syscall(SYS_memfd_create, name, 0l);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(pg_syscall(SYS_pwrite64, fd, page, PAGE, i * PAGE), (long)PAGE);
    long at = pg_syscall(SYS_mmap, 0l, 4 * PAGE, (long)RW, (long)MAP_SHARED, fd, 0l);
    read_faults(at, 4, 44);
    EXPECT_EQ(protect(at, 4, PROT_NONE), 0);
    EXPECT_EQ(pg_syscall(SYS_ftruncate, fd, 2 * PAGE), 0);
    EXPECT_EQ(present(at, 4), 3);
    EXPECT_EQ(protect(at, 4, RW), 0);
    EXPECT_EQ(read_faults(at, 2, 22), 0);
    EXPECT_EQ(pg_syscall(SYS_ftruncate, fd, 4 * PAGE), 0);
    EXPECT_EQ(read_faults(at + 2 * PAGE, 2, 0) > 0, true);
    pg_syscall(SYS_munmap, at, 4 * PAGE);
    pg_syscall(SYS_close, fd);
}

/* How many lines of maps lie in [start, end). */
static unsigned vmas_in(unsigned long start, unsigned long end)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long from, to;
    unsigned count = 0;
    char line[256];

    while (maps && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            count += from >= start && to <= end;
    }
    if (maps)
        fclose(maps);
    return count;
}

/* Linux 6.12 lets an empty range join a neighbour that has pages, and not the other way round. */
KTAP_CASE(pages_do_not_join_an_empty_neighbour)
{
    if (skipped_in_an_emulator())
        return;
    long at = map(8, MAP_PRIVATE);
    EXPECT_EQ(pg_syscall(SYS_munmap, at, PAGE), 0);
    EXPECT_EQ(pg_syscall(SYS_munmap, at + 7 * PAGE, PAGE), 0);
    at += PAGE;
    EXPECT_EQ(protect(at + 2 * PAGE, 4, PROT_READ), 0);
    *(volatile char *)at = 1;
    /* The empty upper part joins the lower one, which has a page. */
    EXPECT_EQ(protect(at + 2 * PAGE, 4, RW), 0);
    EXPECT_EQ(vmas_in((unsigned long)at, (unsigned long)at + 6 * PAGE), 1);
    /* Both empty, the upper one gets a page: it stays by itself. */
    EXPECT_EQ(pg_syscall(SYS_munmap, at, 6 * PAGE), 0);
    EXPECT_EQ(pg_syscall(SYS_mmap, at, 2 * PAGE, (long)PROT_READ,
                         (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1l, 0l),
              at);
    EXPECT_EQ(pg_syscall(SYS_mmap, at + 2 * PAGE, 4 * PAGE, (long)RW,
                         (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1l, 0l),
              at + 2 * PAGE);
    *(volatile char *)(at + 2 * PAGE) = 1;
    EXPECT_EQ(protect(at + 2 * PAGE, 4, PROT_READ), 0);
    EXPECT_EQ(vmas_in((unsigned long)at, (unsigned long)at + 6 * PAGE), 2);
    pg_syscall(SYS_munmap, at, 6 * PAGE);
}

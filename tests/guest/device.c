/*
 * Registers of a device in a program: /dev/mem as Linux has it where it lets nobody have memory,
 * and Pagoda's capabilities. The device is QEMU's clock of day: two words, nanoseconds since 1970.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"
#include <pagoda/cap.h>
#include <pagoda/mm.h>

#define CLOCK        0x101000UL
#define MEMORY       0x80000000UL
#define YEAR_SECONDS (365L * 24 * 60 * 60)
#define SLOT         20
#define NR_SETRESUID 147
#define SYNC         04010000 /* O_SYNC */
#define NR_IOCTL     29
#define NR_FUTEX     98

static int memory_open(int flags)
{
    return (int)SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t) "/dev/mem", flags, 0);
}

static long map(int fd, uint64_t at, size_t bytes, int prot, int flags)
{
    return SYSCALL(SYS_mmap, 0, bytes, prot, flags, fd, at);
}

static long seconds_of(volatile uint32_t *clock)
{
    uint64_t low = clock[0]; /* it latches the other word */

    return (long)(((uint64_t)clock[1] << 32 | low) / 1000000000);
}

/* The clock's registers, with all that the caller needs; NULL: not here. */
static volatile uint32_t *clock_map(int *fd, int prot)
{
    *fd = memory_open(prot & PROT_WRITE ? O_RDWR | SYNC : O_RDONLY | SYNC);
    long at = *fd < 0 ? -1 : map(*fd, CLOCK, PAGE, prot, MAP_SHARED);
    return at < 0 ? NULL : (volatile uint32_t *)at;
}

KTAP_CASE(pagoda_clock_tells_the_time)
{
    struct timespec now;
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);

    REQUIRE(clock);
    clock_gettime(CLOCK_REALTIME, &now);
    long off = seconds_of(clock) - now.tv_sec;
    EXPECT(off >= -2 && off <= 2);
    EXPECT(now.tv_sec > 50 * YEAR_SECONDS);
    close(fd); /* the mapping stays */
    EXPECT(seconds_of(clock) >= now.tv_sec - 2);
    munmap((void *)(uintptr_t)clock, PAGE);
}

KTAP_CHILD(store)
{
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);

    (void)arg;
    if (!clock)
        return 1;
    clock[0] = 0;
    return 2;
}

KTAP_CHILD(run)
{
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);

    (void)arg;
    if (!clock)
        return 1;
    ((void (*)(void))(uintptr_t)clock)();
    return 2;
}

KTAP_CASE(pagoda_rights_are_kept)
{
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);
    void *page = (void *)(uintptr_t)clock;

    REQUIRE(clock);
    EXPECT_ERROR(map(fd, CLOCK, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), EACCES);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, (uintptr_t)page, PAGE, PROT_READ | PROT_WRITE), EACCES);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, (uintptr_t)page, PAGE, PROT_READ | PROT_EXEC), EACCES);
    EXPECT_EQ(mprotect(page, PAGE, PROT_NONE), 0);
    EXPECT_EQ(mprotect(page, PAGE, PROT_READ), 0);
    EXPECT(seconds_of(clock) > 0);
    munmap(page, PAGE);
    close(fd);
    EXPECT_CHILD_SIGNAL("store", "", SIGSEGV);
    EXPECT_CHILD_SIGNAL("run", "", SIGSEGV);
}

/* No second view of them of another kind, and no view of what is no device. */
KTAP_CASE(pagoda_only_registers_only_shared)
{
    int fd = memory_open(O_RDWR);

    REQUIRE(fd >= 0);
    EXPECT_ERROR(map(fd, CLOCK, PAGE, PROT_READ, MAP_PRIVATE), EINVAL);
    EXPECT_ERROR(map(fd, CLOCK, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED), EPERM);
    EXPECT_ERROR(map(fd, MEMORY, PAGE, PROT_READ, MAP_SHARED), EPERM);
    EXPECT_ERROR(map(fd, MEMORY + (64UL << 20), PAGE, PROT_READ, MAP_SHARED), EPERM);
    EXPECT_ERROR(map(fd, CLOCK, 2 * PAGE, PROT_READ, MAP_SHARED), EPERM);
    EXPECT_ERROR(map(fd, 0, PAGE, PROT_READ, MAP_SHARED), EPERM);
    EXPECT_ERROR(map(fd, 0x10000000, PAGE, PROT_READ, MAP_SHARED), EPERM); /* the console's */
    EXPECT_ERROR(map(fd, CLOCK + 8, PAGE, PROT_READ, MAP_SHARED), EINVAL);
    EXPECT_ERROR(map(fd, -PAGE, PAGE, PROT_READ, MAP_SHARED), EPERM);
    close(fd);
}

static void child_without_right(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        if (pg_syscall(NR_SETRESUID, 7, 7, 7))
            _exit(1);
        _exit(memory_open(O_RDONLY) == -EPERM || memory_open(O_RDONLY) == -EACCES ? 0 : 2);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

KTAP_CASE(only_the_privileged_open_it)
{
    SKIP_EMULATED("the host's file and ids count");
    child_without_right();
}

/* What the kernel, and who answers calls, would touch for a program: they do not. */
KTAP_CASE(pagoda_registers_are_no_buffer)
{
    int fd, out[2];
    volatile uint32_t *clock = clock_map(&fd, PROT_READ | PROT_WRITE);
    uintptr_t at = (uintptr_t)clock;
    uint8_t byte;

    REQUIRE(clock && pipe(out) == 0);
    EXPECT(seconds_of(clock) > 0);
    EXPECT_ERROR(SYSCALL(SYS_write, out[1], at, 8), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_write, out[1], at, 1), EFAULT);
    EXPECT_EQ(SYSCALL(SYS_write, out[1], (uintptr_t) "x", 1), 1);
    EXPECT_ERROR(SYSCALL(SYS_read, out[0], at, 1), EFAULT);
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD, at, O_RDONLY, 0), EFAULT);
    EXPECT_ERROR(SYSCALL(NR_FUTEX, at, 0, 5, 0), EFAULT);                    /* FUTEX_WAIT */
    EXPECT_ERROR(SYSCALL(NR_FUTEX, (uintptr_t)out, 5, 1, 1, at, 0), EFAULT); /* FUTEX_WAKE_OP */
    EXPECT_ERROR(SYSCALL(SYS_read, fd, (uintptr_t)&byte, 1), EFAULT);
    close(out[0]);
    close(out[1]);
    munmap((void *)at, PAGE);
    close(fd);
}

KTAP_CASE(pagoda_other_calls_on_registers)
{
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ | PROT_WRITE);
    uintptr_t at = (uintptr_t)clock;
    uint8_t there = 9;

    REQUIRE(clock && seconds_of(clock) > 0);
    EXPECT_EQ(SYSCALL(SYS_mincore, at, PAGE, (uintptr_t)&there), 0);
    EXPECT_EQ(there, 1);
    EXPECT_ERROR(SYSCALL(SYS_madvise, at, PAGE, MADV_DONTNEED), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_madvise, at, PAGE, 9 /* REMOVE */), ENODEV);
    EXPECT(SYSCALL(SYS_madvise, at, PAGE, 100 /* HWPOISON */) < 0);
    EXPECT_EQ(SYSCALL(SYS_mlock, at, PAGE), 0);
    EXPECT_EQ(SYSCALL(SYS_mprotect, at, PAGE, PROT_READ), 0);
    EXPECT_EQ(SYSCALL(SYS_mprotect, at, PAGE, PROT_READ | PROT_WRITE), 0);
    EXPECT(seconds_of(clock) > 0);
    /* It cannot grow; but it moves. */
    EXPECT_ERROR(SYSCALL(SYS_mremap, at, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0), EFAULT);
    uintptr_t to = (uintptr_t)ktap_map(PAGE, PROT_READ);
    EXPECT_EQ(SYSCALL(SYS_mremap, at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
    EXPECT(seconds_of((volatile uint32_t *)to) > 0);
    munmap((void *)to, PAGE);
    close(fd);
}

/* Of the device in the server's eyes: ops->access, by /proc/PID/mem. */
KTAP_CASE(pagoda_registers_are_seen_from_outside)
{
    int fd, mem = (int)SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t) "/proc/self/mem", O_RDWR, 0);
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);
    uint32_t word[2] = {0, 0};
    uintptr_t at = (uintptr_t)clock;

    REQUIRE(clock && mem >= 0);
    EXPECT_EQ(SYSCALL(SYS_pread64, mem, (uintptr_t)word, 8, at), 8);
    EXPECT(clock[1] - word[1] <= 1 && word[1] > 0);
    EXPECT_ERROR(SYSCALL(SYS_pread64, mem, (uintptr_t)word, 1, at), EIO);
    EXPECT_ERROR(SYSCALL(SYS_pread64, mem, (uintptr_t)word, 4, at + 2), EIO);
    EXPECT_ERROR(SYSCALL(SYS_pwrite64, mem, (uintptr_t)word, 4, at), EIO);
    munmap((void *)at, PAGE);
    close(fd);
    close(mem);
}

/* fork hands the mapping on; what is unmapped, and what ends with a process, is gone. */
KTAP_CASE(pagoda_fork_and_exit_leave_nothing)
{
    struct ktap_vma vma[2];
    int fd, status = 0;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);

    REQUIRE(clock && seconds_of(clock) > 0);
    long table_kib = ktap_proc_number("/proc/self/status", "VmPTE");
    for (unsigned i = 0; i < 8; i++) {
        pid_t child = fork();
        if (child == 0) {
            if (i & 1)
                munmap((void *)(uintptr_t)clock, PAGE);
            else if (seconds_of(clock) == 0)
                _exit(1);
            if (i & 2)
                kill(getpid(), SIGKILL);
            _exit(0);
        }
        EXPECT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, i & 2 ? SIGKILL : 0);
    }
    EXPECT(seconds_of(clock) > 0);
    munmap((void *)(uintptr_t)clock, PAGE);
    EXPECT_EQ(
        ktap_vmas((const void *)(uintptr_t)clock, (const uint8_t *)(uintptr_t)clock + PAGE, vma, 2),
        0);
    EXPECT(ktap_proc_number("/proc/self/status", "VmPTE") <= table_kib);
    close(fd);
    EXPECT_EQ(pg_syscall(MM_CHECK, 0), 0);
}

/* ---- by capability ---- */

static long grant(int fd, uint64_t address, uint64_t bytes, uint64_t slot)
{
    const struct mm_device_grant wanted = {address, bytes, slot};

    return SYSCALL(NR_IOCTL, fd, MM_DEVICE_GRANT_IOCTL, (uintptr_t)&wanted);
}

static long device_map(uint64_t slot, int prot)
{
    return ktap_raw(pg_syscall(MM_DEVICE_MAP, slot, prot));
}

KTAP_CHILD(by_capability)
{
    int fd = memory_open(O_RDWR), reader = memory_open(O_RDONLY), status = 0;

    (void)arg;
    if (fd < 0 || grant(fd, CLOCK, PAGE, SLOT) != -EINVAL) /* no table yet */
        return 1;
    if (pg_syscall(MM_NATIVE_ENABLE, 64) || device_map(SLOT, PROT_READ) != -EBADF)
        return 2;
    if (grant(reader, CLOCK, PAGE, SLOT) != -EACCES || grant(fd, MEMORY, PAGE, SLOT) != -EPERM ||
        grant(fd, 0x10000000, PAGE, SLOT) != -EPERM || grant(fd, CLOCK, 2 * PAGE, SLOT) != -EPERM ||
        grant(fd, CLOCK, 0, SLOT) != -EINVAL || grant(fd, CLOCK, PAGE, 1UL << 40) != -EINVAL)
        return 3;
    if (grant(fd, CLOCK, PAGE, NATIVE_TABLE) != -EEXIST || grant(fd, CLOCK, PAGE, SLOT) ||
        grant(fd, CLOCK, PAGE, SLOT + 1) != -EBUSY)
        return 4;
    close(fd);
    if (device_map(SLOT, PROT_READ | PROT_EXEC) != -EINVAL)
        return 5;
    volatile uint32_t *clock = (volatile uint32_t *)device_map(SLOT, PROT_READ | PROT_WRITE);
    if (seconds_of(clock) < 50 * YEAR_SECONDS)
        return 6;
    pid_t child = fork();
    if (child == 0) { /* neither the capability nor the mapping is inherited */
        if (device_map(SLOT, PROT_READ) != -EINVAL)
            _exit(1);
        (void)clock[0];
        _exit(2);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 0 : 7;
}

KTAP_CASE(pagoda_a_capability_gives_registers)
{
    int fd;
    volatile uint32_t *clock = clock_map(&fd, PROT_READ);

    REQUIRE(clock && seconds_of(clock) > 0);
    /* Each time it is given back, and this mapping is not in its way. */
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_CHILD_EXIT("by_capability", "", 0);
        EXPECT(seconds_of(clock) > 0);
    }
    munmap((void *)(uintptr_t)clock, PAGE);
    close(fd);
    EXPECT_EQ(pg_syscall(MM_CHECK, 0), 0);
}

KTAP_CASE(pagoda_iomem_lists_registers)
{
    static char text[4096];
    int fd = (int)SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t) "/proc/iomem", O_RDONLY, 0);
    long bytes = fd < 0 ? -1 : SYSCALL(SYS_read, fd, (uintptr_t)text, sizeof(text) - 1);

    REQUIRE(bytes > 0);
    EXPECT(strstr(text, "00101000-00101fff : google,goldfish-rtc\n"));
    EXPECT(strstr(text, " : System RAM\n"));
    close(fd);
}

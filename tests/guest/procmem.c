/* /proc/PID/mem: the memory of a process as a file. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_SETRESUID 147
#define WRONG        "it hands guest addresses to the host's file, which has other rights for them"

static int own_mem(void)
{
    return (int)pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t) "/proc/self/mem", O_RDWR, 0);
}

static long get(int mem, const void *from, void *to, size_t bytes)
{
    return SYSCALL(SYS_pread64, mem, (uintptr_t)to, bytes, (uintptr_t)from);
}

static long put(int mem, const void *to, const void *from, size_t bytes)
{
    return SYSCALL(SYS_pwrite64, mem, (uintptr_t)from, bytes, (uintptr_t)to);
}

/* A private mapping of a memory file whose pages hold their number + 1. */
static uint8_t *file_map(int *fd, size_t pages, int prot, int flags)
{
    *fd = (int)pg_syscall(SYS_memfd_create, (uintptr_t) "procmem", 0);
    for (size_t i = 0; i < pages; i++) {
        uint8_t number = (uint8_t)(i + 1);
        pg_syscall(SYS_pwrite64, *fd, (uintptr_t)&number, 1, i * PAGE);
    }
    pg_syscall(SYS_ftruncate, *fd, pages * PAGE);
    return mmap(NULL, pages * PAGE, prot, flags, *fd, 0);
}

KTAP_CASE(reads_and_writes_at_addresses)
{
    uint8_t *p = ktap_map(4 * PAGE, PROT_READ | PROT_WRITE), buffer[3 * PAGE];
    int mem = own_mem();

    REQUIRE(p && mem >= 0);
    p[PAGE] = 7;
    p[2 * PAGE] = 8;
    EXPECT_EQ(get(mem, p + PAGE - 1, buffer, PAGE + 3), PAGE + 3);
    EXPECT(buffer[0] == 0 && buffer[1] == 7 && buffer[PAGE + 1] == 8);
    memset(buffer, 5, sizeof(buffer));
    EXPECT_EQ(put(mem, p + 100, buffer, 2 * PAGE), 2 * PAGE);
    EXPECT(p[99] == 0 && p[100] == 5 && p[2 * PAGE + 99] == 5 && p[2 * PAGE + 100] == 0);
    EXPECT_EQ(get(mem, p + 3 * PAGE, buffer, 1), 1); /* never touched */
    EXPECT_EQ(buffer[0], 0);
    EXPECT_EQ(get(mem, p, buffer, 0), 0);
    munmap(p, 4 * PAGE);
    close(mem);
}

KTAP_CASE(position_is_an_address)
{
    static uint8_t word[4] = {1, 2, 3, 4};
    uint8_t buffer[4] = {0};
    int mem = own_mem();

    REQUIRE(mem >= 0);
    EXPECT_EQ(pg_syscall(SYS_lseek, mem, (uintptr_t)word, SEEK_SET), (uintptr_t)word);
    EXPECT_EQ(SYSCALL(SYS_read, mem, (uintptr_t)buffer, 2), 2);
    EXPECT_EQ(pg_syscall(SYS_lseek, mem, 1, SEEK_CUR), (uintptr_t)word + 3);
    EXPECT_EQ(SYSCALL(SYS_read, mem, (uintptr_t)buffer + 2, 1), 1);
    EXPECT(buffer[0] == 1 && buffer[1] == 2 && buffer[2] == 4);
    EXPECT_ERROR(SYSCALL(SYS_lseek, mem, 0, SEEK_END), EINVAL);
    EXPECT_EQ(pg_syscall(SYS_lseek, mem, (uintptr_t)word, SEEK_SET), (uintptr_t)word);
    EXPECT_EQ(SYSCALL(SYS_write, mem, (uintptr_t) "ab", 2), 2);
    EXPECT(word[0] == 'a' && word[1] == 'b' && word[2] == 3);
    close(mem);
}

KTAP_CASE(nothing_there_is_EIO)
{
    uint8_t *p = ktap_map(3 * PAGE, PROT_READ | PROT_WRITE), buffer[2 * PAGE];
    int mem = own_mem();

    REQUIRE(p && mem >= 0);
    p[0] = 1;
    munmap(p + PAGE, PAGE);
    EXPECT_ERROR(get(mem, p + PAGE, buffer, 1), EIO);
    EXPECT_ERROR(put(mem, p + PAGE, buffer, 1), EIO);
    EXPECT_EQ(get(mem, p + PAGE - 10, buffer, 20), 10);
    EXPECT_EQ(get(mem, p, buffer, sizeof(buffer)), PAGE);
    EXPECT_ERROR(get(mem, (void *)-PAGE, buffer, 1), EINVAL);
    pg_syscall(SYS_lseek, mem, -PAGE, SEEK_SET);
    EXPECT_ERROR(SYSCALL(SYS_read, mem, (uintptr_t)buffer, 1), EIO);
    EXPECT_ERROR(get(mem, NULL, buffer, 1), EIO);
    /* The caller's own memory is bad: told, whatever was moved. */
    EXPECT_ERROR(get(mem, p, p + PAGE, 1), EFAULT);
    EXPECT_ERROR(put(mem, p, p + PAGE, 1), EFAULT);
    EXPECT_EQ(p[0], 1);
    munmap(p, 3 * PAGE);
    close(mem);
}

KTAP_CHILD(store_to)
{
    uint8_t *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mem = own_mem();

    if (put(mem, p, arg, 1) != 1 || p[0] != (uint8_t)*arg)
        return 1;
    *(volatile uint8_t *)p = 1; /* it has become no more writable by that */
    return 2;
}

KTAP_CASE(read_only_private_memory_is_copied)
{
    uint8_t *p, value = 0;
    int fd, mem = own_mem();

    SKIP_EMULATED(WRONG);
    p = file_map(&fd, 3, PROT_READ, MAP_PRIVATE);
    REQUIRE(p != MAP_FAILED && mem >= 0);
    EXPECT_EQ(p[0], 1); /* a page of the file is mapped; the next one is not yet there */
    EXPECT_EQ(put(mem, p, "x", 1), 1);
    EXPECT_EQ(put(mem, p + 2 * PAGE, "y", 1), 1);
    EXPECT(p[0] == 'x' && p[PAGE] == 2 && p[2 * PAGE] == 'y' && p[2 * PAGE + 1] == 0);
    EXPECT_EQ(pg_syscall(SYS_pread64, fd, (uintptr_t)&value, 1, 0), 1);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(pg_syscall(SYS_pread64, fd, (uintptr_t)&value, 1, 2 * PAGE), 1);
    EXPECT_EQ(value, 3);
    EXPECT_EQ(put(mem, p, "z", 1), 1);
    EXPECT_EQ(p[0], 'z');
    munmap(p, 3 * PAGE);
    close(fd);
    close(mem);
    EXPECT_CHILD_SIGNAL("store_to", "q", SIGSEGV);
}

KTAP_CASE(read_only_zero_page_is_replaced)
{
    uint8_t *p = ktap_map(2 * PAGE, PROT_READ);
    int mem = own_mem();

    SKIP_EMULATED(WRONG);
    REQUIRE(p && mem >= 0);
    EXPECT_EQ(*(volatile uint8_t *)p, 0); /* the zero page */
    EXPECT_EQ(put(mem, p, "a", 1), 1);
    EXPECT_EQ(put(mem, p + PAGE, "b", 1), 1);
    EXPECT(p[0] == 'a' && p[1] == 0 && p[PAGE] == 'b');
    EXPECT_EQ(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
    p[0] = 'c';
    EXPECT(p[0] == 'c' && p[PAGE] == 'b');
    munmap(p, 2 * PAGE);
    close(mem);
}

KTAP_CASE(inaccessible_memory_is_reached)
{
    uint8_t *p = ktap_map(3 * PAGE, PROT_READ | PROT_WRITE), buffer[4] = {9, 9, 9, 9};
    int mem = own_mem(), fd;

    SKIP_EMULATED(WRONG);
    REQUIRE(p && mem >= 0);
    p[0] = 'p';
    EXPECT_EQ(mprotect(p, 3 * PAGE, PROT_NONE), 0);
    EXPECT_EQ(get(mem, p, buffer, 1), 1);
    EXPECT_EQ(get(mem, p + PAGE, buffer + 1, 1), 1); /* never touched: read, then written */
    EXPECT(buffer[0] == 'p' && buffer[1] == 0);
    EXPECT_EQ(put(mem, p, "q", 1), 1);
    EXPECT_EQ(put(mem, p + PAGE, "r", 1), 1);
    EXPECT_EQ(put(mem, p + 2 * PAGE, "s", 1), 1);
    EXPECT_EQ(mprotect(p, 3 * PAGE, PROT_READ), 0);
    EXPECT(p[0] == 'q' && p[PAGE] == 'r' && p[PAGE + 1] == 0 && p[2 * PAGE] == 's');
    munmap(p, 3 * PAGE);

    p = file_map(&fd, 3, PROT_NONE, MAP_PRIVATE);
    REQUIRE(p != MAP_FAILED);
    EXPECT_EQ(get(mem, p, buffer, 1), 1);
    EXPECT_EQ(buffer[0], 1);
    EXPECT_EQ(put(mem, p, "t", 1), 1);
    EXPECT_EQ(put(mem, p + PAGE, "u", 1), 1);
    EXPECT_EQ(mprotect(p, 3 * PAGE, PROT_READ), 0);
    EXPECT(p[0] == 't' && p[PAGE] == 'u' && p[PAGE + 1] == 0 && p[2 * PAGE] == 3);
    munmap(p, 3 * PAGE);
    close(fd);
    close(mem);
}

KTAP_CASE(shared_memory_keeps_its_rights)
{
    int mem = own_mem(), fd;
    uint8_t *p = file_map(&fd, 2, PROT_READ, MAP_SHARED), value = 0;

    SKIP_EMULATED(WRONG);
    REQUIRE(p != MAP_FAILED && mem >= 0);
    EXPECT_ERROR(put(mem, p, "x", 1), EIO);
    EXPECT_EQ(p[0], 1);
    EXPECT_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
    EXPECT_EQ(put(mem, p, "x", 1), 1);
    EXPECT_EQ(pg_syscall(SYS_pread64, fd, (uintptr_t)&value, 1, 0), 1);
    EXPECT_EQ(value, 'x');
    EXPECT_EQ(mprotect(p, PAGE, PROT_NONE), 0);
    EXPECT_EQ(get(mem, p, &value, 1), 1);
    EXPECT_ERROR(put(mem, p, "y", 1), EIO);
    /* Behind the end of the file there is nothing. */
    EXPECT_EQ(pg_syscall(SYS_ftruncate, fd, PAGE), 0);
    EXPECT_ERROR(get(mem, p + PAGE, &value, 1), EIO);
    munmap(p, 2 * PAGE);
    close(fd);
    close(mem);
}

/* What another process has, and what it shares with this one since the fork. */
KTAP_CASE(of_another_process)
{
    uint8_t *p = ktap_map(2 * PAGE, PROT_READ | PROT_WRITE), value = 0;
    int go[2], done[2], status = 0;
    char path[64];

    SKIP_EMULATED(WRONG);
    REQUIRE(p && pipe(go) == 0 && pipe(done) == 0);
    p[0] = 'a';
    p[PAGE] = 'b';
    pid_t child = fork();
    if (child == 0) {
        p[PAGE] = 'c';
        if (write(done[1], "", 1) != 1 || read(go[0], &value, 1) != 1)
            _exit(1);
        _exit(p[0] == 'x' && p[PAGE] == 'y' ? 0 : 2);
    }
    REQUIRE(child > 0 && read(done[0], &value, 1) == 1);
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)child);
    int mem = (int)pg_syscall(SYS_openat, AT_FDCWD, (uintptr_t)path, O_RDWR, 0);
    REQUIRE(mem >= 0);
    EXPECT_EQ(get(mem, p + PAGE, &value, 1), 1);
    EXPECT_EQ(value, 'c');
    EXPECT_EQ(put(mem, p, "x", 1), 1);
    EXPECT_EQ(put(mem, p + PAGE, "y", 1), 1);
    EXPECT(p[0] == 'a' && p[PAGE] == 'b');
    EXPECT_EQ(write(go[1], "", 1), 1);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(get(mem, p, &value, 1), 0); /* it has gone: the end of the file */
    close(mem);
    for (unsigned i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
    munmap(p, 2 * PAGE);
}

KTAP_CASE(only_who_may_look_opens_it)
{
    char path[64];
    int status = 0;

    SKIP_EMULATED("the host's ids count");
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)getpid());
    pid_t child = fork();
    if (child == 0) {
        long mine = SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t)path, O_RDONLY, 0);
        if (mine < 0 || pg_syscall(NR_SETRESUID, 7, 7, 7))
            _exit(1);
        long other = SYSCALL(SYS_openat, AT_FDCWD, (uintptr_t)path, O_RDONLY, 0);
        _exit(other == -EACCES ? 0 : 2);
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

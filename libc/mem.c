/*
 * Memory calls, and sbrk, from which malloc takes its memory.
 *
 * The break is kept here as the kernel last told it; sbrk is only called under malloc's lock, and
 * a program that calls brk itself must not use malloc at the same time.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg.h"

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return (void *)pg_ret(
        pg_syscall(SYS_mmap, addr, length, (long)prot, (long)flags, (long)fd, offset));
}

int munmap(void *addr, size_t length)
{
    return (int)pg_ret(pg_syscall(SYS_munmap, addr, length));
}

int mprotect(void *addr, size_t length, int prot)
{
    return (int)pg_ret(pg_syscall(SYS_mprotect, addr, length, (long)prot));
}

void *mremap(void *addr, size_t old_length, size_t new_length, int flags, ...)
{
    void *new_addr = NULL;

    if (flags & MREMAP_FIXED) {
        va_list args;
        va_start(args, flags);
        new_addr = va_arg(args, void *);
        va_end(args);
    }
    return (void *)pg_ret(
        pg_syscall(SYS_mremap, addr, old_length, new_length, (long)flags, new_addr));
}

int madvise(void *addr, size_t length, int advice)
{
    return (int)pg_ret(pg_syscall(SYS_madvise, addr, length, (long)advice));
}

int msync(void *addr, size_t length, int flags)
{
    return (int)pg_ret(pg_syscall(SYS_msync, addr, length, (long)flags));
}

int mincore(void *addr, size_t length, unsigned char *vec)
{
    return (int)pg_ret(pg_syscall(SYS_mincore, addr, length, vec));
}

int mlock(const void *addr, size_t length)
{
    return (int)pg_ret(pg_syscall(SYS_mlock, addr, length));
}

int munlock(const void *addr, size_t length)
{
    return (int)pg_ret(pg_syscall(SYS_munlock, addr, length));
}

int mlockall(int flags)
{
    return (int)pg_ret(pg_syscall(SYS_mlockall, (long)flags));
}

int munlockall(void)
{
    return (int)pg_ret(pg_syscall(SYS_munlockall));
}

int memfd_create(const char *name, unsigned int flags)
{
    return (int)pg_ret(pg_syscall(SYS_memfd_create, name, (long)flags));
}

int brk(void *end)
{
    /* The call gives the break that now holds; it never gives an error number. */
    if ((void *)pg_syscall(SYS_brk, end) == end)
        return 0;
    errno = ENOMEM;
    return -1;
}

void *sbrk(ptrdiff_t increment)
{
    uintptr_t old = (uintptr_t)pg_syscall(SYS_brk, 0l);

    if (increment == 0)
        return (void *)old;
    if (brk((void *)(old + (uintptr_t)increment)) < 0)
        return (void *)-1;
    return (void *)old;
}

int getpagesize(void)
{
    return 4096;
}

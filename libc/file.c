/* Files and descriptors: thin wrappers of the system calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg.h"

int openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return (int)pg_ret(pg_syscall(SYS_openat, (long)dirfd, path, (long)flags, (long)mode));
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    if (flags & O_CREAT) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    return openat(AT_FDCWD, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    return (int)pg_ret(pg_syscall(SYS_close, (long)fd));
}

ssize_t read(int fd, void *buf, size_t size)
{
    return pg_ret(pg_syscall(SYS_read, (long)fd, buf, size));
}

ssize_t write(int fd, const void *buf, size_t size)
{
    return pg_ret(pg_syscall(SYS_write, (long)fd, buf, size));
}

ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
    return pg_ret(pg_syscall(SYS_pread64, (long)fd, buf, size, offset));
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
    return pg_ret(pg_syscall(SYS_pwrite64, (long)fd, buf, size, offset));
}

off_t lseek(int fd, off_t offset, int whence)
{
    return pg_ret(pg_syscall(SYS_lseek, (long)fd, offset, (long)whence));
}

int fstatat(int dirfd, const char *path, struct stat *out, int flags)
{
    return (int)pg_ret(pg_syscall(SYS_newfstatat, (long)dirfd, path, out, (long)flags));
}

int stat(const char *path, struct stat *out)
{
    return fstatat(AT_FDCWD, path, out, 0);
}

int lstat(const char *path, struct stat *out)
{
    return fstatat(AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW);
}

int fstat(int fd, struct stat *out)
{
    return (int)pg_ret(pg_syscall(SYS_fstat, (long)fd, out));
}

int mkdir(const char *path, mode_t mode)
{
    return (int)pg_ret(pg_syscall(SYS_mkdirat, (long)AT_FDCWD, path, (long)mode));
}

int unlink(const char *path)
{
    return (int)pg_ret(pg_syscall(SYS_unlinkat, (long)AT_FDCWD, path, 0l));
}

int rmdir(const char *path)
{
    return (int)pg_ret(pg_syscall(SYS_unlinkat, (long)AT_FDCWD, path, (long)AT_REMOVEDIR));
}

int access(const char *path, int mode)
{
    return (int)pg_ret(pg_syscall(SYS_faccessat, (long)AT_FDCWD, path, (long)mode));
}

int ftruncate(int fd, off_t length)
{
    return (int)pg_ret(pg_syscall(SYS_ftruncate, (long)fd, length));
}

ssize_t readlink(const char *path, char *buf, size_t size)
{
    return pg_ret(pg_syscall(SYS_readlinkat, (long)AT_FDCWD, path, buf, size));
}

int fcntl(int fd, int cmd, ...)
{
    va_list args;
    va_start(args, cmd);
    long arg = va_arg(args, long);
    va_end(args);
    return (int)pg_ret(pg_syscall(SYS_fcntl, (long)fd, (long)cmd, arg));
}

int dup(int fd)
{
    return (int)pg_ret(pg_syscall(SYS_dup, (long)fd));
}

int dup3(int old_fd, int new_fd, int flags)
{
    return (int)pg_ret(pg_syscall(SYS_dup3, (long)old_fd, (long)new_fd, (long)flags));
}

int dup2(int old_fd, int new_fd)
{
    /* dup3 refuses equal numbers; dup2 answers with the number when it is open. */
    if (old_fd == new_fd)
        return fcntl(old_fd, F_GETFD) < 0 ? -1 : new_fd;
    return dup3(old_fd, new_fd, 0);
}

int pipe2(int fds[2], int flags)
{
    return (int)pg_ret(pg_syscall(SYS_pipe2, fds, (long)flags));
}

int pipe(int fds[2])
{
    return pipe2(fds, 0);
}

int chdir(const char *path)
{
    return (int)pg_ret(pg_syscall(SYS_chdir, path));
}

char *getcwd(char *buf, size_t size)
{
    return pg_ret(pg_syscall(SYS_getcwd, buf, size)) < 0 ? NULL : buf;
}

/* struct stat exactly as the Linux riscv64 system calls fill it, and the mode bits. */
#ifndef PG_SYS_STAT_H
#define PG_SYS_STAT_H

#include <sys/types.h>
#include <sys/timespec.h>

struct stat {
    unsigned long st_dev;
    unsigned long st_ino;
    unsigned int st_mode;
    unsigned int st_nlink;
    unsigned int st_uid;
    unsigned int st_gid;
    unsigned long st_rdev;
    unsigned long st_reserved1;
    long st_size;
    int st_blksize;
    int st_reserved2;
    long st_blocks; /* in units of 512 bytes */
    struct timespec st_atim;
    struct timespec st_mtim;
    struct timespec st_ctim;
    unsigned int st_reserved3[2];
};

_Static_assert(sizeof(struct stat) == 128, "the kernel's struct stat");

#define S_IFMT   0170000
#define S_IFSOCK 0140000
#define S_IFLNK  0120000
#define S_IFREG  0100000
#define S_IFBLK  0060000
#define S_IFDIR  0040000
#define S_IFCHR  0020000
#define S_IFIFO  0010000

#define S_ISDIR(mode) (((mode)&S_IFMT) == S_IFDIR)
#define S_ISREG(mode) (((mode)&S_IFMT) == S_IFREG)
#define S_ISCHR(mode) (((mode)&S_IFMT) == S_IFCHR)
#define S_ISBLK(mode) (((mode)&S_IFMT) == S_IFBLK)
#define S_ISLNK(mode) (((mode)&S_IFMT) == S_IFLNK)

#define S_IRUSR 0400
#define S_IWUSR 0200
#define S_IXUSR 0100

int stat(const char *path, struct stat *out);
int lstat(const char *path, struct stat *out);
int fstat(int fd, struct stat *out);
int fstatat(int dirfd, const char *path, struct stat *out, int flags);
int mkdir(const char *path, mode_t mode);

#endif

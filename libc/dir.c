/* Directory streams: one buffer of entries as getdents64 filled it, handed out one by one. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pg.h"

struct pg_dir {
    int fd;
    long used; /* bytes of entries in buf */
    long next; /* offset of the next entry to hand out */
    char buf[4096] __attribute__((aligned(8)));
};

long getdents64(int fd, void *buf, size_t size)
{
    return pg_ret(pg_syscall(SYS_getdents64, (long)fd, buf, size));
}

DIR *opendir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    DIR *dir = malloc(sizeof(*dir));
    if (dir == NULL) {
        close(fd);
        return NULL;
    }
    dir->fd = fd;
    dir->used = 0;
    dir->next = 0;
    return dir;
}

struct dirent *readdir(DIR *dir)
{
    if (dir->next >= dir->used) {
        dir->used = getdents64(dir->fd, dir->buf, sizeof(dir->buf));
        dir->next = 0;
        if (dir->used <= 0) {
            dir->used = 0;
            return NULL;
        }
    }
    struct dirent *entry = (struct dirent *)(dir->buf + dir->next);
    dir->next += entry->d_reclen;
    return entry;
}

void rewinddir(DIR *dir)
{
    lseek(dir->fd, 0, SEEK_SET);
    dir->used = 0;
    dir->next = 0;
}

int dirfd(DIR *dir)
{
    return dir->fd;
}

int closedir(DIR *dir)
{
    int fd = dir->fd;

    free(dir);
    return close(fd);
}

/* Directory streams over getdents64. */
#ifndef PG_DIRENT_H
#define PG_DIRENT_H

#include <sys/types.h>

#define DT_UNKNOWN 0
#define DT_CHR     2
#define DT_DIR     4
#define DT_REG     8
#define DT_LNK     10

/* One entry, as getdents64 writes it (struct linux_dirent64). */
struct dirent {
    unsigned long d_ino;
    long d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[256];
};

typedef struct pg_dir DIR;

DIR *opendir(const char *path);
struct dirent *readdir(DIR *dir);
void rewinddir(DIR *dir);
int closedir(DIR *dir);
int dirfd(DIR *dir);

/* The raw call: fills buf with entries, gives their bytes, 0 at the end, -1 with errno. */
long getdents64(int fd, void *buf, size_t size);

#endif

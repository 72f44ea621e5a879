/*
 * Reader of cpio archives in the "newc" format (magic 070701, or 070702 whose checksums are not
 * verified). It looks at an archive in memory and returns pointers into it; nothing is copied or
 * allocated. Every length is checked against the archive before it is used.
 */
#ifndef LIB_CPIO_H
#define LIB_CPIO_H

#include <stddef.h>
#include <stdint.h>

enum cpio_error {
    CPIO_OK,
    CPIO_SHORT,  /* the archive ends inside an entry, or without a trailer */
    CPIO_MAGIC,  /* an entry does not begin with the magic number */
    CPIO_NUMBER, /* a field is not eight hexadecimal digits */
    CPIO_NAME    /* a name is empty or not terminated */
};

/* File type bits of `mode`. */
#define CPIO_TYPE_MASK    0170000u
#define CPIO_TYPE_FILE    0100000u
#define CPIO_TYPE_DIR     0040000u
#define CPIO_TYPE_SYMLINK 0120000u

struct cpio_entry {
    const char *name;    /* as stored, NUL-terminated; see cpio_path() */
    const uint8_t *data; /* contents, or the target of a symbolic link (not terminated) */
    uint64_t bytes;
    uint64_t data_offset; /* of `data` in the archive */
    uint32_t mode;
    uint32_t inode;
    uint32_t links;
    uint32_t mtime;
};

/* The entry at *position (start with 0), which moves on. 1: an entry; 0: the trailer was reached;
 * negative: -enum cpio_error. */
int cpio_next(const void *archive, size_t archive_bytes, size_t *position, struct cpio_entry *e);
/* The last entry of that path; 1: found, 0: not in the archive, negative: -enum cpio_error. */
int cpio_find(const void *archive, size_t archive_bytes, const char *path, struct cpio_entry *e);
/* A stored name without leading "./" and "/". The archive's root becomes "" or ".". */
const char *cpio_path(const char *name);
const char *cpio_error_text(int error);

#endif

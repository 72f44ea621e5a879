/* Archives in cpio's newc format: see cpio.h. */
#include "lib/cpio.h"

#include <stdbool.h>
#include <string.h>

/* An entry: a header of 110 characters, the name, padding to 4, the contents, padding to 4. */
#define MAGIC_CHARS  6u
#define FIELD_CHARS  8u
#define HEADER_CHARS 110u

enum {
    FIELD_INODE,
    FIELD_MODE,
    FIELD_UID,
    FIELD_GID,
    FIELD_LINKS,
    FIELD_MTIME,
    FIELD_FILE_BYTES,
    FIELD_DEVICE_MAJOR,
    FIELD_DEVICE_MINOR,
    FIELD_RDEVICE_MAJOR,
    FIELD_RDEVICE_MINOR,
    FIELD_NAME_BYTES,
    FIELD_CHECK,
    FIELDS
};

static bool parse_hex(const uint8_t *digits, uint32_t *value)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < FIELD_CHARS; i++) {
        uint8_t c = digits[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            v = v << 4 | (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    *value = v;
    return true;
}

static uint64_t align4(uint64_t n)
{
    return (n + 3) & ~3UL;
}

/* Position is at most archive_bytes; fields are 32 bits: sums of them cannot wrap 64. */
static int parse_header(const uint8_t *p, size_t left, uint32_t field[FIELDS])
{
    if (left < HEADER_CHARS)
        return -CPIO_SHORT;
    if (memcmp(p, "070701", MAGIC_CHARS) != 0 && memcmp(p, "070702", MAGIC_CHARS) != 0)
        return -CPIO_MAGIC;
    for (unsigned i = 0; i < FIELDS; i++)
        if (!parse_hex(p + MAGIC_CHARS + i * FIELD_CHARS, &field[i]))
            return -CPIO_NUMBER;
    return CPIO_OK;
}

int cpio_next(const void *archive, size_t archive_bytes, size_t *position, struct cpio_entry *e)
{
    uint32_t field[FIELDS];
    if (*position > archive_bytes)
        return -CPIO_SHORT;
    const uint8_t *p = (const uint8_t *)archive + *position;
    uint64_t left = archive_bytes - *position;
    int error = parse_header(p, left, field);
    if (error)
        return error;

    uint64_t name_bytes = field[FIELD_NAME_BYTES];
    uint64_t data_at = align4(HEADER_CHARS + name_bytes);
    if (HEADER_CHARS + name_bytes > left)
        return -CPIO_SHORT;
    const char *name = (const char *)p + HEADER_CHARS;
    if (name_bytes < 2 || memchr(name, 0, name_bytes) != name + name_bytes - 1)
        return -CPIO_NAME;
    if (strcmp(name, "TRAILER!!!") == 0)
        return 0;
    if (data_at > left || field[FIELD_FILE_BYTES] > left - data_at)
        return -CPIO_SHORT;

    e->name = name;
    e->data = p + data_at;
    e->bytes = field[FIELD_FILE_BYTES];
    e->data_offset = *position + data_at;
    e->mode = field[FIELD_MODE];
    e->inode = field[FIELD_INODE];
    e->links = field[FIELD_LINKS];
    e->mtime = field[FIELD_MTIME];
    *position += align4(data_at + e->bytes);
    return 1;
}

const char *cpio_path(const char *name)
{
    for (;;) {
        if (name[0] == '/')
            name++;
        else if (name[0] == '.' && name[1] == '/')
            name += 2;
        else
            return name;
    }
}

int cpio_find(const void *archive, size_t archive_bytes, const char *path, struct cpio_entry *e)
{
    size_t position = 0;
    struct cpio_entry entry;
    int found = 0;
    path = cpio_path(path);
    for (;;) {
        int result = cpio_next(archive, archive_bytes, &position, &entry);
        if (result < 0)
            return result;
        if (result == 0)
            return found;
        if (strcmp(cpio_path(entry.name), path) == 0) {
            *e = entry;
            found = 1;
        }
    }
}

const char *cpio_error_text(int error)
{
    static const char *const text[] = {
        [CPIO_OK] = "no error",
        [CPIO_SHORT] = "the archive is cut off",
        [CPIO_MAGIC] = "this is no newc archive, or it is damaged",
        [CPIO_NUMBER] = "a number in the archive is malformed",
        [CPIO_NAME] = "a name in the archive is malformed",
    };
    if (error < 0)
        error = -error;
    return (unsigned)error < sizeof text / sizeof *text ? text[error] : "unknown error";
}

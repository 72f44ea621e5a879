/* File descriptor tables (see fd.h). */
#include "user/linux/fd.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/file.h"
#include "user/linux/filelock.h"
#include "user/linux/lock.h"
#include "user/linux/spare.h"

static struct spare spare_table;

struct file *fd_get(const struct fd_table *table, int64_t fd)
{
    return fd >= 0 && fd < table->end ? table->file[fd] : NULL;
}

bool fd_is_close_exec(const struct fd_table *table, unsigned fd)
{
    return table->close_exec[fd / 64] >> (fd % 64) & 1;
}

void fd_set_close_exec(struct fd_table *table, unsigned fd, bool on)
{
    uint64_t bit = 1UL << (fd % 64);

    if (on)
        table->close_exec[fd / 64] |= bit;
    else
        table->close_exec[fd / 64] &= ~bit;
}

/* Room for that number, below FDS_MAX; false without memory. */
static bool room_make(struct fd_table *table, unsigned fd)
{
    unsigned room = table->room;

    if (fd < room)
        return true;
    if (!room) {
        table->file = table->few;
        table->room = FDS_FEW;
        return fd < FDS_FEW || room_make(table, fd);
    }
    while (room <= fd)
        room *= 2;
    struct file **more = malloc(room * sizeof(*more));
    if (!more)
        return false;
    memcpy(more, table->file, table->end * sizeof(*more));
    if (table->file != table->few)
        free(table->file);
    table->file = more;
    table->room = room;
    return true;
}

static bool open_at(struct fd_table *table, unsigned fd, struct file *file, bool close_exec)
{
    if (!room_make(table, fd))
        return false;
    while (table->end <= fd)
        table->file[table->end++] = NULL;
    table->file[fd] = file;
    fd_set_close_exec(table, fd, close_exec);
    return true;
}

/* The lowest that is free from `from` on and may be given; the limit if there is none. */
static unsigned lowest_free(const struct fd_table *table, unsigned from)
{
    while (from < table->limit && fd_get(table, from))
        from++;
    return from;
}

long fd_install(struct fd_table *table, struct file *file, unsigned from, bool close_exec)
{
    unsigned fd = lowest_free(table, from);

    if (fd >= table->limit)
        return -LINUX_EMFILE;
    return open_at(table, fd, file, close_exec) ? (long)fd : -LINUX_ENOMEM;
}

void fd_set_limit(struct fd_table *table, uint64_t limit)
{
    table->limit = limit < FDS_MAX ? (unsigned)limit : FDS_MAX;
}

bool fd_has_room(const struct fd_table *table)
{
    return lowest_free(table, 0) < table->limit;
}

long fd_install_new(struct fd_table *table, struct file *file, bool close_exec)
{
    long fd = fd_install(table, file, 0, close_exec);

    if (fd < 0)
        file_put(file);
    return fd;
}

long fd_replace(struct fd_table *table, unsigned fd, struct file *file, bool close_exec)
{
    struct file *old = fd_get(table, fd);

    if (!open_at(table, fd, file, close_exec))
        return -LINUX_ENOMEM;
    if (old) {
        filelock_closed(table, old);
        file_put(old);
    }
    return 0;
}

long fd_close(struct fd_table *table, int64_t fd)
{
    struct file *file = fd_get(table, fd);

    if (!file)
        return -LINUX_EBADF;
    table->file[fd] = 0;
    filelock_closed(table, file);
    file_put(file);
    return 0;
}

void fd_close_exec(struct fd_table *table)
{
    for (unsigned fd = 0; fd < table->end; fd++) {
        if (table->file[fd] && fd_is_close_exec(table, fd))
            fd_close(table, fd);
    }
}

struct fd_table *fd_table_create(const struct fd_table *of)
{
    struct fd_table *table = spare_take(&spare_table, sizeof(*table));

    if (!table)
        return NULL;
    table->users = 1;
    table->end = table->room = 0;
    table->limit = of ? of->limit : FDS_SOFT;
    if (of && of->end && !room_make(table, of->end - 1)) {
        fd_table_put(table);
        return NULL;
    }
    for (unsigned fd = 0; of && fd < of->end; fd++) {
        if (of->file[fd]) {
            file_get(of->file[fd]);
            open_at(table, fd, of->file[fd], fd_is_close_exec(of, fd));
        }
    }
    return table;
}

bool fd_table_unshare(struct fd_table **table)
{
    struct fd_table *own = (*table)->users > 1 ? fd_table_create(*table) : *table;

    if (own && own != *table) {
        fd_table_put(*table);
        *table = own;
    }
    return own != NULL;
}

void fd_table_put(struct fd_table *table)
{
    linux_assert(table->users > 0);
    if (--table->users)
        return;
    for (unsigned fd = 0; fd < table->end; fd++)
        fd_close(table, fd);
    if (table->room > FDS_FEW)
        free(table->file);
    spare_give(&spare_table, table);
}

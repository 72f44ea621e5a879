/*
 * mmap of a file: the memory server answers all other forms itself and hands this one over, because
 * only the personality knows what a descriptor stands for.
 */
#include "user/linux/calls.h"

#include <stdbool.h>

#include "user/linux/file.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define MAP_SHARED_BITS 0x1 /* MAP_SHARED and MAP_SHARED_VALIDATE */
#define PROT_WRITE_BIT  0x2
#define PAGE_MASK_BITS  0xfffUL

long linux_mmap(struct thread *t, const uint64_t *a)
{
    static char name[LINUX_PATH_MAX]; /* under the big lock */
    struct file *file = fd_get(t->process->files, (int32_t)a[4]);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if ((file->flags & LINUX_O_ACCMODE) == LINUX_O_WRONLY)
        return -LINUX_EACCES;
    bool writable = (file->flags & LINUX_O_ACCMODE) == LINUX_O_RDWR;
    const struct node *node = file->kind == FILE_NODE ? file->place.node : NULL;
    if (!node || (node->kind != NODE_FILE && node->kind != NODE_MEMORY &&
                  node->kind != NODE_DEVMEM && node->kind != NODE_RAMDISK))
        return -LINUX_ENODEV;
    if ((a[3] & MAP_SHARED_BITS) && (a[2] & PROT_WRITE_BIT) && !writable)
        return -LINUX_EACCES;
    if (a[5] & PAGE_MASK_BITS)
        return -LINUX_EINVAL;
    if (fs_path(&file->place, name, sizeof(name)) < 0)
        return -LINUX_ENAMETOOLONG;
    struct mm_map_file map = {
        .mm = t->process->space->mm,
        .address = a[0],
        .bytes = a[1],
        .prot = a[2],
        .flags = a[3],
        .file_start = node->start,
        .file_bytes = node->bytes,
        .offset = a[5],
        .name = (uint64_t)name,
        .object = node->object,
        .nowrite = !writable,
        .device = node->kind == NODE_DEVMEM,
    };
    return mmcall_map_file(&map);
}

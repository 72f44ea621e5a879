/* Block devices of memory (see ramdisk.h). */
#include "user/linux/ramdisk.h"

#include <stdlib.h>

#include "user/linux/cred.h"
#include "user/linux/fs.h"
#include "user/linux/machine.h"
#include "user/linux/memfile.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define RAMDISK_KIB     16384 /* the boot argument ramdisk_size= says otherwise, as on Linux */
#define RAMDISK_KIB_MAX (1UL << 30)
#define KIB             1024
#define SECTOR_BYTES    512
#define BLOCK_BYTES     4096

static uint64_t objects[FS_RAMDISKS]; /* handles; 0: never opened */

uint64_t ramdisk_bytes(void)
{
    static uint64_t kib;
    const char *text;

    if (!kib && machine_argument("ramdisk_size", &text) > 0)
        kib = strtoul(text, NULL, 10);
    if (!kib || kib > RAMDISK_KIB_MAX)
        kib = RAMDISK_KIB;
    return kib * KIB / BLOCK_BYTES * BLOCK_BYTES;
}

long ramdisk_open(struct node *node)
{
    static const char names[FS_RAMDISKS][MM_OBJECT_NAME_BYTES] = {"/dev/ram0", "/dev/ram1"};
    unsigned number = fs_minor(node->detail);

    if (!objects[number]) {
        const struct mm_object wanted = {
            .bytes = ramdisk_bytes(), .id = node->ino, .name = (uint64_t)names[number]};
        long object = mmcall_object_create(&wanted);
        if (object <= 0)
            return object ? object : -LINUX_ENOMEM;
        objects[number] = (uint64_t)object;
    }
    node->object = objects[number];
    return 0;
}

long ramdisk_read(struct node *node, struct space *space, uint64_t address, size_t bytes,
                  uint64_t *offset)
{
    return memfile_move(node, space, address, bytes, offset, false);
}

long ramdisk_write(struct node *node, struct space *space, uint64_t address, size_t bytes,
                   uint64_t *offset)
{
    if (*offset >= ramdisk_bytes())
        return bytes ? -LINUX_ENOSPC : 0;
    if (bytes > ramdisk_bytes() - *offset)
        bytes = ramdisk_bytes() - *offset;
    long done = memfile_move(node, space, address, bytes, offset, true);
    return done == -LINUX_ENOMEM ? -LINUX_ENOSPC : done;
}

static long tell(struct thread *t, uint64_t to, uint64_t value, size_t bytes)
{
    return copy_out(t->process->space, to, &value, bytes);
}

long ramdisk_ioctl(struct thread *t, uint32_t request, uint64_t argument)
{
    switch (request) {
    case LINUX_BLKGETSIZE64:
        return tell(t, argument, ramdisk_bytes(), sizeof(uint64_t));
    case LINUX_BLKGETSIZE:
        return tell(t, argument, ramdisk_bytes() / SECTOR_BYTES, sizeof(uint64_t));
    case LINUX_BLKSSZGET:
        return tell(t, argument, SECTOR_BYTES, sizeof(int32_t));
    case LINUX_BLKBSZGET:
    case LINUX_BLKPBSZGET:
        return tell(t, argument, BLOCK_BYTES, sizeof(int32_t));
    case LINUX_BLKROGET:
        return tell(t, argument, 0, sizeof(int32_t));
    case LINUX_BLKFLSBUF: /* there is nothing between the device and its readers */
        return cred_can(&t->process->cred, CAP_SYS_ADMIN) ? 0 : -LINUX_EACCES;
    default:
        return -LINUX_ENOTTY;
    }
}

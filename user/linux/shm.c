/*
 * System V shared memory. A segment is an object of the memory server, which counts its
 * attachments; here is what names it: its key, its number, whose it is.
 *
 * A number is sequence * SEGMENTS_MAX + place in the table, as in Linux, so that the number of a
 * segment that is gone is not soon another's. A removed segment keeps its handle until nobody has
 * it attached: then the server drops the handle, and it is found gone (refresh()).
 */
#include "user/linux/shm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/lock.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define SEGMENTS_MAX  4096 /* SHMMNI */
#define SEQUENCES     (0x7fffffff / SEGMENTS_MAX)
#define BYTES_MAX     (~0UL - (1UL << 24)) /* SHMMAX */
#define PAGE_BYTES    4096UL
#define LINE_BYTES    192
#define IPC_PRIVATE   0
#define PROT_R        1
#define PROT_W        2
#define PROT_X        4
#define MAP_SHARED    0x01
#define MAP_FIXED     0x10
#define MAP_NOREPLACE 0x100000

struct segment {
    uint64_t object; /* handle */
    uint64_t bytes;
    int32_t key;
    uint32_t sequence;
    uint32_t mode; /* permissions, LINUX_SHM_DEST, LINUX_SHM_LOCKED */
    uint32_t uid, gid;
    int32_t cpid, lpid;
    int64_t atime, dtime, ctime;
};

static struct segment *segments[SEGMENTS_MAX];
static uint32_t next_sequence;
static unsigned used; /* of the table */

static int64_t now(void)
{
    return time_epoch_sec() + (int64_t)(time_now_ticks() / time_hz());
}

static int32_t number_of(unsigned index)
{
    return (int32_t)(segments[index]->sequence * SEGMENTS_MAX + index);
}

static void forget(unsigned index)
{
    free(segments[index]);
    segments[index] = NULL;
    used--;
}

/* What the server says of the segment there; false if it has gone. */
static bool refresh(unsigned index, struct mm_object_stat *stat)
{
    if (!segments[index])
        return false;
    if (mmcall_object_stat(segments[index]->object, stat) == 0)
        return true;
    forget(index);
    return false;
}

/* The segment of a number: 0, -EINVAL, or -EIDRM for one that was there. */
static long find(int32_t number, unsigned *index, struct mm_object_stat *stat)
{
    if (number < 0)
        return -LINUX_EINVAL;
    *index = (unsigned)number % SEGMENTS_MAX;
    if (!refresh(*index, stat))
        return -LINUX_EINVAL;
    return number_of(*index) == number ? 0 : -LINUX_EIDRM;
}

static struct segment *find_key(int32_t key, unsigned *index)
{
    struct mm_object_stat stat;

    for (unsigned i = 0; i < SEGMENTS_MAX && key != IPC_PRIVATE; i++) {
        if (segments[i] && segments[i]->key == key && refresh(i, &stat)) {
            *index = i;
            return segments[i];
        }
    }
    return NULL;
}

/* A free place; removed segments that are not attached any more make room. */
static long free_place(void)
{
    struct mm_object_stat stat;

    for (unsigned i = 0; used == SEGMENTS_MAX && i < SEGMENTS_MAX; i++)
        refresh(i, &stat);
    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        if (!segments[i])
            return i;
    }
    return -LINUX_ENOSPC;
}

/* ---- shmget ---- */

/* SHM_HUGETLB: of the one size that there is, for who may lock so much memory. */
static long huge_check(const struct thread *t, uint64_t bytes, uint32_t flags)
{
    uint32_t shift = flags >> LINUX_HUGE_SHIFT & LINUX_HUGE_MASK;

    if (shift && shift != LINUX_HUGE_PAGE_SHIFT)
        return -LINUX_EINVAL;
    if (!cred_is_root(&t->process->cred) && bytes > t->process->limit[LINUX_RLIMIT_MEMLOCK].soft)
        return -LINUX_EPERM;
    return 0;
}

static long make(struct thread *t, int32_t key, uint64_t bytes, uint32_t flags)
{
    static char name[MM_OBJECT_NAME_BYTES]; /* under the big lock */

    if (bytes == 0 || bytes > BYTES_MAX)
        return -LINUX_EINVAL;
    bool huge = (flags & LINUX_SHM_HUGETLB) != 0;
    uint64_t page_bytes = huge ? 1UL << LINUX_HUGE_PAGE_SHIFT : PAGE_BYTES;
    if (bytes + page_bytes - 1 > INT64_MAX)
        return -LINUX_ENOSPC;
    long error = huge ? huge_check(t, bytes, flags) : 0;
    if (error)
        return error;
    long index = free_place();
    if (index < 0)
        return index;
    struct segment *s = calloc(1, sizeof(*s));
    if (!s)
        return -LINUX_ENOMEM;
    *s = (struct segment){.bytes = bytes,
                          .key = key,
                          .sequence = next_sequence,
                          .mode = flags & 0777,
                          .cpid = t->process->pid,
                          .ctime = now()};
    snprintf(name, sizeof(name), "/SYSV%08x (deleted)", (unsigned)key);
    const struct mm_object wanted = {
        .bytes = (bytes + page_bytes - 1) & ~(page_bytes - 1),
        .id = s->sequence * SEGMENTS_MAX + (uint64_t)index,
        .name = (uint64_t)name,
        .segment = 1,
        .huge = !huge                         ? MM_HUGE_NONE
                : flags & LINUX_SHM_NORESERVE ? MM_HUGE_PAGES
                                              : MM_HUGE_PROMISED,
    };
    long object = mmcall_object_create(&wanted);
    if (object <= 0) {
        free(s);
        return object == -LINUX_ENFILE ? -LINUX_ENOSPC : object;
    }
    s->object = (uint64_t)object;
    segments[index] = s;
    used++;
    next_sequence = (next_sequence + 1) % SEQUENCES;
    return number_of((unsigned)index);
}

long linux_shmget(struct thread *t, const uint64_t *a)
{
    int32_t key = (int32_t)a[0];
    uint32_t flags = (uint32_t)a[2];
    unsigned index;
    struct segment *s = find_key(key, &index);

    if (!s)
        return key == IPC_PRIVATE || (flags & LINUX_IPC_CREAT) ? make(t, key, a[1], flags)
                                                               : -LINUX_ENOENT;
    if ((flags & LINUX_IPC_CREAT) && (flags & LINUX_IPC_EXCL))
        return -LINUX_EEXIST;
    return s->bytes < a[1] ? -LINUX_EINVAL : number_of(index);
}

/* ---- shmat, shmdt ---- */

long linux_shmat(struct thread *t, const uint64_t *a)
{
    uint64_t address = a[1];
    uint32_t flags = (uint32_t)a[2];
    struct mm_object_stat stat;
    unsigned index;

    if (address & (PAGE_BYTES - 1)) {
        if (!(flags & LINUX_SHM_RND))
            return -LINUX_EINVAL;
        address &= ~(PAGE_BYTES - 1);
        if (!address && (flags & LINUX_SHM_REMAP))
            return -LINUX_EINVAL;
    } else if (!address && (flags & LINUX_SHM_REMAP)) {
        return -LINUX_EINVAL;
    }
    long error = find((int32_t)a[0], &index, &stat);
    if (error)
        return error;
    struct segment *s = segments[index];
    bool read_only = (flags & LINUX_SHM_RDONLY) != 0;
    struct mm_map_file map = {
        .mm = t->process->space->mm,
        .address = address,
        .bytes = s->bytes,
        .prot = PROT_R | (read_only ? 0 : PROT_W) | (flags & LINUX_SHM_EXEC ? PROT_X : 0),
        .flags = MAP_SHARED | (!address                    ? 0
                               : (flags & LINUX_SHM_REMAP) ? MAP_FIXED
                                                           : MAP_NOREPLACE),
        .object = s->object,
        .nowrite = read_only,
    };
    long at = mmcall_map_file(&map);
    if (at < 0)
        return at == -LINUX_EEXIST || at == -LINUX_EPERM ? -LINUX_EINVAL : at;
    s->atime = now();
    s->lpid = t->process->pid;
    return at;
}

long linux_shmdt(struct thread *t, const uint64_t *a)
{
    long object = mmcall_object_detach(t->process->space->mm, a[0]);

    for (unsigned i = 0; object > 0 && i < SEGMENTS_MAX; i++) {
        if (segments[i] && segments[i]->object == (uint64_t)object) {
            struct mm_object_stat stat;

            segments[i]->dtime = now();
            segments[i]->lpid = t->process->pid;
            refresh(i, &stat);
            break;
        }
    }
    return object < 0 ? object : 0;
}

/* ---- shmctl ---- */

static struct linux_shmid_ds describe(const struct segment *s, const struct mm_object_stat *stat)
{
    return (struct linux_shmid_ds){
        .perm = {.key = s->key,
                 .uid = s->uid,
                 .gid = s->gid,
                 .mode = s->mode,
                 .seq = (uint16_t)s->sequence},
        .bytes = s->bytes,
        .atime = s->atime,
        .dtime = s->dtime,
        .ctime = s->ctime,
        .cpid = s->cpid,
        .lpid = s->lpid,
        .nattch = stat->mappings,
    };
}

static unsigned highest_index(void)
{
    unsigned highest = 0;

    for (unsigned i = 0; i < SEGMENTS_MAX; i++)
        highest = segments[i] ? i : highest;
    return highest;
}

static long info(struct thread *t, uint64_t to)
{
    const struct linux_shminfo limits = {
        .max = BYTES_MAX, .min = 1, .mni = SEGMENTS_MAX, .seg = SEGMENTS_MAX, .all = BYTES_MAX};

    if (copy_out(t->process->space, to, &limits, sizeof(limits)))
        return -LINUX_EFAULT;
    return highest_index();
}

static long usage(struct thread *t, uint64_t to)
{
    struct linux_shm_info sum = {0};
    struct mm_object_stat stat;

    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        if (!refresh(i, &stat))
            continue;
        sum.used_ids++;
        sum.total += (segments[i]->bytes + PAGE_BYTES - 1) / PAGE_BYTES;
        sum.resident += stat.pages;
    }
    if (copy_out(t->process->space, to, &sum, sizeof(sum)))
        return -LINUX_EFAULT;
    return highest_index();
}

/* IPC_STAT by number, SHM_STAT by place in the table, which answers the number. */
static long status(struct thread *t, int32_t number, uint64_t to, bool by_index)
{
    struct mm_object_stat stat;
    unsigned index = (unsigned)number;

    if (by_index && (number < 0 || number >= SEGMENTS_MAX || !refresh(index, &stat)))
        return -LINUX_EINVAL;
    long error = by_index ? 0 : find(number, &index, &stat);
    if (error)
        return error;
    struct linux_shmid_ds ds = describe(segments[index], &stat);
    if (copy_out(t->process->space, to, &ds, sizeof(ds)))
        return -LINUX_EFAULT;
    return by_index ? number_of(index) : 0;
}

/* Nobody finds it by its key any more, and it goes with the last attachment. */
static void remove_segment(unsigned index)
{
    struct mm_object_stat stat;
    struct segment *s = segments[index];

    s->mode |= LINUX_SHM_DEST;
    s->key = IPC_PRIVATE;
    linux_assert(mmcall_object_release(s->object, 1) == 0);
    refresh(index, &stat);
}

static long set(struct thread *t, struct segment *s, uint64_t from)
{
    struct linux_shmid_ds ds;

    if (copy_in(t->process->space, &ds, from, sizeof(ds)))
        return -LINUX_EFAULT;
    s->uid = ds.perm.uid;
    s->gid = ds.perm.gid;
    s->mode = (s->mode & ~0777U) | (ds.perm.mode & 0777);
    s->ctime = now();
    return 0;
}

long linux_shmctl(struct thread *t, const uint64_t *a)
{
    int32_t number = (int32_t)a[0], command = (int32_t)a[1];
    struct mm_object_stat stat;
    unsigned index;

    if (command < 0 || number < 0)
        return -LINUX_EINVAL;
    if (command == LINUX_IPC_INFO)
        return info(t, a[2]);
    if (command == LINUX_SHM_INFO)
        return usage(t, a[2]);
    if (command == LINUX_SHM_STAT || command == LINUX_SHM_STAT_ANY || command == LINUX_IPC_STAT)
        return status(t, number, a[2], command != LINUX_IPC_STAT);
    if (command != LINUX_IPC_RMID && command != LINUX_IPC_SET && command != LINUX_SHM_LOCK &&
        command != LINUX_SHM_UNLOCK)
        return -LINUX_EINVAL;
    long error = find(number, &index, &stat);
    if (error)
        return error;
    if (command == LINUX_IPC_SET)
        return set(t, segments[index], a[2]);
    if (command == LINUX_IPC_RMID)
        remove_segment(index);
    else if (command == LINUX_SHM_LOCK) /* nothing is ever swapped: it is enough to remember it */
        segments[index]->mode |= LINUX_SHM_LOCKED;
    else
        segments[index]->mode &= ~(uint32_t)LINUX_SHM_LOCKED;
    return 0;
}

/* ---- /proc/sysvipc/shm ---- */

long shm_text(char **text)
{
    static const char head[] =
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  "
        "cgid      atime      dtime      ctime                   rss                  swap\n";
    size_t room = sizeof(head) + (size_t)used * LINE_BYTES, bytes = sizeof(head) - 1;
    struct mm_object_stat stat;
    char *to = malloc(room);

    if (!to)
        return -LINUX_ENOMEM;
    memcpy(to, head, sizeof(head));
    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        if (!refresh(i, &stat))
            continue;
        const struct segment *s = segments[i];
        int line =
            snprintf(to + bytes, room - bytes,
                     "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10ld %10ld %10ld "
                     "%21lu %21u\n",
                     (int)s->key, (int)number_of(i), (unsigned)s->mode, (unsigned long)s->bytes,
                     (unsigned)s->cpid, (unsigned)s->lpid, (unsigned long)stat.mappings,
                     (unsigned)s->uid, (unsigned)s->gid, 0U, 0U, (long)s->atime, (long)s->dtime,
                     (long)s->ctime, (unsigned long)(stat.pages * PAGE_BYTES), 0U);
        bytes += (size_t)line < room - bytes ? (size_t)line : 0;
    }
    *text = to;
    return (long)bytes;
}

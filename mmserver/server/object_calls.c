/* Calls on objects (pagoda/mm.h, MM_OBJECT_*): arguments checked, the object held while they run.
 */
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/server/server.h"
#include <pagoda/mm.h>

_Static_assert(MM_OBJECT_NAME_BYTES == OBJECT_NAME_BYTES, "names fit");
_Static_assert(MM_OBJECT_CALL_BYTES == OBJECT_CALL_BYTES, "told as it is");

static long call_create(struct worker *w, struct client *c, const uint64_t a[6])
{
    char name[OBJECT_NAME_BYTES];
    struct mm_object wanted;

    if (mm_copy_in(w, c->mm, &wanted, a[0], sizeof wanted) ||
        mm_copy_in(w, c->mm, name, wanted.name, sizeof name))
        return -LINUX_EFAULT;
    if (wanted.bytes > OBJECT_BYTES_MAX || wanted.huge > MM_HUGE_PROMISED ||
        (wanted.huge && (wanted.bytes & (BLOCK_BYTES - 1))))
        return -LINUX_EINVAL;
    name[sizeof name - 1] = '\0';
    struct object *o = object_create(w, wanted.huge ? OBJECT_HUGETLB : OBJECT_MEMORY, wanted.bytes,
                                     wanted.id, name);
    if (!o)
        return -LINUX_ENOMEM;
    if (wanted.huge == MM_HUGE_PROMISED &&
        hugetlb_object_promise(w, o, 0, wanted.bytes >> BLOCK_SHIFT)) {
        object_put(w, o);
        return -LINUX_ENOMEM;
    }
    o->segment = wanted.segment != 0;
    uint64_t handle = object_handle(o);
    if (!handle)
        object_put(w, o);
    return handle ? (long)handle : -LINUX_ENFILE;
}

static long call_transfer(struct worker *w, struct client *c, struct object *o, const uint64_t a[6],
                          bool write)
{
    struct mm *mm = mm_get(a[2] ? a[2] : c->mm->id);

    if (!mm)
        return -LINUX_ESRCH;
    long done =
        write ? object_write(w, o, a[1], mm, a[3], a[4]) : object_read(w, o, a[1], mm, a[3], a[4]);
    mm_put(mm);
    return done;
}

static long call_allocate(struct worker *w, struct object *o, const uint64_t a[6])
{
    switch (a[3]) {
    case MM_ALLOCATE_GROW:
    case MM_ALLOCATE_KEEP:
        return object_allocate(w, o, a[1], a[2], a[3] == MM_ALLOCATE_KEEP);
    case MM_ALLOCATE_PUNCH:
        return object_punch(w, o, a[1], a[2]);
    default:
        return -LINUX_EINVAL;
    }
}

static long call_seal(struct object *o, uint64_t seals)
{
    long error = seals ? object_seal(o, (uint32_t)seals) : 0;

    return error ? error : (long)o->seals;
}

static long call_stat(struct worker *w, struct client *c, struct object *o, vaddr_t to)
{
    lock_take(&o->lock);
    uint64_t small = o->kind == OBJECT_HUGETLB ? HUGE_PAGES : 1;
    const struct mm_object_stat stat = {o->bytes, o->cached * small, o->mappings, o->seals};
    lock_drop(&o->lock);
    return mm_copy_out(w, c->mm, to, &stat, sizeof stat);
}

static long call_on_object(struct worker *w, struct client *c, struct object *o, long number,
                           const uint64_t a[6])
{
    switch (number) {
    case MM_OBJECT_READ:
    case MM_OBJECT_WRITE:
        return call_transfer(w, c, o, a, number == MM_OBJECT_WRITE);
    case MM_OBJECT_RESIZE:
        return object_resize(w, o, a[1]);
    case MM_OBJECT_ALLOCATE:
        return call_allocate(w, o, a);
    case MM_OBJECT_SEAL:
        return call_seal(o, a[1]);
    case MM_OBJECT_STAT:
        return call_stat(w, c, o, a[1]);
    default: /* MM_OBJECT_SEEK */
        return object_seek(o, a[1], a[2] != 0);
    }
}

static long call_detach(struct worker *w, const uint64_t a[6])
{
    struct mm *mm = mm_get(a[0]);

    if (!mm)
        return -LINUX_ESRCH;
    long handle = map_detach(w, mm, a[1]);
    mm_put(mm);
    return handle;
}

long object_call(struct worker *w, struct client *c, long number, const uint64_t a[6])
{
    if (number == MM_OBJECT_CREATE)
        return call_create(w, c, a);
    if (number == MM_OBJECT_DETACH)
        return call_detach(w, a);
    if (number == MM_OBJECT_RELEASE)
        return object_handle_drop(w, a[0], a[1] != 0) ? 0 : -LINUX_EBADF;
    struct object *o = object_of_handle(a[0]);
    if (!o)
        return -LINUX_EBADF;
    long result = call_on_object(w, c, o, number, a);
    object_put(w, o);
    return result;
}

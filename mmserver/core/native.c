/*
 * Native programs. Everything they get is derived from a capability that the server keeps, so that
 * revoking that one takes it back, wherever it was copied to.
 *
 * Release goes over the list until all is gone: an object may be in use by another one (a thread's
 * table, a page mapped in a space), which goes in the same or the next round.
 */
#include "mmserver/core/native.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/device.h"
#include "mmserver/core/device_map.h"
#include "mmserver/core/ids.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/text.h"

#define ALL_RIGHTS         (RIGHT_ALL | RIGHT_COPY_ON)
#define MEMORY_RIGHTS      (RIGHT_WRITE | RIGHT_EXEC | RIGHT_KEEP | RIGHT_COPY_ON)
#define RELEASE_ROUNDS_MAX 20 /* rounds of releasing that remove nothing */

/* Under ids_lock: what could not be released. */
static struct native_list orphans = LIST_HEAD_INITIALIZER(orphans);

static uint64_t objects_of(struct mm *mm)
{
    struct native_object *o;
    uint64_t count = 0;

    LIST_FOREACH(o, &mm->native_objects, link)
    {
        count++;
    }
    return count;
}

static void object_add(struct mm *mm, struct native_object *o)
{
    mm_lock(mm);
    LIST_INSERT_HEAD(&mm->native_objects, o, link);
    mm_unlock(mm);
}

/* The order of a chunk of that many blocks; above ORDER_MAX if there is none. */
static unsigned blocks_order(uint64_t blocks)
{
    unsigned order = BLOCK_ORDER;

    while (order <= ORDER_MAX && 1UL << (order - BLOCK_ORDER) < blocks)
        order++;
    return order;
}

/* Memory: 2 MiB blocks under a capability of their own. */
static long memory_make(struct worker *w, struct native_object *o)
{
    unsigned order = blocks_order(o->parameter);
    uint64_t relative;

    if (!o->parameter || order > ORDER_MAX)
        return o->parameter ? -LINUX_ENOMEM : -LINUX_EINVAL;
    o->slot = kobj_slot_alloc();
    o->page = o->slot ? pages_alloc(w, order, GFP_KERNEL | GFP_ZERO) : 0;
    if (o->page) {
        uint32_t from = kobj_memory(o->page, &relative);

        page_of(o->page)->state = PAGE_NATIVE;
        if (!place_cap_copy(from, SELF_TABLE, o->slot, MEMORY_RIGHTS, relative,
                            o->parameter * PAGES_PER_BLOCK))
            return 0;
        pages_free(w, o->page, order);
    }
    if (o->slot)
        kobj_slot_free(o->slot);
    return -LINUX_ENOMEM;
}

/* All that was made of the blocks is gone (native_release_all), so they can be data again. */
static bool memory_destroy(struct worker *w, struct native_object *o)
{
    if (!kobj_revoke(o->slot))
        return false;
    for (uint64_t block = 0; block < o->parameter; block++) {
        long error = place_block_class(o->slot, block * PAGES_PER_BLOCK, BLOCK_DATA);

        if (error && error != -ERR_CLASS) /* it was data all the time */
            return false;
    }
    if (!kobj_delete(o->slot))
        return false;
    kobj_slot_free(o->slot);
    pages_free(w, o->page, blocks_order(o->parameter));
    return true;
}

static long object_make(struct worker *w, struct native_object *o)
{
    switch (o->type) {
    case CAP_MEMORY:
        return memory_make(w, o);
    case CAP_TABLE:
        if (!o->parameter || o->parameter > NATIVE_TABLE_PAGES_MAX)
            return -LINUX_EINVAL;
        break;
    case CAP_THREAD:
    case CAP_SPACE:
    case CAP_ENDPOINT:
    case CAP_NOTIFICATION:
        o->parameter = 0;
        break;
    default:
        return -LINUX_EINVAL;
    }
    return kobj_create(w, (enum cap_type)o->type, o->parameter, &o->slot, &o->page);
}

static bool object_destroy_one(struct worker *w, struct native_object *o)
{
    if (o->type == CAP_MEMORY)
        return memory_destroy(w, o);
    return kobj_destroy(w, (enum cap_type)o->type, o->parameter, o->slot, o->page);
}

/* A made object, charged to mm but not yet given to anybody. */
static long object_new(struct worker *w, struct mm *mm, uint64_t type, uint64_t parameter,
                       struct native_object **made)
{
    if (type >= CAP_TYPES)
        return -LINUX_EINVAL;
    if (objects_of(mm) >= NATIVE_OBJECTS_MAX)
        return -LINUX_ENOMEM;
    struct native_object *o = slab_zalloc(w, native_cache);
    if (!o)
        return -LINUX_ENOMEM;
    o->type = (uint32_t)type;
    o->parameter = parameter;
    long error = object_make(w, o);
    if (error) {
        slab_free(w, native_cache, o);
        return error;
    }
    *made = o;
    return 0;
}

static void object_undo(struct worker *w, struct native_object *o)
{
    mm_assert(object_destroy_one(w, o));
    slab_free(w, native_cache, o);
}

/* Errors of giving a capability away, as the client sees them. */
static long give(uint32_t slot, struct mm *mm, uint64_t to, uint64_t rights)
{
    long error = place_cap_copy(slot, mm->native_table_slot, to, rights, 0, 0);

    if (error == -ERR_OCCUPIED)
        return -LINUX_EEXIST;
    return error ? -LINUX_EINVAL : 0;
}

long native_enable(struct worker *w, struct client *c, uint64_t entries)
{
    struct mm *mm = c->mm;
    uint64_t pages = (entries + 63) / 64;
    struct native_object *table;

    if (!entries || pages > NATIVE_TABLE_PAGES_MAX)
        return -LINUX_EINVAL;
    if (mm->native_table_slot)
        return -LINUX_EEXIST;
    long error = object_new(w, mm, CAP_TABLE, pages, &table);
    if (error)
        return error;
    mm->native_table_slot = table->slot;
    if (give(table->slot, mm, NATIVE_TABLE, ALL_RIGHTS) ||
        give(mm->space_slot, mm, NATIVE_SPACE, RIGHT_COPY | RIGHT_COPY_ON) ||
        give(c->slot, mm, NATIVE_THREAD, 0) ||
        place_thread_set(c->slot, THREAD_TABLE, table->slot, 0)) {
        mm->native_table_slot = 0;
        object_undo(w, table);
        return -LINUX_ENOMEM;
    }
    mm->native_table_entries = (uint32_t)(pages * 64);
    c->has_table = true;
    object_add(mm, table);
    return 0;
}

long native_create(struct worker *w, struct client *c, uint64_t type, uint64_t slot,
                   uint64_t parameter)
{
    struct mm *mm = c->mm;
    struct native_object *o;

    if (!mm->native_table_slot)
        return -LINUX_EINVAL;
    if (type == CAP_KERNEL)
        return give(SLOT_KERNEL, mm, slot, RIGHT_COUNTERS | RIGHT_COPY_ON);
    long error = object_new(w, mm, type, parameter, &o);
    if (error)
        return error;
    error = type == CAP_MEMORY ? place_cap_copy(o->slot, mm->native_table_slot, slot, MEMORY_RIGHTS,
                                                0, parameter * PAGES_PER_BLOCK)
                               : give(o->slot, mm, slot, ALL_RIGHTS);
    if (error) {
        object_undo(w, o);
        return error == -ERR_OCCUPIED || error == -LINUX_EEXIST ? -LINUX_EEXIST : -LINUX_EINVAL;
    }
    object_add(mm, o);
    return 0;
}

long native_thread(struct worker *w, struct client *c, uint64_t slot,
                   const struct mm_thread *wanted, const struct client_route *route)
{
    struct mm *mm = c->mm;
    struct client *made;

    if (!mm->native_table_slot)
        return -LINUX_EINVAL;
    long error = client_create(w, mm, wanted, route, &made);
    if (error)
        return error;
    made->native = true;
    made->has_table = true;
    uint64_t id = made->id;
    if (place_thread_set(made->slot, THREAD_TABLE, mm->native_table_slot, 0))
        error = -LINUX_ENOMEM;
    if (!error)
        error = give(made->slot, mm, slot, RIGHT_CONTROL | RIGHT_COPY_ON);
    if (!error)
        return (long)id;
    struct client *again = client_get(id);
    if (again)
        mm_assert(!client_destroy(w, again));
    return error;
}

/* One round over all that is not Memory, and over what was made of Memory: is anything left? */
static bool release_round(struct worker *w, struct mm *mm, uint64_t *removed)
{
    struct native_object *o = LIST_FIRST(&mm->native_objects);
    bool left = false;

    while (o) {
        struct native_object *next = LIST_NEXT(o, link);

        if (o->type == CAP_MEMORY) {
            left |= !kobj_revoke(o->slot);
        } else if (object_destroy_one(w, o)) {
            LIST_REMOVE(o, link);
            slab_free(w, native_cache, o);
            (*removed)++;
        } else {
            left = true;
        }
        o = next;
    }
    return left;
}

/* The kernel holds on to something: better to lose the memory than to reuse it. */
static void orphans_add(struct mm *mm)
{
    struct native_object *o;

    text_log("native objects of address space %lu stay in use and are lost", (uint64_t)mm->id);
    while ((o = LIST_FIRST(&mm->native_objects))) {
        LIST_REMOVE(o, link);
        lock_take(&ids_lock);
        LIST_INSERT_HEAD(&orphans, o, link);
        lock_drop(&ids_lock);
    }
}

/* Spaces before Memory: when Memory goes, nothing of it may be mapped any more. */
void native_release_all(struct worker *w, struct mm *mm)
{
    struct native_object *o;
    unsigned idle_rounds = 0;

    bool devices = device_withdraw_begin(w, mm);

    mm->native_table_slot = 0;
    while (idle_rounds < RELEASE_ROUNDS_MAX) {
        uint64_t removed = 0;

        if (!release_round(w, mm, &removed))
            break;
        idle_rounds = removed ? 0 : idle_rounds + 1;
    }
    while (idle_rounds < RELEASE_ROUNDS_MAX && (o = LIST_FIRST(&mm->native_objects)) &&
           memory_destroy(w, o)) {
        LIST_REMOVE(o, link);
        slab_free(w, native_cache, o);
    }
    if (!LIST_EMPTY(&mm->native_objects))
        orphans_add(mm);
    if (devices)
        device_withdraw_end(mm);
}

/* What a capability in the program's own table says it may map. */
static long device_decode(const struct mm *mm, uint64_t slot, uint64_t prot, pfn_t *first,
                          uint64_t *pages)
{
    uint64_t out[2];

    if (!mm->native_table_slot || slot >= mm->native_table_entries ||
        (prot & ~(uint64_t)(PROT_READ | PROT_WRITE)) || !prot)
        return -LINUX_EINVAL;
    long kind = place_cap_read(mm->native_table_slot, slot, out);
    if (kind < 0 || (kind & 0xff) != CAP_MEMORY)
        return -LINUX_EBADF;
    uint64_t rights = (uint64_t)kind >> 8;
    if (!(rights & RIGHT_IO) || ((prot & PROT_WRITE) && !(rights & RIGHT_WRITE)))
        return -LINUX_EACCES;
    *first = out[0];
    *pages = out[1];
    return 0;
}

/* The server maps by its own capability of the device, so revoking the program's does not unmap. */
long native_device_map(struct worker *w, struct client *c, uint64_t slot, uint64_t prot)
{
    uint64_t pages;
    pfn_t first;
    long error = device_decode(c->mm, slot, prot, &first, &pages);

    if (error)
        return error;
    /* Device memory stays with the program that was given it. */
    const struct map_request r = {.bytes = pages << PAGE_SHIFT,
                                  .prot = prot,
                                  .flags = MAP_SHARED,
                                  .offset = first,
                                  .nowrite = !(prot & PROT_WRITE),
                                  .also = VM_DONTFORK};
    return device_map(w, c->mm, &r);
}

long native_device_grant(struct mm *mm, uint64_t slot, paddr_t start, uint64_t bytes)
{
    pfn_t first = start >> PAGE_SHIFT;
    struct device *d = device_at(first, bytes >> PAGE_SHIFT);
    uint64_t out[2];

    if (!mm->native_table_slot || slot >= mm->native_table_entries || !bytes ||
        ((start | bytes) & PAGE_MASK))
        return -LINUX_EINVAL;
    if (!d)
        return -LINUX_EPERM;
    if (!device_grant(d, mm))
        return -LINUX_EBUSY;
    long kind = place_cap_read(SELF_TABLE, d->slot, out);
    mm_assert(kind >= 0 && (kind & 0xff) == CAP_MEMORY && first >= out[0]);
    long error = place_cap_copy(d->slot, mm->native_table_slot, slot, RIGHT_IO | RIGHT_WRITE,
                                first - out[0], bytes >> PAGE_SHIFT);
    if (error)
        __atomic_store_n(&d->granted, NULL, __ATOMIC_RELEASE);
    return error == -ERR_OCCUPIED ? -LINUX_EEXIST : error ? -LINUX_ENOMEM : 0;
}

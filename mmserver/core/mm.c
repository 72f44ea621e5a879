/*
 * Life of an address space: made empty with its Space object; filled by exec and map calls;
 * released when the last thread is gone: VMAs, pages, tables, native objects, the Space object.
 */
#include "mmserver/core/mm.h"
#include "mmserver/core/drop.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/ids.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/map.h"
#include "mmserver/core/native.h"
#include "mmserver/core/placement.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/text.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/zone.h"
#include "mmserver/core/zap.h"
#include <string.h>

struct worker workers[BOOT_HARTS_MAX];
uint32_t worker_count;

uint64_t mm_user_end;
uint64_t mm_promised_pages;
unsigned mm_levels;
struct lock ids_lock;

static void *mm_slots[MMS_MAX];
static uint8_t mm_used_in[MMS_MAX / ID_GROUP];
static struct id_table mm_ids;

void mm_ids_init(void)
{
    ids_lock = LOCK_INIT(LOCK_IDS);
    memset(mm_slots, 0, sizeof mm_slots);
    memset(mm_used_in, 0, sizeof mm_used_in);
    mm_ids = (struct id_table){mm_slots, mm_used_in, MM_ID_FIRST, MMS_MAX, 0, 0};
}

static bool mm_number(struct mm *mm)
{
    lock_take(&ids_lock);
    mm->id = id_take_locked(&mm_ids, mm);
    lock_drop(&ids_lock);
    return mm->id != 0;
}

struct mm *mm_create(struct worker *w)
{
    struct mm *mm = slab_zalloc(w, mm_cache);
    uint64_t levels;

    if (!mm)
        return NULL;
    mm->lock = LOCK_INIT(LOCK_MM);
    mm->generation = mm_generation_new();
    RB_INIT(&mm->vmas);
    LIST_INIT(&mm->native_objects);
    if (kobj_create(w, CAP_SPACE, 0, &mm->space_slot, &mm->object_page))
        goto no_space;
    long root = place_space_info(mm->space_slot, &levels);
    if (root <= 0 || !mm_number(mm))
        goto no_number;
    mm_assert(levels == mm_levels);
    mm->root = page_pointer((pfn_t)root);
    limit_init(mm);
    placement_plan(mm, PLACEMENT_FIXED);
    mm->stack_top = 0;
    mm->future_flags = runs_flags_new();
    mm_count(w, mm_created);
    return mm;

no_number:
    mm_assert(kobj_destroy(w, CAP_SPACE, 0, mm->space_slot, mm->object_page));
no_space:
    slab_free(w, mm_cache, mm);
    return NULL;
}

struct mm *mm_get(uint64_t id)
{
    lock_take(&ids_lock);
    struct mm *mm = id_find_locked(&mm_ids, id);
    if (mm)
        mm->references++;
    lock_drop(&ids_lock);
    return mm;
}

void mm_put(struct mm *mm)
{
    lock_take(&ids_lock);
    mm_assert(mm->references);
    mm->references--;
    lock_drop(&ids_lock);
}

uint64_t mm_next_id(uint64_t id)
{
    lock_take(&ids_lock);
    id = id_next_locked(&mm_ids, id);
    lock_drop(&ids_lock);
    return id;
}

void mm_clear(struct worker *w, struct mm *mm)
{
    struct vma *v;

    mm_lock(mm);
    mm_settle_locked(w, mm);
    zap_all(w, mm);
    while ((v = mm->loose ? mm->loose : RB_ROOT(&mm->vmas)))
        vma_remove(w, mm, v);
    pt_free_all_tables(w, mm);
    if (unlikely(mm->anon_pages | mm->file_pages | mm->parked))
        text_log("space %lu ends, and counts %lx anonymous, %lx file, %lx parked pages",
                 (uint64_t)mm->id, mm->anon_pages, mm->file_pages, mm->parked);
    mm_assert(!mm->anon_pages && !mm->file_pages && !mm->parked);
    mm_assert(!mm->tables && !mm->total_pages && !mm->map_count);
    mm->brk_start = mm->brk_end = 0;
    mm_unlock(mm);
}

/* What one call gives back of a large mm. */
#define RELEASE_TABLES_ONCE 8
#define RELEASE_PAGES_ONCE  (RELEASE_TABLES_ONCE * TABLE_ENTRIES)
#define RELEASE_VMAS_ONCE   4096UL

/*
 * Nobody runs in it: if it is large, take a part of it away, from the bottom up, so that this
 * worker can look after others before the next part. Is what is left no more than one part?
 */
static bool release_part(struct worker *w, struct mm *mm)
{
    uint64_t resident = mm_resident(mm), vmas = mm->map_count;
    struct vma *v;
    long error = 0;

    if (resident <= RELEASE_PAGES_ONCE && vmas <= RELEASE_VMAS_ONCE)
        return true;
    if (resident > RELEASE_PAGES_ONCE && mm->dropped < mm_user_end) {
        mm_lock(mm);
        mm_settle_locked(w, mm);
        mm->dropped = drop_tables(w, mm, mm->dropped, RELEASE_TABLES_ONCE);
        mm_unlock(mm);
        return false;
    }
    mm_lock(mm);
    mm_settle_locked(w, mm);
    while (!error && (v = vma_first(mm)) && resident - mm_resident(mm) < RELEASE_PAGES_ONCE &&
           vmas - mm->map_count < RELEASE_VMAS_ONCE)
        error = map_unmap_locked(w, mm, v->start,
                                 min_u64(v->end, v->start + (RELEASE_PAGES_ONCE << PAGE_SHIFT)));
    mm_unlock(mm);
    return error != 0; /* no memory to cut a huge page: then all of it at once */
}

long mm_release(struct worker *w, struct mm *mm)
{
    if (client_destroy_native(w, mm))
        return -LINUX_EAGAIN;
    if (!mm->clients && !release_part(w, mm))
        return -LINUX_EAGAIN;
    lock_take(&ids_lock);
    long error = mm->clients ? -LINUX_EBUSY : mm->references != 1 ? -LINUX_EAGAIN : 0;
    if (!error)
        id_drop_locked(&mm_ids, mm->id);
    lock_drop(&ids_lock);
    if (error)
        return error;
    mm_clear(w, mm); /* a device's capability goes only while nobody maps it */
    native_release_all(w, mm);
    mm_assert(kobj_destroy(w, CAP_SPACE, 0, mm->space_slot, mm->object_page));
    slab_free(w, mm_cache, mm);
    return 0;
}

void mm_discard(struct worker *w, struct mm *mm)
{
    mm_assert(mm_get(mm->id) == mm);
    for (;;) {
        long error = mm_release(w, mm);

        if (!error)
            return;
        mm_assert(error == -LINUX_EAGAIN);
        place_relax();
    }
}

static bool answer_finished(uint32_t sender)
{
    return __atomic_load_n(&workers[sender - 1].ops->op[0].finished, __ATOMIC_ACQUIRE);
}

/* The sender may have sent the next answer, for another mm, since it was looked at: then that is
 * waited for too, which is bounded as well. */
bool mm_take_over(struct mm *mm)
{
    uint32_t sender = __atomic_load_n(&mm->sender, __ATOMIC_ACQUIRE);

    if (!sender || !__atomic_compare_exchange_n(&mm->sender, &sender, 0, false, __ATOMIC_ACQUIRE,
                                                __ATOMIC_RELAXED))
        return false;
    while (!answer_finished(sender))
        place_relax();
    return true;
}

bool mm_take_over_now(struct mm *mm)
{
    uint32_t sender = __atomic_load_n(&mm->sender, __ATOMIC_ACQUIRE);

    return sender && answer_finished(sender) && mm_take_over(mm);
}

uint64_t mm_generation_new(void)
{
    static uint64_t serial;

    return (__atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED) << 32) + 1;
}

/*
 * Wait for the reply of `other` to `at` to stand in the table of `mm`, or to have failed, or to be
 * followed by the next visit. Did it arrive?
 */
static bool reply_arrived(struct worker *w, struct mm *mm, const struct worker *other, uint64_t at)
{
    vaddr_t address = visit_address(at);

    mm_count(w, settle);
    for (;;) {
        /* Before the look at whose they are: the next visit may be to another mm. */
        uint64_t failed = __atomic_load_n(&other->visit.failed, __ATOMIC_ACQUIRE);
        uint64_t entry = __atomic_load_n(&other->visit.entry, __ATOMIC_ACQUIRE);

        if (__atomic_load_n(&other->visit.at, __ATOMIC_ACQUIRE) != at ||
            __atomic_load_n(&other->visit.mm, __ATOMIC_ACQUIRE) != mm)
            return true;
        if (!((pt_any_leaf(mm, address) ^ entry) & ~(ENTRY_A | ENTRY_D | VISIT_MARKS)))
            return true;
        if (failed)
            return false;
        place_relax();
    }
}

/* Forget the reply to `at`, unless its worker is on its next visit, or trying to begin it. */
static void visit_forget(struct worker *other, uint64_t at)
{
    __atomic_compare_exchange_n(&other->visit.at, &at, VISIT_OVER, false, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
}

/* Nobody reads `mm` and none of its replies can begin; but who wants to read it writes into his
 * visit before he sees that it is locked. */
void mm_settle_others(struct worker *w, struct mm *mm)
{
    for (struct worker *other = workers; other < workers + worker_count; other++) {
        uint64_t at = __atomic_load_n(&other->visit.at, __ATOMIC_ACQUIRE);

        if (other == w || __atomic_load_n(&other->visit.mm, __ATOMIC_ACQUIRE) != mm ||
            at <= VISIT_OVER)
            continue;
        bool arrived = reply_arrived(w, mm, other, at);
        if (!arrived)
            fault_pending_undo_locked(w, other);
        visit_forget(other, at);
        if (!arrived) /* its worker waits for that: the last that is written */
            __atomic_store_n(&other->visit.failed, VISIT_UNDONE, __ATOMIC_RELEASE);
    }
}

/* The entry is not empty and its leaf table is locked, so that no other reply with the same `at`
 * begins (VISIT_CHANGES). */
void mm_settle_entry(struct worker *w, struct mm *mm, vaddr_t address)
{
    for (struct worker *other = workers; other < workers + worker_count; other++) {
        uint64_t at = __atomic_load_n(&other->visit.at, __ATOMIC_ACQUIRE);

        if (PAGE_DOWN(visit_address(at)) == address && other != w &&
            __atomic_load_n(&other->visit.mm, __ATOMIC_ACQUIRE) == mm &&
            reply_arrived(w, mm, other, at))
            visit_forget(other, at);
    }
}

/* Tables that were kept since the last look get another chance. */
static void sweep_one(struct worker *w, struct mm *mm)
{
    if ((!mm->kept_count && huge_mode == HUGE_NEVER) || !mm_trylock(mm))
        return;
    mm_settle_locked(w, mm);
    huge_step(w, mm);
    if (mm->kept_new)
        mm->kept_new = false;
    else
        pt_sweep_kept(w, mm);
    mm_unlock(mm);
}

bool mm_sweep(struct worker *w, unsigned limit)
{
    while (limit--) {
        w->sweep_id = mm_next_id(w->sweep_id);
        if (!w->sweep_id)
            return false;
        struct mm *mm = mm_get(w->sweep_id);
        if (mm) {
            sweep_one(w, mm);
            mm_put(mm);
        }
    }
    return true;
}

/*
 * Under pressure kept tables go at once. Who is short of memory may hold any lock, so none is
 * waited for, and the list stays seized: mm_get() would have to wait to give its reference back.
 */
static uint64_t tables_shrink(struct worker *w, uint64_t pages)
{
    uint64_t gone = 0;

    if (w->ops_count || !lock_seize(&ids_lock))
        return 0;
    for (uint64_t id = 0; gone < pages && (id = id_next_locked(&mm_ids, id));) {
        struct mm *mm = mm_slots[id];

        if (!mm->kept_count || !mm_seize(mm))
            continue;
        gone += pt_sweep_kept(w, mm);
        mm_let_go(mm);
    }
    lock_let_go(&ids_lock);
    return gone;
}

const struct shrinker mm_shrinker = {"kept tables", tables_shrink};

static long copy_bytes(struct worker *w, struct mm *mm, vaddr_t at, char *local, uint64_t bytes,
                       uint64_t direction)
{
    unsigned stuck = 0;

    if (at + bytes < at)
        return -LINUX_EFAULT;
    while (bytes) {
        uint64_t part = min_u64(bytes, COPY_MAX_BYTES);
        long done = place_space_copy(mm->space_slot, at, local, part, direction);

        if (done < 0 || (uint64_t)done > part)
            return -LINUX_EFAULT;
        at += (uint64_t)done;
        local += done;
        bytes -= (uint64_t)done;
        if (done) {
            stuck = 0;
            continue;
        }
        /* Another thread may take the page away again and again; give up after a few times. */
        long error =
            ++stuck > 8 ? -LINUX_EFAULT : fault_in(w, mm, at, 1, direction == COPY_TO_SPACE);
        if (error)
            return error;
    }
    return 0;
}

long mm_copy_in(struct worker *w, struct mm *mm, void *to, vaddr_t from, uint64_t bytes)
{
    return copy_bytes(w, mm, from, to, bytes, COPY_FROM_SPACE);
}

long mm_copy_out(struct worker *w, struct mm *mm, vaddr_t to, const void *from, uint64_t bytes)
{
    return copy_bytes(w, mm, to, (char *)(uintptr_t)from, bytes, COPY_TO_SPACE);
}

/*
 * Mappings of objects: faults on them, the tree of their mappers, unmapping everywhere.
 *
 *   private   read   ──▶ page of the cache, read-only        write ──▶ copy of it, the client's own
 *   shared    read   ──▶ page of the cache; writable if the VMA is: the machine marks it dirty
 *             write  ──▶ the same, marked dirty
 *   behind the end of the object ──▶ BUSERR
 *
 * A read also maps what is cached around the page (fault-around): a window of object_around_bytes,
 * aligned, cut to the VMA and the leaf table, one batch that answers the fault too.
 *
 * A page of the cache travels in a reply only if the space has one thread. Whoever waits for a
 * reply (mm_settle_locked) looks whether its entry stands in the table; with two threads on one
 * page it could be the other's.
 *
 * Truncation takes each mapper's mm as the writer, in turn, and never holds the object's lock while
 * it waits for one. So a fault that found its page below the end has mapped it (or has its reply
 * under way, which is waited for) before the entry is removed; and one that comes later finds the
 * end where it is now. VMAs are visited in the order of vma->i_linked, the number that each gets
 * when it is linked or changed; so one that is split, moved or forked meanwhile comes again.
 */
#include "mmserver/core/object.h"
#include "mmserver/core/around.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/rmap.h"
#include "mmserver/core/vma_ops.h"
#include "mmserver/core/zap.h"

#define AROUND_PAGES_MAX BATCH_RESULTS_MAX

uint64_t object_around_bytes = 16 * PAGE_BYTES;
const struct around_policy *around_policy;

static uint64_t fault_index(const struct fault *f)
{
    return vma_offset_at(f->vma, f->address);
}

/* ---- faults ---- */

/* Bits of an entry for a page of the cache. */
static uint64_t page_bits(const struct fault *f, bool dirty)
{
    uint64_t flags = f->vma->flags, bits = ENTRY_ALWAYS;

    if (flags & VM_EXEC)
        bits |= ENTRY_X;
    if ((flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE))
        bits |= dirty ? ENTRY_W | ENTRY_D : ENTRY_W;
    return bits;
}

static bool page_may_travel(const struct fault *f)
{
    return f->by_reply && f->mm->clients == 1;
}

/* The page, held, goes into the empty entry. */
static enum fault_outcome page_map(struct fault *f, pfn_t pfn, uint64_t bits,
                                   enum fault_outcome outcome)
{
    mm_add(&f->mm->file_pages, 1);
    if (page_may_travel(f)) {
        f->reply = entry_make(pfn, bits);
        return outcome;
    }
    long error = pt_map(f->w, f->mm, f->address, entry_make(pfn, bits));
    if (!error)
        return outcome;
    mm_add(&f->mm->file_pages, -1);
    object_page_put(f->w, page_of(pfn), 1);
    return error == -ERR_MAPPED ? FAULT_RACED : FAULT_OOM;
}

/* Pages gathered for one batch: an operation for each run, entries in the result words. */
struct around {
    struct fault *f;
    uint64_t count; /* entries */
    vaddr_t last;   /* address of the last one */
    bool hit;       /* the page of the fault is among them */
};

/* Hold the page of one word of the tree; its entry. */
static inline uint64_t around_take(uint64_t *slot, struct page *page, uint64_t bits)
{
    __atomic_fetch_add(&page->maps, 1, __ATOMIC_RELAXED);
    if (bits & ENTRY_W)
        *slot |= OBJECT_WORD_DIRTY;
    return entry_make(*slot & OBJECT_WORD_PAGE, bits);
}

/*
 * Object locked: one run of pages from `start` on, which belongs to `index`; both are cached and
 * empty. All lie in one node of the tree and under one capability. How many.
 */
static uint64_t around_run(struct around *a, uint64_t *slot, const uint64_t *leaf, uint64_t most,
                           vaddr_t start, uint64_t bits)
{
    const uintptr_t pages_bias = a->f->w->pages_bias;
    uint64_t *result = a->f->w->ops->result + a->count, *const first = result;
    struct batch_op *op = op_add(a->f->w, a->f->mm, BATCH_MAP_LIST, start);
    uint64_t *const stop = slot + most;
    uint64_t memory = 0;

    do {
        uint64_t pfn = *slot & OBJECT_WORD_PAGE;
        struct page *page = (struct page *)(pages_bias + pfn * sizeof *page);

        if (unlikely(page->slot != memory)) {
            if (memory)
                break;
            memory = page->slot;
        }
        *result++ = around_take(slot, page, bits);
        slot++, leaf++;
    } while (slot < stop && object_word_is_usable(*slot) && !*leaf);
    uint64_t count = (uint64_t)(result - first);
    op->memory = (uint32_t)memory;
    op->extra = a->count;
    op->count = (uint32_t)count;
    a->count += count;
    a->last = start + ((count - 1) << PAGE_SHIFT);
    return count;
}

/* Object locked: gather what is cached in [start, end), where entries are empty. */
static void around_gather(struct around *a, vaddr_t start, vaddr_t end, uint64_t bits)
{
    const struct fault *f = a->f;
    const struct object *o = f->vma->object;
    const uint64_t *leaf = f->leaf - ((f->address - start) >> PAGE_SHIFT);
    uint64_t index = vma_offset_at(f->vma, start), done;
    uint64_t stop = min_u64(object_pages(o), index + ((end - start) >> PAGE_SHIFT));

    a->hit = fault_index(f) < stop && !*f->leaf &&
             object_word_is_usable(radix_get(&o->pages, fault_index(f)));
    for (; index < stop && f->w->ops_count < BATCH_OPS_MAX;
         index += done, leaf += done, start += done << PAGE_SHIFT) {
        struct radix_node *node = radix_bottom(&o->pages, index);
        uint64_t at = index & (RADIX_SLOTS - 1);
        uint64_t most = min_u64(stop - index, RADIX_SLOTS - at);

        done = node ? 1 : most;
        if (node && object_word_is_usable(node->slot[at]) && !*leaf)
            done = around_run(a, &node->slot[at], leaf, most, start, bits);
    }
}

/* Put what a batch was to map and has not: `done` of its operations were performed. */
static uint64_t around_undo(struct worker *w, struct mm *mm, uint32_t ops, long done, uint32_t keep)
{
    uint64_t put = 0;

    for (uint32_t i = done < 0 ? 0 : (uint32_t)done; i < ops; i++) {
        const struct batch_op *op = &w->ops->op[i];

        for (uint64_t r = op->extra + op->done; r < op->extra + op->count; r++) {
            if (r >= keep)
                break;
            object_page_put(w, page_of(entry_page(w->ops->result[r])), 1);
            put++;
        }
    }
    mm_add(&mm->file_pages, -(int64_t)put);
    return put;
}

/* Map what was gathered; a->count of it or fewer. */
static unsigned around_send(struct around *a)
{
    struct fault *f = a->f;
    struct worker *w = f->w;
    uint32_t ops = w->ops_count;
    long stopped;

    mm_add(&f->mm->file_pages, a->count);
    w->ops_count = 0;
    if (a->hit && page_may_travel(f)) {
        f->batch = ops;
        f->reply = w->ops->result[a->count - 1];
        f->reply_at = a->last;
        return a->count;
    }
    mm_count(w, batch_calls);
    long done = place_batch(f->mm->space_slot, ops, &stopped);
    return a->count - (unsigned)around_undo(w, f->mm, ops, done, a->count);
}

void object_batch_undo(struct worker *w, long done)
{
    uint32_t ops = w->batch_ops, count = 0;

    for (uint32_t i = 0; i < ops; i++)
        count += w->ops->op[i].count;
    around_undo(w, w->visit.mm, ops, done, count - 1);
}

/*
 * Map what is cached of [start, end). Is the page of the fault mapped now, or on its way? Otherwise
 * it is not cached, or another hart was faster.
 */
static inline bool around_map(struct fault *f, vaddr_t start, vaddr_t end, unsigned *mapped)
{
    struct object *o = f->vma->object;
    struct around a = {.f = f};

    mm_assert(!f->w->ops_count && end - start <= AROUND_PAGES_MAX << PAGE_SHIFT);
    lock_take(&o->lock);
    around_gather(&a, start, end, page_bits(f, false));
    lock_drop(&o->lock);
    *mapped = a.count ? around_send(&a) : 0;
    mm_count_add(f->w, fault_around, *mapped);
    return a.hit && *mapped == a.count;
}

static unsigned object_map_pages(struct fault *f, vaddr_t start, vaddr_t end)
{
    unsigned mapped;

    around_map(f, start, end, &mapped);
    return mapped;
}

/* The page of the fault, held, if it is cached and below the end; else 0. */
static inline pfn_t page_find(const struct fault *f, uint64_t index, bool write)
{
    struct object *o = f->vma->object;
    pfn_t pfn = 0;

    lock_take(&o->lock);
    if (likely(index < object_pages(o)))
        pfn = object_page_find_locked(o, index, write);
    lock_drop(&o->lock);
    return pfn;
}

/* The same; it is made if it is not cached, and then the answer may be an error. */
static inline long page_have(const struct fault *f, uint64_t index, bool write)
{
    pfn_t pfn = page_find(f, index, write);

    return likely(pfn) ? (long)pfn : object_page_get(f->w, f->vma->object, index, write);
}

static enum fault_outcome page_refused(const struct fault *f, long error)
{
    if (error == -LINUX_EIO) /* the archive's is going to be read again */
        return f->vma->object->kind == OBJECT_ARCHIVE ? FAULT_RACED : FAULT_POISONED;
    return error == -LINUX_ENXIO ? FAULT_BUSERR : FAULT_OOM;
}

static enum fault_outcome object_read_fault(struct fault *f)
{
    uint64_t index = fault_index(f);
    uint64_t bytes = around_policy ? around_policy->bytes(f) : object_around_bytes;
    vaddr_t start = around_start(f->vma, f->address, bytes);
    vaddr_t end = around_end(f->vma, f->address, start, bytes);
    unsigned mapped;
    bool shared = (f->vma->flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE);

    if (end - start > PAGE_BYTES &&
        (likely(around_map(f, start, end, &mapped)) || (mapped && entry_is_leaf(*f->leaf))))
        return FAULT_FILE_READ;
    long pfn = page_have(f, index, shared);
    return pfn < 0 ? page_refused(f, pfn)
                   : page_map(f, (pfn_t)pfn, page_bits(f, false), FAULT_FILE_READ);
}

static enum fault_outcome object_write_fault(struct fault *f)
{
    long pfn = page_have(f, fault_index(f), true);

    if (pfn < 0)
        return page_refused(f, pfn);
    if (!f->entry)
        return page_map(f, (pfn_t)pfn, page_bits(f, true), FAULT_FILE_WRITE);
    /* The page stands there and is dirty from now on. */
    object_page_put(f->w, page_of((pfn_t)pfn), 1);
    return fault_allow(f, page_bits(f, true));
}

static enum fault_outcome object_copy_fault(struct fault *f)
{
    /* As Linux: even if there is no such page. VMAs that may have copies merge differently. */
    if (rmap_prepare(f->w, f->vma))
        return FAULT_OOM;
    long from = page_have(f, fault_index(f), false);

    if (from < 0)
        return page_refused(f, from);
    enum fault_outcome outcome = fault_fill_copy(f, (pfn_t)from, FAULT_FILE_COPY);
    object_page_put(f->w, page_of((pfn_t)from), 1);
    return outcome;
}

static enum fault_outcome object_fault(struct fault *f)
{
    if (f->access != VM_WRITE)
        return object_read_fault(f);
    return f->vma->flags & VM_SHARED ? object_write_fault(f) : object_copy_fault(f);
}

static const char *object_name(const struct vma *v)
{
    return v->object->name;
}

const struct vma_ops object_vma_ops = {
    .name = object_name,
    .open = object_vma_open,
    .close = object_vma_close,
    .resized = object_vma_resized,
    .fault = object_fault,
    .map_pages = object_map_pages,
};

/* ---- the tree of mappers ---- */

static bool is_writer(const struct vma *v)
{
    return (v->flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
}

void object_vma_open(struct vma *v)
{
    struct object *o = v->object;

    lock_take(&o->lock);
    interval_insert(&o->mappers, &v->i_map, v->offset, v->offset + vma_pages(v) - 1);
    v->i_linked = ++o->linked;
    o->mappings++;
    o->writers += is_writer(v);
    lock_drop(&o->lock);
}

void object_vma_close(struct worker *w, struct vma *v)
{
    struct object *o = v->object;

    lock_take(&o->lock);
    interval_remove(&o->mappers, &v->i_map);
    o->mappings--;
    o->writers -= is_writer(v);
    bool last = !o->mappings && o->until_unused;
    lock_drop(&o->lock);
    if (last)
        object_handle_drop(w, o->handle, false);
}

void object_vma_resized(struct vma *v)
{
    struct object *o = v->object;

    lock_take(&o->lock);
    interval_change(&o->mappers, &v->i_map, v->offset, v->offset + vma_pages(v) - 1);
    v->i_linked = ++o->linked;
    lock_drop(&o->lock);
}

/* ---- unmapping everywhere ---- */

/* Take the pages of the cache out of [start, end); private copies stay. mm locked and settled. */
static void zap_files(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    const uint64_t *table;
    struct zap z;

    zap_begin(&z, w, mm);
    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t stop = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        for (; a < stop; a += PAGE_BYTES) {
            uint64_t entry = table[pt_index(a, 0)];

            if ((!entry_is_leaf(entry) && !entry_is_parked(entry)) ||
                page_of(entry_page(entry))->state != PAGE_FILE)
                continue;
            if (!zap_has_room(&z, 1, 1))
                zap_flush(&z);
            op_add(w, mm, BATCH_UNMAP, a);
            zap_entry(&z, entry);
        }
    }
    zap_flush(&z);
}

struct unmap {
    struct worker *w;
    struct object *o;
    uint64_t first, last; /* pages */
    bool copies;
    uint64_t linked; /* VMAs up to this number are done */
};

/* Object locked: the VMA of [first, last] with the lowest number above u->linked. */
static struct vma *unmap_next_locked(const struct unmap *u)
{
    struct vma *next = NULL;

    for (struct interval *i = interval_first(&u->o->mappers, u->first, u->last); i;
         i = interval_next(i, u->first, u->last)) {
        struct vma *v = object_vma_of(i);

        if (v->i_linked > u->linked && (!next || v->i_linked < next->i_linked))
            next = v;
    }
    return next;
}

/* mm locked and settled: the part of v that maps pages of the range. */
static void unmap_vma(const struct unmap *u, struct mm *mm, struct vma *v)
{
    uint64_t first = max_u64(u->first, v->offset);
    uint64_t last = min_u64(u->last, v->offset + vma_pages(v) - 1);
    vaddr_t start = v->start + ((first - v->offset) << PAGE_SHIFT);
    vaddr_t end = v->start + ((last - v->offset + 1) << PAGE_SHIFT);

    if (u->copies)
        zap_range(u->w, mm, start, end);
    else
        zap_files(u->w, mm, start, end);
}

/* One more VMA; false if there is none. */
static bool unmap_step(struct unmap *u)
{
    lock_take(&u->o->lock);
    struct vma *v = unmap_next_locked(u);
    uint64_t id = v ? v->mm->id : 0, linked = v ? v->i_linked : 0;
    lock_drop(&u->o->lock);
    if (!linked)
        return false;
    u->linked = linked;
    struct mm *mm = mm_get(id);
    if (!mm)
        return true; /* it is being released, and empties its tables itself */
    mm_lock(mm);
    mm_settle_locked(u->w, mm);
    u->linked--;
    lock_take(&u->o->lock);
    v = unmap_next_locked(u);
    bool same = v && v->i_linked == linked && v->mm == mm;
    lock_drop(&u->o->lock);
    u->linked = linked;
    if (same) /* it cannot change while its mm is locked */
        unmap_vma(u, mm, v);
    mm_unlock(mm);
    mm_put(mm);
    return true;
}

void object_unmap(struct worker *w, struct object *o, uint64_t first, uint64_t last, bool copies)
{
    struct unmap u = {.w = w, .o = o, .first = first, .last = last, .copies = copies};

    while (unmap_step(&u))
        mm_count(w, object_unmap);
}

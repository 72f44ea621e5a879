/*
 * Pages of 2 MiB set apart. See hugetlb.h.
 *
 *   fault    empty   page of the object, shared or lent     ──▶ HUGE      behind the end ──▶ BUSERR
 *                    none there, or a write to a private one: of the VMA's promise or of nobody's
 *                                                           ──▶ HUGE      none left ──▶ BUSERR
 *            allows it                                      ──▶ SPURIOUS
 *            own page, the right is missing                 ──▶ REUSE
 *            shared by a fork, write                        ──▶ COW_COPY  none left ──▶ BUSERR
 */
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/text.h"
#include "mmserver/core/vma_ops.h"

static struct {
    struct lock lock;
    struct page_list pages; /* free ones */
    struct hugetlb_state is;
} pool;

void hugetlb_init(void)
{
    pool.lock = LOCK_INIT(LOCK_HUGE);
    LIST_INIT(&pool.pages);
    pool.is = (struct hugetlb_state){0};
}

struct hugetlb_state hugetlb_state(void)
{
    lock_take(&pool.lock);
    struct hugetlb_state is = pool.is;
    lock_drop(&pool.lock);
    return is;
}

static void put_free_locked(struct page *page)
{
    LIST_INSERT_HEAD(&pool.pages, page, link);
    pool.is.free++;
}

static struct page *take_free_locked(void)
{
    struct page *page = LIST_FIRST(&pool.pages);

    LIST_REMOVE(page, link);
    pool.is.free--;
    return page;
}

/* ---- the pool's size ---- */

static bool pool_grow(struct worker *w)
{
    pfn_t pfn = pages_alloc(w, HUGE_ORDER, GFP_KERNEL | GFP_NOWARN);

    if (!pfn)
        return false;
    page_of(pfn)->state = PAGE_HUGETLB;
    lock_take(&pool.lock);
    put_free_locked(page_of(pfn));
    pool.is.total++;
    lock_drop(&pool.lock);
    return true;
}

static bool pool_shrink(struct worker *w)
{
    struct page *page = NULL;

    lock_take(&pool.lock);
    if (pool.is.free > pool.is.reserved) {
        page = take_free_locked();
        pool.is.total--;
    }
    lock_drop(&pool.lock);
    if (!page)
        return false;
    page->state = PAGE_USED;
    pages_free(w, page_number(page), HUGE_ORDER);
    return true;
}

uint64_t hugetlb_resize(struct worker *w, uint64_t pages)
{
    while (hugetlb_state().total < pages && pool_grow(w))
        ;
    while (hugetlb_state().total > pages && pool_shrink(w))
        ;
    return hugetlb_state().total;
}

/* ---- promises ---- */

static bool promise_locked(uint64_t pages)
{
    bool enough = pool.is.free - pool.is.reserved >= pages;

    if (enough)
        pool.is.reserved += pages;
    return enough;
}

bool hugetlb_promise(uint64_t pages)
{
    lock_take(&pool.lock);
    bool enough = promise_locked(pages);
    lock_drop(&pool.lock);
    return enough;
}

void hugetlb_unpromise(uint64_t pages)
{
    lock_take(&pool.lock);
    pool.is.reserved -= pages;
    lock_drop(&pool.lock);
}

bool hugetlb_reserve(struct mm *mm, uint64_t pages)
{
    lock_take(&pool.lock);
    bool enough = promise_locked(pages);
    if (enough)
        mm->huge_reserved += pages;
    lock_drop(&pool.lock);
    return enough;
}

void hugetlb_unreserve(struct mm *mm, uint64_t pages)
{
    lock_take(&pool.lock);
    uint64_t never = min_u64(pages, (uint64_t)mm->huge_unpromised);
    mm->huge_unpromised -= (int64_t)never;
    mm_assert(mm->huge_reserved >= pages - never);
    pool.is.reserved -= pages - never;
    mm->huge_reserved -= pages - never;
    lock_drop(&pool.lock);
}

/* Is it promised each of its pages? */
static bool vma_is_promised(const struct vma *v)
{
    return (v->flags & (VM_HUGETLB | VM_NORESERVE | VM_SHARED)) == VM_HUGETLB;
}

/* Is it of the pool, taken for the mapping that it is found in and not lent by an object? */
static bool is_own(uint64_t entry)
{
    const struct page *page = page_of(entry_page(entry));

    return page->state == PAGE_HUGETLB && !page->owner;
}

uint64_t hugetlb_promised(struct mm *mm, vaddr_t start, vaddr_t end)
{
    uint64_t bytes = 0;

    for (struct vma *v = vma_find(mm, start); v && v->start < end; v = v->next)
        if (vma_is_promised(v))
            bytes += min_u64(end, v->end) - max_u64(start, v->start);
    return bytes >> BLOCK_SHIFT;
}

bool hugetlb_must_restore(struct mm *mm, vaddr_t address, uint64_t entry)
{
    const struct vma *v = is_own(entry) ? vma_at(mm, address) : NULL;

    return v && vma_is_promised(v);
}

uint64_t hugetlb_missing(struct mm *mm)
{
    uint64_t missing = hugetlb_promised(mm, 0, mm_user_end), entry;

    for (vaddr_t a = huge_next(mm, 0, mm_user_end, &entry); a < mm_user_end;
         a = huge_next(mm, a + BLOCK_BYTES, mm_user_end, &entry))
        missing -= hugetlb_must_restore(mm, a, entry);
    return missing;
}

/* One that was promised, or that nobody was; 0: there is none. */
static pfn_t take_locked(bool promised)
{
    struct page *page = NULL;

    if (promised || pool.is.free > pool.is.reserved)
        page = take_free_locked();
    pool.is.reserved -= promised;
    if (!page)
        return 0;
    page->owner = NULL;
    page->index = 0;
    page->maps = 1;
    return page_number(page);
}

pfn_t hugetlb_take(bool promised)
{
    lock_take(&pool.lock);
    pfn_t pfn = take_locked(promised);
    lock_drop(&pool.lock);
    return pfn;
}

/*
 * A page for a private mapping, which counts as mapped once; 0: there is none. `owed`: it is one
 * that the mapping is promised and lacks; *promised: the promise was kept. Two threads may do this
 * for the same place at the same time, before one of them takes it back: the other one's promise,
 * or one more than lack one, is used meanwhile.
 */
static pfn_t pool_take(struct mm *mm, bool owed, bool *promised)
{
    lock_take(&pool.lock);
    *promised = owed && mm->huge_reserved;
    pfn_t pfn = take_locked(*promised);
    mm->huge_reserved -= *promised;
    mm->huge_unpromised -= pfn && owed && !*promised;
    lock_drop(&pool.lock);
    return pfn;
}

/* And back, unused. */
static void pool_untake(struct mm *mm, pfn_t pfn, bool owed, bool promised)
{
    lock_take(&pool.lock);
    page_of(pfn)->maps = 0;
    put_free_locked(page_of(pfn));
    pool.is.reserved += promised;
    mm->huge_reserved += promised;
    mm->huge_unpromised += owed && !promised;
    lock_drop(&pool.lock);
}

void hugetlb_put(struct worker *w, struct page *page)
{
    (void)w;
    mm_assert(page->state == PAGE_HUGETLB && page->order == HUGE_ORDER);
    if (__atomic_sub_fetch(&page->maps, 1, __ATOMIC_ACQ_REL))
        return;
    lock_take(&pool.lock);
    put_free_locked(page);
    lock_drop(&pool.lock);
}

void hugetlb_put_restore(struct mm *mm, struct page *page)
{
    lock_take(&pool.lock);
    if (!__atomic_sub_fetch(&page->maps, 1, __ATOMIC_ACQ_REL))
        put_free_locked(page);
    bool again = promise_locked(1); /* if a child has the page there may be none */
    mm->huge_reserved += again;
    mm->huge_unpromised += !again;
    lock_drop(&pool.lock);
}

/* ---- faults ---- */

static bool map_refused(enum fault_outcome outcome)
{
    return outcome != FAULT_HUGE;
}

/* A page of the mapping's own into the empty entry: a copy of `from`, or zeros (0). Another thread
 * that is just at it may have the last page, so the writer looks again. */
static enum fault_outcome fault_new(struct fault *f, pfn_t from)
{
    bool owed = vma_is_promised(f->vma), promised;
    pfn_t pfn = pool_take(f->mm, owed, &promised);

    if (!pfn)
        return f->writer ? FAULT_BUSERR : FAULT_NEEDS_WRITER;
    if (from)
        huge_copy(pfn, from);
    else
        huge_clear(pfn);
    f->by_reply = false;
    enum fault_outcome outcome =
        huge_map(f, entry_make(pfn, vma_entry_bits(f->vma, true)), FAULT_HUGE);
    if (map_refused(outcome))
        pool_untake(f->mm, pfn, owed, promised);
    return outcome;
}

/* The page of the object into the empty entry: shared as the VMA allows, or lent to be read. */
static enum fault_outcome fault_object(struct fault *f)
{
    struct object *o = f->vma->object;
    uint64_t index = vma_offset_at(f->vma, f->address) / HUGE_PAGES;
    bool shared = f->vma->flags & VM_SHARED;
    long pfn = shared ? hugetlb_page_get(f->w, o, index, false) : hugetlb_page_find(o, index);
    enum fault_outcome outcome;

    if (pfn < 0)
        return pfn == -LINUX_ENOMEM ? FAULT_OOM : FAULT_BUSERR;
    if (!pfn)
        return fault_new(f, 0);
    if (!shared && f->access == VM_WRITE) {
        outcome = fault_new(f, (pfn_t)pfn);
        hugetlb_put(f->w, page_of((pfn_t)pfn));
        return outcome;
    }
    f->by_reply = false;
    outcome = huge_map(f, entry_make((pfn_t)pfn, vma_entry_bits(f->vma, shared)), FAULT_HUGE);
    if (map_refused(outcome))
        hugetlb_put(f->w, page_of((pfn_t)pfn));
    return outcome;
}

static enum fault_outcome fault_empty(struct fault *f)
{
    return f->vma->object ? fault_object(f) : fault_new(f, 0);
}

/* The writer's: a copy takes the place of a page that is somebody else's too. What shares it with a
 * child has had its own; what was lent one has not. */
static enum fault_outcome fault_copy(struct fault *f, uint64_t old)
{
    bool owed = vma_is_promised(f->vma) && !is_own(old), promised;
    pfn_t pfn = pool_take(f->mm, owed, &promised);

    if (!pfn)
        return FAULT_BUSERR;
    huge_copy(pfn, entry_page(old));
    if (huge_replace(f, old, entry_make(pfn, vma_entry_bits(f->vma, true)))) {
        pool_untake(f->mm, pfn, owed, promised);
        return FAULT_OOM;
    }
    hugetlb_put(f->w, page_of(entry_page(old)));
    return FAULT_COW_COPY;
}

/* The leaf is there, but does not allow the access. */
static enum fault_outcome fault_leaf(struct fault *f, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));

    if (!f->writer)
        return FAULT_NEEDS_WRITER;
    bool own = (f->vma->flags & VM_SHARED) || __atomic_load_n(&page->maps, __ATOMIC_ACQUIRE) == 1;
    if (f->access == VM_WRITE && !own)
        return fault_copy(f, entry);
    uint64_t allowed = entry_make(entry_page(entry), vma_entry_bits(f->vma, own));
    return huge_replace(f, entry, allowed) ? FAULT_OOM : FAULT_REUSE;
}

static enum fault_outcome hugetlb_fault(struct fault *f)
{
    if (!f->entry)
        return fault_empty(f);
    return huge_allows(f, f->entry) ? FAULT_SPURIOUS : fault_leaf(f, f->entry);
}

/* ---- the VMAs ---- */

static const char *hugetlb_name(const struct vma *v)
{
    return v->object ? v->object->name : HUGETLB_NAME;
}

static void hugetlb_open(struct vma *v)
{
    if (v->object)
        object_vma_open(v);
}

static void hugetlb_close(struct worker *w, struct vma *v)
{
    if (v->object)
        object_vma_close(w, v);
}

static void hugetlb_resized(struct vma *v)
{
    if (v->object)
        object_vma_resized(v);
}

const struct vma_ops hugetlb_vma_ops = {
    .name = hugetlb_name,
    .open = hugetlb_open,
    .close = hugetlb_close,
    .resized = hugetlb_resized,
    .huge_fault = hugetlb_fault,
};

void hugetlb_mapped(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    pt_remove_leaf_tables(w, mm, start, end); /* empty ones, kept for what was here before */
}

/* ---- mprotect, mremap ---- */

/* The tables above a leaf at `address`. */
static long tables_ensure(struct worker *w, struct mm *mm, vaddr_t address)
{
    for (unsigned level = mm_levels - 1; level > 1; level--) {
        if (entry_is_table(*pt_entry(mm, address, level)))
            continue;
        if (!pt_gather_table(w, mm, address, level))
            return -LINUX_ENOMEM;
        if (op_try(w)) {
            w->ops_count = 1;
            pt_ungather_tables(w, mm, 0);
            return -LINUX_ENOMEM;
        }
    }
    return 0;
}

long hugetlb_move_ready(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t to)
{
    uint64_t entry;

    for (vaddr_t a = huge_next(mm, start, end, &entry); a < end;
         a = huge_next(mm, a + BLOCK_BYTES, end, &entry)) {
        if (tables_ensure(w, mm, to + (a - start)))
            return -LINUX_ENOMEM;
    }
    hugetlb_mapped(w, mm, to, to + (end - start));
    return 0;
}

void hugetlb_move(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t to)
{
    uint64_t entry;

    for (vaddr_t a = huge_next(mm, start, end, &entry); a < end;
         a = huge_next(mm, a + BLOCK_BYTES, end, &entry)) {
        struct batch_op *op = op_add(w, mm, BATCH_MOVE, a);
        op->level = 1;
        op->extra = to + (a - start);
        ops_send(w);
    }
}

/* ---- fork ---- */

long hugetlb_fork(struct worker *w, struct mm *child, const struct mm *parent, const struct vma *v)
{
    uint64_t entry;

    for (vaddr_t a = huge_next(parent, v->start, v->end, &entry); a < v->end;
         a = huge_next(parent, a + BLOCK_BYTES, v->end, &entry)) {
        if (tables_ensure(w, child, a))
            return -LINUX_ENOMEM;
        struct batch_op *op = op_add(w, child, BATCH_COPY_TABLE, a);
        op->level = 1;
        op->count = 1;
        op->extra = parent->space_slot;
        if (op_try(w))
            return -LINUX_ENOMEM;
        __atomic_add_fetch(&page_of(entry_page(entry))->maps, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

/* ---- checking ---- */

uint64_t hugetlb_check(struct worker *w, bool say)
{
    uint64_t count = 0, wrong = 0, reserved = 0;
    const struct page *page;
    struct object *o;

    for (uint64_t id = mm_next_id(0); id; id = mm_next_id(id)) {
        struct mm *mm = mm_get(id);

        reserved += mm ? mm->huge_reserved : 0;
        if (mm)
            mm_put(mm);
    }
    for (uint64_t serial = 0; (o = object_next(&serial)); object_put(w, o))
        reserved += o->promised;
    lock_take(&pool.lock);
    LIST_FOREACH(page, &pool.pages, link)
    {
        count++;
        wrong += page->state != PAGE_HUGETLB || page->order != HUGE_ORDER || page->maps;
    }
    wrong += count != pool.is.free;
    wrong += pool.is.free > pool.is.total || pool.is.reserved > pool.is.free;
    wrong += reserved != pool.is.reserved;
    lock_drop(&pool.lock);
    if (wrong && say)
        text_log("check: pool of huge pages: %lu listed, %lu free, %lu reserved", count,
                 pool.is.free, reserved);
    return wrong;
}

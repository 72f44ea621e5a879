/*
 * The fault handler.
 *
 *   trap -> fault_enter ──fast slot hit, entry empty, page at hand─────────────────▶ fault_reply
 *              │                └─ a write where something stands ──▶ cow.c
 *              │ missed: fault_middle ──VMA and table found, slot set, as above────▶ fault_reply
 *              ▼ read the mm, find the VMA
 *        no VMA there ── below a growing stack, in reach, its guard and limits kept ──▶ grow it:
 *              │                 │                        NEEDS_WRITER first, then go on
 *              │                 └─ else ──▶ MAPERR
 *        VMA forbids the access ──▶ ACCERR
 *              │
 *              ▼ walk the tables
 *   no leaf table ──▶ the kind of memory is asked for 2 MiB (vma_ops->huge_fault)
 *            anonymous (huge.c), where they fit         ──▶ HUGE, HUGE_ZERO; REUSE, SPURIOUS
 *            of the pool, lent by an object or not (hugetlb.c)
 *                                                       ──▶ HUGE, COW_COPY, REUSE, SPURIOUS, BUSERR
 *            all else, and where none can be had: small ones
 *                anonymous ──▶ tables and page in one reply        else ──▶ make them, go on
 *              │
 *              ▼ look at the leaf entry
 *   empty ──▶ the kind of memory is asked (vma_ops->fault)
 *            anonymous  read  ──▶ ZERO_PAGE     this hart's zero page, read-only
 *                       write ──▶ ANON_*        fresh page of zeros
 *            object (object_fault.c)            behind its end ──▶ BUSERR
 *                       read  ──▶ FILE_READ     page of the cache, and those around it
 *                       write ──▶ FILE_COPY     private copy; shared: the page itself
 *   marked                    ──▶ GUARD, POISONED
 *   parked                    ──▶ RESTORED      the page behind the software entry
 *            of VM_RUNS write ──▶ RUN           sixteen pages, if all their entries are empty
 *   valid    allows it        ──▶ SPURIOUS      fence and go on; always so for a run
 *            zero page  write ──▶ ZERO_REPLACED
 *            file page  write ──▶ FILE_COPY
 *            shared by a fork, write ──▶ COW_COPY
 *            own page         ──▶ REUSE         add the missing right
 *   changed meanwhile         ──▶ RACED         the client tries again
 *   no memory on the way      ──▶ OOM
 *
 * What only this worker can have is put in place by the reply itself, alone (fault_reply) or with a
 * few operations (ANSWER_BATCH); everything else is done by a batch before the client goes on.
 * A fault reads the mm (mm.h) and is the writer only where it must.
 */
#include "mmserver/core/fault_straight.h"
#include "mmserver/core/clear.h"
#include "mmserver/core/guard.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/vma_ops.h"

/* Room for a stack to grow down to `address`? Linux's rules: its limit, and the gap below. */
static bool stack_grow(struct fault *f)
{
    struct vma *v = f->vma;
    struct vma *below = vma_prev(v);

    if (!(v->flags & VM_GROWSDOWN) || f->address < MMAP_MIN_ADDRESS ||
        v->end - f->address > f->mm->limit[MM_LIMIT_STACK])
        return false;
    if (below && !(below->flags & VM_GROWSDOWN) && (below->flags & VM_ACCESS) &&
        f->address - below->end < STACK_GUARD_BYTES)
        return false;
    if (below && f->address < below->end)
        return false;
    uint64_t pages = (v->start - f->address) >> PAGE_SHIFT;
    if (!limit_expand(f->mm, v->flags, pages) || !limit_commit(pages) ||
        ((v->flags & VM_LOCKED) && !limit_lock(f->mm, pages)))
        return false;
    if (!f->writer)
        return true; /* there is room; but growing is the writer's */
    /* As Linux: what has grown merges like what has pages. */
    if (rmap_prepare(f->w, v))
        return false;
    vma_set_start(f->mm, v, f->address);
    mm_count(f->w, fault_stack_grown);
    return true;
}

/* Another hart's reply may arrive in the entry first; then there is nothing to do any more. */
static enum fault_outcome map_refused(long error)
{
    return error == -ERR_MAPPED ? FAULT_RACED : FAULT_OOM;
}

static enum fault_outcome replace_refused(long error)
{
    return error == -ERR_MAPPED || error == -ERR_UNMAPPED ? FAULT_RACED : FAULT_OOM;
}

/* A page of ours goes into an empty entry: by the reply if possible. */
static enum fault_outcome fill_empty(struct fault *f, pfn_t pfn, uint64_t bits,
                                     enum fault_outcome outcome)
{
    uint64_t entry = entry_make(pfn, bits);

    if (f->by_reply) {
        f->reply = entry;
        return outcome;
    }
    long error = pt_map(f->w, f->mm, f->address, entry);
    return error ? map_refused(error) : outcome;
}

void fault_anon_account(struct fault *f, pfn_t pfn)
{
    struct page *page = page_of(pfn);

    page->state = PAGE_ANON;
    page->maps = 1;
    page->owner = f->vma->anon;
    page->index = rmap_index(f->vma->offset, f->vma->start, f->address);
    mm_add(&f->mm->anon_pages, 1);
}

void fault_anon_unaccount(struct worker *w, struct mm *mm, pfn_t pfn)
{
    if (unlikely(page_of(pfn)->order)) {
        huge_put(w, mm, entry_make(pfn, 0));
        return;
    }
    page_of(pfn)->maps = 0;
    mm_add(&mm->anon_pages, -1);
    page_free(w, pfn);
}

/* After a fault of this VMA, whose leaf table is there. */
static void fast_slot_from(struct fault *f)
{
    fast_slot_set(f->w, f->mm, f->vma, f->address, pt_entry(f->mm, f->address, 0));
}

static enum fault_outcome anon_new(struct fault *f)
{
    bool prezeroed = f->w->zeroed_count != 0;
    pfn_t pfn = page_alloc_user_zeroed(f->w);

    if (!pfn)
        return FAULT_OOM;
    if (rmap_prepare(f->w, f->vma)) {
        page_free(f->w, pfn);
        return FAULT_OOM;
    }
    fault_anon_account(f, pfn);
    enum fault_outcome outcome = fill_empty(f, pfn, vma_entry_bits(f->vma, true),
                                            prezeroed ? FAULT_ANON_PREZEROED : FAULT_ANON_ZEROED);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED)
        fault_anon_unaccount(f->w, f->mm, pfn);
    else
        fast_slot_from(f);
    return outcome;
}

static enum fault_outcome zero_page(struct fault *f)
{
    enum fault_outcome outcome =
        fill_empty(f, f->w->zero_page, vma_entry_bits(f->vma, false), FAULT_ZERO_PAGE);

    if (outcome == FAULT_ZERO_PAGE)
        fast_slot_from(f);
    return outcome;
}

enum fault_outcome fault_fill_copy(struct fault *f, pfn_t from, enum fault_outcome outcome)
{
    pfn_t pfn = rmap_prepare(f->w, f->vma) ? 0 : page_alloc_user(f->w);

    if (!pfn)
        return FAULT_OOM;
    page_copy(page_pointer(pfn), page_pointer(from));
    fault_anon_account(f, pfn);
    outcome = fill_empty(f, pfn, vma_entry_bits(f->vma, true), outcome);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED)
        fault_anon_unaccount(f->w, f->mm, pfn);
    return outcome;
}

/* An empty entry of private anonymous memory. */
static enum fault_outcome anon_fault(struct fault *f)
{
    if (f->vma->flags & VM_DEVICE) /* it was put there at once, but not here */
        return FAULT_BUSERR;
    if (f->access != VM_WRITE)
        return zero_page(f);
    enum fault_outcome outcome = f->vma->flags & VM_RUNS ? run_fault(f) : FAULT_NONE;
    return outcome == FAULT_NONE ? anon_new(f) : outcome;
}

const struct vma_ops anon_vma_ops = {.fault = anon_fault, .huge_fault = huge_fault};

/* Nobody maps the anonymous page but the entry that it was found in. */
static bool page_is_exclusive(const struct page *page)
{
    return page->state == PAGE_ANON && __atomic_load_n(&page->maps, __ATOMIC_ACQUIRE) == 1;
}

uint64_t fault_unparked(const struct vma *v, uint64_t entry)
{
    struct page *page = page_of(entry_page(entry));
    bool writes = page_is_exclusive(page);

    if (page->state == PAGE_FILE && (v->flags & VM_SHARED) && (v->flags & VM_WRITE)) {
        object_page_dirty(v->object, page);
        writes = true;
    }
    return entry_make(page_number(page), vma_entry_bits(v, writes));
}

static enum fault_outcome fault_parked(struct fault *f)
{
    long error = pt_map(f->w, f->mm, f->address, fault_unparked(f->vma, f->entry));
    if (error)
        return map_refused(error);
    mm_add(&f->mm->parked, -1);
    return FAULT_RESTORED;
}

void fault_page_unmapped(struct fault *f, struct page *page)
{
    if (page->state == PAGE_FILE) {
        mm_add(&f->mm->file_pages, -1);
        object_page_put(f->w, page, 1);
    } else if (page->state == PAGE_ANON) {
        mm_add(&f->mm->anon_pages, -1);
        if (!__atomic_sub_fetch(&page->maps, 1, __ATOMIC_ACQ_REL))
            page_free(f->w, page_number(page));
    }
}

/* Is the entry still what it was found to be? Its leaf table is locked, so it stays so. */
static bool entry_is_same(const struct fault *f, const uint64_t *leaf)
{
    return !((__atomic_load_n(leaf, __ATOMIC_RELAXED) ^ f->entry) & ~(ENTRY_A | ENTRY_D));
}

/* The leaf table is locked: `entry` replaces what stands there by the reply. */
static void reply_replace(struct fault *f, uint64_t entry, uint64_t mark)
{
    struct batch_op *op = op_add(f->w, f->mm, BATCH_REPLACE, f->address);

    op->entry = entry;
    op->extra = f->entry;
    op->memory = page_of(entry_page(entry))->slot;
    f->batch = 1;
    f->reply_at = f->address;
    f->reply = entry | mark;
}

/*
 * A page that is not to be written to is replaced by a page of our own. What is allocated is
 * allocated before the leaf table is locked, what is given back is given back after.
 */
static enum fault_outcome entry_copy(struct fault *f, const uint64_t *leaf)
{
    struct page *old = page_of(entry_page(f->entry));
    bool zero = old->state == PAGE_ZERO;
    enum fault_outcome outcome = zero                      ? FAULT_ZERO_REPLACED
                                 : old->state == PAGE_FILE ? FAULT_FILE_COPY
                                                           : FAULT_COW_COPY;
    pfn_t pfn = zero ? page_alloc_user_zeroed(f->w) : page_alloc_user(f->w);
    long error = -ERR_MAPPED;

    if (!pfn)
        return FAULT_OOM;
    if (rmap_prepare(f->w, f->vma)) {
        page_free(f->w, pfn);
        return FAULT_OOM;
    }
    fault_anon_account(f, pfn);
    leaf_lock(leaf);
    if (entry_is_same(f, leaf)) {
        mm_settle_entry(f->w, f->mm, f->address);
        uint64_t entry = entry_make(pfn, vma_entry_bits(f->vma, true));
        if (!zero)
            page_copy(page_pointer(pfn), page_pointer(page_number(old)));
        if (f->by_reply && zero) {
            reply_replace(f, entry, 0);
            leaf_unlock(leaf);
            return outcome;
        }
        error = pt_replace(f->w, f->mm, f->address, f->entry, entry);
    }
    leaf_unlock(leaf);
    if (error) {
        fault_anon_unaccount(f->w, f->mm, pfn);
        return replace_refused(error);
    }
    fault_page_unmapped(f, old);
    fast_slot_from(f);
    return outcome;
}

enum fault_outcome fault_allow(struct fault *f, uint64_t bits)
{
    const uint64_t *leaf = pt_entry(f->mm, f->address, 0);
    long error = -ERR_MAPPED;

    leaf_lock(leaf);
    if (entry_is_same(f, leaf)) {
        mm_settle_entry(f->w, f->mm, f->address);
        error =
            pt_replace(f->w, f->mm, f->address, f->entry, entry_make(entry_page(f->entry), bits));
    }
    leaf_unlock(leaf);
    return error ? replace_refused(error) : FAULT_REUSE;
}

/* The page stays and gets the rights that the VMA gives: W only if it is nobody else's. */
static enum fault_outcome entry_allow(struct fault *f, const uint64_t *leaf)
{
    struct page *page = page_of(entry_page(f->entry));
    long error = -ERR_MAPPED;

    leaf_lock(leaf);
    bool own = page_is_exclusive(page);
    uint64_t entry = entry_make(page_number(page), vma_entry_bits(f->vma, own));
    if (entry_is_same(f, leaf) && (own || f->access != VM_WRITE)) {
        mm_settle_entry(f->w, f->mm, f->address);
        if (f->by_reply && f->mm->clients == 1) {
            /* That it is our own can only be changed by a writer, who waits for the reply, and can
             * tell that it has arrived (cow.c). */
            reply_replace(f, entry, VISIT_KEEPS);
            error = 0;
        } else {
            error = pt_replace(f->w, f->mm, f->address, f->entry, entry);
        }
    }
    leaf_unlock(leaf);
    return error ? replace_refused(error) : FAULT_REUSE;
}

static enum fault_outcome fault_valid(struct fault *f, const uint64_t *leaf)
{
    struct page *page = page_of(entry_page(f->entry));
    uint64_t needed = f->access == VM_WRITE  ? ENTRY_W | ENTRY_D
                      : f->access == VM_EXEC ? ENTRY_X
                                             : ENTRY_R;

    if (unlikely(entry_is_run(f->entry))) { /* it has all rights that the VMA gives */
        run_fence(f->w, f->mm, f->address);
        return FAULT_SPURIOUS;
    }

    /* Device memory was mapped with all it may have; its entries have no descriptor. */
    if (!page_is_ours(entry_page(f->entry)) || page->state == PAGE_SERVER)
        return (f->entry & needed) == needed ? FAULT_SPURIOUS : FAULT_ACCERR;
    if ((f->entry & needed) == needed) {
        pt_fence(f->w, f->mm, f->address, f->entry);
        return FAULT_SPURIOUS;
    }
    if (f->access == VM_WRITE && (f->vma->flags & VM_SHARED))
        return f->vma->ops->fault(f);
    if (f->access == VM_WRITE && !page_is_exclusive(page))
        return entry_copy(f, leaf);
    return entry_allow(f, leaf);
}

/* A page that nobody knows yet for an empty entry: of zeros for a write, else the zero page. Its
 * entry, or 0. */
static uint64_t new_page(struct fault *f, enum fault_outcome *outcome)
{
    if (f->access != VM_WRITE) {
        *outcome = FAULT_ZERO_PAGE;
        return entry_make(f->w->zero_page, vma_entry_bits(f->vma, false));
    }
    *outcome = f->w->zeroed_count ? FAULT_ANON_PREZEROED : FAULT_ANON_ZEROED;
    pfn_t pfn = page_alloc_user_zeroed(f->w);
    if (!pfn)
        return 0;
    fault_anon_account(f, pfn);
    return entry_make(pfn, vma_entry_bits(f->vma, true));
}

/*
 * Private anonymous memory whose leaf table is missing: the reply brings the tables and the page
 * at once, from below `level` down. They are accounted before; what the kernel refuses is taken
 * back (batch_reply_failed).
 */
enum fault_outcome fault_with_tables(struct fault *f, unsigned level)
{
    struct worker *w = f->w;
    enum fault_outcome outcome;
    uint64_t entry;
    pfn_t table = 0;

    mm_count(w, fault_table);
    if ((f->access == VM_WRITE && rmap_prepare(w, f->vma)) || !(entry = new_page(f, &outcome)))
        return FAULT_OOM;
    for (; level > 0; level--) {
        table = pt_gather_table(w, f->mm, f->address, level);
        if (table)
            continue;
        pt_ungather_tables(w, f->mm, 0);
        if (outcome != FAULT_ZERO_PAGE)
            fault_anon_unaccount(w, f->mm, entry_page(entry));
        return FAULT_OOM;
    }
    struct batch_op *op = op_add(w, f->mm, BATCH_MAP, f->address);
    op->entry = entry;
    op->memory = page_of(entry_page(entry))->slot;
    f->reply = entry;
    f->batch = w->ops_count;
    f->reply_at = f->address;
    fast_slot_set(w, f->mm, f->vma, f->address,
                  (uint64_t *)page_pointer(table) + pt_index(f->address, 0));
    return outcome;
}

/* The mm is read, or the writer's. */
enum fault_outcome fault_resolve(struct fault *f)
{
    struct mm *mm = f->mm;

    if (f->address >= mm_user_end)
        return FAULT_MAPERR;
    f->vma = vma_find(mm, f->address);
    if (!f->vma)
        return FAULT_MAPERR;
    if (f->vma->start > f->address) {
        if (!stack_grow(f))
            return FAULT_MAPERR;
        if (!f->writer)
            return FAULT_NEEDS_WRITER;
    }
    if (!access_allowed(f) && !f->forced)
        return FAULT_ACCERR;
    const struct vma_ops *ops = f->vma->ops ? f->vma->ops : &anon_vma_ops;
    unsigned level;
    f->leaf = pt_lowest(mm, f->address, &level);
    f->entry = __atomic_load_n(f->leaf, __ATOMIC_RELAXED);
    if (level) {
        enum fault_outcome outcome = ops->huge_fault ? ops->huge_fault(f) : FAULT_NONE;

        if (outcome != FAULT_NONE)
            return outcome;
        if (f->by_reply && vma_is_private_anon(f->vma) && !(f->vma->flags & VM_RUNS))
            return fault_with_tables(f, level);
        mm_count(f->w, fault_table);
        if (pt_ensure(f->w, mm, f->address))
            return FAULT_OOM;
        f->leaf = pt_entry(mm, f->address, 0);
        if (!f->leaf)
            return FAULT_RACED; /* somebody put a huge page there */
        f->entry = __atomic_load_n(f->leaf, __ATOMIC_RELAXED);
    }
    if (!f->entry)
        return ops->fault ? ops->fault(f) : FAULT_BUSERR;
    if (unlikely(entry_is_marker(f->entry)))
        return entry_is_guard(f->entry) ? FAULT_GUARD : FAULT_POISONED;
    return entry_is_parked(f->entry) ? fault_parked(f) : fault_valid(f, f->leaf);
}

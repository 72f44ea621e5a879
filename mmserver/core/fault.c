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
 *   the VMA is of huge pages only ──▶ hugetlb.c
 *   a huge leaf, or none where one fits ──▶ huge.c: HUGE, HUGE_ZERO, REUSE, SPURIOUS
 *   no table      anonymous ──▶ tables and page in one reply        else ──▶ make them, go on
 *              │
 *              ▼ look at the leaf entry
 *   empty    anonymous  read  ──▶ ZERO_PAGE     this hart's zero page, read-only
 *                       write ──▶ ANON_*        fresh page of zeros
 *            object (vma->ops, object_fault.c)  behind its end ──▶ BUSERR
 *                       read  ──▶ FILE_READ     page of the cache, and those around it
 *                       write ──▶ FILE_COPY     private copy; shared: the page itself
 *   marked                    ──▶ GUARD, POISONED
 *   parked                    ──▶ RESTORED      the page behind the software entry
 *   valid    allows it        ──▶ SPURIOUS      fence and go on
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
#include "mmserver/core/pt.h"
#include "mmserver/core/vma_ops.h"

const char *const fault_outcome_text[FAULT_OUTCOMES] = {
#define OUTCOME(name, counter, text) [FAULT_##name] = text,
#include "mmserver/core/outcome.def"
#undef OUTCOME
};

static const uint16_t outcome_counter[FAULT_OUTCOMES] = {
#define OUTCOME(name, counter, text) [FAULT_##name] = MMCOUNT_##counter,
#include "mmserver/core/outcome.def"
#undef OUTCOME
};

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
    vma_resize(f->mm, v, f->address, v->end);
    mm_count(f->w, fault_stack_grown);
    return true;
}

/* May the VMA's pages be accessed so? As Linux on RISC-V: writable implies readable. */
static bool access_allowed(const struct fault *f)
{
    uint64_t flags = f->vma->flags;

    if (f->access == VM_READ)
        return (flags & (VM_READ | VM_WRITE)) != 0;
    return (flags & f->access) != 0;
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

/* The VMA was prepared for it (rmap_prepare). */
static void anon_account(struct fault *f, pfn_t pfn)
{
    struct page *page = page_of(pfn);

    page->state = PAGE_ANON;
    page->maps = 1;
    page->owner = f->vma->anon;
    page->index = rmap_index(f->vma->offset, f->vma->start, f->address);
    mm_add(&f->mm->anon_pages, 1);
}

static void anon_unaccount(struct worker *w, struct mm *mm, pfn_t pfn)
{
    if (unlikely(page_of(pfn)->order)) {
        huge_put(w, mm, entry_make(pfn, 0));
        return;
    }
    page_of(pfn)->maps = 0;
    mm_add(&mm->anon_pages, -1);
    page_free(w, pfn);
}

/* What the slot tells of a writable private VMA, for this fault; nothing to be remembered. */
static void fast_slot_fill(struct worker *w, const struct vma *v, vaddr_t address,
                           const uint64_t *leaf)
{
    struct fast_slot *slot = &w->fast;

    slot->leaf_bias = (uintptr_t)leaf - (address >> PAGE_SHIFT) * sizeof *leaf;
    slot->bits = vma_entry_bits(v, false) | ENTRY_W | ENTRY_D;
    slot->anon = v->anon;
    slot->index_bias = v->offset - (v->start >> PAGE_SHIFT);
    slot->read_generation = slot->write_generation = 0;
}

/* Remember where further faults of this VMA need no look at it. Is there anything? */
static bool fast_slot_set(struct worker *w, const struct mm *mm, const struct vma *v,
                          vaddr_t address, const uint64_t *leaf)
{
    struct fast_slot *slot = &w->fast;
    vaddr_t block = ROUND_DOWN(address, BLOCK_BYTES);
    vaddr_t start = max_u64(block, v->start);

    if (!vma_is_private_anon(v) || !(v->flags & (VM_READ | VM_WRITE)))
        return false;
    fast_slot_fill(w, v, address, leaf);
    slot->start = start;
    slot->bytes = min_u64(block + BLOCK_BYTES, v->end) - start;
    slot->read_generation = mm->generation;
    slot->zero_entry = entry_make(w->zero_page, slot->bits & ~(ENTRY_W | ENTRY_D));
    slot->write_generation = (v->flags & VM_WRITE) && v->anon ? mm->generation : 0;
    return true;
}

/* For writes. */
static inline bool fast_slot_hit(const struct worker *w, const struct mm *mm, vaddr_t address)
{
    return mm->generation == w->fast.write_generation && address - w->fast.start < w->fast.bytes;
}

static void fast_slot_drop(struct worker *w)
{
    w->fast.read_generation = w->fast.write_generation = 0;
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
    anon_account(f, pfn);
    enum fault_outcome outcome = fill_empty(f, pfn, vma_entry_bits(f->vma, true),
                                            prezeroed ? FAULT_ANON_PREZEROED : FAULT_ANON_ZEROED);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED)
        anon_unaccount(f->w, f->mm, pfn);
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
    anon_account(f, pfn);
    outcome = fill_empty(f, pfn, vma_entry_bits(f->vma, true), outcome);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED)
        anon_unaccount(f->w, f->mm, pfn);
    return outcome;
}

static enum fault_outcome fault_empty(struct fault *f)
{
    if (f->vma->flags & VM_DEVICE && !f->vma->ops)
        return FAULT_BUSERR;
    if (f->vma->ops)
        return f->vma->ops->fault ? f->vma->ops->fault(f) : FAULT_BUSERR;
    return f->access == VM_WRITE ? anon_new(f) : zero_page(f);
}

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

/* The entry has lost this page. */
static void page_unmapped(struct fault *f, struct page *page)
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
    anon_account(f, pfn);
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
        anon_unaccount(f->w, f->mm, pfn);
        return replace_refused(error);
    }
    page_unmapped(f, old);
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
        if (f->by_reply) {
            /* That it is our own can only be changed by a writer, who waits for the reply. */
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
    anon_account(f, pfn);
    return entry_make(pfn, vma_entry_bits(f->vma, true));
}

/*
 * Private anonymous memory whose leaf table is missing: the reply brings the tables and the page
 * at once, from below `level` down. They are accounted before; what the kernel refuses is taken
 * back (batch_reply_failed).
 */
static enum fault_outcome fault_with_tables(struct fault *f, unsigned level)
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
            anon_unaccount(w, f->mm, entry_page(entry));
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
static enum fault_outcome fault_resolve(struct fault *f)
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
    if (!access_allowed(f))
        return FAULT_ACCERR;
    if (unlikely(f->vma->flags & VM_HUGETLB))
        return hugetlb_fault(f);
    unsigned level;
    const uint64_t *leaf = pt_lowest(mm, f->address, &level);
    if (level) {
        uint64_t above = __atomic_load_n(leaf, __ATOMIC_RELAXED);

        if (unlikely(entry_is_leaf(above)))
            return huge_fault_leaf(f, above);
        if (huge_fits(f->vma, f->address)) {
            enum fault_outcome outcome = huge_fault_empty(f);

            if (outcome != FAULT_NONE)
                return outcome;
        }
        if (f->by_reply && vma_is_private_anon(f->vma))
            return fault_with_tables(f, level);
        mm_count(f->w, fault_table);
        if (pt_ensure(f->w, mm, f->address))
            return FAULT_OOM;
        leaf = pt_entry(mm, f->address, 0);
        if (!leaf)
            return FAULT_RACED; /* somebody put a huge page there */
    }
    f->leaf = leaf;
    f->entry = __atomic_load_n(leaf, __ATOMIC_RELAXED);
    if (!f->entry)
        return fault_empty(f);
    if (unlikely(entry_is_marker(f->entry)))
        return entry_is_guard(f->entry) ? FAULT_GUARD : FAULT_POISONED;
    return entry_is_parked(f->entry) ? fault_parked(f) : fault_valid(f, leaf);
}

static uint64_t cause_access(uint64_t cause)
{
    return cause == CAUSE_STORE_PAGE ? VM_WRITE : cause == CAUSE_FETCH_PAGE ? VM_EXEC : VM_READ;
}

static struct answer answer_bad(enum fault_outcome outcome)
{
    switch (outcome) {
    case FAULT_MAPERR:
    case FAULT_GUARD:
        return answer_make(ANSWER_FORWARD, LINUX_SIGSEGV, SEGV_MAPERR);
    case FAULT_ACCERR:
        return answer_make(ANSWER_FORWARD, LINUX_SIGSEGV, SEGV_ACCERR);
    case FAULT_BUSERR:
        return answer_make(ANSWER_FORWARD, LINUX_SIGBUS, BUS_ADRERR);
    case FAULT_POISONED:
        return answer_make(ANSWER_FORWARD, LINUX_SIGBUS, BUS_MCEERR_AR);
    case FAULT_OOM:
        return answer_make(ANSWER_FORWARD, LINUX_SIGKILL, 0);
    default:
        return answer_make(ANSWER_FORWARD, 0, 0); /* not ours: the personality knows the cause */
    }
}

static bool cause_is_page_fault(uint64_t cause)
{
    return cause == CAUSE_STORE_PAGE || cause == CAUSE_LOAD_PAGE || cause == CAUSE_FETCH_PAGE;
}

static __attribute__((noinline)) struct answer fault_middle(uint64_t badge, vaddr_t address,
                                                            uint64_t cause, vaddr_t pc,
                                                            uint64_t begun, struct client *c,
                                                            struct mm *mm, struct worker *w);

/* Not inline: fault_enter() is to have no stack frame. */
static __attribute__((noinline)) struct answer nobody_to_answer(void)
{
    return answer_make(ANSWER_PARK, 0, 0);
}

/* All is looked at again: it may have changed. The page does not travel in the reply. */
static __attribute__((noinline)) enum fault_outcome fault_as_writer(struct fault *f)
{
    f->writer = true;
    f->by_reply = false;
    mm_lock(f->mm);
    mm_settle_locked(f->w, f->mm);
    enum fault_outcome outcome = fault_resolve(f);
    mm_unlock(f->mm);
    return outcome;
}

/*
 * Was what may be executed there written by us? Then no hart of this space may have anything older
 * of the page in its instruction cache. Pages of zeros hold no code: who writes some fences
 * himself.
 */
static bool code_is_new(enum fault_outcome outcome)
{
    return outcome == FAULT_FILE_READ || outcome == FAULT_FILE_COPY || outcome == FAULT_COW_COPY;
}

/* The mm is being read no more, unless the fault was none of a page: account, and answer. */
static inline struct answer fault_end(struct fault *f, struct client *c, vaddr_t address,
                                      uint64_t cause, vaddr_t pc, uint64_t begun,
                                      enum fault_outcome outcome)
{
    struct worker *w = f->w;

    if (likely(f->reply))
        mm_read_end_reply(w, f->batch ? f->reply_at : address, f->reply);
    else if (outcome != FAULT_NONE)
        mm_read_end(w);
    if (unlikely(outcome == FAULT_NEEDS_WRITER))
        outcome = fault_as_writer(f);
    if (outcome != FAULT_ANON_PREZEROED)
        w->count[outcome_counter[outcome]]++;
    fault_record(w, c->id, address, pc, FAULT_WHAT(cause & 0xff, outcome), begun);
    if (unlikely(outcome == FAULT_NONE || fault_is_bad(outcome)))
        return answer_bad(outcome);
    c->minor_faults++;
    if (unlikely(f->vma->flags & VM_EXEC) && code_is_new(outcome))
        mm_assert(!place_instruction_fence(f->mm->space_slot));
    if (unlikely(!f->reply))
        return answer_make(ANSWER_REPLY, 0, 0);
    if (f->batch) {
        w->ops_count = 0;
        w->batch_ops = f->batch;
        return answer_make(ANSWER_BATCH, f->mm->space_slot, f->batch);
    }
    return answer_make(ANSWER_FAULT, f->reply, page_of(entry_page(f->reply))->slot);
}

struct answer fault_slow(struct worker *w, struct client *c, vaddr_t address, uint64_t cause,
                         vaddr_t pc, bool by_reply, uint64_t begun)
{
    struct fault f = {.w = w,
                      .mm = c->mm,
                      .address = PAGE_DOWN(address),
                      .access = cause_access(cause),
                      .by_reply = by_reply};

    if (!cause_is_page_fault(cause))
        return fault_end(&f, c, address, cause, pc, begun, FAULT_NONE);
    mm_read(w, f.mm);
    return fault_end(&f, c, address, cause, pc, begun, fault_resolve(&f));
}

/*
 * The mm is read. The straight way is a write into the fast slot with a page at hand, or a read
 * there. `again`: the slot was just set.
 */
static inline __attribute__((always_inline)) struct answer
fault_straight(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc, uint64_t begun,
               struct client *c, struct mm *mm, struct worker *w, bool again)
{
    const uint64_t *leaf = fast_slot_leaf(w, address);
    uint64_t what, entry;
    struct page *page;
    pfn_t pfn;

    if (unlikely(cause != CAUSE_STORE_PAGE)) {
        if (cause != CAUSE_LOAD_PAGE || mm->generation != w->fast.read_generation ||
            address - w->fast.start >= w->fast.bytes)
            goto missed;
        if (*leaf)
            goto missed;
        pfn = w->zero_page;
        page = (struct page *)(w->pages_bias + pfn * sizeof *page);
        entry = w->fast.zero_entry;
        what = FAULT_WHAT(CAUSE_LOAD_PAGE, FAULT_ZERO_PAGE);
        mm_count(w, fault_zero_page);
    } else {
        if (unlikely(!fast_slot_hit(w, mm, address)))
            goto missed;
        if (unlikely(*leaf != 0))
            goto present;
        if (w->zeroed_count) {
            pfn = w->zeroed[--w->zeroed_count];
            what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_PREZEROED);
        } else if (likely(w->hot_count)) {
            pfn = w->hot[--w->hot_count];
            what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_ZEROED);
            mm_count(w, fault_anon_zeroed);
            page_clear_here((void *)(w->linear_base + (pfn << PAGE_SHIFT)), w->clear_blocks);
        } else {
            goto present; /* which it is not: the slow way allocates */
        }
        page = (struct page *)(w->pages_bias + pfn * sizeof *page);
        page->owner = w->fast.anon;
        page->index = (address >> PAGE_SHIFT) + w->fast.index_bias;
        page->maps = 1;
        page->state = PAGE_ANON;
        mm_add(&mm->anon_pages, 1);
        entry = entry_make(pfn, w->fast.bits);
    }
    c->minor_faults++;
    fault_record(w, badge, address, pc, what, begun);
    mm_read_end_reply(w, address, entry);
    return place_fault_answer(entry, page->slot);
missed:
    if (!again)
        return fault_middle(badge, address, cause, pc, begun, c, mm, w);
    mm_read_end(w);
    return fault_slow(w, c, address, cause, pc, true, begun);
present:
    return cow_straight(w, c, address, pc, begun);
}

/* The first page of a VMA needs its anon_vma; then its fault can go the straight way too. Without
 * memory the slow way finds out. */
static inline bool anon_ready(struct worker *w, struct vma *v, uint64_t cause)
{
    return v->anon || cause != CAUSE_STORE_PAGE || !(v->flags & VM_WRITE) ||
           !vma_is_private_anon(v) || !rmap_prepare(w, v);
}

/* May a write have a page of its own in what is no anonymous memory? */
static inline bool cow_possible(struct worker *w, struct vma *v)
{
    const uint64_t which = VM_WRITE | VM_SHARED | VM_DEVICE | VM_HUGETLB;

    return (v->flags & which) == VM_WRITE && (v->anon || !rmap_prepare(w, v));
}

/* The fast slot missed, but it may hit after a look at the VMAs and the tables. */
static struct answer fault_middle(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                                  uint64_t begun, struct client *c, struct mm *mm, struct worker *w)
{
    struct vma *v = address < mm_user_end ? vma_find(mm, address) : NULL;

    if (v && v->start <= address) {
        unsigned level;
        const uint64_t *leaf = pt_lowest(mm, address, &level);
        bool empty = !*leaf;

        if (!level && (empty || cause == CAUSE_STORE_PAGE) && anon_ready(w, v, cause) &&
            fast_slot_set(w, mm, v, address, leaf))
            return fault_straight(badge, address, cause, pc, begun, c, mm, w, true);
        if (!level && !empty && cause == CAUSE_STORE_PAGE && cow_possible(w, v)) {
            fast_slot_fill(w, v, address, leaf);
            return cow_straight(w, c, address, pc, begun);
        }
        bool tables = level && vma_is_private_anon(v) && !huge_fits(v, address);
        if (empty && (tables || (!level && v->ops && v->ops->fault))) {
            struct fault f = {.w = w,
                              .mm = mm,
                              .vma = v,
                              .address = PAGE_DOWN(address),
                              .access = cause_access(cause),
                              .leaf = leaf,
                              .by_reply = true};

            if (cause_is_page_fault(cause) && access_allowed(&f))
                return fault_end(&f, c, address, cause, pc, begun,
                                 tables ? fault_with_tables(&f, level) : v->ops->fault(&f));
        }
    }
    mm_read_end(w);
    return fault_slow(w, c, address, cause, pc, true, begun);
}

/* The mm is locked, or a call's answer took the lock along. */
static __attribute__((noinline)) struct answer fault_waits(uint64_t badge, vaddr_t address,
                                                           uint64_t cause, vaddr_t pc,
                                                           uint64_t begun, struct client *c,
                                                           struct mm *mm, struct worker *w)
{
    mm_read(w, mm);
    return fault_straight(badge, address, cause, pc, begun, c, mm, w, false);
}

/*
 * Entered for every fault. A leaf function as far as the straight way goes, so that it needs no
 * stack frame.
 */
struct answer fault_enter(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                          uint64_t sequence, uint64_t info0, uint64_t info1, struct worker *w)
{
    uint64_t begun = place_instructions();
    struct client *c = client_serve(w, badge);

    (void)sequence, (void)info0, (void)info1;
    if (unlikely(!c))
        return nobody_to_answer();
    struct mm *mm = c->mm;
    if (unlikely(!mm_read_try(w, mm)))
        return fault_waits(badge, address, cause, pc, begun, c, mm, w);
    return fault_straight(badge, address, cause, pc, begun, c, mm, w, false);
}

struct answer fault_enter_apart(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                                uint64_t sequence, uint64_t info0, uint64_t info1, struct worker *w)
{
    uint64_t begun = place_instructions();
    struct client *c = client_serve(w, badge);

    (void)sequence, (void)info0, (void)info1;
    return c ? fault_slow(w, c, address, cause, pc, false, begun) : nobody_to_answer();
}

/* The old page may be somebody else's by now, so the new one takes its place after all; if even
 * that is refused, nothing does. */
static void displaced_finish(struct worker *w, const struct visit *v)
{
    uint64_t entry = v->entry & ~VISIT_MARKS;

    if (!pt_replace(w, v->mm, v->at, v->displaced, entry))
        return;
    op_add(w, v->mm, BATCH_UNMAP, PAGE_DOWN(v->at));
    ops_send(w);
    anon_unaccount(w, v->mm, entry_page(entry));
}

void fault_pending_undo_locked(struct worker *w, const struct worker *owner)
{
    pfn_t pfn = entry_page(owner->visit.entry);

    if (owner->visit.entry & VISIT_KEEPS)
        return;
    if (owner->visit.entry & VISIT_DISPLACES) {
        displaced_finish(w, &owner->visit);
        return;
    }
    if (page_of(pfn)->state == PAGE_ANON) {
        anon_unaccount(w, owner->visit.mm, pfn);
    } else if (page_of(pfn)->state == PAGE_FILE) {
        mm_add(&owner->visit.mm->file_pages, -1);
        object_page_put(w, page_of(pfn), 1);
    }
}

/*
 * The mm may be released by another worker as soon as the reply is said to have failed; that one
 * then takes the page back. If the mm is still listed, a reference keeps it, and whoever of us
 * locks it first does it.
 */
static void pending_undo(struct worker *w)
{
    struct mm *mm = w->visit.mm;

    if (!mm)
        return;
    uint64_t id = mm->id;
    __atomic_store_n(&w->visit.failed, 1, __ATOMIC_RELEASE);
    struct mm *found = mm_get(id);
    if (found == mm) {
        mm_lock(mm);
        if (w->visit.mm == mm)
            fault_pending_undo_locked(w, w);
        w->visit.mm = NULL;
        mm_unlock(mm);
    }
    if (found)
        mm_put(found);
    while (__atomic_load_n(&w->visit.mm, __ATOMIC_ACQUIRE))
        place_relax();
    w->visit.failed = 0;
    w->visit.at = VISIT_OVER;
}

struct answer fault_reply_failed(struct worker *w, long error)
{
    /* What was tried stands in the newest record. */
    const struct fault_record *r = &w->ring[(w->ring_next - 1) & (FAULT_RING_MAX - 1)];

    pending_undo(w);
    if (error == -ERR_CLIENT)
        return answer_make(ANSWER_PARK, 0, 0); /* it was stopped meanwhile: nobody to answer */
    if (error == -ERR_MAPPED)
        mm_count(w, reply_raced);
    struct client *c = client_get(w->client_tag & (CLIENTS_MAX - 1));
    struct answer answer = answer_make(ANSWER_REPLY, 0, 0); /* being destroyed: let it be stopped */
    if (c && c->tag == w->client_tag)
        answer = fault_slow(w, c, r->address, fault_cause(r), r->pc, false, place_instructions());
    if (c)
        client_put(c);
    return answer;
}

struct answer batch_reply_failed(struct worker *w, long done, long stopped)
{
    uint64_t performed = done < 0 ? 0 : (uint64_t)done;

    fast_slot_drop(w);
    mm_assert(performed <= w->batch_ops);
    /* All was done but the client is gone: what was mapped is where it belongs. */
    if (performed == w->batch_ops)
        return answer_make(ANSWER_PARK, 0, 0);
    /* The visit is not over, so the mm is still there. */
    if (w->visit.mm && w->ops->op[0].code == BATCH_MAP_LIST) {
        object_batch_undo(w, done);
    } else if (w->visit.mm) {
        w->ops_count = w->batch_ops;
        pt_ungather_tables(w, w->visit.mm, performed);
    }
    return fault_reply_failed(w, done < 0 ? done : stopped);
}

/* Each fault counts in ring_next and in its outcome's counter; the most frequent one only there. */
uint64_t fault_prezeroed_count(const struct worker *w)
{
    uint64_t others = 0;

    for (unsigned i = 0; i < FAULT_OUTCOMES; i++)
        if (i != FAULT_ANON_PREZEROED)
            others += w->count[outcome_counter[i]];
    return w->ring_next - others;
}

enum fault_outcome fault_page_locked(struct worker *w, struct mm *mm, vaddr_t address, bool write)
{
    struct fault f = {.w = w,
                      .mm = mm,
                      .address = PAGE_DOWN(address),
                      .access = write ? VM_WRITE : VM_READ,
                      .writer = true};
    uint64_t entry = pt_any_leaf(mm, address);

    /* Nothing to do, and nothing to fence, if it is there already with the right asked for. */
    if (entry_is_leaf(entry) && (!write || (entry & ENTRY_W)) && vma_at(mm, address))
        return FAULT_SPURIOUS;
    return fault_resolve(&f);
}

enum fault_outcome fault_page(struct worker *w, struct mm *mm, vaddr_t address, bool write)
{
    struct fault f = {
        .w = w, .mm = mm, .address = PAGE_DOWN(address), .access = write ? VM_WRITE : VM_READ};

    mm_read(w, mm);
    enum fault_outcome outcome = fault_resolve(&f);
    mm_read_end(w);
    return outcome == FAULT_NEEDS_WRITER ? fault_as_writer(&f) : outcome;
}

long fault_in(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, bool write)
{
    vaddr_t end = address + bytes;

    if (end < address || end > mm_user_end)
        return -LINUX_EFAULT;
    for (vaddr_t a = PAGE_DOWN(address); a < end; a += PAGE_BYTES) {
        enum fault_outcome outcome = fault_page(w, mm, a, write);

        if (outcome == FAULT_OOM)
            return -LINUX_ENOMEM;
        if (fault_is_bad(outcome))
            return -LINUX_EFAULT;
    }
    return 0;
}

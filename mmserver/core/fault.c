/*
 * The fault handler.
 *
 *   trap -> fault_enter ──fast slot hit, entry empty, page at hand──────────────────▶ fault_reply
 *              │
 *              ▼ lock the mm, find the VMA
 *        no VMA there ── below a growing stack, in reach ──▶ grow it, go on
 *              │                                └─ else ──▶ MAPERR
 *        VMA forbids the access ──▶ ACCERR          page behind the end of the file ──▶ BUSERR
 *              │
 *              ▼ look at the leaf entry
 *   empty    anonymous  read  ──▶ ZERO_PAGE     this hart's zero page, read-only
 *                       write ──▶ ANON_*        fresh page of zeros
 *            file       read  ──▶ FILE_READ     page of the cache, read-only
 *                       write ──▶ FILE_COPY     private copy
 *   parked                    ──▶ RESTORED      the page behind the software entry
 *   valid    allows it        ──▶ SPURIOUS      fence and go on
 *            zero page  write ──▶ ZERO_REPLACED
 *            file page  write ──▶ FILE_COPY
 *            own page         ──▶ REUSE         add the missing right
 *   no memory on the way      ──▶ OOM
 *
 * An empty entry for which the page is this worker's own is filled by the reply itself; everything
 * else is done by a batch before the client goes on.
 */
#include "mmserver/core/fault.h"
#include "mmserver/core/clear.h"
#include "mmserver/core/object.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/pt.h"

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

/* One fault on its way through the handler. */
struct fault {
    struct worker *w;
    struct mm *mm;
    struct vma *vma;
    vaddr_t address; /* of the page */
    uint64_t access; /* VM_READ, VM_WRITE or VM_EXEC */
    uint64_t entry;  /* the leaf as it was found */
    bool by_reply;   /* may be answered by fault_reply */
    uint64_t reply;  /* out: entry to reply with; 0: it is mapped already */
};

static uint64_t vma_entry_bits(const struct vma *v, bool writable)
{
    uint64_t bits = ENTRY_ALWAYS;

    if (v->flags & VM_EXEC)
        bits |= ENTRY_X;
    if (writable && (v->flags & VM_WRITE))
        bits |= ENTRY_W | ENTRY_D;
    return bits;
}

/* Room for a stack to grow down to `address`? Linux's rules: its limit, and the gap below. */
static bool stack_grow(struct fault *f)
{
    struct vma *v = f->vma;
    struct vma *below = vma_prev(v);

    if (!(v->flags & VM_GROWSDOWN) || f->address < MMAP_MIN_ADDRESS ||
        v->end - f->address > STACK_LIMIT_BYTES)
        return false;
    if (below && !(below->flags & VM_GROWSDOWN) && (below->flags & VM_ACCESS) &&
        f->address - below->end < STACK_GUARD_BYTES)
        return false;
    if (below && f->address < below->end)
        return false;
    mm_settle_locked(f->w, f->mm);
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
    f->mm->fast.anon_pages++;
}

static void anon_unaccount(struct worker *w, struct mm *mm, pfn_t pfn)
{
    page_of(pfn)->maps = 0;
    mm->fast.anon_pages--;
    page_free(w, pfn);
}

/* Remember where further write faults of this VMA need no look at it. */
static void fast_slot_set(struct fault *f)
{
    struct vma *v = f->vma;
    vaddr_t block = ROUND_DOWN(f->address, BLOCK_BYTES);
    vaddr_t start = max_u64(block, v->start);
    vaddr_t end = min_u64(block + BLOCK_BYTES, v->end);
    const uint64_t *leaf = pt_entry(f->mm, f->address, 0);

    if (!vma_is_private_anon(v) || !(v->flags & VM_WRITE) || !leaf)
        return;
    f->mm->fast.start = start;
    f->mm->fast.bytes = end - start;
    f->mm->fast.leaf_bias = (uintptr_t)leaf - (f->address >> PAGE_SHIFT) * sizeof *leaf;
    f->mm->fast.bits = vma_entry_bits(v, true);
    f->mm->fast.anon = v->anon;
    f->mm->fast.index_bias = v->offset - (v->start >> PAGE_SHIFT);
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
        fast_slot_set(f);
    return outcome;
}

static enum fault_outcome zero_page(struct fault *f)
{
    pfn_t pfn = f->w->zero_page;
    struct page *page = page_of(pfn);

    __atomic_fetch_add(&page->maps, 1, __ATOMIC_RELAXED);
    f->mm->zero_maps++;
    enum fault_outcome outcome = fill_empty(f, pfn, vma_entry_bits(f->vma, false), FAULT_ZERO_PAGE);
    if (outcome == FAULT_OOM || outcome == FAULT_RACED) {
        __atomic_fetch_sub(&page->maps, 1, __ATOMIC_RELAXED);
        f->mm->zero_maps--;
    }
    return outcome;
}

static uint64_t file_index(const struct fault *f)
{
    return f->vma->offset + ((f->address - f->vma->start) >> PAGE_SHIFT);
}

/* A page of the cache is other workers' too: it cannot travel in a reply (mm.h). */
static enum fault_outcome file_read(struct fault *f)
{
    pfn_t pfn = object_page_get(f->w, f->vma->object, file_index(f));

    if (!pfn)
        return FAULT_OOM;
    long error = pt_map(f->w, f->mm, f->address, entry_make(pfn, vma_entry_bits(f->vma, false)));
    if (error) {
        object_page_put(page_of(pfn), 1);
        return map_refused(error);
    }
    f->mm->file_pages++;
    return FAULT_FILE_READ;
}

/* A private copy of a file's page, into an empty entry or in place of the page itself. */
static enum fault_outcome file_copy(struct fault *f)
{
    pfn_t from = object_page_get(f->w, f->vma->object, file_index(f));
    pfn_t pfn = from && !rmap_prepare(f->w, f->vma) ? page_alloc_user(f->w) : 0;
    long error = -ERR_LIMIT;

    if (pfn) {
        page_copy(page_pointer(pfn), page_pointer(from));
        anon_account(f, pfn);
        uint64_t entry = entry_make(pfn, vma_entry_bits(f->vma, true));
        error = f->entry ? pt_replace(f->w, f->mm, f->address, f->entry, entry)
                         : pt_map(f->w, f->mm, f->address, entry);
        if (error) {
            anon_unaccount(f->w, f->mm, pfn);
        } else if (f->entry) {
            f->mm->file_pages--;
            object_page_put(page_of(from), 1);
        }
    }
    if (from)
        object_page_put(page_of(from), 1);
    return error ? map_refused(error) : FAULT_FILE_COPY;
}

static enum fault_outcome fault_empty(struct fault *f)
{
    bool write = f->access == VM_WRITE;

    if (f->vma->flags & VM_DEVICE)
        return FAULT_BUSERR;
    if (f->vma->object) {
        if (file_index(f) >= object_pages(f->vma->object))
            return FAULT_BUSERR;
        return write ? file_copy(f) : file_read(f);
    }
    return write || (f->vma->flags & VM_SHARED) ? anon_new(f) : zero_page(f);
}

static enum fault_outcome fault_parked(struct fault *f)
{
    uint64_t entry = entry_make(entry_page(f->entry), vma_entry_bits(f->vma, true));

    if (pt_map(f->w, f->mm, f->address, entry))
        return FAULT_OOM;
    f->mm->parked--;
    return FAULT_RESTORED;
}

static enum fault_outcome zero_replace(struct fault *f)
{
    pfn_t pfn = page_alloc_user_zeroed(f->w);

    if (!pfn)
        return FAULT_OOM;
    if (rmap_prepare(f->w, f->vma)) {
        page_free(f->w, pfn);
        return FAULT_OOM;
    }
    anon_account(f, pfn);
    if (pt_replace(f->w, f->mm, f->address, f->entry,
                   entry_make(pfn, vma_entry_bits(f->vma, true)))) {
        anon_unaccount(f->w, f->mm, pfn);
        return FAULT_OOM;
    }
    __atomic_fetch_sub(&page_of(entry_page(f->entry))->maps, 1, __ATOMIC_RELAXED);
    f->mm->zero_maps--;
    fast_slot_set(f);
    return FAULT_ZERO_REPLACED;
}

static enum fault_outcome fault_valid(struct fault *f)
{
    struct page *page = page_of(entry_page(f->entry));
    uint64_t needed = f->access == VM_WRITE  ? ENTRY_W | ENTRY_D
                      : f->access == VM_EXEC ? ENTRY_X
                                             : ENTRY_R;

    /* Device memory was mapped with all it may have; its entries have no descriptor. */
    if (!page_is_ours(entry_page(f->entry)) || page->state == PAGE_SERVER)
        return (f->entry & needed) == needed ? FAULT_SPURIOUS : FAULT_ACCERR;
    mm_settle_locked(f->w, f->mm);
    if ((f->entry & needed) != needed && f->access == VM_WRITE) {
        if (page->state == PAGE_ZERO)
            return zero_replace(f);
        if (page->state == PAGE_FILE)
            return file_copy(f);
    }
    if ((f->entry & needed) == needed) {
        pt_fence(f->w, f->mm, f->address, f->entry);
        return FAULT_SPURIOUS;
    }
    bool own = page->state == PAGE_ANON;
    uint64_t entry = entry_make(entry_page(f->entry), vma_entry_bits(f->vma, own));
    return pt_protect(f->w, f->mm, f->address, entry) ? FAULT_OOM : FAULT_REUSE;
}

/* mm locked. */
static enum fault_outcome fault_resolve(struct fault *f)
{
    struct mm *mm = f->mm;

    if (f->address >= mm_user_end)
        return FAULT_MAPERR;
    f->vma = vma_find(mm, f->address);
    if (!f->vma || (f->vma->start > f->address && !stack_grow(f)))
        return FAULT_MAPERR;
    if (!access_allowed(f))
        return FAULT_ACCERR;
    const uint64_t *leaf = pt_entry(mm, f->address, 0);
    if (!leaf) {
        mm_count(f->w, fault_table);
        if (pt_ensure(f->w, mm, f->address))
            return FAULT_OOM;
        leaf = pt_entry(mm, f->address, 0);
    }
    f->entry = __atomic_load_n(leaf, __ATOMIC_RELAXED);
    if (!f->entry)
        return fault_empty(f);
    return entry_is_parked(f->entry) ? fault_parked(f) : fault_valid(f);
}

static uint64_t cause_access(uint64_t cause)
{
    return cause == CAUSE_STORE_PAGE ? VM_WRITE : cause == CAUSE_FETCH_PAGE ? VM_EXEC : VM_READ;
}

/* what: FAULT_WHAT(cause, outcome) */
static inline void fault_record(struct worker *w, const struct client *c, vaddr_t address,
                                vaddr_t pc, uint64_t what, uint64_t begun)
{
    struct fault_record *r = &w->ring[w->ring_next++ & (FAULT_RING_MAX - 1)];

    r->begun = begun;
    r->address = address;
    r->pc = pc;
    r->what = (uint32_t)(c->id | what);
    r->instructions = (uint32_t)(place_instructions() - begun);
}

static struct answer answer_bad(enum fault_outcome outcome)
{
    switch (outcome) {
    case FAULT_MAPERR:
        return answer_make(ANSWER_FORWARD, LINUX_SIGSEGV, SEGV_MAPERR);
    case FAULT_ACCERR:
        return answer_make(ANSWER_FORWARD, LINUX_SIGSEGV, SEGV_ACCERR);
    case FAULT_BUSERR:
        return answer_make(ANSWER_FORWARD, LINUX_SIGBUS, BUS_ADRERR);
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

/*
 * mm locked: from now on the page is on its way. Who looks for it holds the same lock, so dropping
 * the lock is all the ordering that is needed; who has the lock of the space that this worker
 * served before may see old and new words mixed, and is done when it sees another mm.
 */
static inline void pending_set(struct worker *w, struct mm *mm, vaddr_t address, pfn_t page)
{
    w->pending.address = address;
    w->pending.page = page;
    *(struct mm *volatile *)&w->pending.mm = mm;
}

/* Not inline: fault_enter() is to have no stack frame. */
static __attribute__((noinline)) struct answer nobody_to_answer(void)
{
    return answer_make(ANSWER_PARK, 0, 0);
}

/* Everything but the straight way. `by_reply` is false when a reply was refused. */
static struct answer fault_slow(struct worker *w, struct client *c, vaddr_t address, uint64_t cause,
                                vaddr_t pc, bool by_reply, uint64_t begun)
{
    struct fault f = {.w = w,
                      .mm = c->mm,
                      .address = PAGE_DOWN(address),
                      .access = cause_access(cause),
                      .by_reply = by_reply};
    enum fault_outcome outcome = FAULT_NONE;

    if (cause_is_page_fault(cause)) {
        mm_lock(f.mm);
        outcome = fault_resolve(&f);
        if (f.reply)
            pending_set(w, f.mm, address, entry_page(f.reply));
        mm_unlock(f.mm);
    }
    if (outcome != FAULT_ANON_PREZEROED)
        w->count[outcome_counter[outcome]]++;
    fault_record(w, c, address, pc, FAULT_WHAT(cause & 0xff, outcome), begun);
    if (outcome == FAULT_NONE || fault_is_bad(outcome))
        return answer_bad(outcome);
    c->minor_faults++;
    if (!f.reply)
        return answer_make(ANSWER_REPLY, 0, 0);
    return answer_make(ANSWER_FAULT, f.reply, page_of(entry_page(f.reply))->slot);
}

/*
 * Entered for every fault. The straight way is a write into the fast slot with a page at hand; it
 * is a leaf function, so that it needs no stack frame, and leaves everything else to fault_slow().
 */
struct answer fault_enter(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                          uint64_t sequence, uint64_t info0, uint64_t info1, struct worker *w)
{
    uint64_t begun = place_instructions();
    struct client *c = client_serve(w, badge);
    uint64_t what;
    pfn_t pfn;

    (void)sequence, (void)info0, (void)info1;
    if (unlikely(!c))
        return nobody_to_answer();
    struct mm *mm = c->mm;
    if (unlikely(cause != CAUSE_STORE_PAGE || !lock_try(&mm->fast.lock)))
        return fault_slow(w, c, address, cause, pc, true, begun);
    const uint64_t *leaf =
        (uint64_t *)(mm->fast.leaf_bias + (address >> PAGE_SHIFT) * sizeof(uint64_t));
    if (unlikely(address - mm->fast.start >= mm->fast.bytes || *leaf))
        goto not_plain;
    if (w->zeroed_count) {
        pfn = w->zeroed[--w->zeroed_count];
        what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_PREZEROED);
    } else if (likely(w->hot_count)) {
        pfn = w->hot[--w->hot_count];
        what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_ZEROED);
        mm_count(w, fault_anon_zeroed);
        page_clear_here((void *)(w->linear_base + (pfn << PAGE_SHIFT)), w->clear_blocks);
    } else {
        goto not_plain;
    }
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof(struct page));
    page->owner = mm->fast.anon;
    page->index = mm->fast.index_bias + (address >> PAGE_SHIFT);
    page->maps = 1;
    page->state = PAGE_ANON;
    mm->fast.anon_pages++;
    c->minor_faults++;
    uint64_t entry = entry_make(pfn, mm->fast.bits);
    fault_record(w, c, address, pc, what, begun);
    pending_set(w, mm, address, pfn);
    mm_unlock(mm);
    return place_fault_answer(entry, page->slot);
not_plain:
    mm_unlock(mm);
    return fault_slow(w, c, address, cause, pc, true, begun);
}

void fault_pending_undo_locked(struct worker *w, const struct worker *owner)
{
    struct mm *mm = owner->pending.mm;
    struct page *page = page_of(owner->pending.page);

    if (page->state == PAGE_ZERO) {
        __atomic_fetch_sub(&page->maps, 1, __ATOMIC_RELAXED);
        mm->zero_maps--;
    } else {
        anon_unaccount(w, mm, owner->pending.page);
    }
}

/*
 * The mm may be released by another worker as soon as the reply is said to have failed; that one
 * then takes the page back. If the mm is still listed, a reference keeps it, and whoever of us
 * locks it first does it.
 */
static void pending_undo(struct worker *w)
{
    struct mm *mm = w->pending.mm;
    uint64_t id;

    if (!mm)
        return;
    id = mm->id;
    __atomic_store_n(&w->pending.failed, 1, __ATOMIC_RELEASE);
    struct mm *found = mm_get(id);
    if (found == mm) {
        mm_lock(mm);
        if (w->pending.mm == mm)
            fault_pending_undo_locked(w, w);
        w->pending.mm = NULL;
        mm_unlock(mm);
    }
    if (found)
        mm_put(found);
    while (__atomic_load_n(&w->pending.mm, __ATOMIC_ACQUIRE))
        place_relax();
    w->pending.failed = 0;
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
    struct fault f = {
        .w = w, .mm = mm, .address = PAGE_DOWN(address), .access = write ? VM_WRITE : VM_READ};
    uint64_t entry = pt_leaf(mm, address);

    /* Nothing to do, and nothing to fence, if it is there already with the right asked for. */
    if (entry_is_leaf(entry) && (!write || (entry & ENTRY_W)) && vma_at(mm, address))
        return FAULT_SPURIOUS;
    return fault_resolve(&f);
}

long fault_in(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, bool write)
{
    vaddr_t end = address + bytes;

    if (end < address || end > mm_user_end)
        return -LINUX_EFAULT;
    for (vaddr_t a = PAGE_DOWN(address); a < end; a += PAGE_BYTES) {
        mm_lock(mm);
        mm_settle_locked(w, mm);
        enum fault_outcome outcome = fault_page_locked(w, mm, a, write);
        mm_unlock(mm);
        if (outcome == FAULT_OOM)
            return -LINUX_ENOMEM;
        if (fault_is_bad(outcome))
            return -LINUX_EFAULT;
    }
    return 0;
}

/*
 * Faults from the entry to the answer: the straight way, the middle one, all others; what is
 * written down of each; what happens when the kernel refuses a reply. What becomes of a fault that
 * is not straight is decided in fault.c, which also has the picture of all.
 *
 * fault_enter() and the ways are leaf functions as far as the straight ones go, so that they need
 * no stack frame: everything else is jumped to.
 */
#include "mmserver/core/clear.h"
#include "mmserver/core/fault_straight.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/oom.h"
#include "mmserver/core/rmap_first.h"
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

static uint64_t cause_access(uint64_t cause)
{
    return cause == CAUSE_STORE_PAGE ? VM_WRITE : cause == CAUSE_FETCH_PAGE ? VM_EXEC : VM_READ;
}

static struct answer answer_bad(struct worker *w, enum fault_outcome outcome)
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
        return answer_make(ANSWER_FORWARD, LINUX_SIGKILL, oom_choose(w));
    default:
        return answer_make(ANSWER_FORWARD, 0, 0); /* not ours: the personality knows the cause */
    }
}

static bool cause_is_page_fault(uint64_t cause)
{
    return cause == CAUSE_STORE_PAGE || cause == CAUSE_LOAD_PAGE || cause == CAUSE_FETCH_PAGE;
}

static FAULT_WAY(fault_middle);

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
        return answer_bad(w, outcome);
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

LEAF_WAY(fault_of_object)
{
    struct fault f = {.w = w,
                      .mm = c->mm,
                      .vma = v,
                      .address = PAGE_DOWN(address),
                      .access = cause_access(cause),
                      .leaf = leaf,
                      .by_reply = true};

    if (likely(access_allowed(&f)))
        return fault_end(&f, c, address, cause, pc, begun, v->ops->fault(&f));
    mm_read_end(w);
    return fault_slow(w, c, address, cause, pc, true, begun);
}

FAULT_WAY(fault_anew)
{
    (void)badge, (void)mm;
    mm_read_end(w);
    return fault_slow(w, c, address, cause, pc, true, begun);
}

/*
 * The straight ways; the mm is read, and the fast slot tells of the address: a write with a page at
 * hand, or a read, where nothing stands. Each is a function of its own, small enough that all that
 * it was given stays where it is.
 */
static FAULT_WAY(write_straight)
{
    uint64_t what;
    pfn_t pfn;

    if (unlikely(*fast_slot_leaf(w, address) != 0))
        return cow_straight(FAULT_GO_ON);
    if (w->zeroed_count) {
        pfn = w->zeroed[--w->zeroed_count];
        what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_PREZEROED);
    } else if (likely(w->hot_count)) {
        pfn = w->hot[--w->hot_count];
        what = FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_ANON_ZEROED);
        mm_count(w, fault_anon_zeroed);
        page_clear_here((void *)(w->linear_base + (pfn << PAGE_SHIFT)), w->clear_blocks);
    } else {
        return fault_anew(FAULT_GO_ON); /* which allocates */
    }
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    page_becomes_anon(page, w->fast.anon, (address >> PAGE_SHIFT) + w->fast.index_bias);
    mm_add(&mm->anon_pages, 1);
    uint64_t entry = entry_make(pfn, w->fast.bits);
    c->minor_faults++;
    fault_record(w, badge, address, pc, what, begun);
    mm_read_end_reply(w, address, entry);
    return place_fault_answer(entry, page->slot);
}

static FAULT_WAY(read_straight)
{
    if (unlikely(*fast_slot_leaf(w, address) != 0))
        return fault_anew(FAULT_GO_ON);
    if (w->fast.window)
        return object_again(FAULT_GO_ON);
    const struct page *page = (const struct page *)(w->pages_bias + w->zero_page * sizeof *page);
    uint64_t entry = entry_make(w->zero_page, w->fast.bits & ~(ENTRY_W | ENTRY_D));
    mm_count(w, fault_zero_page);
    c->minor_faults++;
    fault_record(w, badge, address, pc, FAULT_WHAT(CAUSE_LOAD_PAGE, FAULT_ZERO_PAGE), begun);
    mm_read_end_reply(w, address, entry);
    return place_fault_answer(entry, page->slot);
}

/* Nothing has changed, and the personality hears why. The mm is being read. */
static struct answer fault_refused(struct worker *w, uint64_t badge, vaddr_t address,
                                   uint64_t cause, vaddr_t pc, uint64_t begun,
                                   enum fault_outcome outcome)
{
    mm_read_end(w);
    w->count[outcome_counter[outcome]]++;
    fault_record(w, badge, address, pc, FAULT_WHAT(cause, outcome), begun);
    return answer_bad(w, outcome);
}

/* vma_of() has found no VMA; unless a stack is in reach that may grow (fault.c), that is all. */
static FAULT_WAY(fault_nowhere)
{
    const struct vma *v = vma_find(mm, address);

    if (!cause_is_page_fault(cause) ||
        (v && (v->start <= address || ((v->flags & VM_GROWSDOWN) &&
                                       v->end - PAGE_DOWN(address) <= mm->limit[MM_LIMIT_STACK]))))
        return fault_anew(FAULT_GO_ON);
    return fault_refused(w, badge, address, cause, pc, begun, FAULT_MAPERR);
}

/* The slot was just set. */
static FAULT_WAY(fault_again)
{
    if (cause == CAUSE_STORE_PAGE && w->fast.write_generation)
        return write_straight(FAULT_GO_ON);
    return cause == CAUSE_LOAD_PAGE ? read_straight(FAULT_GO_ON) : fault_anew(FAULT_GO_ON);
}

/* The first page of a VMA that may be written needs its anon_vma; then it is as any other. Without
 * memory the slow way finds out. */
static LEAF_WAY(first_beside)
{
    struct mm *mm = c->mm;
    uint64_t badge = w->client_tag;

    if (unlikely(rmap_prepare(w, v)))
        return fault_anew(FAULT_GO_ON);
    fast_slot_note(w, mm, v, address, leaf, true);
    return write_straight(FAULT_GO_ON);
}

/* The same where nothing touches the VMA. */
static LEAF_WAY(first_page)
{
    struct mm *mm = c->mm;
    uint64_t badge = w->client_tag;

    if (unlikely(!rmap_first(w, v)))
        return first_beside(LEAF_GO_ON);
    if (v->end - v->start == PAGE_BYTES)
        fast_slot_fill(w, v, address, leaf); /* no other fault is going to come */
    else
        fast_slot_note(w, mm, v, address, leaf, true);
    return write_straight(FAULT_GO_ON);
}

/* May a write have a page of its own in what is no anonymous memory? */
static inline bool cow_possible(struct worker *w, struct vma *v)
{
    const uint64_t which = VM_WRITE | VM_SHARED | VM_DEVICE;

    return (v->flags & which) == VM_WRITE && (v->anon || !rmap_prepare(w, v));
}

/* What the middle way leaves: there is no leaf table, something stands in the entry, objects. */
static FAULT_WAY(fault_other)
{
    struct vma *v = vma_of(mm, address);

    if (v && cause == CAUSE_STORE_PAGE && !(v->flags & VM_WRITE))
        return fault_refused(w, badge, address, cause, pc, begun, FAULT_ACCERR);
    if (v) {
        unsigned level;
        const uint64_t *leaf = pt_lowest(mm, address, &level);
        bool empty = !*leaf;

        if (!level && (empty || cause == CAUSE_STORE_PAGE) &&
            fast_slot_set(w, mm, v, address, leaf))
            return fault_again(FAULT_GO_ON);
        if (!level && !empty && cause == CAUSE_STORE_PAGE && cow_possible(w, v)) {
            fast_slot_fill(w, v, address, leaf);
            return cow_straight(FAULT_GO_ON);
        }
        bool tables =
            level && vma_is_private_anon(v) && !(v->flags & VM_RUNS) && !huge_fits(v, address);
        if (level == 1 && empty && tables && cause == CAUSE_STORE_PAGE && table_plain(w, v))
            return table_straight(w, c, address, pc, begun, v);
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
    return fault_anew(FAULT_GO_ON);
}

/* The fast slot missed, but it may hit after a look at the VMAs and the tables. */
static FAULT_WAY(fault_middle)
{
    struct vma *v = vma_of(mm, address);

    if (unlikely(!v))
        return fault_nowhere(FAULT_GO_ON);
    const uint64_t *leaf = pt_leaf_entry(w, mm, address);
    if (unlikely(!leaf))
        return fault_other(FAULT_GO_ON);
    if (v->ops)
        return object_plain(c, v, leaf, cause)
                   ? object_straight(leaf, address, cause, pc, begun, c, v, w)
                   : fault_other(FAULT_GO_ON);
    if (likely(cause == CAUSE_STORE_PAGE)) {
        if (likely((v->flags & (VM_WRITE | VM_DEVICE | VM_RUNS)) == VM_WRITE)) {
            if (unlikely(!v->anon))
                return first_page(LEAF_GO_ON);
            fast_slot_note(w, mm, v, address, leaf, true);
            return write_straight(FAULT_GO_ON);
        }
    } else if (cause == CAUSE_LOAD_PAGE && !*leaf && fast_slot_set(w, mm, v, address, leaf)) {
        return read_straight(FAULT_GO_ON);
    }
    return fault_other(FAULT_GO_ON);
}

/* The mm is locked, or a call's answer took the lock along. */
static FAULT_WAY(fault_waits)
{
    mm_read(w, mm);
    return fault_middle(FAULT_GO_ON);
}

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
        return fault_waits(FAULT_GO_ON);
    if (likely(cause == CAUSE_STORE_PAGE)) {
        if (likely(mm->generation == w->fast.write_generation && fast_slot_near(w, address)))
            return write_straight(FAULT_GO_ON);
    } else if (cause == CAUSE_LOAD_PAGE) {
        if (mm->generation == w->fast.read_generation && fast_slot_near(w, address))
            return read_straight(FAULT_GO_ON);
    }
    return fault_middle(FAULT_GO_ON);
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
    vaddr_t address = PAGE_DOWN(visit_address(v->at));

    if (!pt_replace(w, v->mm, address, v->displaced, entry))
        return;
    op_add(w, v->mm, BATCH_UNMAP, address);
    ops_send(w);
    fault_anon_unaccount(w, v->mm, entry_page(entry));
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
        fault_anon_unaccount(w, owner->visit.mm, pfn);
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

    if (w->visit.at <= VISIT_OVER)
        return;
    uint64_t id = mm->id;
    __atomic_store_n(&w->visit.failed, VISIT_REFUSED, __ATOMIC_RELEASE);
    struct mm *found = mm_get(id);
    if (found == mm) {
        mm_lock(mm);
        if (w->visit.failed == VISIT_REFUSED) {
            fault_pending_undo_locked(w, w);
            w->visit.at = VISIT_OVER;
            w->visit.failed = VISIT_UNDONE;
        }
        mm_unlock(mm);
    }
    if (found)
        mm_put(found);
    while (__atomic_load_n(&w->visit.failed, __ATOMIC_ACQUIRE) == VISIT_REFUSED)
        place_relax();
    w->visit.failed = 0;
}

/* The fault that the newest record tells of has not happened yet: it counts, and is told, when it
 * has been answered. */
static struct fault_record fault_unrecord(struct worker *w)
{
    struct fault_record r = w->ring[--w->ring_next & (FAULT_RING_MAX - 1)];

    if (fault_outcome(&r) != FAULT_ANON_PREZEROED)
        w->count[outcome_counter[fault_outcome(&r)]]--;
    return r;
}

struct answer fault_reply_failed(struct worker *w, long error)
{
    const struct fault_record r = fault_unrecord(w);

    pending_undo(w);
    if (error == -ERR_CLIENT) /* stopped meanwhile, it may run elsewhere: nobody to answer */
        return answer_make(ANSWER_PARK, 0, 0);
    if (error == -ERR_MAPPED)
        mm_count(w, reply_raced);
    struct client *c = client_get(w->client_tag & (CLIENTS_MAX - 1));
    struct answer answer = answer_make(ANSWER_REPLY, 0, 0); /* being destroyed: let it be stopped */
    if (c && c->tag == w->client_tag) {
        c->minor_faults--;
        answer = fault_slow(w, c, r.address, fault_cause(&r), r.pc, false, place_instructions());
    }
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
    bool under_way = w->visit.at > VISIT_OVER;
    if (under_way && w->ops->op[0].code == BATCH_MAP_LIST) {
        object_batch_undo(w, done);
    } else if (under_way) {
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

/*
 * Faults: from (address, access) to a mapping, or to the reason why there is none.
 */
#ifndef MMSERVER_CORE_FAULT_H
#define MMSERVER_CORE_FAULT_H

#include "mmserver/core/answer.h"
#include "mmserver/core/client.h"
#include "mmserver/core/pt.h"

enum fault_outcome {
#define OUTCOME(name, counter, text) FAULT_##name,
#include "mmserver/core/outcome.def"
#undef OUTCOME
    FAULT_OUTCOMES
};

/* One fault on its way through the handler. */
struct fault {
    struct worker *w;
    struct mm *mm;
    struct vma *vma;
    vaddr_t address;      /* of the page */
    uint64_t access;      /* VM_READ, VM_WRITE or VM_EXEC */
    uint64_t entry;       /* the leaf as it was found */
    const uint64_t *leaf; /* where it stands */
    bool by_reply;        /* may be answered by fault_reply */
    bool writer;          /* the mm is locked and settled; else it is being read */
    bool forced;          /* done even if the VMA forbids the access (access.c); entries get no more
                             rights by it */
    uint64_t reply;       /* out: entry to reply with; 0: it is mapped already */
    /* out: the reply is this many operations of the worker's page; `reply` is the last entry that
     * they map, at `reply_at`. 0: one entry, where the fault was. */
    uint32_t batch;
    vaddr_t reply_at;
};

extern const char *const fault_outcome_text[FAULT_OUTCOMES];

/* Bits of an entry in v; writable: the page may be written to if the VMA may. */
static inline uint64_t vma_entry_bits(const struct vma *v, bool writable)
{
    uint64_t bits = ENTRY_ALWAYS;

    if (v->flags & VM_EXEC)
        bits |= ENTRY_X;
    if (writable && (v->flags & VM_WRITE))
        bits |= ENTRY_W | ENTRY_D;
    return bits;
}

static inline bool fault_is_bad(enum fault_outcome outcome)
{
    return outcome >= FAULT_MAPERR;
}

/*
 * An exception of the client of that badge on this worker's hart: the way from the entry to the
 * answer. cause, address and pc as the machine gave them. Unlocked.
 */
struct answer fault_enter(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                          uint64_t sequence, uint64_t info0, uint64_t info1, struct worker *w);
/* The same for a worker that maps by calls of its own and then answers with a plain reply. */
struct answer fault_enter_apart(uint64_t badge, vaddr_t address, uint64_t cause, vaddr_t pc,
                                uint64_t sequence, uint64_t info0, uint64_t info1,
                                struct worker *w);
/* The kernel refused fault_reply with -error: undo it, and serve the fault the long way. */
struct answer fault_reply_failed(struct worker *w, long error);
/* The kernel refused reply_batch: it answered `done` (operations performed, or -ERR_x) and why it
 * stopped (0 or -ERR_x). Serve the fault the long way. */
struct answer batch_reply_failed(struct worker *w, long done, long stopped);
/* mm of owner's pending reply locked, the reply failed: take its page back. */
void fault_pending_undo_locked(struct worker *w, const struct worker *owner);

/*
 * For vma_ops->fault. A private copy of page `from`, which is held, goes into the empty entry; its
 * outcome, or FAULT_OOM, FAULT_RACED.
 */
enum fault_outcome fault_fill_copy(struct fault *f, pfn_t from, enum fault_outcome outcome);
/* The page in the entry stays, and the entry gets these bits if it is still what it was. */
enum fault_outcome fault_allow(struct fault *f, uint64_t bits);

/* A new page of a VMA that is prepared for it (rmap_prepare); and the page that an entry has lost.
 */
void fault_anon_account(struct fault *f, pfn_t pfn);
void fault_page_unmapped(struct fault *f, struct page *page);

/* The entry that puts a parked page back, with the rights that v gives. */
uint64_t fault_unparked(const struct vma *v, uint64_t entry);

/* As if each page of [address, address + bytes) was touched. 0, or -LINUX_EFAULT / -LINUX_ENOMEM.
 */
long fault_in(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, bool write);
/* The same for one page: the outcome. */
enum fault_outcome fault_page(struct worker *w, struct mm *mm, vaddr_t address, bool write);
/* The same for one page with the mm locked and settled: the outcome. */
enum fault_outcome fault_page_locked(struct worker *w, struct mm *mm, vaddr_t address, bool write);

/* Faults of this worker whose outcome was FAULT_ANON_PREZEROED; they have no counter of their own.
 */
uint64_t fault_prezeroed_count(const struct worker *w);

#endif

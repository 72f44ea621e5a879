/*
 * Faults: from (address, access) to a mapping, or to the reason why there is none.
 */
#ifndef MMSERVER_CORE_FAULT_H
#define MMSERVER_CORE_FAULT_H

#include "mmserver/core/answer.h"
#include "mmserver/core/client.h"

enum fault_outcome {
#define OUTCOME(name, counter, text) FAULT_##name,
#include "mmserver/core/outcome.def"
#undef OUTCOME
    FAULT_OUTCOMES
};

extern const char *const fault_outcome_text[FAULT_OUTCOMES];

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
/* The kernel refused fault_reply with -error: undo it, and serve the fault the long way. */
struct answer fault_reply_failed(struct worker *w, long error);
/* The kernel refused reply_batch: it answered `done` (operations performed, or -ERR_x) and why it
 * stopped (0 or -ERR_x). Serve the fault the long way. */
struct answer batch_reply_failed(struct worker *w, long done, long stopped);
/* mm of owner's pending reply locked, the reply failed: take its page back. */
void fault_pending_undo_locked(struct worker *w, const struct worker *owner);

/* As if each page of [address, address + bytes) was touched. 0, or -LINUX_EFAULT / -LINUX_ENOMEM.
 */
long fault_in(struct worker *w, struct mm *mm, vaddr_t address, uint64_t bytes, bool write);
/* The same for one page with the mm locked and settled: the outcome. */
enum fault_outcome fault_page_locked(struct worker *w, struct mm *mm, vaddr_t address, bool write);

/* Faults of this worker whose outcome was FAULT_ANON_PREZEROED; they have no counter of their own.
 */
uint64_t fault_prezeroed_count(const struct worker *w);

#endif

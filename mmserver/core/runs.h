/*
 * Runs of 64 KiB (Svnapot): sixteen neighbouring private pages that one translation maps.
 *
 * A run is a matter of page tables alone. Its pages are ordinary anonymous pages, each with its own
 * descriptor, mapped once; only their sixteen entries all name the run (entry_alone() in pt.h says
 * what an ordinary entry would be), and its pages lie in a row, aligned in both kinds of address. A
 * run lies in one VMA and has all the rights that it gives. So:
 *
 *   faults      a write to sixteen empty entries of a VMA with VM_RUNS makes one; one that meets a
 *               run is spurious
 *   zap, mprotect, reports   take runs as they are; who cuts one first breaks it (huge_split_edges)
 *   fork, mremap, PROT_NONE, advice on age, walkers of reverse maps   break those they meet
 *
 * Breaking writes sixteen ordinary entries in place of a run. As the privileged specification wants
 * it, the run is taken out and fenced before the first of them is written: two batches, with the mm
 * locked and settled, so nobody fills the entries between. Runs are made by the writer, but where
 * there is only one hart: a reply on its way into one of sixteen entries would leave a part of one.
 *
 * Only where the machine has Svnapot and sets accessed bits itself. Boot argument mthp=.
 */
#ifndef MMSERVER_CORE_RUNS_H
#define MMSERVER_CORE_RUNS_H

#include "mmserver/core/fault.h"
#include "mmserver/core/pt.h"

#define RUN_ORDER 4
#define RUN_PAGES (1UL << RUN_ORDER)
#define RUN_BYTES (RUN_PAGES << PAGE_SHIFT)

/* Which VMAs get runs: Linux's names for hugepages-64kB/enabled. */
enum runs_mode { RUNS_NEVER, RUNS_MADVISE, RUNS_ALWAYS };
void runs_init(enum runs_mode mode);
/* Of new mappings, and after MADV_HUGEPAGE: VM_RUNS or 0. */
uint64_t runs_flags_new(void);
uint64_t runs_flags_advised(void);

/* For fault_resolve(): a write to an empty entry of a VMA with VM_RUNS. FAULT_NONE: a small page
 * has to do. */
enum fault_outcome run_fault(struct fault *f);
/* For a fault that met a run: it allows the access; make the hart forget what it knew before. */
void run_fence(struct worker *w, struct mm *mm, vaddr_t address);

/* mm locked and settled; what is gathered is sent. Break all runs that have a page in [start, end).
 */
void runs_break_slow(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end);
static inline void runs_break(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    if (unlikely(mm->runs))
        runs_break_slow(w, mm, start, end);
}
/* The same for a run that has `address` inside it. */
static inline void runs_cut(struct worker *w, struct mm *mm, vaddr_t address)
{
    if (address & (RUN_BYTES - 1))
        runs_break(w, mm, address, address + PAGE_BYTES);
}

/* For the recount: is the run that begins at this slot what it should be? */
bool run_is_good(const uint64_t *slot, const struct vma *v, vaddr_t address);

#endif

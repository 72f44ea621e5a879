/*
 * The simulated translation hardware: a shadow TLB per hart that forgets nothing by itself.
 *
 * A simulated access walks the tables as the hardware does, sets accessed and dirty bits, and
 * remembers everything it used: the leaf, and the pointer to each table on the way. A later access
 * uses what is remembered, as hardware may. Whatever the kernel does without a fence that was
 * needed therefore shows: as a report when an access uses a translation that gives more than the
 * tables do now, and as a report of tlb_check_all(), which looks at all that is remembered.
 *
 * What hardware may keep, this keeps: a fence with an address leaves the pointers to tables alone,
 * a fence with an ASID leaves global entries alone, and a satp write removes nothing.
 */
#ifndef ARCH_HOST_TLB_H
#define ARCH_HOST_TLB_H

#include "arch/arch.h"

/*
 * Accesses of eight bytes by user mode on a hart, under the satp that it has. False: a page fault.
 * Pages that are not RAM read as 0. `value` may be NULL.
 */
bool sim_load(unsigned hart, vaddr_t address, uint64_t *value);
bool sim_store(unsigned hart, vaddr_t address, uint64_t value);
bool sim_fetch(unsigned hart, vaddr_t address);
/* The page that the last access which went through touched. */
pfn_t sim_page(void);

uint64_t tlb_satp(unsigned hart);
/* The hart loads this satp, as a straight path does. */
void tlb_satp_load(unsigned hart, uint64_t satp);
/* Translations that the hart remembers. */
uint64_t tlb_entries(unsigned hart);
/* Instruction fences done by a hart so far. */
uint64_t tlb_code_fences(unsigned hart);

/*
 * To be called when no kernel operation is under way: looks at what every hart remembers and could
 * come to use without a further fence, and reports what gives more than the tables do, or leads to
 * memory that is a page table or kernel object. Returns the number of all reports so far.
 */
uint64_t tlb_check_all(void);
/* Reports so far, and the text of the first of them ("" if none). */
uint64_t tlb_reports(void);
const char *tlb_first_report(void);

/* Proof that the checks can fail: one fence goes wrong. */
enum tlb_sabotage {
    TLB_HONEST,
    TLB_DROP,        /* it is not done at all */
    TLB_WRONG_ASID,  /* the number one higher; a fence of everything is dropped */
    TLB_WRONG_RANGE, /* a range one page further up; a fence of an ASID covers only one page */
    TLB_WRONG_HART,  /* a remote fence goes to one hart less; a local one is dropped */
    TLB_LEAVES_ONLY  /* a fence of an ASID leaves the pointers to tables */
};
/* The nth fence call from now on (0: the next) goes wrong. */
void tlb_sabotage(enum tlb_sabotage how, uint64_t nth);
/* Fence calls so far (not of instructions). */
uint64_t tlb_fences(void);

/* Called at the start of each fence call, if set: what other harts do between the kernel's change
 * and its fence. They may use old translations then, so accesses made here report nothing. */
extern void (*tlb_fence_hook)(void);

/* ---- between tlb.c and tlb_check.c ---- */

/* A remembered translation, or for `table` a remembered pointer to the table below `level`. */
struct tlb_entry {
    uint64_t asid;
    pfn_t root; /* under which it was made */
    vaddr_t start;
    uint64_t bytes;
    uint64_t pte;
    unsigned level;
    bool table;
};

struct tlb {
    uint64_t satp;
    uint64_t code_fences;
    uint64_t count;
    struct tlb_entry *entry;
};

extern struct tlb tlbs[HARTS_MAX];

static inline bool tlb_global(const struct tlb_entry *e)
{
    return e->pte & ENTRY_G;
}
static inline pfn_t satp_root(uint64_t satp)
{
    return satp & ((1UL << 44) - 1);
}
static inline uint64_t satp_asid(uint64_t satp)
{
    return satp >> 44 & 0xffff;
}

/*
 * What is wrong with using this entry under that root now; NULL if nothing is.
 */
const char *tlb_wrong(const struct tlb_entry *e, pfn_t root);
__attribute__((format(printf, 3, 4))) void tlb_report(unsigned hart, const struct tlb_entry *e,
                                                      const char *format, ...);
void tlb_reports_clear(void);

#endif

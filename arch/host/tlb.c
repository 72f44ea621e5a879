/*
 * The simulated translation hardware: accesses, walks, fences. See tlb.h for what it remembers, and
 * tlb_check.c for what is found wrong with that.
 */
#include "arch/host/tlb.h"

#include "arch/host/machine.h"
#include "kernel/assert.h"
#include "kernel/space.h"
#include <stdlib.h>
#include <string.h>

/* What one hart can remember; when it is full the oldest goes, as it may. */
#define TLB_ENTRIES_MAX 4096

struct tlb tlbs[HARTS_MAX];

void (*tlb_fence_hook)(void);

static bool in_hook;
static pfn_t last_page;
static uint64_t fence_calls;
static enum tlb_sabotage sabotage;
static uint64_t sabotage_at;

void machine_tlb_start(void)
{
    for (unsigned i = 0; i < HARTS_MAX; i++) {
        free(tlbs[i].entry);
        tlbs[i] = (struct tlb){0};
    }
    for (unsigned i = 0; i < machine.options.harts; i++) {
        tlbs[i].entry = calloc(TLB_ENTRIES_MAX, sizeof(struct tlb_entry));
        kassert(tlbs[i].entry != NULL);
    }
    last_page = 0;
    fence_calls = 0;
    sabotage = TLB_HONEST;
    tlb_fence_hook = NULL;
    tlb_reports_clear();
}

/* ---- remembering ---- */

static void entry_remove(struct tlb *t, uint64_t i)
{
    memmove(&t->entry[i], &t->entry[i + 1], (t->count - i - 1) * sizeof(t->entry[0]));
    t->count--;
}

static void entry_add(struct tlb *t, struct tlb_entry e)
{
    if (t->count == TLB_ENTRIES_MAX)
        entry_remove(t, 0);
    t->entry[t->count++] = e;
}

static bool covers(const struct tlb_entry *e, vaddr_t address)
{
    return address - e->start < e->bytes;
}

/* The leaf remembered for an address, or NULL. */
static struct tlb_entry *leaf_find(struct tlb *t, vaddr_t address)
{
    for (uint64_t i = 0; i < t->count; i++) {
        struct tlb_entry *e = &t->entry[i];
        if (!e->table && covers(e, address) && (tlb_global(e) || e->asid == satp_asid(t->satp)))
            return e;
    }
    return NULL;
}

/* The lowest table remembered on the way to an address, or NULL. */
static struct tlb_entry *table_find(struct tlb *t, vaddr_t address)
{
    struct tlb_entry *best = NULL;
    for (uint64_t i = 0; i < t->count; i++) {
        struct tlb_entry *e = &t->entry[i];
        if (e->table && covers(e, address) && (tlb_global(e) || e->asid == satp_asid(t->satp)) &&
            (best == NULL || e->level < best->level))
            best = e;
    }
    return best;
}

/* ---- walking ---- */

static uint64_t span_of(unsigned level)
{
    return 1UL << (PAGE_SHIFT + TABLE_SHIFT * level);
}

static struct tlb_entry entry_make_at(struct tlb *t, vaddr_t address, unsigned level, uint64_t pte)
{
    uint64_t bytes = pte & ENTRY_N ? 16 * PAGE_BYTES : span_of(level);
    return (struct tlb_entry){
        .asid = satp_asid(t->satp),
        .root = satp_root(t->satp),
        .start = address & ~(bytes - 1),
        .bytes = bytes,
        .pte = pte,
        .level = level,
        .table = entry_is_table(pte),
    };
}

static bool allows(uint64_t pte, uint64_t need)
{
    return (pte & (ENTRY_V | ENTRY_U | need)) == (ENTRY_V | ENTRY_U | need);
}

/* The hart uses what it remembers. */
static void use(unsigned hart, const struct tlb_entry *e, vaddr_t address)
{
    const char *wrong = tlb_wrong(e, satp_root(tlbs[hart].satp));
    if (wrong && !in_hook)
        tlb_report(hart, e, "used for %#lx: %s", (unsigned long)address, wrong);
}

/* From the lowest table that is remembered down to a leaf, remembering what is met. NULL: a fault.
 */
static struct tlb_entry *walk(unsigned hart, vaddr_t address, uint64_t need)
{
    struct tlb *t = &tlbs[hart];
    struct tlb_entry *known = table_find(t, address);
    unsigned level = known ? known->level : space_levels;
    pfn_t table = known ? entry_page(known->pte) : satp_root(t->satp);

    if (known)
        use(hart, known, address);
    while (level-- > 0) {
        if (!machine_page_is_ram(table))
            return NULL; /* an access fault on hardware; reported above */
        uint64_t *slot = (uint64_t *)page_to_virt(table) +
                         ((address >> (PAGE_SHIFT + TABLE_SHIFT * level)) & (TABLE_ENTRIES - 1));
        uint64_t pte = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if (entry_is_table(pte) && level > 0) {
            entry_add(t, entry_make_at(t, address, level, pte));
            table = entry_page(pte);
            continue;
        }
        if (!entry_is_leaf(pte) || !allows(pte, need))
            return NULL;
        pte = __atomic_or_fetch(slot, ENTRY_A | (need & ENTRY_W ? ENTRY_D : 0), __ATOMIC_RELAXED);
        entry_add(t, entry_make_at(t, address, level, pte));
        return &t->entry[t->count - 1];
    }
    return NULL;
}

static pfn_t page_of(const struct tlb_entry *e, vaddr_t address)
{
    uint64_t within = e->bytes / PAGE_BYTES - 1;
    return (entry_page(e->pte) & ~within) | ((address >> PAGE_SHIFT) & within);
}

/* A remembered leaf without the right that is needed is no use; hardware may then walk again. */
static bool translate(unsigned hart, vaddr_t address, uint64_t need, pfn_t *page)
{
    struct tlb *t = &tlbs[hart];

    kassert(hart < machine.options.harts && address % sizeof(uint64_t) == 0);
    if (t->satp == 0 || address >= space_user_end)
        return false;
    struct tlb_entry *e = leaf_find(t, address);
    if (e != NULL && allows(e->pte, need) && (!(need & ENTRY_W) || e->pte & ENTRY_D)) {
        use(hart, e, address);
    } else {
        if (e != NULL)
            entry_remove(t, (uint64_t)(e - t->entry));
        e = walk(hart, address, need);
    }
    if (e == NULL)
        return false;
    *page = last_page = page_of(e, address);
    return true;
}

static uint64_t *memory_at(pfn_t page, vaddr_t address)
{
    if (!machine_page_is_ram(page))
        return NULL;
    return (uint64_t *)((uint8_t *)page_to_virt(page) + address % PAGE_BYTES);
}

bool sim_load(unsigned hart, vaddr_t address, uint64_t *value)
{
    pfn_t page;
    if (!translate(hart, address, ENTRY_R, &page))
        return false;
    uint64_t *at = memory_at(page, address);
    if (value)
        *value = at ? *at : 0;
    return true;
}

bool sim_store(unsigned hart, vaddr_t address, uint64_t value)
{
    pfn_t page;
    if (!translate(hart, address, ENTRY_W, &page))
        return false;
    uint64_t *at = memory_at(page, address);
    if (at)
        *at = value;
    return true;
}

bool sim_fetch(unsigned hart, vaddr_t address)
{
    pfn_t page;
    return translate(hart, address, ENTRY_X, &page);
}

pfn_t sim_page(void)
{
    return last_page;
}

/* ---- satp ---- */

uint64_t tlb_satp(unsigned hart)
{
    return tlbs[hart].satp;
}

void tlb_satp_load(unsigned hart, uint64_t satp)
{
    tlbs[hart].satp = satp;
}

void arch_satp_write(uint64_t satp)
{
    tlbs[this_hart()->id].satp = satp;
}

uint64_t tlb_entries(unsigned hart)
{
    return tlbs[hart].count;
}

/* ---- fences ---- */

enum fence_kind { FENCE_RANGE, FENCE_ASID, FENCE_ALL };

struct fence {
    enum fence_kind kind;
    uint64_t mask;
    uint64_t asid;
    vaddr_t start, end;
    bool keep_tables;
};

static bool fence_takes(const struct fence *f, const struct tlb_entry *e)
{
    if (f->kind == FENCE_ALL)
        return true;
    if (tlb_global(e) || e->asid != f->asid || (f->keep_tables && e->table))
        return false;
    if (f->kind == FENCE_ASID)
        return true;
    return !e->table && e->start < f->end && e->start + e->bytes > f->start;
}

static void fence_spoil(struct fence *f, enum tlb_sabotage how)
{
    if (how == TLB_DROP)
        f->mask = 0;
    if (how == TLB_WRONG_ASID && f->kind == FENCE_ALL)
        f->mask = 0;
    if (how == TLB_WRONG_ASID)
        f->asid++;
    if (how == TLB_WRONG_RANGE && f->kind != FENCE_RANGE) {
        f->kind = FENCE_RANGE;
        f->start = 0;
        f->end = PAGE_BYTES;
    } else if (how == TLB_WRONG_RANGE) {
        f->start += PAGE_BYTES;
        f->end += PAGE_BYTES;
    }
    if (how == TLB_WRONG_HART)
        f->mask &= f->mask - 1;
    if (how == TLB_LEAVES_ONLY)
        f->keep_tables = true;
}

void tlb_sabotage(enum tlb_sabotage how, uint64_t nth)
{
    sabotage = how;
    sabotage_at = fence_calls + nth;
}

uint64_t tlb_fences(void)
{
    return fence_calls;
}

static void fence(struct fence f)
{
    kassert((f.mask & ~((harts_online == 64 ? 0 : 1UL << harts_online) - 1)) == 0);
    kassert(f.asid >> arch_asid_bits == 0);
    if (tlb_fence_hook && !in_hook) {
        in_hook = true;
        tlb_fence_hook();
        in_hook = false;
    }
    if (sabotage != TLB_HONEST && fence_calls == sabotage_at)
        fence_spoil(&f, sabotage);
    fence_calls++;
    if (arch_asid_bits == 0 && f.kind == FENCE_ASID)
        f.asid = 0;
    for (; f.mask; f.mask &= f.mask - 1) {
        struct tlb *t = &tlbs[__builtin_ctzll(f.mask)];
        uint64_t kept = 0;
        for (uint64_t i = 0; i < t->count; i++)
            if (!fence_takes(&f, &t->entry[i]))
                t->entry[kept++] = t->entry[i];
        t->count = kept;
    }
}

static uint64_t here(void)
{
    return 1UL << this_hart()->id;
}

void arch_fence_range(uint64_t asid, vaddr_t start, vaddr_t end)
{
    arch_fence_range_remote(here(), asid, start, end);
}

void arch_fence_asid(uint64_t asid)
{
    arch_fence_asid_remote(here(), asid);
}

void arch_fence_page(uint64_t asid, vaddr_t address)
{
    if (asid == 0)
        arch_fence_all_remote(here());
    else
        arch_fence_range_remote(here(), asid, address, address + PAGE_BYTES);
}

void arch_fence_all(void)
{
    arch_fence_all_remote(here());
}

void arch_fence_code(void)
{
    arch_fence_code_remote(here());
}

void arch_fence_range_remote(uint64_t mask, uint64_t asid, vaddr_t start, vaddr_t end)
{
    fence((struct fence){
        .kind = FENCE_RANGE, .mask = mask, .asid = asid, .start = start, .end = end});
}

void arch_fence_asid_remote(uint64_t mask, uint64_t asid)
{
    fence((struct fence){.kind = FENCE_ASID, .mask = mask, .asid = asid});
}

void arch_fence_all_remote(uint64_t mask)
{
    fence((struct fence){.kind = FENCE_ALL, .mask = mask});
}

void arch_fence_code_remote(uint64_t mask)
{
    for (; mask; mask &= mask - 1)
        tlbs[__builtin_ctzll(mask)].code_fences++;
}

uint64_t tlb_code_fences(unsigned hart)
{
    return tlbs[hart].code_fences;
}

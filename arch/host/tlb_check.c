/*
 * What is wrong with what the shadow TLBs remember.
 *
 * The rule: an entry that a hart can come to use without a further fence must give no more than the
 * tables give now. Which entries those are follows from what the kernel promises (kernel/space.h):
 * an entry under the number of a space is fenced before use if the space does not run on that hart
 * and its stale bit is set there, or the hart has yet to flush for a new generation.
 */
#include "arch/host/machine.h"
#include "arch/host/tlb.h"
#include "kernel/asid.h"
#include "kernel/block.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SPACES_MAX 512

static uint64_t report_count;
static char first_report[512];

void tlb_reports_clear(void)
{
    report_count = 0;
    first_report[0] = 0;
}

uint64_t tlb_reports(void)
{
    return report_count;
}

const char *tlb_first_report(void)
{
    return first_report;
}

void tlb_report(unsigned hart, const struct tlb_entry *e, const char *format, ...)
{
    va_list list;

    if (report_count++)
        return;
    int n = snprintf(first_report, sizeof(first_report),
                     "hart %u, asid %lu, root %#lx, %s of level %u for [%#lx, %#lx) = %#lx: ", hart,
                     (unsigned long)e->asid, (unsigned long)e->root, e->table ? "table" : "leaf",
                     e->level, (unsigned long)e->start, (unsigned long)(e->start + e->bytes),
                     (unsigned long)e->pte);
    va_start(list, format);
    vsnprintf(first_report + n, sizeof(first_report) - (size_t)n, format, list);
    va_end(list);
}

/* ---- one entry against the tables ---- */

static bool is_tables_block(pfn_t page)
{
    int32_t count = page >> TABLE_SHIFT < block_total ? block_count[page >> TABLE_SHIFT] : 0;
    return count < 0 && count > BLOCK_TABLE_BASE - HARTS_MAX * (int32_t)TABLE_ENTRIES;
}

/* What stands at this level for the address; 0 if a table on the way is missing. */
static uint64_t entry_now(pfn_t root, vaddr_t address, unsigned level)
{
    pfn_t table = root;

    for (unsigned l = space_levels - 1;; l--) {
        const uint64_t *slots = page_to_virt(table);
        uint64_t pte = slots[(address >> (PAGE_SHIFT + TABLE_SHIFT * l)) & (TABLE_ENTRIES - 1)];
        if (l == level)
            return pte;
        if (!entry_is_table(pte))
            return 0;
        table = entry_page(pte);
    }
}

static const char *leaf_wrong(uint64_t had, uint64_t now)
{
    if (!entry_is_leaf(now))
        return "the mapping is gone";
    if ((had ^ now) & (ENTRY_PAGE_MASK | ENTRY_N))
        return "the page is another one";
    if ((had ^ now) & (ENTRY_PBMT_NC | ENTRY_PBMT_IO))
        return "the memory type is another one";
    if (had & ~now & (ENTRY_R | ENTRY_W | ENTRY_X | ENTRY_U))
        return "a right was taken away";
    if (had & ~now & (ENTRY_A | ENTRY_D))
        return "the accessed or dirty bit was cleared";
    return NULL;
}

const char *tlb_wrong(const struct tlb_entry *e, pfn_t root)
{
    const char *wrong = NULL;

    if (e->table) {
        uint64_t now = entry_now(root, e->start, e->level);
        return now == e->pte ? NULL : now == 0 ? "the table was taken out" : "the table is another";
    }
    if (tlb_global(e))
        return "it is global, in the user half";
    /* Any of a 64 KiB run's entries justifies it. */
    uint64_t step = e->pte & ENTRY_N ? PAGE_BYTES : e->bytes;
    for (vaddr_t at = e->start; at < e->start + e->bytes; at += step) {
        wrong = leaf_wrong(e->pte, entry_now(root, at, e->level));
        if (wrong == NULL)
            break;
    }
    if (wrong == NULL && (e->pte & ENTRY_W) && is_tables_block(entry_page(e->pte)))
        return "it makes a page table or kernel object writable";
    return wrong;
}

/* ---- all entries against all spaces ---- */

static struct space *spaces[SPACES_MAX];
static unsigned space_count;

static void spaces_add(struct space *s)
{
    if (space_count < SPACES_MAX)
        spaces[space_count++] = s;
}

/* Spaces are found by the directories of tables blocks. */
static void spaces_find(void)
{
    space_count = 0;
    if (space_server)
        spaces_add(space_server);
    for (uint64_t b = machine.options.first_page >> TABLE_SHIFT; b < block_total; b++) {
        pfn_t first = b << TABLE_SHIFT;
        const uint64_t *word = is_tables_block(first) ? page_directory(first) : NULL;
        for (unsigned i = 1; word && i < PAGES_PER_BLOCK; i++)
            if (page_word_use(word[i]) == PAGE_OBJECT && page_word_detail(word[i]) == CAP_SPACE)
                spaces_add(page_to_virt(first + i));
    }
}

/* Could the hart come to run the space without fencing its number first? */
static bool without_fence(const struct hart *h, const struct space *s)
{
    uint64_t bit = 1UL << h->id;

    if (s->running & bit)
        return true;
    if (s->dying || asid_number(s) == 0 || h->asid_flush_wanted)
        return false;
    return !(s->stale & bit) && asid_is_current(s);
}

static void check_against(unsigned hart, const struct tlb_entry *e, pfn_t root, const char *when)
{
    const char *wrong = tlb_wrong(e, root);

    if (wrong == NULL)
        return;
    if (e->root != root)
        wrong = "its number was given to another space";
    tlb_report(hart, e, "%s: %s", when, wrong);
}

static void check_entry(unsigned hart, const struct tlb_entry *e)
{
    const struct hart *h = harts[hart];
    uint64_t satp = tlbs[hart].satp;

    if (tlb_global(e)) {
        tlb_report(hart, e, "a global entry in the user half");
        return;
    }
    if (satp && satp_asid(satp) == e->asid)
        check_against(hart, e, satp_root(satp), "in use");
    for (unsigned i = 0; i < space_count; i++)
        if (e->asid != 0 && asid_number(spaces[i]) == e->asid && without_fence(h, spaces[i]))
            check_against(hart, e, spaces[i]->root_pfn, "usable");
}

uint64_t tlb_check_all(void)
{
    spaces_find();
    for (unsigned hart = 0; hart < harts_online; hart++)
        for (uint64_t i = 0; i < tlbs[hart].count; i++)
            check_entry(hart, &tlbs[hart].entry[i]);
    return report_count;
}

/* Batches on the server's own space; see own.h. */
#include "mmserver/core/own.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/pt.h"
#include <string.h>

#define OWN_BLOCKS_MAX (PLACE_OWN_BYTES_MAX >> BLOCK_SHIFT)

struct lock own_lock;
/* What batches are gathered for. It has no VMAs and no tables that could be read. */
static struct mm own = {.space_slot = SLOT_SPACE};
/* The leaf table of each 2 MiB; 0: none. */
static pfn_t leaf_table[OWN_BLOCKS_MAX];
static uint64_t leaf_tables, upper_tables;

void own_init(void)
{
    mm_assert(place_own_end - place_own_start <= PLACE_OWN_BYTES_MAX);
    own_lock = LOCK_INIT(LOCK_OWN);
    memset(leaf_table, 0, sizeof leaf_table);
    leaf_tables = upper_tables = 0;
}

uint64_t own_tables(void)
{
    return leaf_tables + upper_tables;
}

static pfn_t *leaf_of(vaddr_t address)
{
    mm_assert(address - place_own_start < place_own_end - place_own_start);
    return &leaf_table[(address - ROUND_DOWN(place_own_start, BLOCK_BYTES)) >> BLOCK_SHIFT];
}

/* Install a table below `level`. -ERR_MAPPED: there is one. */
static long table_install(struct worker *w, vaddr_t address, unsigned level, pfn_t *made)
{
    pfn_t pfn = page_alloc_table(w);

    if (!pfn)
        return -ERR_LIMIT;
    struct batch_op *op = op_add(w, &own, BATCH_TABLE, ROUND_DOWN(address, 1UL << pt_shift(level)));
    op->level = (uint8_t)level;
    op->entry = entry_make(pfn, 0);
    op->memory = page_of(pfn)->slot;
    long error = op_try(w);
    if (error)
        page_free_table(w, pfn);
    *made = pfn;
    return error;
}

static long tables_install(struct worker *w, vaddr_t address)
{
    pfn_t pfn = 0;
    long error = 0;

    for (unsigned level = mm_levels - 1; level > 0; level--) {
        error = table_install(w, address, level, &pfn);
        if (error && (error != -ERR_MAPPED || level == 1) && error != -ERR_RANGE)
            return -LINUX_ENOMEM;
        if (!error && level > 1) {
            /* Tables on the way stay for good. */
            page_of(pfn)->owner = &own;
            page_of(pfn)->index = level;
            upper_tables++;
        }
    }
    mm_assert(!error);
    page_of(pfn)->owner = &own;
    page_of(pfn)->index = 1;
    *leaf_of(address) = pfn;
    leaf_tables++;
    return 0;
}

long own_tables_locked(struct worker *w, vaddr_t start, vaddr_t end)
{
    mm_assert(!w->ops_count || w->ops_mm == &own);
    for (vaddr_t a = ROUND_DOWN(start, BLOCK_BYTES); a < end; a += BLOCK_BYTES) {
        vaddr_t at = max_u64(a, place_own_start);

        if (!*leaf_of(at) && tables_install(w, at))
            return -LINUX_ENOMEM;
    }
    return 0;
}

/* A huge leaf goes where no leaf table is. */
static void table_remove(struct worker *w, vaddr_t address)
{
    pfn_t pfn = *leaf_of(address);

    if (!pfn)
        return;
    op_add(w, &own, BATCH_TABLE_REMOVE, ROUND_DOWN(address, BLOCK_BYTES))->level = 1;
    ops_send(w);
    *leaf_of(address) = 0;
    leaf_tables--;
    page_free_table(w, pfn);
}

/* Small leaves up to the end of `at`'s table. */
static uint64_t run_pages(vaddr_t at, uint64_t pages)
{
    return min_u64(pages, TABLE_ENTRIES - pt_index(at, 0));
}

static long map_run(struct worker *w, vaddr_t at, pfn_t first, uint64_t pages, uint64_t bits,
                    uint32_t slot, bool huge)
{
    struct batch_op *op = op_add(w, &own, BATCH_MAP, at);

    op->level = huge;
    op->count = (uint32_t)(huge ? 1 : pages);
    op->entry = entry_make(first, bits);
    op->memory = slot;
    return op_try(w);
}

long own_map_locked(struct worker *w, vaddr_t at, pfn_t first, uint64_t pages, uint64_t bits,
                    uint32_t slot, bool huge)
{
    uint64_t done = 0;

    mm_assert(!huge || !((at & (BLOCK_BYTES - 1)) | (first | pages) % PAGES_PER_BLOCK));
    ops_send(w);
    while (done < pages) {
        vaddr_t to = at + (done << PAGE_SHIFT);
        uint64_t part = huge ? PAGES_PER_BLOCK : run_pages(to, pages - done);

        if (huge)
            table_remove(w, to);
        long error = map_run(w, to, first + done, part, bits, slot, huge);
        if (error) {
            own_unmap_locked(w, at, done, huge);
            own_flush_locked(w);
            return error;
        }
        done += part;
    }
    return 0;
}

void own_unmap_locked(struct worker *w, vaddr_t at, uint64_t pages, bool huge)
{
    if (w->ops_count && w->ops_mm != &own)
        ops_send(w);
    for (uint64_t done = 0, part; done < pages; done += part) {
        vaddr_t from = at + (done << PAGE_SHIFT);

        part = huge ? PAGES_PER_BLOCK : run_pages(from, pages - done);
        struct batch_op *op = op_add(w, &own, BATCH_UNMAP, from);
        op->level = huge;
        op->count = (uint32_t)(huge ? 1 : part);
    }
}

void own_flush_locked(struct worker *w)
{
    ops_send(w);
}

long own_map(struct worker *w, vaddr_t at, pfn_t pfn, uint64_t bits, uint32_t slot)
{
    ops_send(w);
    return map_run(w, at, pfn, 1, bits, slot, false);
}

void own_unmap(struct worker *w, vaddr_t at)
{
    ops_send(w);
    op_add(w, &own, BATCH_UNMAP, at);
    ops_send(w);
}

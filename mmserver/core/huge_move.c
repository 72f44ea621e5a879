/* See huge_move.h. */
#include "mmserver/core/huge_move.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/rmap_walk.h"

static struct batch_op *leaf_op(struct worker *w, struct mm *mm, enum batch_code code,
                                vaddr_t block, uint64_t entry)
{
    struct batch_op *op = op_add(w, mm, code, block);

    op->level = 1;
    op->entry = entry;
    op->memory = page_of(entry_page(entry))->slot;
    return op;
}

/* The leaf loses W, or gets its rights back. D stays. */
static void leaf_rights(struct worker *w, struct mm *mm, vaddr_t block, uint64_t entry,
                        uint64_t rights)
{
    leaf_op(w, mm, BATCH_PROTECT, block, entry)->entry = rights;
    ops_send(w);
}

/* mm seized: its leaf at `block` names `to` instead of the page. 0 or -ERR_x, and nothing has
 * changed. */
static long leaf_move(struct worker *w, struct mm *mm, vaddr_t block, uint64_t entry, pfn_t to)
{
    uint64_t rights = entry & (ENTRY_X | ENTRY_D), moved = (entry & ~ENTRY_PAGE_MASK);

    if (entry & ENTRY_W)
        leaf_rights(w, mm, block, entry, rights);
    huge_copy(to, entry_page(entry));
    leaf_op(w, mm, BATCH_REPLACE, block, moved | entry_make(to, 0))->extra = entry & ~ENTRY_W;
    long error = op_try(w);
    if (error && (entry & ENTRY_W))
        leaf_rights(w, mm, block, entry, rights | ENTRY_W | ENTRY_D);
    else if (!error && (entry & ENTRY_X)) /* what was there before may be cached */
        mm_assert(!place_instruction_fence(mm->space_slot));
    return error;
}

/* mm seized: the page moves to a free piece of memory, if there is one. */
static bool move_whole(struct worker *w, struct mm *mm, vaddr_t block, uint64_t entry)
{
    const gfp_t gfp = (GFP_USER & ~(gfp_t)GFP_DIRECT_RECLAIM) | GFP_NOWARN | GFP_NORETRY;
    pfn_t to = pages_alloc(w, HUGE_ORDER, gfp);
    struct page *old = page_of(entry_page(entry)), *page = page_of(to);

    if (!to)
        return false;
    if (leaf_move(w, mm, block, entry, to)) {
        pages_free(w, to, HUGE_ORDER);
        return false;
    }
    page->owner = old->owner;
    page->index = old->index;
    page->maps = 1;
    page->state = PAGE_ANON;
    old->maps = 0;
    old->state = PAGE_USED;
    pages_free(w, page_number(old), HUGE_ORDER);
    mm_count(w, huge_moved);
    return true;
}

long huge_move(struct worker *w, pfn_t from)
{
    vaddr_t block;
    struct mm *mm = rmap_huge_seize(w, page_of(from), &block);

    if (!mm)
        return -LINUX_EAGAIN;
    uint64_t entry = huge_entry(mm, block);
    long error = move_whole(w, mm, block, entry) ? 0 : huge_split(w, mm, block, entry);
    mm_let_go(mm);
    return error;
}

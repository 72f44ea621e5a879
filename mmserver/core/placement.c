/*
 * Placement. Random parts have the sizes that Linux gives them on riscv64:
 *
 *   mmap area, programs   18 bits of pages with Sv39, 24 with more levels
 *   stack top             18 bits of pages, and up to a page within it
 *   brk                   up to 1 GiB above the program's end
 */
#include "mmserver/core/placement.h"
#include "mmserver/core/random.h"

#define GAP_LEAST_BYTES   (128UL << 20) /* between the mmap area and the top: room for the stack */
#define STACK_RANDOM_BITS 18
#define BRK_RANDOM_BITS   18

uint64_t placement_level = PLACEMENT_ALL;
uint64_t placement_lowest = MMAP_MIN_ADDRESS;
uint64_t random_state;

static uint64_t random_pages(enum placement_random level, unsigned bits)
{
    return level == PLACEMENT_FIXED ? 0 : (random_next() & ((1UL << bits) - 1)) << PAGE_SHIFT;
}

static unsigned mmap_random_bits(void)
{
    return mm_levels > 3 ? 24 : 18;
}

void placement_plan(struct mm *mm, enum placement_random level)
{
    uint64_t limit = mm->limit[MM_LIMIT_STACK], most = mm_user_end / 6 * 5, gap;

    mm->stack_top = mm_user_end - PAGE_BYTES - random_pages(level, STACK_RANDOM_BITS);
    gap = limit > most ? most : limit + STACK_GUARD_BYTES;
    if (level != PLACEMENT_FIXED)
        gap += PAGE_BYTES << STACK_RANDOM_BITS;
    gap = min_u64(max_u64(gap, GAP_LEAST_BYTES), most);
    mm->mmap_base = PAGE_DOWN(mm_user_end - gap - random_pages(level, mmap_random_bits()));
    mm->bottom_up = limit == ~0UL;
}

vaddr_t placement_program(const struct mm *mm, enum placement_random level)
{
    (void)mm;
    return PAGE_DOWN(mm_user_end / 3 * 2) + random_pages(level, mmap_random_bits());
}

vaddr_t placement_heap(vaddr_t end, enum placement_random level)
{
    return PAGE_UP(end) + (level == PLACEMENT_ALL ? random_pages(level, BRK_RANDOM_BITS) : 0);
}

vaddr_t placement_stack_pointer(vaddr_t sp, enum placement_random level)
{
    return (level == PLACEMENT_FIXED ? sp : sp - (random_next() & PAGE_MASK)) & ~15UL;
}

/* Is [at, at + bytes) free, and clear of the guard of a stack above it? */
static bool hint_is_free(struct mm *mm, vaddr_t at, uint64_t bytes, struct vma **above)
{
    struct vma *v = vma_find(mm, at);

    *above = v;
    return !v || (v->start >= at + bytes && vma_start_guarded(v) >= at + bytes);
}

vaddr_t placement_find(struct mm *mm, vaddr_t hint, uint64_t bytes, uint64_t align,
                       struct vma **above)
{
    uint64_t room = bytes + (align ? align - PAGE_BYTES : 0);
    vaddr_t at;

    hint = PAGE_UP(hint);
    if (hint) {
        hint = max_u64(hint, placement_lowest);
        if (bytes <= mm_user_end && hint <= mm_user_end - bytes &&
            hint_is_free(mm, hint, bytes, above))
            return hint;
    }
    if (!mm->bottom_up) {
        at = vma_gap_below(mm, placement_lowest, mm->mmap_base, room, above);
        if (at) /* the highest aligned place in what was found */
            return align ? ROUND_DOWN(at + room - bytes, align) : at;
    }
    at = vma_gap_above(mm, PAGE_DOWN(mm_user_end / 3), mm_user_end, room, above);
    return align ? ROUND_UP(at, align) : at;
}

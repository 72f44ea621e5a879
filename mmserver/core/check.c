/*
 * The recount. One pass:
 *
 *   1. clear the recount words of all descriptors
 *   2. buddy lists and hart lists against the pages' states
 *   3. each address space: the tree's order, gaps and sums; every leaf entry against its VMA and
 * its page; residents, zero pages, parked pages and tables against the accounting
 *   4. descriptors: map counts against the entries found, numbers of pages by state
 *   5. object caches against what they hold
 */
#include "mmserver/core/check.h"
#include "mmserver/core/object.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/text.h"

#define CHECK_LOOKS 4

struct check {
    struct worker *w;
    bool say; /* log what is found */
    uint64_t wrong;
    uint64_t anon, tables, vmas, mms;
    uint64_t state[PAGE_STATES];
};

static void expect(struct check *c, bool good, const char *what, uint64_t where, uint64_t is,
                   uint64_t wanted)
{
    if (good)
        return;
    c->wrong++;
    if (c->say)
        text_log("check: %s: at %lx is %lu, recount %lu", what, where, is, wanted);
}

static void expect_equal(struct check *c, const char *what, uint64_t where, uint64_t is,
                         uint64_t wanted)
{
    expect(c, is == wanted, what, where, is, wanted);
}

static void descriptors_clear(void)
{
    for (pfn_t pfn = phys.first; pfn < phys.end; pfn++)
        page_of(pfn)->private = 0;
}

static void check_buddy(struct check *c)
{
    lock_take(&phys.lock);
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint64_t pages = 0;

        for (unsigned order = 0; order < ORDERS; order++) {
            uint64_t chunks = 0;
            struct page *page;

            LIST_FOREACH(page, &phys.list[class][order], link)
            {
                bool good = page->state == PAGE_FREE && page->order == order &&
                            page->class == class && !(page_number(page) & ((1UL << order) - 1));

                expect(c, good, "free chunk", page_number(page), page->state, PAGE_FREE);
                chunks++;
                pages += 1UL << order;
            }
            expect_equal(c, "free chunks of an order", order, phys.list_count[class][order],
                         chunks);
        }
        expect_equal(c, "free pages of a class", class, phys.free_pages[class], pages);
    }
    lock_drop(&phys.lock);
}

static void check_hart_list(struct check *c, const pfn_t *list, uint64_t count,
                            enum page_state state)
{
    for (uint64_t i = 0; i < count; i++)
        expect_equal(c, "page in a hart's list", list[i], page_of(list[i])->state, state);
}

static void check_leaf(struct check *c, struct mm *mm, vaddr_t address, uint64_t entry,
                       uint64_t counts[PAGE_STATES + 1])
{
    pfn_t pfn = entry_page(entry);
    struct vma *v = vma_at(mm, address);

    expect(c, v != NULL, "entry outside all VMAs", address, pfn, 0);
    if (!v || (v->flags & VM_DEVICE))
        return;
    expect(c, page_is_ours(pfn), "entry with a foreign page", address, pfn, 0);
    if (!page_is_ours(pfn))
        return;
    struct page *page = page_of(pfn);
    bool parked = entry_is_parked(entry);
    page->private ++;
    counts[page->state]++;
    counts[PAGE_STATES] += parked;
    expect(c,
           page->state == PAGE_ANON ||
               (!parked && (page->state == PAGE_ZERO || page->state == PAGE_FILE)),
           "entry with a page of a wrong kind", address, page->state, PAGE_ANON);
    if (page->state == PAGE_ANON) {
        expect(c, rmap_is_linked(v, page->owner), "anonymous page out of reach", address, pfn, 0);
        expect_equal(c, "anonymous page's index", address, page->index,
                     rmap_index(v->offset, v->start, address));
    }
    expect(c, !(entry & ENTRY_W) || (page->state == PAGE_ANON && (v->flags & VM_WRITE)),
           "writable entry", address, entry, 0);
    expect(c, !(entry & ENTRY_X) || (v->flags & VM_EXEC), "executable entry", address, entry, 0);
    expect(c, parked || (v->flags & VM_ACCESS), "entry in an inaccessible VMA", address, entry, 0);
}

/* All leaves, and the number of tables. */
static void check_tables(struct check *c, struct mm *mm)
{
    uint64_t counts[PAGE_STATES + 1] = {0};
    uint64_t tables = 0;
    const uint64_t *table;

    for (vaddr_t a = pt_next_table(mm, 0, mm_user_end, &table); a < mm_user_end;
         a = pt_next_table(mm, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES, mm_user_end, &table)) {
        for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
            if (table[i])
                check_leaf(c, mm, ROUND_DOWN(a, BLOCK_BYTES) + ((uint64_t)i << PAGE_SHIFT),
                           table[i], counts);
        }
    }
    for (unsigned level = 0; level + 1 < mm_levels; level++) {
        uint64_t span = 1UL << pt_shift(level + 1);

        for (vaddr_t a = pt_next_table_of(mm, 0, mm_user_end, level, &table); a < mm_user_end;
             a = pt_next_table_of(mm, a + span, mm_user_end, level, &table))
            tables++;
    }
    expect_equal(c, "resident anonymous pages", mm->id, mm->anon_pages, counts[PAGE_ANON]);
    expect_equal(c, "resident file pages", mm->id, mm->file_pages, counts[PAGE_FILE]);
    expect_equal(c, "parked pages", mm->id, mm->parked, counts[PAGE_STATES]);
    expect_equal(c, "page tables", mm->id, mm->tables, tables);
    c->anon += counts[PAGE_ANON];
    c->tables += tables;
}

/* A subtree of VMAs: its black height, with what it holds in *most and *count. */
static unsigned check_tree(struct check *c, const struct vma *v, uint64_t *most, uint64_t *count)
{
    uint64_t left_most = 0, right_most = 0;

    if (!v)
        return 0;
    const struct vma *left = RB_LEFT(v, node), *right = RB_RIGHT(v, node);
    unsigned height = check_tree(c, left, &left_most, count);
    expect_equal(c, "black height", v->start, check_tree(c, right, &right_most, count), height);
    expect(c, !left || (RB_PARENT(left, node) == v && left->end <= v->start), "left child",
           v->start, left ? left->start : 0, 0);
    expect(c, !right || (RB_PARENT(right, node) == v && right->start >= v->end), "right child",
           v->start, right ? right->start : 0, 0);
    expect(c, !RB_ISRED(v, node) || (!RB_ISRED(left, node) && !RB_ISRED(right, node)),
           "red below red", v->start, 0, 0);
    *most = max_u64(v->gap, max_u64(left_most, right_most));
    expect_equal(c, "largest gap", v->start, v->gap_max, *most);
    ++*count;
    return height + !RB_ISRED(v, node);
}

static void check_vmas(struct check *c, struct mm *mm)
{
    uint64_t pages = 0, count = 0, linked = 0, most = 0;
    vaddr_t end = 0;

    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        vaddr_t start = vma_start_guarded(v);

        expect(c, v->start >= end && v->start < v->end && !((v->start | v->end) & PAGE_MASK),
               "VMA bounds", v->start, v->end, end);
        expect_equal(c, "gap", v->start, v->gap, start > end ? start - end : 0);
        expect(c, !v->next || v->next->prev == v, "neighbours", v->start, v->end, 0);
        end = v->end;
        pages += vma_pages(v);
        count++;
    }
    check_tree(c, RB_ROOT(&mm->vmas), &most, &linked);
    expect_equal(c, "VMAs in the tree", mm->id, linked, count);
    expect(c, !vma_last(mm) || vma_last(mm)->end == end, "last VMA", mm->id, end, 0);
    expect_equal(c, "pages mapped", mm->id, mm->total_pages, pages);
    expect_equal(c, "VMAs", mm->id, mm->map_count, count);
    c->vmas += count;
}

static void check_spaces(struct check *c)
{
    for (uint64_t id = mm_next_id(0); id; id = mm_next_id(id)) {
        struct mm *mm = mm_get(id);

        if (!mm)
            continue;
        c->mms++;
        mm_lock(mm);
        mm_settle_locked(c->w, mm);
        check_vmas(c, mm);
        check_tables(c, mm);
        mm_unlock(mm);
        mm_put(mm);
    }
}

static void check_pages(struct check *c)
{
    for (pfn_t pfn = phys.first; pfn < phys.end; pfn++) {
        struct page *page = page_of(pfn);

        c->state[page->state]++;
        if (page->state == PAGE_FILE || page->state == PAGE_ANON)
            expect_equal(c, "map count", pfn, page->maps, page->private);
    }
    expect_equal(c, "free pages by state", 0, c->state[PAGE_FREE] + c->state[PAGE_FREE_TAIL],
                 phys.free_pages[CLASS_DATA] + phys.free_pages[CLASS_TABLES]);
    uint64_t hot = 0, zeroed = 0;
    for (uint32_t i = 0; i < worker_count; i++) {
        hot += workers[i].hot_count + workers[i].tables_count;
        zeroed += workers[i].zeroed_count;
    }
    expect_equal(c, "pages in hart lists by state", 0, c->state[PAGE_HOT], hot);
    expect_equal(c, "zeroed pages by state", 0, c->state[PAGE_ZEROED], zeroed);
    expect_equal(c, "anonymous pages by state", 0, c->state[PAGE_ANON], c->anon);
    expect_equal(c, "page tables by state", 0, c->state[PAGE_TABLE], c->tables);
    expect_equal(c, "file pages by state", 0, c->state[PAGE_FILE], object_cached_pages());
    expect_equal(c, "pages in no place", 0, c->state[PAGE_USED], 0);
}

static void check_slabs(struct check *c)
{
    expect_equal(c, "slab pages by state", 0, c->state[PAGE_SLAB], slab_pages_total());
    expect_equal(c, "VMA objects", 0, slab_in_use(vma_cache), c->vmas);
    expect_equal(c, "address space objects", 0, slab_in_use(mm_cache), c->mms);
}

static uint64_t check_once(struct worker *w, bool say)
{
    struct check c = {.w = w, .say = say};

    descriptors_clear();
    check_buddy(&c);
    for (uint32_t i = 0; i < worker_count; i++) {
        struct worker *o = &workers[i];

        check_hart_list(&c, o->hot, o->hot_count, PAGE_HOT);
        check_hart_list(&c, o->tables, o->tables_count, PAGE_HOT);
        check_hart_list(&c, o->zeroed, o->zeroed_count, PAGE_ZEROED);
    }
    check_spaces(&c);
    check_pages(&c);
    check_slabs(&c);
    return c.wrong;
}

uint64_t check_all(struct worker *w)
{
    for (unsigned look = 1; look < CHECK_LOOKS; look++) {
        if (!check_once(w, false))
            return 0;
    }
    return check_once(w, true);
}

/*
 * The recount. One pass:
 *
 *   1. clear the recount words of all descriptors
 *   2. buddy lists and hart lists against the pages' states; zones' counts of pages and blocks
 *   3. each address space: the tree's order, gaps and sums; every leaf entry against its VMA and
 * its page; residents, zero pages, parked pages and tables against the accounting
 *   4. descriptors: map counts against the entries found, numbers of pages by state
 *   5. object caches against what they hold
 */
#include "mmserver/core/check.h"
#include "mmserver/core/cma.h"
#include "mmserver/core/memblock.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/object.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/rmap_walk.h"
#include "mmserver/core/runs.h"
#include "mmserver/core/caches.h"
#include "mmserver/core/slab_report.h"
#include "mmserver/core/text.h"
#include "mmserver/core/zone.h"
#include "mmserver/core/vmap.h"

#define CHECK_LOOKS 4

struct check {
    struct worker *w;
    bool say; /* log what is found */
    uint64_t wrong;
    uint64_t tables, vmas, mms, object_vmas;
    uint64_t state[PAGE_STATES];
    uint64_t poisoned_files; /* broken pages that still have their place in a cache */
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

/* The next page at or behind `pfn` that has something to say: blocks that are not ready and what
 * follows a first page are passed over. phys.end: there is none. */
static pfn_t next_head(pfn_t pfn)
{
    while (pfn < phys.end && !page_is_ready(pfn))
        pfn = ROUND_DOWN(pfn, PAGES_PER_BLOCK) + PAGES_PER_BLOCK;
    return pfn;
}

static uint64_t pages_of(const struct page *page)
{
    return page->state == PAGE_NONE || page->state == PAGE_TAIL ? 1 : 1UL << page->order;
}

#define heads_for_each(pfn)                                 \
    for (pfn_t pfn = next_head(phys.first); pfn < phys.end; \
         pfn = next_head(pfn + pages_of(page_of(pfn))))

/* Is its map count recounted? */
static bool is_counted(const struct page *page)
{
    return page->state == PAGE_FILE || page->state == PAGE_ANON || page->state == PAGE_HUGETLB;
}

static void descriptors_clear(void)
{
    heads_for_each(pfn)
    {
        if (is_counted(page_of(pfn)))
            page_of(pfn)->private = 0;
    }
}

/* Lists of one type, against descriptors and counts. */
static void check_lists(struct check *c, const struct zone *z, unsigned type)
{
    uint64_t pages = type == MIGRATE_MOVABLE ? z->deferred_pages : 0;

    for (unsigned order = 0; order < ORDERS; order++) {
        uint64_t chunks = 0;
        struct page *page;

        LIST_FOREACH(page, &z->area[order][type].list, link)
        {
            pfn_t pfn = page_number(page);
            bool good = page->state == PAGE_FREE && page->order == order &&
                        page_type(page) == type && zone_of(page) == z &&
                        !(pfn & ((1UL << order) - 1));

            expect(c, good, "free chunk", pfn, page->state, PAGE_FREE);
            if (order < BLOCK_ORDER)
                expect(c, page_of(pfn ^ 1UL << order)->kind != page->kind, "unmerged buddies", pfn,
                       order, ORDER_MAX);
            chunks++;
            pages += 1UL << order;
        }
        expect_equal(c, "free chunks of an order", order, z->area[order][type].chunks, chunks);
    }
    expect_equal(c, "free pages of a type", type, z->free[type], pages);
}

/* Every block of one type throughout; blocks and free memory by type against the zone's counts. */
static void check_blocks(struct check *c)
{
    uint64_t blocks[ZONES_MAX][MIGRATE_TYPES] = {{0}};

    for (pfn_t b = phys.first; b < phys.end; b += PAGES_PER_BLOCK) {
        const struct page *page = page_of(b);

        if (!page_is_ready(b))
            continue;
        blocks[page->home & HOME_ZONE_MASK][page_type(page)]++;
        pfn_t i = 0;
        while (i < PAGES_PER_BLOCK && page_of(b + i)->home == page->home)
            i++;
        expect_equal(c, "pages of one zone and type in a block", b, i, PAGES_PER_BLOCK);
    }
    zone_for_each(z)
    {
        for (unsigned type = 0; type < MIGRATE_TYPES; type++)
            expect_equal(c, "blocks of a type", type, z->block[type], blocks[z->home][type]);
    }
}

static void check_zones(struct check *c)
{
    uint64_t managed = 0;

    zone_for_each(z)
    {
        uint64_t deferred = 0;

        lock_take(&z->lock);
        for (unsigned type = 0; type < MIGRATE_TYPES; type++)
            check_lists(c, z, type);
        for (uint32_t i = 0; i < z->deferred_count; i++)
            deferred += z->deferred[i].end - z->deferred[i].next;
        expect_equal(c, "deferred pages", z->home, z->deferred_pages, deferred);
        lock_drop(&z->lock);
        expect(c, z->managed <= z->present && z->present <= z->end - z->start, "pages of a zone",
               z->home, z->managed, z->present);
        managed += z->managed;
    }
    expect_equal(c, "managed pages", 0, phys.total_pages, managed);
    check_blocks(c);
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
    if (entry_is_marker(entry)) {
        expect(c, mm->marked, "marker in a space that has none", address, entry, 0);
        expect(c, page->state == PAGE_ZERO || page->state == PAGE_POISONED,
               "marker with a page of a wrong kind", address, page->state, PAGE_POISONED);
        return;
    }
    page->private ++;
    counts[page->state]++;
    counts[PAGE_STATES] += parked;
    expect(c, page->state == PAGE_ANON || page->state == PAGE_ZERO || page->state == PAGE_FILE,
           "entry with a page of a wrong kind", address, page->state, PAGE_ANON);
    if (page->state == PAGE_ANON) {
        expect(c, rmap_is_linked(v, page->owner), "anonymous page out of reach", address, pfn, 0);
        expect(c, rmap_leads_to(page, mm, address), "reverse map without it", address, pfn, 0);
        expect_equal(c, "anonymous page's index", address, page->index,
                     rmap_index(v->offset, v->start, address));
    }
    if (page->state == PAGE_FILE) {
        expect(c, page->owner == v->object, "page of another object", address, pfn, 0);
        expect_equal(c, "object page's index", address, page->index, vma_offset_at(v, address));
        expect(c, vma_offset_at(v, address) < object_pages(v->object), "page behind the end",
               address, pfn, 0);
    }
    expect(c,
           !(entry & ENTRY_W) ||
               ((page->state == PAGE_ANON || (v->flags & VM_SHARED)) && (v->flags & VM_WRITE)),
           "writable entry", address, entry, 0);
    expect(c, !(entry & ENTRY_X) || (v->flags & VM_EXEC), "executable entry", address, entry, 0);
    expect(c, parked || (v->flags & VM_ACCESS), "entry in an inaccessible VMA", address, entry, 0);
}

/* A leaf table in whose block there is no VMA is one of those kept. */
static void check_kept(struct check *c, struct mm *mm, vaddr_t block)
{
    struct vma *v = vma_find(mm, block);
    bool kept = v && v->start < block + BLOCK_BYTES;

    for (uint32_t i = 0; i < mm->kept_count; i++)
        kept |= mm->kept[i] == block;
    expect(c, kept, "leaf table of no use", block, mm->kept_count, 0);
}

/* A huge leaf lies in one VMA of private anonymous memory, and its page is nobody else's. */
static void check_huge(struct check *c, struct mm *mm, vaddr_t block, uint64_t entry,
                       uint64_t counts[PAGE_STATES + 1])
{
    struct page *page = page_of(entry_page(entry));
    struct vma *v = vma_at(mm, block);

    bool pooled = page->state == PAGE_HUGETLB;

    expect(c,
           v && v->end >= block + BLOCK_BYTES &&
               (pooled ? (v->flags & VM_HUGETLB) != 0 : vma_is_private_anon(v)),
           "huge leaf and its VMA", block, entry, 0);
    expect(c, mm->huge_used, "huge leaf in a space that has none", block, entry, 0);
    expect_equal(c, "order of a huge page", block, page->order, HUGE_ORDER);
    if (page->state == PAGE_ZERO || !v) {
        expect(c, !(entry & ENTRY_W), "writable zero page", block, entry, 0);
        return;
    }
    page->private ++;
    expect(c, !(entry & ENTRY_W) || (v->flags & VM_WRITE), "writable huge leaf", block, entry, 0);
    expect(c, !(entry & ENTRY_U) == !(v->flags & VM_ACCESS), "reach of a huge leaf", block, entry,
           0);
    if (pooled) {
        expect(c, !(entry & ENTRY_W) || (v->flags & VM_SHARED) || page->maps == 1,
               "writable leaf of a shared page", block, entry, page->maps);
        expect(c, !page->owner == !(v->flags & VM_SHARED) || (page->owner && v->object),
               "huge page of an object", block, entry, 0);
        expect(c,
               !page->owner || (page->owner == v->object &&
                                page->index == vma_offset_at(v, block) / HUGE_PAGES),
               "huge page of another object", block, entry, page->index);
        return;
    }
    counts[PAGE_ANON] += HUGE_PAGES;
    expect_equal(c, "state of a huge page", block, page->state, PAGE_ANON);
    expect(c, page->owner == v->anon || rmap_is_linked(v, page->owner), "owner of a huge page",
           block, entry, 0);
    expect_equal(c, "index of a huge page", block, page->index,
                 rmap_index(v->offset, v->start, block));
}

/* All leaves, and the number of tables. */
static void check_tables(struct check *c, struct mm *mm)
{
    uint64_t counts[PAGE_STATES + 1] = {0};
    uint64_t tables = 0, entry;
    const uint64_t *table;

    for (vaddr_t a = pt_next_table(mm, 0, mm_user_end, &table); a < mm_user_end;
         a = pt_next_table(mm, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES, mm_user_end, &table)) {
        check_kept(c, mm, ROUND_DOWN(a, BLOCK_BYTES));
        for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
            vaddr_t at = ROUND_DOWN(a, BLOCK_BYTES) + ((uint64_t)i << PAGE_SHIFT);

            if (entry_is_run(table[i]) && !(i % RUN_PAGES))
                expect(c, mm->runs && run_is_good(table + i, vma_at(mm, at), at), "run of 64 KiB",
                       at, table[i], 0);
            if (table[i])
                check_leaf(c, mm, at, entry_alone_at(table + i), counts);
        }
    }
    for (unsigned level = 0; level + 1 < mm_levels; level++) {
        uint64_t span = 1UL << pt_shift(level + 1);

        for (vaddr_t a = pt_next_table_of(mm, 0, mm_user_end, level, &table); a < mm_user_end;
             a = pt_next_table_of(mm, a + span, mm_user_end, level, &table))
            tables++;
    }
    for (vaddr_t a = huge_next(mm, 0, mm_user_end, &entry); a < mm_user_end;
         a = huge_next(mm, a + BLOCK_BYTES, mm_user_end, &entry))
        check_huge(c, mm, a, entry, counts);
    if (mm->huge_used)
        expect_equal(c, "huge pages promised or missing", mm->id,
                     mm->huge_reserved + (uint64_t)mm->huge_unpromised, hugetlb_missing(mm));
    expect_equal(c, "resident anonymous pages", mm->id, mm->anon_pages, counts[PAGE_ANON]);
    expect_equal(c, "resident file pages", mm->id, mm->file_pages, counts[PAGE_FILE]);
    expect_equal(c, "parked pages", mm->id, mm->parked, counts[PAGE_STATES]);
    expect_equal(c, "page tables", mm->id, mm->tables, tables);
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
    uint64_t pages = 0, count = 0, linked = 0, most = 0, promised = 0, locked = 0, data = 0;
    vaddr_t end = 0, tied = 0; /* of the last VMA, and of the last one in the tree */

    for (struct vma *v = vma_first(mm); v; v = vma_next(v)) {
        vaddr_t start = vma_start_guarded(v);

        expect(c, v->start >= end && v->start < v->end && !((v->start | v->end) & PAGE_MASK),
               "VMA bounds", v->start, v->end, end);
        if (v != mm->loose) {
            expect_equal(c, "gap", v->start, v->gap, start > tied ? start - tied : 0);
            tied = v->end;
        }
        expect(c, !v->next || v->next->prev == v, "neighbours", v->start, v->end, 0);
        end = v->end;
        pages += vma_pages(v);
        c->object_vmas += v->object != NULL;
        promised += v->flags & VM_ACCOUNT ? vma_pages(v) : 0;
        locked += v->flags & VM_LOCKED ? vma_pages(v) : 0;
        data += mm_account_class(mm, v->flags) == &mm->data_pages ? vma_pages(v) : 0;
        count++;
    }
    check_tree(c, RB_ROOT(&mm->vmas), &most, &linked);
    expect_equal(c, "VMAs in the tree", mm->id, linked + (mm->loose != NULL), count);
    expect(c, !vma_last(mm) || vma_last(mm)->end == end, "last VMA", mm->id, end, 0);
    expect_equal(c, "pages mapped", mm->id, mm->total_pages, pages);
    expect_equal(c, "VMAs", mm->id, mm->map_count, count);
    expect_equal(c, "pages promised", mm->id, mm->committed_pages, promised);
    expect_equal(c, "pages locked", mm->id, mm->locked_pages, locked);
    expect_equal(c, "pages of data", mm->id, mm->data_pages, data);
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
    uint64_t lists[2] = {0, 0}, all = 0;

    heads_for_each(pfn)
    {
        struct page *page = page_of(pfn);

        c->state[page->state] += pages_of(page);
        c->poisoned_files += page->state == PAGE_POISONED && page->owner;
        if (is_counted(page))
            expect_equal(c, "map count", pfn, page->maps,
                         page->private +
                             (page->state == PAGE_HUGETLB && hugetlb_is_of_object(page)));
        expect(c, page->state != PAGE_ANON || page->maps, "anonymous page of nobody", pfn, 0, 1);
    }
    zone_for_each(z)
    {
        c->state[PAGE_FREE] += z->deferred_pages;
    }
    for (unsigned i = PAGE_NONE + 1; i < PAGE_STATES; i++)
        all += c->state[i];
    for (uint32_t i = 0; i < worker_count; i++) {
        const struct worker *o = &workers[i];

        lists[0] += o->hot_count + o->tables_count + o->stock[0].count + o->stock[1].count;
        lists[1] += o->zeroed_count;
    }
    expect_equal(c, "pages of all states", 0, all, phys.total_pages);
    expect_equal(c, "pages behind no first page", 0, c->state[PAGE_TAIL], 0);
    expect_equal(c, "free pages by state", 0, c->state[PAGE_FREE], zones_free());
    expect_equal(c, "directories of tables blocks", 0, c->state[PAGE_RESERVED],
                 zones_blocks(MIGRATE_TABLES));
    expect_equal(c, "pages in hart lists by state", 0, c->state[PAGE_HOT], lists[0]);
    expect_equal(c, "zeroed pages by state", 0, c->state[PAGE_ZEROED], lists[1]);
    expect_equal(c, "page tables by state", 0, c->state[PAGE_TABLE], c->tables + own_tables());
    expect_equal(c, "file pages by state", 0, c->state[PAGE_FILE] + c->poisoned_files,
                 object_cached_pages());
    expect_equal(c, "broken pages", 0, phys.poisoned_pages, c->state[PAGE_POISONED]);
    expect_equal(c, "pages in no place", 0, c->state[PAGE_USED], 0);
}

static void check_slabs(struct check *c)
{
    c->wrong += slab_check(c->say);
    expect_equal(c, "VMA objects", 0, slab_in_use(vma_cache), c->vmas);
    expect_equal(c, "address space objects", 0, slab_in_use(mm_cache), c->mms);
}

/* What memblock let go of is what the zones have: so managed + reserved = present, to the page. */
static void check_memory(struct check *c)
{
    struct memblock_account sum = memblock_account(&memblock);

    expect(c, memblock_check(&memblock), "account of memory", 0, sum.free, sum.present);
    expect_equal(c, "pages taken over from memblock", 0, phys.total_pages + phys.lost_pages,
                 sum.free + sum.reusable);
}

static uint64_t check_once(struct worker *w, bool say)
{
    struct check c = {.w = w, .say = say};

    descriptors_clear();
    check_memory(&c);
    check_zones(&c);
    for (uint32_t i = 0; i < worker_count; i++) {
        struct worker *o = &workers[i];

        check_hart_list(&c, o->hot, o->hot_count, PAGE_HOT);
        check_hart_list(&c, o->tables, o->tables_count, PAGE_HOT);
        check_hart_list(&c, o->zeroed, o->zeroed_count, PAGE_ZEROED);
        for (unsigned k = 0; k < ARRAY_COUNT(o->stock); k++)
            check_hart_list(&c, o->stock[k].page, o->stock[k].count, PAGE_HOT);
    }
    check_spaces(&c);
    check_pages(&c);
    check_slabs(&c);
    c.wrong += object_check(w, say, c.object_vmas);
    c.wrong += vmap_check();
    c.wrong += cma_check(c.say);
    c.wrong += hugetlb_check(w, c.say);
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

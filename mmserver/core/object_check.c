/* The recount of objects: caches against descriptors, trees of mappers against VMAs. */
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/text.h"

struct recount {
    bool say;
    uint64_t wrong;
};

static void expect_equal(struct recount *r, const struct object *o, const char *what, uint64_t is,
                         uint64_t wanted)
{
    if (is == wanted)
        return;
    r->wrong++;
    if (r->say)
        text_log("check: object %lu (%s): %s: is %lu, recount %lu", o->id, o->name, what, is,
                 wanted);
}

static void check_cache(struct recount *r, const struct object *o)
{
    uint64_t nodes, words, index = 0, word, behind = 0;
    bool good = radix_count(&o->pages, &nodes, &words);

    expect_equal(r, o, "nodes of the page cache", good ? o->pages.nodes : ~0UL, nodes);
    expect_equal(r, o, "pages in the cache", o->cached, words);
    while ((word = radix_next(&o->pages, &index))) {
        const struct page *page = page_of(word & OBJECT_WORD_PAGE);

        expect_equal(r, o, "state of a cached page", page->state,
                     word & OBJECT_WORD_POISONED ? PAGE_POISONED : PAGE_FILE);
        expect_equal(r, o, "owner of a cached page", (uintptr_t)page->owner, (uintptr_t)o);
        expect_equal(r, o, "index of a cached page", page->index, index);
        behind += index >= object_pages(o) && (page->maps & ~PAGE_DETACHED);
        if (++index == 0)
            break;
    }
    expect_equal(r, o, "mapped pages behind the end", behind, 0);
}

static void check_huge_cache(struct recount *r, const struct object *o)
{
    uint64_t pages, promised;

    expect_equal(r, o, "huge pages that are wrong", hugetlb_object_check(o, &pages, &promised), 0);
    expect_equal(r, o, "huge pages", o->cached, pages);
    expect_equal(r, o, "huge pages promised", o->promised, promised);
}

static void check_mappers(struct recount *r, const struct object *o)
{
    uint64_t count = 0, writers = 0;

    for (struct interval *i = interval_first(&o->mappers, 0, ~0UL); i;
         i = interval_next(i, 0, ~0UL)) {
        const struct vma *v = object_vma_of(i);

        count++;
        writers += (v->flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
        expect_equal(r, o, "object of a mapper", (uintptr_t)v->object, (uintptr_t)o);
        expect_equal(r, o, "first page of a mapper", i->start, v->offset);
        expect_equal(r, o, "last page of a mapper", i->last, v->offset + vma_pages(v) - 1);
    }
    expect_equal(r, o, "mappers", o->mappings, count);
    expect_equal(r, o, "mappers that may write", o->writers, writers);
}

uint64_t object_check(struct worker *w, bool say, uint64_t vmas)
{
    struct recount r = {.say = say};
    uint64_t serial = 0, mappings = 0;
    struct object *o;

    while ((o = object_next(&serial))) {
        lock_take(&o->lock);
        if (o->kind == OBJECT_HUGETLB)
            check_huge_cache(&r, o);
        else
            check_cache(&r, o);
        check_mappers(&r, o);
        mappings += o->mappings;
        if (o->references < o->mappings + 1)
            expect_equal(&r, o, "references", o->references, o->mappings + 1);
        lock_drop(&o->lock);
        object_put(w, o);
    }
    r.wrong += mappings != vmas;
    if (say && mappings != vmas)
        text_log("check: VMAs of objects: %lu, in their trees %lu", vmas, mappings);
    return r.wrong;
}

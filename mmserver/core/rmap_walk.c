/* See rmap_walk.h. */
#include "mmserver/core/rmap_walk.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/object.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/rmap.h"
#include "mmserver/core/runs.h"

/* Where to look for a page: a tree of the chains of an anon_vma, or of an object's mappers. */
struct walk {
    struct page *page;
    const struct interval_tree *tree;
    struct object *object; /* NULL: the page is anonymous */
};

/* A place where the page may be mapped. */
struct place {
    struct interval *at;
    const struct vma *vma;
    struct mm *mm;
    vaddr_t address;
};

/* The family's lock is held, so this is the page's anon_vma. NULL: the page has another one, or
 * none, by now. */
static struct anon_vma *owner_locked(const struct page *page, const struct lock *family)
{
    struct anon_vma *a = __atomic_load_n((struct anon_vma *const *)&page->owner, __ATOMIC_ACQUIRE);

    if (page->state != PAGE_ANON || !__atomic_load_n(&page->maps, __ATOMIC_ACQUIRE))
        return NULL;
    return rmap_lock_of(a) == family ? a : NULL;
}

/*
 * Lock the family of a page in use, which may stop being one at any moment. What its owner points
 * to may be gone, and be other memory; there is always some lock behind it, and with that lock held
 * a page that is mapped and still says the same is mapped by a VMA in this family's trees.
 */
static struct anon_vma *family_lock(const struct page *page)
{
    if (page->state != PAGE_ANON)
        return NULL;
    const struct anon_vma *guess =
        __atomic_load_n((struct anon_vma *const *)&page->owner, __ATOMIC_ACQUIRE);
    struct lock *family = rmap_lock_of(guess);
    lock_take(family);
    struct anon_vma *a = owner_locked(page, family);
    if (!a)
        lock_drop(family);
    return a;
}

static bool place_set(struct place *p, const struct walk *k)
{
    if (!p->at)
        return false;
    p->vma = k->object ? object_vma_of(p->at) : ((const struct anon_chain *)p->at)->vma;
    p->mm = p->vma->mm;
    p->address = p->vma->start + ((k->page->index - p->vma->offset) << PAGE_SHIFT);
    return true;
}
static bool place_first(struct place *p, const struct walk *k)
{
    p->at = interval_first(k->tree, k->page->index, k->page->index);
    return place_set(p, k);
}
static bool place_next(struct place *p, const struct walk *k)
{
    p->at = interval_next(p->at, k->page->index, k->page->index);
    return place_set(p, k);
}

/* The entry there if it names the page, present or parked; else 0. */
static uint64_t entry_of(const struct place *p, const struct page *page)
{
    uint64_t entry = p->address < mm_user_end ? pt_leaf(p->mm, p->address) : 0;
    bool names = entry_is_leaf(entry) || entry_is_parked(entry);

    return names && entry_page(entry) == page_number(page) ? entry : 0;
}

/* ---- holding all who map it ---- */

struct hold {
    struct worker *w;
    struct walk walk;
    struct lock *lock; /* the family's or the object's */
    struct mm *seized; /* linked by seized_next */
    uint64_t entries;
};

/* The object is locked, so nobody finds the page or begins to hold it. */
static bool object_hold(struct hold *h, struct page *page)
{
    struct object *o = object_of_page(page);

    if (!o)
        return false;
    lock_take(&o->lock);
    h->lock = &o->lock;
    h->walk = (struct walk){page, &o->mappers, o};
    if (object_has_locked(o, page))
        return true;
    lock_drop(&o->lock);
    object_put(h->w, o);
    return false;
}

static bool family_hold(struct hold *h, struct page *page)
{
    struct anon_vma *a = family_lock(page);

    if (!a)
        return false;
    h->lock = rmap_lock_of(a);
    h->walk = (struct walk){page, &a->tree, NULL};
    return true;
}

static void hold_end(struct hold *h)
{
    for (struct mm *mm = h->seized, *next; mm; mm = next) {
        next = mm->seized_next;
        mm_let_go(mm);
    }
    lock_drop(h->lock);
    if (h->walk.object)
        object_put(h->w, h->walk.object);
}

static bool hold_has(const struct hold *h, const struct mm *mm)
{
    const struct mm *held = h->seized;

    while (held && held != mm)
        held = held->seized_next;
    return held != NULL;
}

static bool hold_add(struct hold *h, struct mm *mm)
{
    if (hold_has(h, mm))
        return true;
    if (!mm_seize(mm))
        return false;
    mm->seized_next = h->seized;
    h->seized = mm;
    mm_settle_locked(h->w, mm);
    return true;
}

/* Two entries of one mm are rare, so looking for an mm among those held is not: the last one that
 * was seized is the first one found. */
static bool hold_begin(struct hold *h, struct worker *w, struct page *page)
{
    struct place p;

    *h = (struct hold){.w = w};
    if (w->ops_count || !(page->state == PAGE_FILE ? object_hold(h, page) : family_hold(h, page)))
        return false;
    for (bool more = place_first(&p, &h->walk); more; more = place_next(&p, &h->walk)) {
        if (!entry_of(&p, page))
            continue;
        if (!hold_add(h, p.mm)) {
            hold_end(h);
            return false;
        }
        runs_break(w, p.mm, p.address, p.address + PAGE_BYTES);
        h->entries += entry_of(&p, page) != 0; /* once more: now it stays */
    }
    if (h->entries == page->maps && (h->walk.object || page->state == PAGE_ANON))
        return true;
    hold_end(h);
    return false;
}

/* The next place of a page that is held which names it. */
static uint64_t held_first(struct place *p, const struct hold *h)
{
    for (bool more = place_first(p, &h->walk); more; more = place_next(p, &h->walk)) {
        uint64_t entry = entry_of(p, h->walk.page);

        if (entry)
            return entry;
    }
    return 0;
}
static uint64_t held_next(struct place *p, const struct hold *h)
{
    while (place_next(p, &h->walk)) {
        uint64_t entry = entry_of(p, h->walk.page);

        if (entry)
            return entry;
    }
    return 0;
}

/* ---- what is done to them ---- */

long rmap_mapcount(struct worker *w, struct page *page)
{
    struct hold h;

    if (!hold_begin(&h, w, page))
        return -LINUX_EAGAIN;
    long entries = (long)h.entries;
    hold_end(&h);
    return entries;
}

static void entry_protect(struct worker *w, const struct place *p, uint64_t entry)
{
    struct batch_op *op = op_add(w, p->mm, BATCH_PROTECT, p->address);

    op->entry = entry & (ENTRY_X | ENTRY_D);
    op->memory = page_of(entry_page(entry))->slot;
    ops_send(w);
}

long rmap_protect(struct worker *w, struct page *page)
{
    struct place p;
    struct hold h;

    if (!hold_begin(&h, w, page))
        return -LINUX_EAGAIN;
    for (uint64_t entry = held_first(&p, &h); entry; entry = held_next(&p, &h)) {
        if (entry & ENTRY_W)
            entry_protect(w, &p, entry);
    }
    hold_end(&h);
    return 0;
}

long rmap_unmap(struct worker *w, struct page *page, uint64_t software, bool *dirty)
{
    struct place p;
    struct hold h;

    *dirty = false;
    if (page->state != PAGE_ANON || !hold_begin(&h, w, page))
        return -LINUX_EAGAIN;
    for (uint64_t entry = held_first(&p, &h); entry; entry = held_next(&p, &h)) {
        struct batch_op *op = op_add(w, p.mm, BATCH_UNMAP, p.address);

        op->flags = BATCH_KEEP;
        if (software)
            op_add(w, p.mm, BATCH_SOFTWARE, p.address)->entry = software;
        p.mm->marked |= entry_is_marker(software);
        ops_send(w);
        *dirty |= entry_is_parked(entry) || (w->ops->result[0] & ENTRY_D);
        p.mm->parked -= entry_is_parked(entry);
        p.mm->anon_pages--;
    }
    page->maps = 0;
    page->state = PAGE_USED;
    hold_end(&h);
    return 0;
}

/* If nobody has the mm; else the run stays, and is found used again. */
static void run_break_now(struct worker *w, struct mm *mm, vaddr_t address)
{
    if (likely(!mm->runs) || !mm_seize(mm))
        return;
    mm_settle_locked(w, mm);
    runs_break(w, mm, address, address + PAGE_BYTES);
    mm_let_go(mm);
}

long rmap_referenced(struct worker *w, struct page *page)
{
    struct anon_vma *a = w->ops_count ? NULL : family_lock(page);
    struct place p;
    long used = 0;

    if (!a)
        return -LINUX_EAGAIN;
    const struct walk k = {page, &a->tree, NULL};
    for (bool more = place_first(&p, &k); more; more = place_next(&p, &k)) {
        if (!(entry_of(&p, page) & ENTRY_A))
            continue;
        used++;
        run_break_now(w, p.mm, p.address);
        op_add(w, p.mm, BATCH_CLEAR_BITS, p.address)->entry = ENTRY_A;
        op_try(w); /* gone meanwhile: then it was not used for long */
    }
    lock_drop(rmap_lock_of(a));
    return used;
}

bool rmap_leads_to(struct page *page, const struct mm *mm, vaddr_t address)
{
    struct anon_vma *a = family_lock(page);
    struct place p;
    bool found = false;

    if (!a)
        return false;
    const struct walk k = {page, &a->tree, NULL};
    for (bool more = place_first(&p, &k); more && !found; more = place_next(&p, &k))
        found = p.mm == mm && p.address == address;
    lock_drop(rmap_lock_of(a));
    return found;
}

static bool place_is_huge(const struct place *p, const struct page *page)
{
    uint64_t entry = p->address < mm_user_end ? huge_entry(p->mm, p->address) : 0;

    return entry_is_leaf(entry) && entry_page(entry) == page_number(page);
}

struct mm *rmap_huge_seize(struct worker *w, struct page *page, vaddr_t *block)
{
    struct anon_vma *a = w->ops_count ? NULL : family_lock(page);
    struct mm *mm = NULL;
    struct place p;

    if (!a)
        return NULL;
    const struct walk k = {page, &a->tree, NULL};
    bool more = place_first(&p, &k);
    while (more && !place_is_huge(&p, page))
        more = place_next(&p, &k);
    if (more && mm_seize(p.mm)) {
        mm_settle_locked(w, p.mm);
        if (place_is_huge(&p, page)) {
            mm = p.mm;
            *block = p.address;
        } else {
            mm_let_go(p.mm);
        }
    }
    lock_drop(rmap_lock_of(a));
    return mm;
}

/* ---- moving it ---- */

/* The right to write that an entry gets back: of a private page the only one has it, of an object's
 * page those of shared mappings that may be written to. */
static uint64_t rights_of(const struct hold *h, const struct place *p, uint64_t rights)
{
    const uint64_t shared = VM_SHARED | VM_WRITE;

    return !h->walk.object || (p->vma->flags & shared) == shared ? rights : 0;
}

/* Let all entries that name h's page name `to` instead. How many were done before the kernel
 * refused one. */
static uint64_t entries_move(const struct hold *h, pfn_t to, uint64_t rights)
{
    uint64_t done = 0;
    struct place p;

    for (uint64_t entry = held_first(&p, h); entry; entry = held_next(&p, h)) {
        uint64_t moved = (entry & ~ENTRY_PAGE_MASK) | entry_make(to, 0);
        long error;

        if (entry_is_parked(entry)) {
            op_add(h->w, p.mm, BATCH_SOFTWARE, p.address)->entry = moved;
            error = op_try(h->w);
        } else {
            moved |= rights_of(h, &p, rights);
            error = pt_replace(h->w, p.mm, p.address, entry, moved);
        }
        if (error)
            return done;
        if (entry_is_leaf(moved) && (moved & ENTRY_X)) /* what was there before may be cached */
            mm_assert(!place_instruction_fence(p.mm->space_slot));
        done++;
    }
    return done;
}

/* All entries lose W while the content is copied; what they had. */
static uint64_t entries_freeze(const struct hold *h)
{
    uint64_t rights = 0;
    struct place p;

    for (uint64_t entry = held_first(&p, h); entry; entry = held_next(&p, h)) {
        if (!(entry & ENTRY_W))
            continue;
        mm_assert(h->walk.object || h->entries == 1);
        entry_protect(h->w, &p, entry);
        rights = ENTRY_W | ENTRY_D;
    }
    return rights;
}

/* And back. */
static void entries_thaw(const struct hold *h, uint64_t rights)
{
    struct place p;

    for (uint64_t entry = held_first(&p, h); entry && rights; entry = held_next(&p, h)) {
        uint64_t more = rights_of(h, &p, rights);

        if (more && entry_is_leaf(entry) && !(entry & ENTRY_W))
            mm_assert(!pt_replace(h->w, p.mm, p.address, entry, entry | more));
    }
}

static long migrate_held(struct hold *h, pfn_t to)
{
    struct page *old = h->walk.page, *page = page_of(to);
    uint64_t rights = entries_freeze(h);

    page_copy(page_pointer(to), page_pointer(page_number(old)));
    uint64_t done = entries_move(h, to, rights);
    page->owner = old->owner;
    page->index = old->index;
    page->maps = (uint32_t)h->entries;
    page->state = old->state;
    if (done == h->entries) {
        if (h->walk.object)
            object_replace_locked(h->walk.object, old, page);
        old->maps = 0;
        old->state = PAGE_USED;
        return 0;
    }
    /* Back: what was taken from the old page's block a moment ago is free in it. */
    struct hold back = *h;
    back.walk.page = page;
    mm_assert(entries_move(&back, page_number(old), rights) == done);
    entries_thaw(h, rights);
    page->maps = 0;
    page->state = PAGE_USED;
    return -LINUX_ENOMEM;
}

long migrate_page(struct worker *w, pfn_t from, pfn_t to)
{
    struct hold h;

    mm_assert(from != to && page_of(to)->state == PAGE_USED);
    if (!hold_begin(&h, w, page_of(from)))
        return -LINUX_EAGAIN;
    long error = migrate_held(&h, to);
    hold_end(&h);
    if (!error)
        mm_count(w, page_migrated);
    return error;
}

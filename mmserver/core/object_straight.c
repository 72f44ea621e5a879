/*
 * Faults on objects, straight: all that is needed is at hand, and the reply brings it.
 *
 *   read           ──▶ the page and those around it that are cached: fault_reply, or lists
 *   write, shared  ──▶ the page, which is dirty from now on
 *   write, private ──▶ a copy of it in a page of our own
 *   all else       ──▶ fault_of_object(), with nothing changed
 *
 * Entered with the mm read, in a space of one thread (object_fault.c says why), where no leaf
 * stands yet. The object's lock is held from the look at its size until its pages are held; who
 * does not get it at once waits on the long way, so that none of these needs a stack frame for
 * that.
 */
#include "mmserver/core/around.h"
#include "mmserver/core/clear.h"
#include "mmserver/core/fault_straight.h"

/* The word of the page that belongs to `address`, object locked; NULL if it is not cached, or
 * behind the end. */
static inline uint64_t *cached_word(const struct object *o, const struct vma *v, vaddr_t address)
{
    uint64_t index = vma_offset_at(v, address);
    struct radix_node *node;

    if (unlikely(index >= object_pages(o) || !(node = radix_bottom(&o->pages, index))))
        return NULL;
    uint64_t *word = &node->slot[index & (RADIX_SLOTS - 1)];
    return likely(object_word_is_usable(*word)) ? word : NULL;
}

static inline struct page *page_of_word(const struct worker *w, uint64_t word)
{
    return (struct page *)(w->pages_bias + (word & OBJECT_WORD_PAGE) * sizeof(struct page));
}

/* The page of a word of the tree, held. */
static inline struct page *page_hold(const struct worker *w, uint64_t word)
{
    struct page *page = page_of_word(w, word);

    __atomic_fetch_add(&page->maps, 1, __ATOMIC_RELAXED);
    return page;
}

/* One page of the cache is the answer. */
static inline struct answer page_answer(struct worker *w, struct client *c, vaddr_t address,
                                        vaddr_t pc, uint64_t begun, uint64_t what, uint64_t entry,
                                        const struct page *page)
{
    mm_add(&c->mm->file_pages, 1);
    c->minor_faults++;
    fault_record(w, w->client_tag, address, pc, what, begun);
    mm_read_end_reply(w, address, entry);
    return place_fault_answer(entry, page->slot);
}

static LEAF_WAY(write_shared)
{
    struct object *o = v->object;

    if (unlikely(!lock_try(&o->lock)))
        return fault_of_object(LEAF_GO_ON);
    uint64_t *word = cached_word(o, v, address);
    if (unlikely(!word)) {
        lock_drop(&o->lock);
        return fault_of_object(LEAF_GO_ON);
    }
    struct page *page = page_hold(w, *word);
    uint64_t entry = entry_make(*word & OBJECT_WORD_PAGE, ENTRY_ALWAYS | ENTRY_W | ENTRY_D);
    *word |= OBJECT_WORD_DIRTY;
    lock_drop(&o->lock);
    mm_count(w, fault_file_write);
    return page_answer(w, c, address, pc, begun, FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_FILE_WRITE),
                       entry, page);
}

static LEAF_WAY(write_private)
{
    struct object *o = v->object;

    if (unlikely(!w->hot_count))
        return fault_of_object(LEAF_GO_ON);
    if (unlikely(!lock_try(&o->lock)))
        return fault_of_object(LEAF_GO_ON);
    uint64_t *word = cached_word(o, v, address);
    if (unlikely(!word)) {
        lock_drop(&o->lock);
        return fault_of_object(LEAF_GO_ON);
    }
    struct page *from = page_hold(w, *word);
    lock_drop(&o->lock);
    pfn_t pfn = hot_page(w);
    struct page *page = (struct page *)(w->pages_bias + pfn * sizeof *page);
    page_copy_here(page_pointer(pfn), page_pointer(page_number(from)));
    page_becomes_anon(page, v->anon, rmap_index(v->offset, v->start, address));
    object_page_put(w, from, 1);
    mm_add(&c->mm->anon_pages, 1);
    mm_count(w, fault_file_copy);
    c->minor_faults++;
    fault_record(w, w->client_tag, address, pc, FAULT_WHAT(CAUSE_STORE_PAGE, FAULT_FILE_COPY),
                 begun);
    uint64_t entry = entry_make(pfn, ENTRY_ALWAYS | ENTRY_W | ENTRY_D);
    mm_read_end_reply(w, address, entry);
    return place_fault_answer(entry, page->slot);
}

/* ---- reading ---- */

static inline uint64_t read_bits(const struct vma *v)
{
    const uint64_t writable = VM_SHARED | VM_WRITE;

    return (v->flags & writable) == writable ? ENTRY_ALWAYS | ENTRY_W : ENTRY_ALWAYS;
}

/* Where the pages of a window are taken from, and what their entries get. */
struct window {
    uint64_t *word;       /* of the object's tree */
    const uint64_t *leaf; /* that stands there */
    uint64_t *entry;      /* result words */
    uintptr_t maps_bias;  /* address of page->maps of page 0 */
    uint64_t memory;      /* capability */
    uint64_t bits;
};

/* Page i of a window, if it is cached, under that capability, and nothing stands there: hold it. */
static inline __attribute__((always_inline)) bool cached_take(const struct window *x, uint64_t i)
{
    uint64_t word = x->word[i];
    /* Bits above the page number go by shifting. */
    uint32_t *maps = (uint32_t *)(x->maps_bias + word * sizeof(struct page));
    const struct page *page = (const void *)((char *)maps - offsetof(struct page, maps));

    if (unlikely(!object_word_is_usable(word) || x->leaf[i] || page->slot != x->memory))
        return false;
    __atomic_fetch_add(maps, 1, __ATOMIC_RELAXED);
    if (x->bits & ENTRY_W)
        x->word[i] = word | OBJECT_WORD_DIRTY;
    x->entry[i] = word << ENTRY_PAGE_SHIFT | x->bits;
    return true;
}

/* Object locked: hold the first `count` pages of a window, as far as they are all of one
 * capability. The end of their entries. */
static inline __attribute__((always_inline)) uint64_t *run_take(struct window x, uint64_t count)
{
    uint64_t *const end = x.entry + count;

    for (; x.entry + 4 <= end; x.word += 4, x.leaf += 4, x.entry += 4) {
        if (unlikely(!cached_take(&x, 0)))
            return x.entry;
        if (unlikely(!cached_take(&x, 1)))
            return x.entry + 1;
        if (unlikely(!cached_take(&x, 2)))
            return x.entry + 2;
        if (unlikely(!cached_take(&x, 3)))
            return x.entry + 3;
    }
    for (; x.entry < end && cached_take(&x, 0); x.entry++)
        x.word++, x.leaf++;
    return x.entry;
}

/* Operation i maps `count` result words from `first` on, at `address`. */
static inline void list_op(struct worker *w, uint64_t i, vaddr_t address, uint64_t first,
                           uint64_t count, uint32_t memory)
{
    struct batch_op *op = &w->ops->op[i];

    op->code = BATCH_MAP_LIST;
    op->level = op->flags = op->reserved = 0;
    op->count = (uint32_t)count;
    op->memory = memory;
    op->done = 0;
    op->address = address;
    op->extra = first;
}

/*
 * Object locked: hold the pages of a window of `count`, which begins at `start`; an operation for
 * each run under one capability. How many pages: fewer if one is not cached, or something stands in
 * its entry.
 */
static inline __attribute__((always_inline)) uint64_t window_take(struct worker *w, vaddr_t start,
                                                                  uint64_t *word,
                                                                  const uint64_t *leaf,
                                                                  uint64_t count, uint64_t bits)
{
    uint64_t *const entry = w->ops->result;
    uint64_t held = 0, ops = 0, n;

    do {
        uint64_t first = word[held];
        if (unlikely(!object_word_is_usable(first)))
            break;
        uint32_t memory = page_of_word(w, first)->slot;
        const struct window rest = {word + held,  leaf + held,
                                    entry + held, w->pages_bias + offsetof(struct page, maps),
                                    memory,       bits};
        n = (uint64_t)(run_take(rest, count - held) - rest.entry);
        list_op(w, ops++, start + (held << PAGE_SHIFT), held, n, memory);
        held += n;
    } while (unlikely(held < count && n && ops < BATCH_OPS_MAX));
    w->batch_ops = (uint32_t)ops;
    return held;
}

/* Not all of a window was to be had: the long way finds what there is. */
static void window_put(struct worker *w, uint64_t held)
{
    for (uint64_t i = 0; i < held; i++)
        object_page_put(w, page_of(entry_page(w->ops->result[i])), 1);
}

static LEAF_WAY(read_window)
{
    struct object *o = v->object;
    uint64_t bytes = object_around_bytes;
    vaddr_t start = around_start(v, address, bytes), end = around_end(v, address, start, bytes);
    uint64_t index = vma_offset_at(v, start), held = 0, count = (end - start) >> PAGE_SHIFT;

    if (unlikely(!lock_try(&o->lock)))
        return fault_of_object(LEAF_GO_ON);
    uint64_t pages = object_pages(o);
    struct radix_node *node = radix_bottom(&o->pages, index);
    uint64_t at = index & (RADIX_SLOTS - 1);
    if (likely(vma_offset_at(v, address) < pages && node)) {
        count = min_u64(count, pages - index);
        const uint64_t *first = leaf - ((address - start) >> PAGE_SHIFT);
        /* Two loops, so that neither has to ask. */
        if (unlikely(at + count > RADIX_SLOTS))
            held = 0;
        else if (read_bits(v) & ENTRY_W)
            held = window_take(w, start, &node->slot[at], first, count, ENTRY_ALWAYS | ENTRY_W);
        else
            held = window_take(w, start, &node->slot[at], first, count, ENTRY_ALWAYS);
    }
    lock_drop(&o->lock);
    if (unlikely(held != count)) {
        window_put(w, held);
        return fault_of_object(LEAF_GO_ON);
    }
    mm_add(&c->mm->file_pages, (int64_t)count);
    mm_count_add(w, fault_around, count);
    mm_count(w, fault_file_read);
    c->minor_faults++;
    fault_record(w, w->client_tag, address, pc, FAULT_WHAT(CAUSE_LOAD_PAGE, FAULT_FILE_READ),
                 begun);
    mm_read_end_reply(w, start + ((count - 1) << PAGE_SHIFT), w->ops->result[count - 1]);
    return place_batch_answer(c->mm->space_slot, w->batch_ops);
}

static LEAF_WAY(read_page)
{
    struct object *o = v->object;
    uint64_t bits = read_bits(v);

    if (unlikely(!lock_try(&o->lock)))
        return fault_of_object(LEAF_GO_ON);
    uint64_t *word = cached_word(o, v, address);
    if (unlikely(!word)) {
        lock_drop(&o->lock);
        return fault_of_object(LEAF_GO_ON);
    }
    struct page *page = page_hold(w, *word);
    uint64_t entry = entry_make(*word & OBJECT_WORD_PAGE, bits);
    if (bits & ENTRY_W)
        *word |= OBJECT_WORD_DIRTY;
    lock_drop(&o->lock);
    mm_count(w, fault_file_read);
    return page_answer(w, c, address, pc, begun, FAULT_WHAT(CAUSE_LOAD_PAGE, FAULT_FILE_READ),
                       entry, page);
}

LEAF_WAY(object_straight)
{
    if (cause == CAUSE_STORE_PAGE)
        return v->flags & VM_SHARED ? write_shared(LEAF_GO_ON) : write_private(LEAF_GO_ON);
    if (unlikely(!(v->flags & (VM_READ | VM_WRITE)) || around_policy))
        return fault_of_object(LEAF_GO_ON);
    if (v->end - v->start == PAGE_BYTES || object_around_bytes == PAGE_BYTES)
        return read_page(LEAF_GO_ON);
    fast_slot_window(w, c->mm, v, address, leaf);
    return read_window(LEAF_GO_ON);
}

FAULT_WAY(object_again)
{
    struct vma *v = w->fast.window;
    const uint64_t *leaf = fast_slot_leaf(w, address);

    (void)badge;
    if (unlikely(mm->clients != 1))
        return fault_anew(FAULT_GO_ON);
    return read_window(LEAF_GO_ON);
}

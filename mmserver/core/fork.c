/*
 * fork: a child gets copies of its parent's VMAs, and of the leaf tables below those that have
 * private pages.
 *
 *   1. parent locked and settled, child locked: nobody knows it, but who walks a reverse map finds
 *      its VMAs as soon as they are linked
 *   2. VMAs: copied, linked to the anon_vmas of the parent's (rmap_fork), but for what madvise
 *      excluded
 *   3. tables: in each 2 MiB block in which a private page may be, the runs of slots of VMAs that
 *      have some are copied by the kernel, which write-protects both sides; a batch holds the
 * tables to install and the runs to copy into them. What stands in the child's table then is
 * counted at its pages, whether or not the batch was done to its end
 *   4. on any failure the child is cleared like any mm that ends
 *
 * What is not copied here comes back by faults: pages of shared mappings, and of files that nobody
 * wrote to, as Linux does it.
 */
#include "mmserver/core/fork.h"
#include "mmserver/core/hugetlb.h"
#include "mmserver/core/limit.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/rmap.h"
#include <string.h>

struct fork {
    struct worker *w;
    struct mm *parent, *child;
    vaddr_t table_end[8]; /* per level: end of what the last table installed covers */
};

/* May the child get this VMA's pages? */
static bool vma_is_inherited(const struct vma *v)
{
    return !(v->flags & (VM_SHARED | VM_DEVICE | VM_DONTFORK | VM_WIPEONFORK));
}

/* Does it have any that cannot come back by a fault? */
static bool vma_is_copied(const struct vma *v)
{
    return v->anon && vma_is_inherited(v);
}

static long vmas_copy(struct fork *f)
{
    if (!limit_commit_strict(f->parent->committed_pages))
        return -LINUX_ENOMEM;
    for (struct vma *v = vma_first(f->parent); v; v = vma_next(v)) {
        uint64_t flags = v->flags & ~VM_LOCK_FLAGS;

        if ((v->flags & VM_DONTFORK) || ((v->flags & VM_DEVICE) && !v->ops))
            continue;
        if (unlikely(v->flags & VM_DEVICE))
            f->child->devices = true;
        if (unlikely(v->flags & VM_HUGETLB)) {
            f->child->huge_used = true;
            flags |= v->flags & VM_SHARED ? 0 : VM_NORESERVE; /* promises are not inherited */
        }
        if (!vma_fork(f->w, f->child, v, flags, vma_is_inherited(v)))
            return -LINUX_ENOMEM;
    }
    return 0;
}

/* What one run has put into the child's table. */
struct copied {
    uint64_t present, others, files; /* entries; those of other than anonymous pages; of files */
};

/* Of the states that a mapped page may have, only an anonymous one's has none of these bits. */
#define STATE_OTHER 0x18UL
_Static_assert((PAGE_ANON & STATE_OTHER) == 0 && (PAGE_ZERO & STATE_OTHER) != 0 &&
                   (PAGE_FILE & STATE_OTHER) != 0 && (PAGE_SERVER & STATE_OTHER) != 0 &&
                   (PAGE_POISONED & STATE_OTHER) != 0,
               "a look at all states at once tells whether all are anonymous");

/* All slots are leaves. All are counted as if they were anonymous pages; if some are not, what was
 * too much is taken back. */
static void full_count(struct copied *c, const uint64_t *at, uint64_t count)
{
    const uintptr_t bias = phys.pages_bias + PAGE_COUNT_AT;
    const uint64_t *end = at + count;
    uint64_t tags = 0;

#pragma GCC unroll 16
    for (const uint64_t *slot = at; slot != end; slot++)
        tags |= __atomic_fetch_add(&page_count_of_entry(bias, *slot)->tag, 1, __ATOMIC_RELAXED);
    c->present += count;
    if (likely(!(tags >> 32 & STATE_OTHER)))
        return;
    for (; at != end; at++) {
        union page_count *page = page_count_of_entry(bias, *at);

        if (page->state == PAGE_ANON)
            continue;
        c->others++;
        if (page->state == PAGE_FILE)
            c->files++;
        else /* the zero page's mappings are not counted */
            __atomic_fetch_sub(&page->maps, 1, __ATOMIC_RELAXED);
    }
}

/* Some are empty, or software entries. */
static void mixed_count(struct fork *f, struct copied *c, const uint64_t *at, uint64_t count)
{
    for (const uint64_t *end = at + count; at != end; at++) {
        if (!*at)
            continue;
        c->present++;
        f->child->parked += entry_is_parked(*at);
        struct page *page = page_of(entry_page(*at));
        c->others += page->state != PAGE_ANON;
        c->files += page->state == PAGE_FILE;
        if (page->state == PAGE_ANON || page->state == PAGE_FILE)
            __atomic_fetch_add(&page->maps, 1, __ATOMIC_RELAXED);
    }
}

/* The entries of a part of one of the child's leaf tables are there, `done` of them: count them. */
static void entries_count(struct fork *f, const uint64_t *at, uint64_t count, uint64_t done)
{
    struct copied c = {0};

    if (done == count && !f->parent->parked && !f->parent->marked)
        full_count(&c, at, count);
    else
        mixed_count(f, &c, at, count);
    f->child->anon_pages += c.present - c.others;
    f->child->file_pages += c.files;
}

/* Perform what was gathered, account for what of it was done. 0 or -LINUX_ENOMEM. */
static long fork_send(struct fork *f)
{
    long count = f->w->ops_count, stopped;

    if (!count)
        return 0;
    f->w->ops_count = 0;
    mm_count(f->w, batch_calls);
    long done = place_batch(f->child->space_slot, (uint64_t)count, &stopped);
    for (long i = 0; i < count; i++) {
        const struct batch_op *op = &f->w->ops->op[i];

        if (op->code == BATCH_TABLE) {
            if (i >= done) {
                page_free_table(f->w, entry_page(op->entry));
                continue;
            }
            f->child->tables++;
            mm_count(f->w, table_installed);
        } else {
            const uint64_t *entry = pt_entry(f->child, op->address, 0);

            if (entry)
                entries_count(f, entry, op->count, op->done);
        }
    }
    return done == count ? 0 : -LINUX_ENOMEM;
}

/* Gather the installation of what tables are missing for `address`. */
static long tables_add(struct fork *f, vaddr_t address)
{
    for (unsigned level = mm_levels - 1; level > 0; level--) {
        uint64_t span = 1UL << pt_shift(level);

        if (address < f->table_end[level])
            continue;
        pfn_t pfn = page_alloc_table(f->w);
        if (!pfn)
            return -LINUX_ENOMEM;
        page_of(pfn)->owner = f->child;
        page_of(pfn)->index = level;
        struct batch_op *op = op_add(f->w, f->child, BATCH_TABLE, ROUND_DOWN(address, span));
        op->level = (uint8_t)level;
        op->entry = entry_make(pfn, 0);
        op->memory = page_of(pfn)->slot;
        f->table_end[level] = ROUND_DOWN(address, span) + span;
    }
    return 0;
}

static long run_add(struct fork *f, vaddr_t start, vaddr_t end)
{
    long error = f->w->ops_count + mm_levels > BATCH_OPS_MAX ? fork_send(f) : 0;

    if (error || tables_add(f, start))
        return -LINUX_ENOMEM;
    struct batch_op *op = op_add(f->w, f->child, BATCH_COPY_TABLE, start);
    op->count = (uint32_t)((end - start) >> PAGE_SHIFT);
    op->extra = f->parent->space_slot;
    return 0;
}

/* Gather the copying of one block's leaf table. A run goes on over holes. */
static long block_add(struct fork *f, vaddr_t block)
{
    vaddr_t block_end = block + BLOCK_BYTES, start = 0, end = 0;

    for (struct vma *v = vma_find(f->parent, block); v && v->start < block_end; v = vma_next(v)) {
        if (vma_is_copied(v)) {
            start = end ? start : max_u64(block, v->start);
            end = min_u64(block_end, v->end);
        } else if (end) {
            if (run_add(f, start, end))
                return -LINUX_ENOMEM;
            end = 0;
        }
    }
    return end ? run_add(f, start, end) : 0;
}

static long tables_copy(struct fork *f)
{
    vaddr_t next = 0; /* what is below was seen to */

    for (struct vma *v = vma_first(f->parent); v; v = vma_next(v)) {
        const uint64_t *table;

        if (!vma_is_copied(v) || v->end <= next)
            continue;
        vaddr_t a = pt_next_table(f->parent, max_u64(next, v->start), v->end, &table);
        for (; a < v->end; a = pt_next_table(f->parent, next, v->end, &table)) {
            next = ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES;
            if (block_add(f, next - BLOCK_BYTES))
                return -LINUX_ENOMEM;
        }
    }
    return 0;
}

/* Take back what was gathered and not sent: the tables. */
static void fork_forget(struct fork *f)
{
    for (uint32_t i = 0; i < f->w->ops_count; i++) {
        const struct batch_op *op = &f->w->ops->op[i];

        if (op->code == BATCH_TABLE)
            page_free_table(f->w, entry_page(op->entry));
    }
    f->w->ops_count = 0;
}

/* The child's other tables are there by now. */
static long hugetlb_copy(struct fork *f)
{
    for (struct vma *v = vma_first(f->parent); v; v = vma_next(v)) {
        if ((v->flags & VM_HUGETLB) && vma_is_inherited(v) &&
            hugetlb_fork(f->w, f->child, f->parent, v))
            return -LINUX_ENOMEM;
    }
    return 0;
}

/* What an address space is beside its VMAs; locks on memory are not inherited. */
static void mm_inherit(struct mm *to, const struct mm *from)
{
    __builtin_memcpy(to->limit, from->limit, sizeof to->limit);
    to->mmap_base = from->mmap_base;
    to->bottom_up = from->bottom_up;
    to->code_start = from->code_start;
    to->code_end = from->code_end;
    to->data_start = from->data_start;
    to->data_end = from->data_end;
    to->brk_start = from->brk_start;
    to->brk_end = from->brk_end;
    to->stack_top = from->stack_top;
    to->stack_start = from->stack_start;
    to->arg_start = from->arg_start;
    to->arg_end = from->arg_end;
    to->env_start = from->env_start;
    to->env_end = from->env_end;
    to->marked = from->marked;
    to->membarrier = from->membarrier;
    __builtin_memcpy(to->name, from->name, sizeof to->name);
}

static long fork_locked(struct fork *f)
{
    struct mm *from = f->parent, *to = f->child;

    mm_inherit(to, from);
    if (huge_split_all(f->w, from, 0, mm_user_end) || vmas_copy(f))
        return -LINUX_ENOMEM;
    long error = tables_copy(f);
    if (error)
        fork_forget(f);
    else
        error = fork_send(f);
    if (!error && unlikely(from->huge_used))
        error = hugetlb_copy(f);
    to->resident_peak = mm_resident(to);
    to->total_peak = to->total_pages;
    return error;
}

long mm_fork(struct worker *w, struct mm *parent, struct mm **child)
{
    struct fork f = {.w = w, .parent = parent, .child = mm_create(w)};

    if (!f.child)
        return -LINUX_ENOMEM;
    mm_lock(parent);
    mm_settle_locked(w, parent);
    mm_lock_nested(f.child);
    long error = fork_locked(&f);
    mm_unlock_nested(f.child);
    mm_unlock(parent);
    if (error) {
        mm_discard(w, f.child);
        return error;
    }
    *child = f.child;
    mm_count(w, mm_forked);
    return 0;
}

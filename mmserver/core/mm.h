/*
 * An address space: its VMAs, its page tables, its accounting.
 *
 * Lock. Who changes VMAs, removes tables, or takes pages away is the writer: mm_lock(). Faults are
 * readers: mm_read(), which writes nothing that another hart writes: each worker says in a word of
 * its own which mm it reads, and a writer waits until nobody reads his. Many readers run at once:
 *
 *   reader   fills empty entries (the kernel refuses the second who tries) and adds tables;
 *            changes an entry that is not empty only by comparing (BATCH_REPLACE), holding the lock
 *            of its leaf table (pt.h) where what it does before must still be true then; changes
 *            accounting by atomic additions
 *   writer   does what it likes. Functions named _locked are called by the writer
 *
 * `references` and `clients` belong to LOCK_IDS.
 *
 * A fault reply reaches the page table after all that was dropped (worker.h, struct visit). So:
 *
 *   who holds mm_lock() and is going to change or remove an entry, or a VMA, calls
 * mm_settle_locked() first; a reader, or a walker of a reverse map, that is going to change an
 * entry that is not empty calls mm_settle_entry() for it.
 *
 * The last operations of a call can go with its answer (ops_unlock, pt.h): the worker is gone then,
 * and the mm stays locked until the kernel has performed them. `sender` says who sent them; that
 * they are done, stands in his operation page. Whoever wants the lock next, as writer or reader,
 * takes `sender` away, waits for that, and has the lock.
 */
#ifndef MMSERVER_CORE_MM_H
#define MMSERVER_CORE_MM_H

#include "mmserver/core/lock.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/vma.h"
#include <pagoda/mm.h>

#define MMS_MAX           4096
#define MM_ID_SERVER      1 /* names the server itself in reports */
#define MM_ID_FIRST       2
#define STACK_LIMIT_BYTES (8UL << 20)
#define STACK_GUARD_BYTES (256UL << PAGE_SHIFT)
#define MM_TABLES_KEPT    8U
/* Empty tables of a range that is unmapped: more than those are removed at once. */
#define MM_TABLES_LISTED_ONCE (MM_TABLES_KEPT / 2)
#define MMAP_MIN_ADDRESS      0x10000UL

struct native_object;
LIST_HEAD(native_list, native_object);

/* How far a text of the VMAs was asked for: this one begins at that byte. */
struct report_place {
    uint64_t offset;
    vaddr_t vma; /* its start */
};

struct mm {
    uint64_t anon_pages; /* resident private pages. First: it is added to at most faults */
    struct lock lock;    /* the writer's; held: nobody begins to read */
    uint32_t sender;     /* hart + 1 of the worker whose answer took the lock along; 0: none */
    uint64_t generation; /* of VMAs and tables: what was remembered of another one is void */
    struct vma_tree vmas;
    struct vma *last_hit; /* any reader's */
    struct vma *loose;    /* the newest, NULL if it is in the tree (vma.c) */
    struct vma *first, *last;
    uint64_t *root;      /* root table, in the linear map */
    uint32_t space_slot; /* Space capability */
    uint32_t id;
    pfn_t object_page;
    uint64_t map_count;

    uint64_t file_pages; /* resident pages of files */
    uint64_t parked;     /* entries whose pages are kept behind inaccessible mappings */
    uint64_t tables;     /* page tables, the root excepted */
    vaddr_t kept[MM_TABLES_KEPT + MM_TABLES_LISTED_ONCE]; /* blocks whose empty leaf tables are kept
                                                             (pt.h), oldest first */
    uint32_t kept_count;
    uint64_t huge_used;      /* bool: it has or had huge leaves */
    uint64_t runs;           /* bool: it has or had runs of 64 KiB */
    uint64_t devices;        /* bool: it has or had device memory */
    vaddr_t dropped;         /* of a large one that is being released: leaf tables below are gone */
    uint64_t marked;         /* bool: it has or had markers (pt.h) */
    uint64_t huge_promises;  /* bool: it has or had mappings that are promised pages of the pool */
    uint64_t huge_reserved;  /* pages of the pool promised and not taken yet (hugetlb.h) */
    int64_t huge_unpromised; /* and those that should be, but could not be promised again */
    vaddr_t huge_next;       /* where collapsing looks next */
    uint32_t kept_new;       /* bool: since it was last looked at for sweeping */
    uint64_t total_pages, data_pages, stack_pages, exec_pages; /* mapped, by VMAs */
    uint64_t locked_pages;
    uint64_t committed_pages; /* promised: of VMAs with VM_ACCOUNT */
    uint64_t resident_peak, total_peak;
    uint64_t limit[MM_LIMITS]; /* limit.h */

    vaddr_t mmap_base;
    uint64_t bottom_up; /* bool: new mappings go from a third of the space upwards */
    vaddr_t code_start, code_end, data_start, data_end;
    vaddr_t brk_start, brk_end;
    vaddr_t stack_top;
    vaddr_t stack_start; /* the first stack pointer */
    vaddr_t arg_start, arg_end, env_start, env_end;
    uint64_t future_flags; /* of mappings to come: VM_LOCK_FLAGS by mlockall(MCL_FUTURE), VM_RUNS */
    uint64_t membarrier;   /* registered for: MEMBARRIER_CMD_* bits */
    struct mm *seized_next; /* of those that one walk of a reverse map holds (rmap_walk.c) */

    uint32_t references;        /* calls in progress that name it */
    uint32_t clients;           /* threads in it */
    uint32_t native_table_slot; /* capability table of its native threads, 0: none */
    uint32_t native_table_entries;
    struct native_list native_objects;
    struct report_place report_maps, report_smaps, report_numa; /* report_mm.c */
    char name[32];                                              /* of the program, for display */
};

extern uint64_t mm_user_end;
extern unsigned mm_levels; /* of page tables */

void mm_ids_init(void);
/* A new empty address space with its Space object; NULL without memory or numbers. */
struct mm *mm_create(struct worker *w);
/* The mm of that id with a reference, or NULL. */
struct mm *mm_get(uint64_t id);
void mm_put(struct mm *mm);
/* Call each mm in turn, without a lock: the id after `id` that is in use, or 0. */
uint64_t mm_next_id(uint64_t id);
/* Unmap everything, give back everything. 0, -LINUX_EBUSY with threads in it, or -LINUX_EAGAIN
 * while another call names it. The caller's reference from mm_get is consumed if and only if it
 * answers 0. A large one is released in parts: -LINUX_EAGAIN after each but the last. */
long mm_release(struct worker *w, struct mm *mm);
/* The same for one that has no threads and is not wanted any more; no reference is held. Waits for
 * calls of other workers that name it. */
void mm_discard(struct worker *w, struct mm *mm);
/* The same for VMAs only: the mm stays, empty. */
void mm_clear(struct worker *w, struct mm *mm);

/* Wait until no worker reads the mm; its lock is held, so that none begins. */
static inline void mm_wait_readers(const struct mm *mm)
{
    if (worker_count <= 1)
        return;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (const struct worker *w = workers; w < workers + worker_count; w++) {
        while (unlikely(__atomic_load_n(&w->visit.mm, __ATOMIC_ACQUIRE) == mm) &&
               __atomic_load_n(&w->visit.at, __ATOMIC_ACQUIRE) == VISIT_READS)
            place_relax();
    }
}

/* The lock is held. If it went with an answer: wait until that is performed, and have it. */
bool mm_take_over(struct mm *mm);
/* The same, unless there is something to wait for. */
bool mm_take_over_now(struct mm *mm);

static inline void mm_lock(struct mm *mm)
{
    lock_check_take(LOCK_MM);
    while (unlikely(!lock_seize(&mm->lock)) && !mm_take_over(mm))
        place_relax();
    mm_wait_readers(mm);
}
static inline void mm_unlock(struct mm *mm)
{
    lock_drop(&mm->lock);
}
/* Only if there is neither a writer nor a reader. Never waits. */
static inline bool mm_trylock(struct mm *mm)
{
    if (!lock_seize(&mm->lock) && !mm_take_over_now(mm))
        return false;
    lock_check_take(LOCK_MM);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (const struct worker *w = workers; w < workers + worker_count; w++) {
        if (__atomic_load_n(&w->visit.mm, __ATOMIC_ACQUIRE) == mm &&
            __atomic_load_n(&w->visit.at, __ATOMIC_ACQUIRE) == VISIT_READS) {
            mm_unlock(mm);
            return false;
        }
    }
    return true;
}
/* The writer's lock, taken by one who holds later locks and gives up if it is not to be had: there
 * is neither a writer nor a reader. Never waits. */
static inline bool mm_seize(struct mm *mm)
{
    if (!lock_seize(&mm->lock) && !mm_take_over_now(mm))
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (const struct worker *w = workers; w < workers + worker_count; w++) {
        if (__atomic_load_n(&w->visit.mm, __ATOMIC_ACQUIRE) == mm &&
            __atomic_load_n(&w->visit.at, __ATOMIC_ACQUIRE) == VISIT_READS) {
            lock_let_go(&mm->lock);
            return false;
        }
    }
    return true;
}
static inline void mm_let_go(struct mm *mm)
{
    lock_let_go(&mm->lock);
}
/* One that nobody else knows yet, while another one is locked. */
static inline void mm_lock_nested(struct mm *mm)
{
    lock_take_nested(&mm->lock);
}
static inline void mm_unlock_nested(struct mm *mm)
{
    lock_drop_nested(&mm->lock);
}

/* Only if there is no writer. The order of the first two does not matter: a writer that sees one
 * of them only, with what was there before, has not locked before the fence. */
static inline bool mm_read_try(struct worker *w, struct mm *mm)
{
    *(volatile uint64_t *)&w->visit.at = VISIT_READS;
    *(struct mm *volatile *)&w->visit.mm = mm;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (unlikely(lock_is_held(&mm->lock))) {
        *(volatile uint64_t *)&w->visit.at = VISIT_OVER;
        return false;
    }
    lock_check_take(LOCK_MM);
    return true;
}
/* Waits without being seen: a writer that waits for readers would meet this one again and again. */
static inline void mm_read(struct worker *w, struct mm *mm)
{
    while (!mm_read_try(w, mm)) {
        do {
            if (mm_take_over(mm))
                lock_let_go(&mm->lock);
            else
                place_relax();
        } while (lock_is_held(&mm->lock));
    }
}
static inline void mm_read_end(struct worker *w)
{
    lock_check_drop(LOCK_MM);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint64_t *)&w->visit.at = VISIT_OVER;
}
/* The same, and from now on a reply with that entry is under way to `at`: an address, or its
 * VISIT_CHANGES. */
static inline void mm_read_end_reply(struct worker *w, uint64_t at, uint64_t entry)
{
    lock_check_drop(LOCK_MM);
    w->visit.entry = entry;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    *(volatile uint64_t *)&w->visit.at = at;
}

/* The VMA that `address` lies in, or NULL; the mm is read or locked. As vma_at(), for where each
 * instruction counts: the last one, or the next to it, or down the tree. */
static inline struct vma *vma_of(struct mm *mm, vaddr_t address)
{
    struct vma *v = mm->last_hit, *at = NULL;

    if (likely(v && address >= v->start)) {
        if (likely(address < v->end))
            return v;
        v = v->next;
        if (v && address - v->start < v->end - v->start) {
            mm->last_hit = v;
            return v;
        }
    }
    for (v = RB_ROOT(&mm->vmas); v;) {
        if (v->start > address) {
            v = RB_LEFT(v, node);
            continue;
        }
        at = v;
        v = RB_RIGHT(at, node);
    }
    if (unlikely(!at || address >= at->end)) {
        at = mm->loose;
        if (!at || address - at->start >= at->end - at->start)
            return NULL;
    }
    mm->last_hit = at;
    return at;
}

/* Accounting that readers change. */
/* VMAs of an mm at most: vm.max_map_count, from 1 to MM_MAP_COUNT_MAX. */
extern uint64_t map_count_max;
static inline void mm_add(uint64_t *count, int64_t change)
{
    __atomic_fetch_add(count, (uint64_t)change, __ATOMIC_RELAXED);
}

/* Locked: wait until the replies that other harts have under way for this mm have arrived. */
void mm_settle_others(struct worker *w, struct mm *mm);
static inline void mm_settle_locked(struct worker *w, struct mm *mm)
{
    /* It was entered again, so its own last reply has arrived. */
    if (w->visit.mm == mm)
        *(volatile uint64_t *)&w->visit.at = VISIT_OVER;
    if (worker_count > 1)
        mm_settle_others(w, mm);
}
/*
 * Reading, or with the lock of a reverse map that holds a VMA of this mm, and with the leaf table
 * locked: the entry of `address` is not empty and going to be changed. Wait for the replies under
 * way to it, and forget those that arrived.
 */
void mm_settle_entry(struct worker *w, struct mm *mm, vaddr_t address);
/* What workers remember of this mm (struct fast_slot) is not true any more. */
uint64_t mm_generation_new(void);
static inline void mm_fast_drop_locked(struct mm *mm)
{
    if (unlikely(!(uint32_t)++mm->generation))
        mm->generation = mm_generation_new();
}
static inline uint64_t mm_resident(const struct mm *mm)
{
    return mm->anon_pages + mm->file_pages;
}

/* Of stack, data and exec, the one that a VMA with those flags belongs to; NULL: none. */
static inline uint64_t *mm_account_class(struct mm *mm, uint64_t flags)
{
    if (flags & VM_GROWSDOWN)
        return &mm->stack_pages;
    if ((flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
        return &mm->data_pages;
    return (flags & (VM_EXEC | VM_WRITE)) == VM_EXEC ? &mm->exec_pages : NULL;
}
/* Locked: that many mapped pages get other flags, but none that is promised or locked by them. */
static inline void mm_reclass_locked(struct mm *mm, uint64_t flags, uint64_t other, int64_t pages)
{
    uint64_t *from = mm_account_class(mm, flags), *to = mm_account_class(mm, other);

    if (from == to)
        return;
    if (from)
        *from -= (uint64_t)pages;
    if (to)
        *to += (uint64_t)pages;
}
/* A step of background work: give back what some mm keeps and has not needed lately. Looks at
 * most at `limit` mms; is there more to look at? */
bool mm_sweep(struct worker *w, unsigned limit);
/* For shrinker_register(): gives the tables back that are kept for what is mapped next. */
extern const struct shrinker mm_shrinker;
/* The sum of all committed_pages: Committed_AS. */
extern uint64_t mm_promised_pages;
/* Locked: `pages` more (or less) of a VMA with those flags are promised, or locked. */
static inline void mm_account_promised(struct mm *mm, uint64_t flags, int64_t pages)
{
    if (flags & VM_ACCOUNT) {
        mm->committed_pages += (uint64_t)pages;
        mm_add(&mm_promised_pages, pages);
    }
    if (unlikely(flags & VM_LOCKED))
        mm->locked_pages += (uint64_t)pages;
}
/* Locked: account `pages` more (or less) mapped pages of a VMA with those flags. */
static inline void mm_account_locked(struct mm *mm, uint64_t flags, int64_t pages)
{
    uint64_t *class = mm_account_class(mm, flags);

    mm->total_pages += (uint64_t)pages;
    if (mm->total_pages > mm->total_peak)
        mm->total_peak = mm->total_pages;
    if (class)
        *class += (uint64_t)pages;
    mm_account_promised(mm, flags, pages);
}

/* Unlocked: copy between the server's memory and a client's, faulting pages in. 0, -LINUX_EFAULT,
 * or -LINUX_ENOMEM. */
long mm_copy_in(struct worker *w, struct mm *mm, void *to, vaddr_t from, uint64_t bytes);
long mm_copy_out(struct worker *w, struct mm *mm, vaddr_t to, const void *from, uint64_t bytes);

#endif

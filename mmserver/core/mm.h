/*
 * An address space: its VMAs, its page tables, its accounting. Lock: mm->lock guards all of it;
 * functions named _locked are called with it held. `references` and `clients` belong to LOCK_IDS.
 *
 * A fault reply reaches the page table after the lock was dropped (worker.h, pending_reply). So:
 *
 *   who holds mm->lock and is going to change or remove an entry, or a VMA, calls mm_settle()
 * first; a reply only ever fills an empty entry, with a page that no other worker maps at that
 * time.
 */
#ifndef MMSERVER_CORE_MM_H
#define MMSERVER_CORE_MM_H

#include "mmserver/core/lock.h"
#include "mmserver/core/phys.h"
#include "mmserver/core/vma.h"

#define MMS_MAX           4096
#define MM_ID_SERVER      1 /* names the server itself in reports */
#define MM_ID_FIRST       2
#define MAP_COUNT_MAX     65530UL
#define STACK_LIMIT_BYTES (8UL << 20)
#define STACK_GUARD_BYTES (256UL << PAGE_SHIFT)
#define MMAP_MIN_ADDRESS  0x10000UL

/*
 * The fast slot: a part of one 2 MiB block that lies in one private anonymous writable VMA and has
 * its leaf table. A write fault that hits it needs no look at the VMAs. Dropped (bytes = 0)
 * whenever a VMA or a table changes.
 */
struct fast_slot {
    vaddr_t start;
    uint64_t bytes;
    uintptr_t leaf_bias;   /* entry address = leaf_bias + (address >> 12) * 8 */
    uint64_t bits;         /* of the entry to make */
    uint64_t anon_pages;   /* resident private pages: accounting kept on the same cache line */
    struct lock lock;      /* mm->fast.lock is the address space's lock */
    struct anon_vma *anon; /* owner of the pages, */
    uint64_t index_bias;   /* and their index: this + (address >> 12) */
};

struct native_object;
LIST_HEAD(native_list, native_object);

struct mm {
    struct fast_slot fast;
    struct vma_tree vmas;
    struct vma *last_hit;
    struct vma *first, *last;
    uint64_t *root;      /* root table, in the linear map */
    uint32_t space_slot; /* Space capability */
    uint32_t id;
    pfn_t object_page;
    uint64_t map_count;

    uint64_t file_pages; /* resident pages of files */
    uint64_t zero_maps;  /* entries that map a zero page: not resident */
    uint64_t parked;     /* of anon_pages: pages kept behind inaccessible mappings */
    uint64_t tables;     /* page tables, the root excepted */
    uint64_t total_pages, data_pages, stack_pages, exec_pages, locked_pages; /* mapped, by VMAs */
    uint64_t resident_peak;

    vaddr_t mmap_base;
    vaddr_t brk_start, brk_end;
    vaddr_t stack_top;
    vaddr_t arg_start, arg_end;
    uint64_t lock_future; /* mlockall(MCL_FUTURE) */
    uint64_t membarrier;  /* bool: registered for it */

    uint32_t references;        /* calls in progress that name it */
    uint32_t clients;           /* threads in it */
    uint32_t native_table_slot; /* capability table of its native threads, 0: none */
    uint32_t native_table_entries;
    struct native_list native_objects;
    char name[32]; /* of the program, for display */
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
 * answers 0. */
long mm_release(struct worker *w, struct mm *mm);
/* The same for VMAs only: the mm stays, empty. */
void mm_clear(struct worker *w, struct mm *mm);

static inline void mm_lock(struct mm *mm)
{
    lock_take(&mm->fast.lock);
}
static inline void mm_unlock(struct mm *mm)
{
    lock_drop(&mm->fast.lock);
}

/* Locked: wait until the replies that other harts have under way for this mm have arrived. */
void mm_settle_locked(struct worker *w, struct mm *mm);
static inline void mm_fast_drop_locked(struct mm *mm)
{
    mm->fast.bytes = 0;
}
static inline uint64_t mm_resident(const struct mm *mm)
{
    return mm->fast.anon_pages + mm->file_pages;
}
/* Locked: account `pages` more (or less) mapped pages of a VMA with those flags. */
void mm_account_locked(struct mm *mm, uint64_t flags, int64_t pages);

/* Unlocked: copy between the server's memory and a client's, faulting pages in. 0 or
 * -LINUX_EFAULT. */
long mm_copy_in(struct worker *w, struct mm *mm, void *to, vaddr_t from, uint64_t bytes);
long mm_copy_out(struct worker *w, struct mm *mm, vaddr_t to, const void *from, uint64_t bytes);

#endif

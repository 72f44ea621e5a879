/*
 * Robust futexes: what a thread leaves behind when it ends while it owns locks. The list of them is
 * in the thread's own memory, and nothing about it is trusted: it is followed a bounded number of
 * steps, and ends at whatever cannot be read.
 */
#include "user/linux/calls.h"

#include "user/linux/futex.h"
#include "user/linux/mmcall.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define ENTRIES_MAX 2048
#define SWAP_TRIES  64
#define IS_PI       1UL /* a bit of an entry's address */

struct head {
    uint64_t first;
    int64_t offset;   /* from an entry to its word */
    uint64_t pending; /* an entry that is just being added or taken out; 0: none */
};

long linux_set_robust_list(struct thread *t, const uint64_t *a)
{
    if (a[1] != sizeof(struct head))
        return -LINUX_EINVAL;
    t->robust_list = a[0];
    return 0;
}

long linux_get_robust_list(struct thread *t, const uint64_t *a)
{
    const struct thread *of = (int32_t)a[0] ? thread_by_tid((int32_t)a[0]) : t;
    const uint64_t bytes = sizeof(struct head);

    if (!of || of->state == THREAD_DYING)
        return -LINUX_ESRCH;
    if (copy_out(t->process->space, a[2], &bytes, sizeof(bytes)))
        return -LINUX_EFAULT;
    return copy_out(t->process->space, a[1], &of->robust_list, sizeof(of->robust_list));
}

/* The owner of the word is no more: the next one who wants the lock is told so. False if the word
 * cannot be reached. */
static bool owner_died(const struct thread *t, uint64_t address, bool pending)
{
    struct space *space = t->process->space;
    uint32_t old;

    if ((address & 3) || copy_in(space, &old, address, sizeof(old)))
        return false;
    /* It gave the lock up, but may not have come to waking who waits. */
    if (pending && old == 0) {
        futex_wake(space, address, 1);
        return true;
    }
    for (unsigned i = 0; i < SWAP_TRIES; i++) {
        if ((old & LINUX_FUTEX_TID_MASK) != (uint32_t)t->tid)
            return true;
        uint32_t new = (old & LINUX_FUTEX_WAITERS) | LINUX_FUTEX_OWNER_DIED;
        long found = mmcall_word_swap(space->mm, address, old, new);
        if (found < 0)
            return false;
        if ((uint32_t)found == old)
            break;
        old = (uint32_t)found;
    }
    if (old & LINUX_FUTEX_WAITERS)
        futex_wake(space, address, 1);
    return true;
}

void futex_thread_ends(struct thread *t)
{
    struct space *space = t->process->space;
    uint64_t list = t->robust_list, entry, next;
    struct head head;

    t->robust_list = 0;
    if (!list || copy_in(space, &head, list, sizeof(head)))
        return;
    entry = head.first;
    for (unsigned i = 0; i < ENTRIES_MAX && (entry & ~IS_PI) != list; i++, entry = next) {
        uint64_t at = entry & ~IS_PI;

        /* The next one is read first: whoever gets the lock may reuse the entry. */
        bool more = copy_in(space, &next, at, sizeof(next)) == 0;
        if (at != (head.pending & ~IS_PI) && !owner_died(t, at + (uint64_t)head.offset, false))
            return;
        if (!more)
            return;
    }
    if (head.pending)
        owner_died(t, (head.pending & ~IS_PI) + (uint64_t)head.offset, true);
}

/* See guard.h. */
#include "mmserver/core/guard.h"
#include "mmserver/core/huge.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/zap.h"

/* As Linux 6.13 has it: private anonymous memory that may be made writable. */
static bool may_guard(const struct vma *v)
{
    return vma_is_private_anon(v) && (v->flags & VM_MAYWRITE) && !(v->flags & VM_DONTEXPAND);
}

long guard_install(struct worker *w, struct mm *mm, struct vma *v, vaddr_t start, vaddr_t end)
{
    const uint64_t guard = entry_make(workers[0].zero_page, ENTRY_MARKER);

    if (!may_guard(v) || (v->flags & VM_LOCKED)) /* locked pages are not freed by advice */
        return -LINUX_EINVAL;
    mm_settle_locked(w, mm);
    /* A child gets the tables of VMAs that own pages. */
    if (rmap_prepare(w, v) || huge_split_all(w, mm, start, end) ||
        pt_ensure_range(w, mm, start, end))
        return -LINUX_ENOMEM;
    mm->marked = true;
    zap_range(w, mm, start, end);
    for (vaddr_t a = start; a < end; a += PAGE_BYTES)
        op_add(w, mm, BATCH_SOFTWARE, a)->entry = guard;
    ops_send(w);
    return 0;
}

/* The next run of guards of [start, end), in one leaf table: where it begins, `end` if there is
 * none; *stop behind it. */
static vaddr_t next_run(const struct mm *mm, vaddr_t start, vaddr_t end, vaddr_t *stop)
{
    const uint64_t *table;

    for (vaddr_t a = pt_next_table(mm, start, end, &table); a < end;
         a = pt_next_table(mm, a, end, &table)) {
        vaddr_t table_end = min_u64(end, ROUND_DOWN(a, BLOCK_BYTES) + BLOCK_BYTES);

        while (a < table_end && !entry_is_guard(table[pt_index(a, 0)]))
            a += PAGE_BYTES;
        for (*stop = a; *stop < table_end; *stop += PAGE_BYTES)
            if (!entry_is_guard(table[pt_index(*stop, 0)]))
                break;
        if (a < *stop)
            return a;
    }
    return end;
}

long guard_remove(struct worker *w, struct mm *mm, const struct vma *v, vaddr_t start, vaddr_t end)
{
    vaddr_t stop;

    if (!may_guard(v))
        return -LINUX_EINVAL;
    if (!mm->marked)
        return 0;
    for (vaddr_t a = next_run(mm, start, end, &stop); a < end; a = next_run(mm, stop, end, &stop))
        op_add(w, mm, BATCH_UNMAP, a)->count = (uint32_t)((stop - a) >> PAGE_SHIFT);
    ops_send(w);
    return 0;
}

void guard_zap_others(struct worker *w, struct mm *mm, vaddr_t start, vaddr_t end)
{
    vaddr_t stop = end;

    for (vaddr_t a = start; a < end; a = stop) {
        vaddr_t guard = mm->marked ? next_run(mm, a, end, &stop) : end;

        if (guard == end)
            stop = end;
        zap_range(w, mm, a, guard);
    }
}

/*
 * Calls to the memory server, as functions of the values that mm.h describes. Errors are negative
 * errno values. They are foreign calls: the server on this hart answers, nothing else runs
 * meanwhile.
 */
#ifndef LINUX_MMCALL_H
#define LINUX_MMCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pagoda/mm.h>
#include "user/linux/kcall.h"

static inline long mmcall_create(uint64_t slot)
{
    return kcall6(MM_CREATE, slot, 0, 0, 0, 0, 0);
}

static inline long mmcall_fork(uint64_t mm, uint64_t slot)
{
    return kcall6(MM_FORK, mm, slot, 0, 0, 0, 0);
}

static inline long mmcall_exec(uint64_t mm, struct mm_exec *exec)
{
    return kcall6(MM_EXEC, mm, (uint64_t)exec, 0, 0, 0, 0);
}

/* 0: who should end; else the oom_score of that one. */
static inline long mmcall_oom(uint64_t mm)
{
    return kcall6(MM_OOM, mm, 0, 0, 0, 0, 0);
}

/* which: enum mm_limit. */
static inline long mmcall_limit(uint64_t mm, unsigned which, uint64_t value)
{
    return kcall6(MM_LIMIT, mm, which, value, 0, 0, 0);
}

static inline long mmcall_advise(uint64_t mm, uint64_t address, uint64_t bytes, uint64_t advice)
{
    return kcall6(MM_ADVISE, mm, address, bytes, advice, 0, 0);
}

/* -ENOENT: no page is there; -EFAULT: nothing is mapped, or the zero page. */
static inline long mmcall_page_node(uint64_t mm, uint64_t address)
{
    return kcall6(MM_PAGE_NODE, mm, address, 0, 0, 0, 0);
}

/* The caller's own pages of [start, start + bytes) are given back; they read as zeros then. */
static inline long mmcall_own_forget(uint64_t start, uint64_t bytes)
{
    const long madvise = 233;

    return kcall6(madvise, start, bytes, 4 /* MADV_DONTNEED */, 0, 0, 0);
}

/* ~0: only tell. */
static inline long mmcall_huge_pool(uint64_t pages)
{
    return kcall6(MM_HUGE_POOL, pages, 0, 0, 0, 0, 0);
}
/* op: enum mm_compact_op. */
/* which: enum mm_tune; ~0: only tell. */
static inline long mmcall_tune(unsigned which, uint64_t value)
{
    return kcall6(MM_TUNE, which, value, 0, 0, 0, 0);
}

static inline long mmcall_compact(unsigned op, uint64_t value)
{
    return kcall6(MM_COMPACT, op, value, 0, 0, 0, 0);
}

static inline long mmcall_contig(uint64_t pages, uint64_t align)
{
    return kcall6(MM_CONTIG, pages, align, 0, 0, 0, 0);
}

/* first = 0: allocate, else release. */
static inline long mmcall_cma(uint64_t area, uint64_t pages, uint64_t align_order, uint64_t first)
{
    return kcall6(MM_CMA, area, pages, align_order, first, 0, 0);
}

static inline long mmcall_release(uint64_t mm)
{
    return kcall6(MM_RELEASE, mm, 0, 0, 0, 0, 0);
}

static inline long mmcall_thread_create(uint64_t mm, struct mm_thread *thread)
{
    return kcall6(MM_THREAD_CREATE, mm, (uint64_t)thread, 0, 0, 0, 0);
}

static inline long mmcall_thread_start(uint64_t thread)
{
    return kcall6(MM_THREAD_START, thread, 0, 0, 0, 0, 0);
}

static inline long mmcall_thread_stop(uint64_t thread)
{
    return kcall6(MM_THREAD_STOP, thread, 0, 0, 0, 0, 0);
}

static inline long mmcall_thread_destroy(uint64_t thread, struct mm_thread_use *use)
{
    return kcall6(MM_THREAD_DESTROY, thread, (uint64_t)use, 0, 0, 0, 0);
}

static inline long mmcall_thread_use(uint64_t thread, struct mm_thread_use *use)
{
    return kcall6(MM_THREAD_USE, thread, (uint64_t)use, 0, 0, 0, 0);
}

static inline long mmcall_thread_regs(uint64_t thread, struct user_regs *regs, int write)
{
    return kcall6(MM_THREAD_REGS, thread, (uint64_t)regs, (uint64_t)write, 0, 0, 0);
}

static inline long mmcall_thread_move(uint64_t thread, uint64_t mm)
{
    return kcall6(MM_THREAD_MOVE, thread, mm, 0, 0, 0, 0);
}

static inline long mmcall_thread_hart(uint64_t thread, uint64_t hart)
{
    return kcall6(MM_THREAD_HART, thread, hart, 0, 0, 0, 0);
}

static inline long mmcall_fault_in(uint64_t mm, uint64_t address, size_t bytes, int write)
{
    return kcall6(MM_FAULT_IN, mm, address, bytes, (uint64_t)write, 0, 0);
}

static inline long mmcall_word_key(uint64_t mm, uint64_t address, struct mm_word_key *key)
{
    return kcall6(MM_WORD_KEY, mm, address, (uint64_t)key, 0, 0, 0);
}

static inline long mmcall_word_swap(uint64_t mm, uint64_t address, uint32_t old, uint32_t new)
{
    return kcall6(MM_WORD_SWAP, mm, address, old, new, 0, 0);
}

static inline long mmcall_access(uint64_t mm, uint64_t address, uint64_t other, uint64_t at,
                                 size_t bytes, bool write)
{
    return kcall6(MM_ACCESS, mm, address, other, at, bytes, write);
}

static inline long mmcall_device_grant(uint64_t mm, const struct mm_device_grant *grant)
{
    return kcall6(MM_DEVICE_GRANT, mm, grant->slot, grant->address, grant->bytes, 0, 0);
}

static inline long mmcall_report(unsigned kind, uint64_t id, char *buffer, size_t bytes,
                                 uint64_t offset)
{
    return kcall6(MM_REPORT, kind, id, (uint64_t)buffer, bytes, offset, 0);
}

static inline long mmcall_check(void)
{
    return kcall6(MM_CHECK, 0, 0, 0, 0, 0, 0);
}

static inline long mmcall_map_file(struct mm_map_file *map)
{
    return kcall6(MM_MAP_FILE, (uint64_t)map, 0, 0, 0, 0, 0);
}

static inline long mmcall_object_create(const struct mm_object *object)
{
    return kcall6(MM_OBJECT_CREATE, (uint64_t)object, 0, 0, 0, 0, 0);
}

static inline long mmcall_object_release(uint64_t object, int until_unused)
{
    return kcall6(MM_OBJECT_RELEASE, object, (uint64_t)until_unused, 0, 0, 0, 0);
}

static inline long mmcall_object_read(uint64_t object, uint64_t offset, uint64_t mm,
                                      uint64_t address, uint64_t bytes)
{
    return kcall6(MM_OBJECT_READ, object, offset, mm, address, bytes, 0);
}

static inline long mmcall_object_write(uint64_t object, uint64_t offset, uint64_t mm,
                                       uint64_t address, uint64_t bytes)
{
    return kcall6(MM_OBJECT_WRITE, object, offset, mm, address, bytes, 0);
}

static inline long mmcall_object_resize(uint64_t object, uint64_t bytes)
{
    return kcall6(MM_OBJECT_RESIZE, object, bytes, 0, 0, 0, 0);
}

static inline long mmcall_object_allocate(uint64_t object, uint64_t offset, uint64_t bytes,
                                          unsigned mode)
{
    return kcall6(MM_OBJECT_ALLOCATE, object, offset, bytes, mode, 0, 0);
}

static inline long mmcall_object_seal(uint64_t object, uint64_t seals)
{
    return kcall6(MM_OBJECT_SEAL, object, seals, 0, 0, 0, 0);
}

static inline long mmcall_object_stat(uint64_t object, struct mm_object_stat *stat)
{
    return kcall6(MM_OBJECT_STAT, object, (uint64_t)stat, 0, 0, 0, 0);
}

static inline long mmcall_object_seek(uint64_t object, uint64_t offset, int data)
{
    return kcall6(MM_OBJECT_SEEK, object, offset, (uint64_t)data, 0, 0, 0);
}

static inline long mmcall_object_detach(uint64_t mm, uint64_t address)
{
    return kcall6(MM_OBJECT_DETACH, mm, address, 0, 0, 0, 0);
}

#endif

/* Linux's memory calls: arguments from registers, then the core's functions. */
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/map.h"
#include "mmserver/core/policy.h"
#include "mmserver/server/server.h"

#define FLUSH_ICACHE_LOCAL 1

static long call_mmap(struct worker *w, struct client *c, const uint64_t a[6],
                      struct answer *answer)
{
    const struct map_request r = {.address = a[0], .bytes = a[1], .prot = a[2], .flags = a[3]};

    if (a[5] & PAGE_MASK)
        return -LINUX_EINVAL;
    if (a[3] & MAP_ANONYMOUS)
        return map_mmap(w, c->mm, &r);
    /* What the descriptor stands for, the personality knows; it comes back with MM_MAP_FILE. */
    *answer = answer_make(ANSWER_FORWARD, 0, 0);
    return 0;
}

/* All of Linux's but those about rseq, which is not there. */
#define MEMBARRIER_ALL                                                                        \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                \
     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |            \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_GET_REGISTRATIONS)

/*
 * Every hart that runs the space passes an instruction fence, for which it is interrupted: that
 * orders all its memory accesses too. One that does not run it passes a barrier before it does.
 */
static long barrier_for(struct mm *mm)
{
    return place_instruction_fence(mm->space_slot) ? -LINUX_EINVAL : 0;
}

/* For every process that is registered for it; 0: every process. */
static long barrier_for_all(uint64_t registration)
{
    for (uint64_t id = mm_next_id(MM_ID_FIRST - 1); id; id = mm_next_id(id)) {
        struct mm *mm = mm_get(id);

        if (!mm)
            continue;
        if ((__atomic_load_n(&mm->membarrier, __ATOMIC_RELAXED) & registration) == registration)
            barrier_for(mm);
        mm_put(mm);
    }
    return 0;
}

/* As Linux: who is registered with SYNC_CORE is shown with the other one too, but may not use it.
 */
static uint64_t registrations_shown(uint64_t registered)
{
    return registered & MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
               ? registered | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED
               : registered;
}

static long call_membarrier(struct mm *mm, uint32_t command, uint32_t flags)
{
    uint64_t registered = __atomic_load_n(&mm->membarrier, __ATOMIC_RELAXED);

    if (flags)
        return -LINUX_EINVAL;
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_ALL;
    case MEMBARRIER_CMD_GET_REGISTRATIONS:
        return (long)registrations_shown(registered);
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
        __atomic_fetch_or(&mm->membarrier, command, __ATOMIC_RELAXED);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
        if (!(registered & (uint64_t)command << 1)) /* its registration is the next bit */
            return -LINUX_EPERM;
        return barrier_for(mm);
    case MEMBARRIER_CMD_GLOBAL:
        return barrier_for_all(0);
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        return barrier_for_all(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
    default:
        return -LINUX_EINVAL;
    }
}

static long call_flush_icache(struct mm *mm, uint64_t flags)
{
    if (flags & ~(uint64_t)FLUSH_ICACHE_LOCAL)
        return -LINUX_EINVAL;
    return barrier_for(mm);
}

long linux_call(struct worker *w, struct client *c, long number, const uint64_t a[6],
                struct answer *answer)
{
    struct mm *mm = c->mm;

    switch (number) {
    case NR_mmap:
        return call_mmap(w, c, a, answer);
    case NR_munmap:
        return map_munmap(w, mm, a[0], a[1]);
    case NR_mprotect:
        return map_mprotect(w, mm, a[0], a[1], a[2]);
    case NR_brk:
        return map_brk(w, mm, a[0]);
    case NR_mremap:
        return map_mremap(w, mm, a[0], a[1], a[2], a[3], a[4]);
    case NR_madvise:
        if (a[2] == MADV_HWPOISON || a[2] == MADV_SOFT_OFFLINE)
            break; /* who may ask for that, the personality knows: MM_ADVISE */
        return map_madvise(w, mm, a[0], a[1], a[2]);
    case NR_mincore:
        return map_mincore(w, mm, a[0], a[1], a[2]);
    case NR_msync:
        return map_msync(mm, a[0], a[1], a[2]);
    case NR_mlock:
        return map_mlock(w, mm, a[0], a[1], VM_LOCKED);
    case NR_mlock2:
        if (a[2] & ~(uint64_t)MLOCK_ONFAULT)
            return -LINUX_EINVAL;
        return map_mlock(w, mm, a[0], a[1],
                         VM_LOCKED | (a[2] & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0));
    case NR_munlock:
        return map_mlock(w, mm, a[0], a[1], 0);
    case NR_mlockall:
        return map_mlockall(w, mm, a[0]);
    case NR_munlockall:
        return map_munlockall(w, mm);
    case NR_set_mempolicy:
        return policy_set(w, c, a[0], a[1], a[2]);
    case NR_get_mempolicy:
        return policy_get(w, c, a[0], a[1], a[2], a[3], a[4]);
    case NR_mbind:
        return policy_bind(w, c, a);
    case NR_set_mempolicy_home_node:
        return policy_home_node(c, a[0], a[1], a[2], a[3]);
    case NR_migrate_pages: {
        long error = policy_migrate(w, c, a[1], a[2], a[3]);
        if (error)
            return error;
        break; /* whose pages are meant, the personality knows */
    }
    case NR_membarrier:
        return call_membarrier(mm, (uint32_t)a[0], (uint32_t)a[1]);
    case NR_riscv_flush_icache:
        return call_flush_icache(mm, a[2]);
    default:
        return -LINUX_ENOSYS;
    }
    *answer = answer_make(ANSWER_FORWARD, 0, 0);
    return 0;
}

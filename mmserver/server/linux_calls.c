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

#define MEMBARRIER_ALL                                                                        \
    (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |                                \
     MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |            \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | \
     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_GET_REGISTRATIONS)

static long call_membarrier(struct mm *mm, uint64_t command, uint64_t flags)
{
    uint64_t registered = __atomic_load_n(&mm->membarrier, __ATOMIC_RELAXED);

    if (flags)
        return -LINUX_EINVAL;
    switch (command) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_ALL;
    case MEMBARRIER_CMD_GET_REGISTRATIONS:
        return (long)registered;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
        __atomic_fetch_or(&mm->membarrier, command, __ATOMIC_RELAXED);
        return 0;
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
        if (!(registered & command << 1)) /* its registration is the next bit */
            return -LINUX_EPERM;
        break;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        break;
    default:
        return -LINUX_EINVAL;
    }
    /* An instruction fence on every hart that runs the space orders all that came before. */
    return place_instruction_fence(mm->space_slot) ? -LINUX_EINVAL : 0;
}

static long call_flush_icache(struct mm *mm, uint64_t flags)
{
    if (flags & ~(uint64_t)FLUSH_ICACHE_LOCAL)
        return -LINUX_EINVAL;
    return place_instruction_fence(mm->space_slot) ? -LINUX_EINVAL : 0;
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
    case NR_migrate_pages:
        if ((int32_t)a[0])
            break; /* whose number that is, the personality knows */
        return policy_migrate(w, c, a[1], a[2], a[3]);
    case NR_move_pages:
        if ((int32_t)a[0])
            break;
        return policy_move(w, c, a);
    case NR_membarrier:
        return call_membarrier(mm, a[0], a[1]);
    case NR_riscv_flush_icache:
        return call_flush_icache(mm, a[2]);
    default:
        return -LINUX_ENOSYS;
    }
    *answer = answer_make(ANSWER_FORWARD, 0, 0);
    return 0;
}

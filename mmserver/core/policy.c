/* NUMA policies: Linux's checks in Linux's order. See policy.h. */
#include "mmserver/core/policy.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/numa.h"
#include "mmserver/core/pt.h"
#include "mmserver/core/zone.h"

#define MODE_FLAGS    (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING)
#define MASK_BITS_MAX (PAGE_BYTES * 8)

static uint64_t nodes_online(void)
{
    return numa_nodes() >= 64 ? ~0UL : (1UL << numa_nodes()) - 1;
}

/* A node mask of a client, of which Linux uses one bit less than `bits`. 0 or -LINUX_x. */
static long mask_in(struct worker *w, struct mm *mm, vaddr_t nodes, uint64_t bits, uint64_t *mask)
{
    *mask = 0;
    bits--;
    if (!bits || !nodes)
        return 0;
    if (bits > MASK_BITS_MAX)
        return -LINUX_EINVAL;
    for (uint64_t word = 0; word * 64 < bits; word++) {
        uint64_t value, left = bits - word * 64;

        if (mm_copy_in(w, mm, &value, nodes + word * 8, sizeof value))
            return -LINUX_EFAULT;
        if (left < 64)
            value &= (1UL << left) - 1;
        if (word && value)
            return -LINUX_EINVAL; /* nodes that there cannot be */
        if (!word)
            *mask = value;
    }
    return 0;
}

/* Is it a policy? 0 or -LINUX_EINVAL; *nodes is what is left of it on this machine. */
static long policy_check(uint64_t *mode, uint64_t *nodes)
{
    uint64_t kind = *mode & ~MODE_FLAGS, flags = *mode & MODE_FLAGS;

    if (kind >= MPOL_MODES || (flags & MPOL_F_STATIC_NODES && flags & MPOL_F_RELATIVE_NODES) ||
        (flags & MPOL_F_NUMA_BALANCING && kind != MPOL_BIND && kind != MPOL_PREFERRED_MANY))
        return -LINUX_EINVAL;
    if (kind == MPOL_DEFAULT)
        return *nodes ? -LINUX_EINVAL : 0;
    if (kind == MPOL_LOCAL || (kind == MPOL_PREFERRED && !*nodes)) {
        if (*nodes || flags)
            return -LINUX_EINVAL;
        *mode = MPOL_LOCAL;
        return 0;
    }
    *nodes &= nodes_online();
    return *nodes ? 0 : -LINUX_EINVAL;
}

long policy_set(struct worker *w, struct client *c, uint64_t mode, vaddr_t nodes, uint64_t bits)
{
    uint64_t mask;
    long error = mask_in(w, c->mm, nodes, bits, &mask);

    if (!error)
        error = policy_check(&mode, &mask);
    if (error)
        return error;
    c->policy_mode = (uint32_t)mode;
    c->policy_nodes = mask;
    return 0;
}

long policy_page_node(struct mm *mm, vaddr_t address)
{
    long node = -LINUX_EFAULT;

    mm_lock(mm);
    if (address < mm_user_end && vma_at(mm, address)) {
        uint64_t entry = pt_leaf(mm, address);
        pfn_t pfn = entry_page(entry);

        node = -LINUX_ENOENT;
        if (entry_is_leaf(entry) && page_is_ours(pfn))
            node = page_of(pfn)->state == PAGE_ZERO ? -LINUX_EFAULT : zone_of(page_of(pfn))->node;
    }
    mm_unlock(mm);
    return node;
}

/* Is all of [start, end) mapped? */
static bool range_is_mapped(struct mm *mm, vaddr_t start, vaddr_t end)
{
    mm_lock(mm);
    while (start < end) {
        const struct vma *v = vma_at(mm, start);

        if (!v)
            break;
        start = v->end;
    }
    mm_unlock(mm);
    return start >= end;
}

/* What get_mempolicy tells: 0 or -LINUX_x. */
static long policy_find(struct client *c, vaddr_t address, uint64_t flags, uint64_t *mode,
                        uint64_t *mask)
{
    *mode = c->policy_mode;
    *mask = c->policy_nodes;
    if (flags & MPOL_F_MEMS_ALLOWED) {
        *mode = 0;
        *mask = nodes_online();
        return flags & (MPOL_F_NODE | MPOL_F_ADDR) ? -LINUX_EINVAL : 0;
    }
    if (!(flags & MPOL_F_ADDR)) {
        bool next = (*mode & ~MODE_FLAGS) == MPOL_INTERLEAVE;

        if (address || (flags & MPOL_F_NODE && !next))
            return -LINUX_EINVAL;
        if (flags & MPOL_F_NODE)
            *mode = (uint64_t)__builtin_ctzl(*mask);
        return 0;
    }
    if (address >= mm_user_end || !range_is_mapped(c->mm, address, address + 1))
        return -LINUX_EFAULT;
    long node = policy_page_node(c->mm, address);
    *mode = MPOL_DEFAULT;
    *mask = 0;
    if (flags & MPOL_F_NODE)
        *mode = node < 0 ? numa_node_of_hart(c->hart) : (uint64_t)node;
    return 0;
}

long policy_get(struct worker *w, struct client *c, vaddr_t mode_at, vaddr_t nodes, uint64_t bits,
                vaddr_t address, uint64_t flags)
{
    uint64_t mode, mask;

    if (flags & ~(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) ||
        (nodes && bits < numa_nodes()))
        return -LINUX_EINVAL;
    long error = policy_find(c, address, flags, &mode, &mask);
    if (error)
        return error;
    int32_t told = (int32_t)mode;
    if (mode_at && mm_copy_out(w, c->mm, mode_at, &told, sizeof told))
        return -LINUX_EFAULT;
    uint64_t bytes = ROUND_UP(bits, 64UL) / 8;
    for (uint64_t done = 0; nodes && done < min_u64(bytes, MASK_BITS_MAX / 8); done += 8) {
        if (mm_copy_out(w, c->mm, nodes + done, &mask, sizeof mask))
            return -LINUX_EFAULT;
        mask = 0;
    }
    return 0;
}

long policy_bind(struct worker *w, struct client *c, const uint64_t a[6])
{
    vaddr_t start = a[0], end = start + PAGE_UP(a[1]);
    uint64_t mode = a[2], flags = a[5], mask;

    if (flags & ~(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
        return -LINUX_EINVAL;
    long error = mask_in(w, c->mm, a[3], a[4], &mask);
    if (error)
        return error;
    if ((mode & ~MODE_FLAGS) >= MPOL_MODES || (start & PAGE_MASK) || end < start)
        return -LINUX_EINVAL;
    if (end == start)
        return 0;
    error = policy_check(&mode, &mask);
    if (error)
        return error;
    return range_is_mapped(c->mm, start, end) ? 0 : -LINUX_EFAULT;
}

long policy_home_node(struct client *c, vaddr_t address, uint64_t bytes, uint64_t node,
                      uint64_t flags)
{
    vaddr_t end = address + PAGE_UP(bytes);

    (void)c;
    if ((address & PAGE_MASK) || flags || node >= numa_nodes() || end < address)
        return -LINUX_EINVAL;
    return end == address ? 0 : -LINUX_ENOENT; /* no range keeps a policy of its own */
}

long policy_migrate(struct worker *w, struct client *c, uint64_t bits, vaddr_t from, vaddr_t to)
{
    uint64_t mask;
    long error = mask_in(w, c->mm, from, bits, &mask);

    return error ? error : mask_in(w, c->mm, to, bits, &mask);
}

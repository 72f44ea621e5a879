/*
 * Registers of devices in programs' address spaces: a kind of memory of its own, all of which is in
 * this file. Its object stands for the machine's physical addresses, so a mapping's offset is the
 * physical page; there are no pages of ours, no descriptors and nothing to count.
 *
 * Memory types. Every mapping of a device has device_bits(true), whoever makes it, so that no two
 * of them differ; and none of ours is cacheable, as the kernel lets nobody map a device's pages but
 * by a capability with RIGHT_IO, whose memory is I/O for the machine where an entry does not say
 * more.
 *
 * Rights. A mapping is never executable (no VM_MAYEXEC); writable only if its maker may write.
 */
#include "mmserver/core/device_map.h"
#include "mmserver/core/device.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/kmap.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/object.h"
#include "mmserver/core/own.h"
#include "mmserver/core/vma_ops.h"

#define PHYSICAL_BYTES (1UL << 56)

/* The object of all mappings, made when it is first needed. */
static struct object *registers;
/* Withdrawals under way: no register is mapped meanwhile, and who touches one tries again. */
static uint64_t withdrawals;

static enum fault_outcome device_fault(struct fault *f)
{
    uint64_t pfn = vma_offset_at(f->vma, f->address), bits = ENTRY_ALWAYS | device_bits(true);
    const struct device *d = device_at(pfn, 1);

    mm_assert(!f->entry && !(f->vma->flags & VM_EXEC));
    if (!d)
        return FAULT_BUSERR;
    if (unlikely(__atomic_load_n(&withdrawals, __ATOMIC_ACQUIRE)))
        return FAULT_RACED;
    if (f->vma->flags & VM_WRITE)
        bits |= ENTRY_W | ENTRY_D;
    struct batch_op *op = op_add(f->w, f->mm, BATCH_MAP, f->address);
    op->entry = entry_make(pfn, bits);
    op->memory = d->slot;
    long error = op_try(f->w);
    return !error ? FAULT_DEVICE : error == -ERR_MAPPED ? FAULT_RACED : FAULT_OOM;
}

/* Whole words of 32 bits, which is all that some devices answer. */
static void words_move(volatile uint32_t *at, char *buffer, uint64_t bytes, bool write)
{
    uint32_t word;

    for (uint64_t i = 0; i < bytes; i += sizeof word) {
        __builtin_memcpy(&word, buffer + i, sizeof word);
        if (write)
            at[i / sizeof word] = word;
        else
            word = at[i / sizeof word];
        __builtin_memcpy(buffer + i, &word, sizeof word);
    }
}

static uint64_t device_access(struct worker *w, struct vma *v, vaddr_t address, char *buffer,
                              uint64_t bytes, bool write)
{
    pfn_t pfn = vma_offset_at(v, address);
    paddr_t at = (pfn << PAGE_SHIFT) + (address & PAGE_MASK);
    const struct device *d = device_at(pfn, 1);

    if (!d || !(v->flags & (write ? VM_WRITE : VM_READ | VM_WRITE)))
        return 0;
    if (d->word_bytes != sizeof(uint32_t) || ((at | bytes) & (sizeof(uint32_t) - 1)))
        return 0;
    if (at < d->start || bytes > d->bytes || at - d->start > d->bytes - bytes)
        return 0;
    char *window = kmap(w, pfn, d->slot, OWN_WRITE | device_bits(true));
    if (!window)
        return 0;
    words_move((volatile uint32_t *)(void *)(window + (at & PAGE_MASK)), buffer, bytes, write);
    kunmap(w, window);
    return bytes;
}

static const char *device_name(const struct vma *v)
{
    return v->object->name;
}

static const struct vma_ops device_vma_ops = {
    .name = device_name,
    .open = object_vma_open,
    .close = object_vma_close,
    .resized = object_vma_resized,
    .fault = device_fault,
    .access = device_access,
};

void device_map_init(void)
{
    registers = NULL;
    withdrawals = 0;
}

/* With one more reference; NULL without memory. Whose was made first is everybody's. */
static struct object *registers_get(struct worker *w)
{
    struct object *o = __atomic_load_n(&registers, __ATOMIC_ACQUIRE), *none = NULL;

    if (!o) {
        o = object_special(w, &device_vma_ops, PHYSICAL_BYTES, "/dev/mem");
        if (!o)
            return NULL;
        if (!__atomic_compare_exchange_n(&registers, &none, o, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            object_put(w, o);
            o = none;
        }
    }
    object_ref(o, 1);
    return o;
}

long device_map(struct worker *w, struct mm *mm, const struct map_request *r)
{
    struct map_request with = *r;

    if ((r->flags & MAP_TYPE) == MAP_PRIVATE)
        return -LINUX_EINVAL; /* a copy of registers would be none */
    if ((r->prot & PROT_EXEC) || !device_at(r->offset, PAGE_UP(r->bytes) >> PAGE_SHIFT))
        return -LINUX_EPERM;
    with.object = registers_get(w);
    if (!with.object)
        return -LINUX_ENOMEM;
    with.also |= VM_DEVICE | VM_DONTEXPAND | VM_DONTDUMP;
    long at = map_mmap(w, mm, &with);
    object_put(w, with.object);
    return at;
}

/* ---- capabilities ---- */

bool device_withdraw_begin(struct worker *w, const struct mm *mm)
{
    struct object *o = __atomic_load_n(&registers, __ATOMIC_ACQUIRE);

    if (!device_granted(mm))
        return false;
    __atomic_fetch_add(&withdrawals, 1, __ATOMIC_SEQ_CST);
    if (o)
        object_unmap(w, o, 0, (PHYSICAL_BYTES >> PAGE_SHIFT) - 1, true);
    return true;
}

void device_withdraw_end(const struct mm *mm)
{
    device_ungrant(mm);
    __atomic_fetch_sub(&withdrawals, 1, __ATOMIC_RELEASE);
}

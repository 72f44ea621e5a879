/*
 * Kernel objects and capability slots. A Space takes two pages (itself and its root table), a Table
 * one and its pages of entries; all others one.
 */
#include "mmserver/core/kobj.h"

#define REVOKE_STEPS_MAX 1000000 /* far above what any table can hold; each step makes progress */

static struct lock slots_lock;
static uint32_t *slot_next; /* free slots, linked by index */
static uint32_t slot_first, slots_free;

bool kobj_init(struct worker *w, uint64_t entries)
{
    unsigned order = 0;

    slots_lock = LOCK_INIT(LOCK_IDS);
    slot_first = slots_free = 0;
    while (PAGE_BYTES << order < entries * sizeof *slot_next)
        order++;
    pfn_t pfn = order <= ORDER_MAX ? pages_alloc(w, order, GFP_KERNEL) : 0;
    if (!pfn)
        return false;
    page_of(pfn)->state = PAGE_SERVER;
    slot_next = page_pointer(pfn);
    for (uint64_t slot = entries; slot-- > SLOT_FREE;) {
        slot_next[slot] = slot_first;
        slot_first = (uint32_t)slot;
        slots_free++;
    }
    return true;
}

uint32_t kobj_slots_free(void)
{
    return slots_free;
}

uint32_t kobj_slot_alloc(void)
{
    lock_take(&slots_lock);
    uint32_t slot = slot_first;
    if (slot) {
        slot_first = slot_next[slot];
        slots_free--;
    }
    lock_drop(&slots_lock);
    return slot;
}

void kobj_slot_free(uint32_t slot)
{
    lock_take(&slots_lock);
    slot_next[slot] = slot_first;
    slot_first = slot;
    slots_free++;
    lock_drop(&slots_lock);
}

uint32_t kobj_memory(pfn_t pfn, uint64_t *relative)
{
    for (uint32_t i = 0; i < phys.ranges; i++) {
        const struct phys_range *r = &phys.range[i];

        if (pfn - r->first < r->end - r->first) {
            *relative = pfn - r->first;
            return r->slot;
        }
    }
    mm_assert(!"a page outside all ranges");
    return 0;
}

static unsigned object_order(enum cap_type type, uint64_t parameter)
{
    uint64_t pages = type == CAP_SPACE ? 2 : type == CAP_TABLE ? 1 + parameter : 1;
    unsigned order = 0;

    while (1UL << order < pages)
        order++;
    return order;
}

long kobj_create(struct worker *w, enum cap_type type, uint64_t parameter, uint32_t *slot,
                 pfn_t *page)
{
    unsigned order = object_order(type, parameter);
    uint64_t relative;
    uint32_t taken = order < BLOCK_ORDER ? kobj_slot_alloc() : 0;

    if (!taken)
        return -LINUX_ENOMEM;
    pfn_t pfn = pages_alloc(w, order, GFP_TABLE);
    if (!pfn) {
        kobj_slot_free(taken);
        return -LINUX_ENOMEM;
    }
    uint32_t memory = kobj_memory(pfn, &relative);
    if (place_object_create(memory, relative, type, parameter, taken)) {
        pages_free(w, pfn, order);
        kobj_slot_free(taken);
        return -LINUX_ENOMEM;
    }
    page_of(pfn)->state = PAGE_OBJECT;
    *slot = taken;
    *page = pfn;
    return 0;
}

bool kobj_revoke(uint32_t slot)
{
    for (unsigned i = 0; i < REVOKE_STEPS_MAX; i++) {
        long error = place_cap_revoke(SELF_TABLE, slot);

        if (error != -ERR_AGAIN)
            return !error;
        place_relax();
    }
    return false;
}

bool kobj_delete(uint32_t slot)
{
    for (unsigned i = 0; i < REVOKE_STEPS_MAX; i++) {
        long error = place_cap_delete(SELF_TABLE, slot);

        if (error != -ERR_AGAIN)
            return !error;
        place_relax();
    }
    return false;
}

bool kobj_destroy(struct worker *w, enum cap_type type, uint64_t parameter, uint32_t slot,
                  pfn_t page)
{
    if (!kobj_revoke(slot) || !kobj_delete(slot))
        return false;
    pages_free(w, page, object_order(type, parameter));
    kobj_slot_free(slot);
    return true;
}

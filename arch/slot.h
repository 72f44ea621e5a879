/*
 * The atomic operations of the straight fault path and of batches, where each instruction counts:
 * the compiler's own spelling of them is longer.
 */
#ifndef ARCH_SLOT_H
#define ARCH_SLOT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Fill an empty page table slot. True: it was 0 and is `entry`; all earlier stores are seen before
 * it. One attempt; a spurious failure answers false like a lost race.
 */
static inline bool arch_slot_fill(uint64_t *slot, uint64_t entry)
{
#ifdef __riscv
    uint64_t failed;

    /* Not 0: what lr.d has read says "failed" as well as a failed sc.d does. */
    __asm__ volatile("lr.d %0, %1\n\t"
                     "bnez %0, 1f\n\t"
                     "sc.d.rl %0, %2, %1\n"
                     "1:"
                     : "=&r"(failed), "+A"(*slot)
                     : "r"(entry)
                     : "memory");
    return !failed;
#else
    uint64_t empty = 0;

    return __atomic_compare_exchange_n(slot, &empty, entry, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
#endif
}

/* Put `entry` where `old` stands; as arch_slot_fill(). */
static inline bool arch_slot_replace(uint64_t *slot, uint64_t old, uint64_t entry)
{
#ifdef __riscv
    uint64_t failed;

    __asm__ volatile("lr.d %0, %1\n\t"
                     "xor %0, %0, %3\n\t"
                     "bnez %0, 1f\n\t"
                     "sc.d.rl %0, %2, %1\n"
                     "1:"
                     : "=&r"(failed), "+A"(*slot)
                     : "r"(entry), "r"(old)
                     : "memory");
    return !failed;
#else
    return __atomic_compare_exchange_n(slot, &old, entry, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
#endif
}

/* Empty a page table slot: what stood there. Relaxed. */
static inline uint64_t arch_slot_take(uint64_t *slot)
{
#ifdef __riscv
    uint64_t entry;

    __asm__ volatile("amoswap.d %0, zero, %1" : "=r"(entry), "+A"(*slot));
    return entry;
#else
    return __atomic_exchange_n(slot, 0, __ATOMIC_RELAXED);
#endif
}

/* The entry goes into a page table slot, behind all earlier stores: what stood there. */
static inline uint64_t arch_slot_swap(uint64_t *slot, uint64_t entry)
{
#ifdef __riscv
    uint64_t old;

    __asm__ volatile("amoswap.d.rl %0, %2, %1" : "=r"(old), "+A"(*slot) : "r"(entry) : "memory");
    return old;
#else
    return __atomic_exchange_n(slot, entry, __ATOMIC_RELEASE);
#endif
}

/* Keep the bits of the mask, or add bits: what stood there before. Relaxed. */
static inline uint64_t arch_slot_and(uint64_t *slot, uint64_t mask)
{
#ifdef __riscv
    uint64_t entry;

    __asm__ volatile("amoand.d %0, %2, %1" : "=r"(entry), "+A"(*slot) : "r"(mask));
    return entry;
#else
    return __atomic_fetch_and(slot, mask, __ATOMIC_RELAXED);
#endif
}
static inline void arch_slot_or(uint64_t *slot, uint64_t bits)
{
#ifdef __riscv
    __asm__ volatile("amoor.d zero, %1, %0" : "+A"(*slot) : "r"(bits));
#else
    __atomic_fetch_or(slot, bits, __ATOMIC_RELAXED);
#endif
}

/* Add 1; the value before, of which only the sign is of interest. Relaxed. */
static inline long arch_count_up(int32_t *count)
{
#ifdef __riscv
    long before;

    __asm__ volatile("amoadd.w %0, %2, %1" : "=r"(before), "+A"(*count) : "r"(1L) : "memory");
    return before; /* the instruction extends the sign; a C builtin would do it once more */
#else
    return __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
#endif
}

#endif

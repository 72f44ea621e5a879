/*
 * Clearing and copying a page, the only work of a fault that is proportional to the page. Clearing
 * is inline and calls nothing, so that the fault handler stays a leaf function.
 */
#ifndef MMSERVER_CORE_CLEAR_H
#define MMSERVER_CORE_CLEAR_H

#include "mmserver/core/phys.h"

/* clang does not see how long the assembly is, and would place branches over it that do not reach:
 * with it they are functions of their own. */
#ifdef __clang__
#define CLEAR_INLINE static __attribute__((noinline, unused))
#else
#define CLEAR_INLINE static inline
#endif

/* blocks: the machine clears memory by cache blocks. */
CLEAR_INLINE void page_clear_here(void *page, bool blocks)
{
#ifdef __riscv
    if (unlikely(blocks)) {
        /* cbo.zero of Zicboz, in blocks of 64 bytes */
        for (char *p = page, *end = p + PAGE_BYTES; p != end; p += 64)
            __asm__ volatile(".insn i 0x0f, 2, x0, %0, 4" ::"r"(p) : "memory");
        return;
    }
    /* 512 stores in a row: a loop of 32 would add 32 instructions. The middle is in reach of all.
     */
    __asm__ volatile(".set pagoda_offset, -2048\n"
                     "\t.rept 512\n"
                     "\tsd zero, pagoda_offset(%0)\n"
                     "\t.set pagoda_offset, pagoda_offset + 8\n"
                     "\t.endr" ::"r"((char *)page + PAGE_BYTES / 2)
                     : "memory");
#else
    (void)blocks;
    __builtin_memset(page, 0, PAGE_BYTES);
#endif
}

/* A pair of instructions for each word: nothing better without vectors. */
CLEAR_INLINE void page_copy_here(void *to, const void *from)
{
#ifdef __riscv
    uint64_t a, b;

    __asm__ volatile(".set pagoda_offset, -2048\n"
                     "\t.rept 256\n"
                     "\tld %0, pagoda_offset(%3)\n"
                     "\tld %1, pagoda_offset + 8(%3)\n"
                     "\tsd %0, pagoda_offset(%2)\n"
                     "\tsd %1, pagoda_offset + 8(%2)\n"
                     "\t.set pagoda_offset, pagoda_offset + 16\n"
                     "\t.endr"
                     : "=&r"(a), "=&r"(b)
                     : "r"((char *)to + PAGE_BYTES / 2), "r"((const char *)from + PAGE_BYTES / 2)
                     : "memory");
#else
    __builtin_memcpy(to, from, PAGE_BYTES);
#endif
}

#endif

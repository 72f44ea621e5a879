/*
 * The class and the counter of each 2 MiB block, and the directory of pages in a tables block.
 *
 * Why a counter can be trusted. A mapping is counted before its entry is written and until after
 * its fence, so 0 means that no entry points into the block. A class changes in three steps: the
 * counter goes by compare-and-swap from its exact idle value to BLOCK_PINNED, which every other
 * function refuses; then the server's linear map follows, fences included; then the counter gets
 * its new idle value. That last step adds a difference rather than storing, because another hart
 * may be inside a refused increment that it is about to undo.
 *
 * How far refused increments can push a counter: each hart has at most one under way, of at most
 * TABLE_ENTRIES, so 64 * 512 = 2^15 in all. Tables blocks (BLOCK_TABLE_BASE + up to 512) and pinned
 * blocks are further than that from zero and from each other.
 *
 * Locks: classes and directories change under the kernel lock; counters need none.
 */
#include "kernel/block.h"

#include <string.h>
#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/space.h"

_Static_assert(BLOCK_TABLE_BASE + 512 + HARTS_MAX * 512 < 0, "passing increments stay negative");
_Static_assert(BLOCK_PINNED + HARTS_MAX * 512 < BLOCK_TABLE_BASE, "pinned never looks like tables");

#define TABLES_EMPTY (BLOCK_TABLE_BASE + 1) /* only the directory is in use */

int32_t *block_count;
uint64_t block_total;
pfn_t memory_first_page;

static int32_t *block_counter(pfn_t page)
{
    return &block_count[page >> TABLE_SHIFT];
}

static bool block_is_tables(pfn_t page)
{
    if (page >> TABLE_SHIFT >= block_total)
        return false;
    int32_t count = __atomic_load_n(block_counter(page), __ATOMIC_ACQUIRE);
    return count < 0 && count > BLOCK_TABLE_BASE;
}

uint64_t *page_directory(pfn_t page)
{
    if (!block_is_tables(page))
        return NULL;
    uint64_t *directory = page_to_virt(page & ~(PAGES_PER_BLOCK - 1));
    return &directory[page % PAGES_PER_BLOCK];
}

/*
 * Exact also when full: a sum beyond INT32_MAX is undone. block_get() may take the counter from
 * INT32_MAX to INT32_MIN, which stands for 2^31 mappings: refused from there on by its sign, and
 * equal to no idle value, until a mapping goes.
 */
bool block_get_n(pfn_t page, uint32_t n)
{
    kassert(n <= TABLE_ENTRIES);
    int32_t before = __atomic_fetch_add(block_counter(page), (int32_t)n, __ATOMIC_ACQ_REL);
    if (likely(before >= 0 && before <= INT32_MAX - (int32_t)n))
        return true;
    __atomic_fetch_sub(block_counter(page), (int32_t)n, __ATOMIC_RELAXED);
    return false;
}

static bool block_claim(pfn_t first_page, int32_t idle)
{
    return __atomic_compare_exchange_n(block_counter(first_page), &idle, BLOCK_PINNED, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void block_give(pfn_t first_page, int32_t idle)
{
    __atomic_fetch_add(block_counter(first_page), idle - BLOCK_PINNED, __ATOMIC_RELEASE);
}

/* Half of what memset() takes, which steps by words. */
static void page_clear(uint64_t *word)
{
#define CLEAR_4(i)  word[i] = word[(i) + 1] = word[(i) + 2] = word[(i) + 3] = 0
#define CLEAR_16(i) CLEAR_4(i), CLEAR_4((i) + 4), CLEAR_4((i) + 8), CLEAR_4((i) + 12)
    for (uint64_t *end = word + TABLE_ENTRIES; word < end; word += 32)
        CLEAR_16(0), CLEAR_16(16);
}

/*
 * The server's view of a claimed block; the fence is awaited without the kernel lock. When a block
 * was made read-only, nobody still copies into a page that was found mapped before: then it is
 * cleared, so that no table has to be when it is installed.
 */
static void block_follow(pfn_t first_page, bool writable)
{
    kernel_unlock();
    space_server_block(first_page, writable);
    if (!writable) {
        for (pfn_t i = 0; i < PAGES_PER_BLOCK; i++)
            page_clear(page_to_virt(first_page + i));
    }
    kernel_lock();
}

static long block_to_tables(pfn_t first_page)
{
    if (!block_claim(first_page, 0))
        return block_is_tables(first_page) ? -ERR_CLASS : -ERR_BUSY;
    block_follow(first_page, false);
    uint64_t *directory = page_to_virt(first_page);
    directory[0] = page_word(PAGE_DIRECTORY, 0, 0);
    for (unsigned i = 1; i < PAGES_PER_BLOCK; i++)
        directory[i] = PAGE_FREE_ZERO;
    block_give(first_page, TABLES_EMPTY);
    return 0;
}

static long block_to_data(pfn_t first_page)
{
    if (!block_claim(first_page, TABLES_EMPTY)) {
        int32_t count = __atomic_load_n(block_counter(first_page), __ATOMIC_RELAXED);
        return count >= 0 ? -ERR_CLASS : -ERR_BUSY;
    }
    block_follow(first_page, true);
    block_give(first_page, 0);
    return 0;
}

long block_set_class(pfn_t first_page, unsigned class)
{
    kassert(kernel_lock_held());
    kassert(first_page % PAGES_PER_BLOCK == 0 && first_page >> TABLE_SHIFT < block_total);
    return class == BLOCK_TABLES ? block_to_tables(first_page) : block_to_data(first_page);
}

long page_take(pfn_t page, uint64_t word)
{
    kassert(kernel_lock_held());
    uint64_t *entry = page_directory(page);
    if (entry == NULL)
        return -ERR_CLASS;
    if (page_word_use(*entry) != PAGE_FREE)
        return -ERR_BUSY;
    kassert(page_word_use(word) != PAGE_FREE && page_word_use(word) != PAGE_DIRECTORY);
    if (*entry != PAGE_FREE_ZERO)
        page_clear(page_to_virt(page));
    *entry = word;
    __atomic_fetch_add(block_counter(page), 1, __ATOMIC_RELAXED);
    return 0;
}

static void release(pfn_t page, uint64_t word)
{
    kassert(kernel_lock_held());
    uint64_t *entry = page_directory(page);
    kassert(entry != NULL);
    kassert(page_word_use(*entry) != PAGE_FREE && page_word_use(*entry) != PAGE_DIRECTORY);
    *entry = word;
    __atomic_fetch_sub(block_counter(page), 1, __ATOMIC_RELEASE);
}

void page_release(pfn_t page)
{
    release(page, page_word(PAGE_FREE, 0, 0));
}

void page_release_zero(pfn_t page)
{
    release(page, PAGE_FREE_ZERO);
}

static long decode_block_class(struct thread *t, const struct call_args *c, pfn_t *first_page)
{
    long error;
    struct cap *memory = cap_lookup(t, c->a[0], CAP_MEMORY, RIGHT_KEEP, &error);
    if (memory == NULL)
        return -error;
    if (memory->rights & RIGHT_IO)
        return -ERR_RIGHTS;
    if (c->a[2] != BLOCK_DATA && c->a[2] != BLOCK_TABLES)
        return -ERR_ARGUMENT;
    if (c->a[1] >= memory->pages)
        return -ERR_RANGE;
    *first_page = memory->first + c->a[1];
    if (*first_page % PAGES_PER_BLOCK)
        return -ERR_ALIGN;
    if (memory->pages - c->a[1] < PAGES_PER_BLOCK)
        return -ERR_RANGE;
    return 0;
}

long call_block_class(struct thread *t, struct call_args *c)
{
    pfn_t first_page = 0;
    kernel_lock();
    long result = decode_block_class(t, c, &first_page);
    if (result == 0)
        result = block_set_class(first_page, c->a[2]);
    kernel_unlock();
    return result;
}

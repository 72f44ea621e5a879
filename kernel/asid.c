/*
 * Address space identifiers: see asid.h. All state is under the kernel lock, but the word `asid` of
 * a space is also read by fences without it; while the space runs anywhere its number is constant.
 *
 * Taking a number is one step forward through the bitmap, because none is given back within a
 * generation. Only numbers that were kept at the last rollover are passed over.
 */
#include "kernel/asid.h"
#include "arch/arch.h"
#include "kernel/assert.h"
#include <string.h>

static uint64_t generation = 1;
static uint64_t next_number = 1;
static uint64_t taken[(1UL << ASID_NUMBER_BITS) / 64];
static LIST_HEAD(, space) pinned_spaces = LIST_HEAD_INITIALIZER(pinned_spaces);

static uint64_t numbers(void)
{
    return 1UL << arch_asid_bits;
}

static bool is_taken(uint64_t number)
{
    return taken[number / 64] >> (number % 64) & 1;
}

static void take(uint64_t number)
{
    taken[number / 64] |= 1UL << (number % 64);
}

static uint64_t take_next(void)
{
    while (next_number < numbers() && is_taken(next_number))
        next_number++;
    if (next_number >= numbers())
        return 0;
    take(next_number);
    return next_number++;
}

static void keep(struct space *s)
{
    uint64_t number = asid_number(s);

    take(number); /* number 0 too: it is never given out */
    __atomic_store_n(&s->asid, generation << ASID_NUMBER_BITS | number, __ATOMIC_RELAXED);
}

/* How many numbers a new generation would begin with. */
static uint64_t kept_numbers(void)
{
    struct space *s;
    uint64_t n = 0;

    LIST_FOREACH(s, &pinned_spaces, pinned_link)
    n++;
    for (unsigned i = 0; i < harts_online; i++)
        n += harts[i]->space_active != NULL;
    return n; /* at most: a space may be counted more than once */
}

static void rollover(void)
{
    struct space *s;

    generation++;
    next_number = 1;
    memset(taken, 0, sizeof(taken));
    LIST_FOREACH(s, &pinned_spaces, pinned_link)
    keep(s);
    for (unsigned i = 0; i < harts_online; i++) {
        if (harts[i]->space_active)
            keep(harts[i]->space_active);
        harts[i]->asid_flush_wanted = 1;
    }
}

bool asid_is_current(const struct space *s)
{
    return s->running || (s->asid >> ASID_NUMBER_BITS == generation && asid_number(s) != 0);
}

void asid_refresh(struct space *s)
{
    kassert(kernel_lock_held() && s->running == 0);
    if (asid_is_current(s))
        return;
    uint64_t number = take_next();
    if (number == 0 && kept_numbers() + 1 < numbers()) {
        rollover();
        number = take_next();
        kassert(number != 0);
    }
    __atomic_store_n(&s->seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->stale, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->asid, generation << ASID_NUMBER_BITS | number, __ATOMIC_RELAXED);
}

void asid_pin(struct space *s)
{
    LIST_INSERT_HEAD(&pinned_spaces, s, pinned_link);
}

void asid_unpin(struct space *s)
{
    LIST_REMOVE(s, pinned_link);
}

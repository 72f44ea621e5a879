/*
 * A client goes on elsewhere, with its registers put aside in its own memory (CALL_REPLY_PUSH), or
 * with registers that it has there (CALL_REPLY_POP): what a process personality does around each
 * signal handler, in one visit to the kernel instead of five.
 *
 * Never by the queues. The client's event is on the straight path of this hart, so its registers
 * are in x[] and nobody else looks at them; its space is locked for the copy as for any other, but
 * by one attempt. Whatever is not so is refused with nothing changed, and the caller has the calls
 * that take the slow path (thread_regs, space_copy, reply_send).
 *
 * The caller's s0..s11 pass to the client, as a message does, so the functions end in
 * resume_message() with nothing left to do.
 *
 * What is plain comes first, in functions that keep nothing on the stack: the frame lies in one
 * page, below the leaf table that the client's last frame was below. What is not goes to the
 * functions that ask again from the start, which also find errors and remember the leaf table.
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "kernel/cap.h"
#include "kernel/space.h"
#include "kernel/straight.h"
#include <string.h>

#define REGS_BYTES sizeof(struct user_regs)

static __attribute__((noinline)) bool refused(struct thread *w, long error)
{
    struct hart *h = this_hart();

    hart_idle(h);
    h->current = w;
    w->state = THREAD_RUNNING;
    w->x[10] = (uint64_t)-error;
    count(h, COUNT_trap_slow);
    count(h, COUNT_call_error);
    return false;
}

/*
 * The client's space, locked, if w may copy there and the client's event is on the straight path.
 * Inside hart_busy(). NULL with *error.
 */
static inline struct space *client_space(struct thread *w, uint64_t slot, long *error)
{
    struct thread *c = w->client;

    *error = ERR_STATE;
    if (unlikely(c->state != THREAD_CALL && c->state != THREAD_FORWARDED) || w->attention)
        return NULL;
    struct cap *cap = cap_lookup(w, slot, CAP_SPACE, RIGHT_COPY, error);
    if (unlikely(!cap))
        return NULL;
    struct space *s = cap->object;
    *error = ERR_ARGUMENT;
    if (unlikely(s != c->space))
        return NULL;
    *error = ERR_AGAIN;
    return likely(space_trylock(s)) ? s : NULL;
}

/* The client's memory [address, address + bytes), which touches one page or two neighbours. */
struct part {
    uint8_t *low, *high; /* at address; at the beginning of the second page */
    uint64_t low_bytes;
};

static inline bool part_find(struct space *s, vaddr_t address, uint64_t bytes, bool write,
                             struct part *part)
{
    part->low_bytes = PAGE_BYTES - address % PAGE_BYTES;
    part->low = user_page(s, address, write);
    part->high = part->low;
    if (bytes > part->low_bytes)
        part->high = user_page(s, address + part->low_bytes, write);
    return likely(part->low && part->high);
}

static inline uint64_t *part_word(const struct part *part, uint64_t offset)
{
    return (uint64_t *)(offset < part->low_bytes ? part->low + offset
                                                 : part->high + (offset - part->low_bytes));
}

static void regs_store(const struct part *part, uint64_t offset, const uint64_t x[32])
{
    for (unsigned i = 0; i < 32; i++)
        *part_word(part, offset + 8 * i) = x[i];
}

static void regs_load(const struct part *part, uint64_t x[32])
{
    for (unsigned i = 0; i < 32; i++)
        x[i] = *part_word(part, 8 * i);
}

/* Both answer 0 or ERR_x; the client's registers are as they shall be, or nothing has changed. They
 * are functions of their own so that nothing of theirs is left when the client is resumed. */
static __attribute__((noinline)) long push(struct thread *w, uint64_t slot, uint64_t address,
                                           uint64_t bytes, uint64_t offset)
{
    struct thread *c = w->client;
    struct part part;
    long error;

    if (unlikely((address | offset) & 7))
        return ERR_ALIGN;
    if (unlikely(bytes > PAGE_BYTES || offset > PAGE_BYTES || offset + REGS_BYTES > bytes))
        return ERR_RANGE;
    struct space *s = client_space(w, slot, &error);
    if (unlikely(!s))
        return error;
    bool there = part_find(s, address, bytes, true, &part);
    if (likely(there))
        regs_store(&part, offset, c->x);
    space_unlock(s);
    return likely(there) ? 0 : ERR_ADDRESS;
}

static __attribute__((noinline)) long pop(struct thread *w, uint64_t slot, uint64_t address)
{
    struct part part;
    long error;

    if (unlikely(address & 7))
        return ERR_ALIGN;
    struct space *s = client_space(w, slot, &error);
    if (unlikely(!s))
        return error;
    bool there = part_find(s, address, REGS_BYTES, false, &part);
    if (likely(there))
        regs_load(&part, w->client->x);
    space_unlock(s);
    return likely(there) ? 0 : ERR_ADDRESS;
}

static __attribute__((noinline)) bool reply_push_full(uint64_t space, uint64_t address,
                                                      uint64_t bytes, uint64_t offset, uint64_t pc,
                                                      uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    (void)a5;
    long error = push(w, space, address, bytes, offset);
    if (unlikely(error))
        return refused(w, error);
    (void)space_leaf_look(c, &c->aside, address, true);
    c->x[0] = pc;
    c->x[2] = address;
    w->client = NULL;
    hart_idle(this_hart());
    return resume_message(c, 0);
}

static __attribute__((noinline)) bool reply_pop_full(uint64_t space, uint64_t address, uint64_t a2,
                                                     uint64_t a3, uint64_t a4, uint64_t a5,
                                                     struct thread *w)
{
    struct thread *c = w->client;

    (void)a2, (void)a3, (void)a4, (void)a5;
    long error = pop(w, space, address);
    if (unlikely(error))
        return refused(w, error);
    (void)space_leaf_look(c, &c->aside, address, true);
    w->client = NULL;
    return resume_full(c);
}

/* The client's space, locked; NULL: ask in full. */
static inline struct space *plain_space(const struct thread *w, const struct thread *c,
                                        uint64_t slot)
{
    if (unlikely(c->state != THREAD_CALL && c->state != THREAD_FORWARDED) || w->attention)
        return NULL;
    struct space *s = straight_space(w, slot, RIGHT_COPY);
    return likely(s && s == c->space) && likely(space_trylock(s)) ? s : NULL;
}

/* The memory at `address`, if it lies below the leaf table that c has cached for it, and the page's
 * entry has all of `need`; NULL: look in full. The space is locked. */
static inline uint64_t *plain_memory(const struct thread *c, vaddr_t address, uint64_t need)
{
    if (unlikely(!leaf_cached(&c->aside, address)))
        return NULL;
    uint64_t entry = slot_load(leaf_cached_slot(&c->aside, address));
    pfn_t page = entry_page(entry);
    if (unlikely(need & ~entry) || unlikely(entry & ENTRY_N) || unlikely(page < memory_first_page))
        return NULL;
    return (uint64_t *)((uint8_t *)page_to_virt(page) + address % PAGE_BYTES);
}

static inline void regs_copy(uint64_t *to, const uint64_t *from)
{
#pragma GCC unroll 4
    for (unsigned i = 0; i < 32; i += 8) {
        to[i] = from[i], to[i + 1] = from[i + 1], to[i + 2] = from[i + 2], to[i + 3] = from[i + 3];
        to[i + 4] = from[i + 4], to[i + 5] = from[i + 5], to[i + 6] = from[i + 6];
        to[i + 7] = from[i + 7];
    }
}

bool reply_push(uint64_t space, uint64_t address, uint64_t bytes, uint64_t offset, uint64_t pc,
                uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    hart_busy(this_hart());
    if (unlikely((address | offset) & 7) || unlikely(bytes - REGS_BYTES > PAGE_BYTES) ||
        unlikely(offset > bytes - REGS_BYTES) ||
        unlikely(address % PAGE_BYTES + bytes > PAGE_BYTES))
        return reply_push_full(space, address, bytes, offset, pc, a5, w);
    struct space *s = plain_space(w, c, space);
    if (unlikely(!s))
        return reply_push_full(space, address, bytes, offset, pc, a5, w);
    uint64_t *to = plain_memory(c, address, ENTRY_ALWAYS | ENTRY_W | ENTRY_D);
    if (likely(to))
        regs_copy(to + offset / sizeof(uint64_t), c->x);
    straight_unlock(s);
    if (unlikely(!to))
        return reply_push_full(space, address, bytes, offset, pc, a5, w);
    c->x[0] = pc;
    c->x[2] = address;
    w->client = NULL;
    hart_idle(this_hart());
    return resume_message(c, 0);
}

bool reply_pop(uint64_t space, uint64_t address, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
               struct thread *w)
{
    struct thread *c = w->client;

    hart_busy(this_hart());
    if (unlikely(address & 7) || unlikely(address % PAGE_BYTES > PAGE_BYTES - REGS_BYTES))
        return reply_pop_full(space, address, a2, a3, a4, a5, w);
    struct space *s = plain_space(w, c, space);
    if (unlikely(!s))
        return reply_pop_full(space, address, a2, a3, a4, a5, w);
    const uint64_t *from = plain_memory(c, address, ENTRY_ALWAYS);
    if (likely(from))
        regs_copy(c->x, from);
    straight_unlock(s);
    if (unlikely(!from))
        return reply_pop_full(space, address, a2, a3, a4, a5, w);
    w->client = NULL;
    return resume_full(c);
}

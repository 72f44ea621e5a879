/*
 * A client goes on elsewhere, with its registers put aside in its own memory (CALL_REPLY_PUSH), or
 * with registers that it has there (CALL_REPLY_POP): what a process personality does around each
 * signal handler, in one visit to the kernel instead of five.
 *
 * Straight only. The client's event is on the straight path of this hart, so its registers are in
 * x[] and nobody else looks at them; its space is locked for the copy as for any other, but by one
 * attempt. Whatever is not so is refused with nothing changed, and the caller has the calls that
 * take the slow path (thread_regs, space_copy, reply_send).
 *
 * The caller's s0..s11 pass to the client, as a message does, so the functions end in
 * resume_message() with nothing left to do.
 */
#include "kernel/ipc.h"
#include "arch/arch.h"
#include "kernel/cap.h"
#include "kernel/space.h"
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

static inline bool in_one_page(const struct part *part, uint64_t offset)
{
    return offset + REGS_BYTES <= part->low_bytes || offset >= part->low_bytes;
}

static inline void regs_store(const struct part *part, uint64_t offset, const uint64_t x[32])
{
    if (likely(in_one_page(part, offset))) {
        uint64_t *to = part_word(part, offset);
        for (unsigned i = 0; i < 32; i += 8) {
            to[i] = x[i], to[i + 1] = x[i + 1], to[i + 2] = x[i + 2], to[i + 3] = x[i + 3];
            to[i + 4] = x[i + 4], to[i + 5] = x[i + 5], to[i + 6] = x[i + 6], to[i + 7] = x[i + 7];
        }
        return;
    }
    for (unsigned i = 0; i < 32; i++)
        *part_word(part, offset + 8 * i) = x[i];
}

static inline void regs_load(const struct part *part, uint64_t x[32])
{
    if (likely(in_one_page(part, 0))) {
        const uint64_t *from = (const uint64_t *)part->low;
        for (unsigned i = 0; i < 32; i += 8) {
            x[i] = from[i], x[i + 1] = from[i + 1], x[i + 2] = from[i + 2], x[i + 3] = from[i + 3];
            x[i + 4] = from[i + 4], x[i + 5] = from[i + 5], x[i + 6] = from[i + 6];
            x[i + 7] = from[i + 7];
        }
        return;
    }
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

bool reply_push(uint64_t space, uint64_t address, uint64_t bytes, uint64_t offset, uint64_t pc,
                uint64_t a5, struct thread *w)
{
    struct thread *c = w->client;

    (void)a5;
    hart_busy(this_hart());
    long error = push(w, space, address, bytes, offset);
    if (unlikely(error))
        return refused(w, error);
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

    (void)a2, (void)a3, (void)a4, (void)a5;
    hart_busy(this_hart());
    long error = pop(w, space, address);
    if (unlikely(error))
        return refused(w, error);
    w->client = NULL;
    return resume_full(c);
}

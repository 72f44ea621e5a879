/*
 * A bounded ring of bytes: what is in a pipe or on its way to a socket.
 *
 * Its memory grows as it fills, by doubling, up to its limit, and a ring that has run empty begins
 * at its start again: one that carries short messages stays in its first page. Big lock held in all
 * functions.
 */
#ifndef LINUX_RING_H
#define LINUX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct space;

struct ring {
    char *data;
    uint32_t bytes;      /* of data: a power of two, or 0 */
    uint32_t limit;      /* the most that it holds: a power of two, at least a page */
    uint32_t head, tail; /* counts, ever growing; index modulo `bytes` */
};

void ring_init(struct ring *ring, uint32_t limit);
void ring_free(struct ring *ring);
static inline size_t ring_filled(const struct ring *ring)
{
    return ring->tail - ring->head;
}
static inline size_t ring_room(const struct ring *ring)
{
    return ring->limit - ring_filled(ring);
}
/* Another limit, not below what is in it; false if its memory cannot follow. */
bool ring_set_limit(struct ring *ring, uint32_t limit);
/* Have memory for so many bytes more, of ring_room(): false if there is none. */
bool ring_reserve(struct ring *ring, size_t bytes);

/* From a client's memory, as many as there is room for: bytes; -EFAULT, -ENOMEM if none. */
long ring_write(struct ring *ring, struct space *space, uint64_t address, size_t bytes);
/* To a client's memory, from the byte at `from` on; they stay in the ring. Bytes, short at a fault.
 */
size_t ring_copy_out(const struct ring *ring, size_t from, struct space *space, uint64_t address,
                     size_t bytes);
/* Bytes of our own; room is reserved, or they are there. */
void ring_put(struct ring *ring, const void *data, size_t bytes);
void ring_peek(const struct ring *ring, size_t from, void *data, size_t bytes);
/* The first so many go. */
void ring_drop(struct ring *ring, size_t bytes);
/* Undo the last so many. */
void ring_unput(struct ring *ring, size_t bytes);
/* The longest piece in one place from `from` on, of at most `bytes`; its length. */
size_t ring_piece(const struct ring *ring, size_t from, size_t bytes, const char **piece);

#endif

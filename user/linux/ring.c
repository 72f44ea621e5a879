/* Rings of bytes (see ring.h). */
#include "user/linux/ring.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/lock.h"
#include "user/linux/space.h"

#define FIRST_BYTES 4096

void ring_init(struct ring *ring, uint32_t limit)
{
    *ring = (struct ring){.limit = limit};
}

void ring_free(struct ring *ring)
{
    free(ring->data);
    *ring = (struct ring){0};
}

/* Move to memory of that size, which holds what is in it. */
static bool resize(struct ring *ring, uint32_t bytes)
{
    size_t filled = ring_filled(ring);
    char *data = malloc(bytes);

    if (!data)
        return false;
    if (filled)
        ring_peek(ring, 0, data, filled);
    free(ring->data);
    ring->data = data;
    ring->bytes = bytes;
    ring->head = 0;
    ring->tail = (uint32_t)filled;
    return true;
}

bool ring_set_limit(struct ring *ring, uint32_t limit)
{
    linux_assert(limit >= ring_filled(ring) && limit >= FIRST_BYTES);
    if (ring->bytes > limit && !resize(ring, limit))
        return false;
    ring->limit = limit;
    return true;
}

bool ring_reserve(struct ring *ring, size_t bytes)
{
    size_t wanted = ring_filled(ring) + bytes;
    uint32_t size = ring->bytes ? ring->bytes : FIRST_BYTES;

    if (wanted <= ring->bytes)
        return true;
    linux_assert(wanted <= ring->limit);
    while (size < wanted)
        size *= 2;
    return resize(ring, size);
}

size_t ring_piece(const struct ring *ring, size_t from, size_t bytes, const char **piece)
{
    size_t index = (ring->head + from) & (ring->bytes - 1);

    *piece = ring->data + index;
    return bytes < ring->bytes - index ? bytes : ring->bytes - index;
}

long ring_write(struct ring *ring, struct space *space, uint64_t address, size_t bytes)
{
    size_t done = 0;

    if (bytes > ring_room(ring))
        bytes = ring_room(ring);
    if (!ring_reserve(ring, bytes)) {
        bytes = ring->bytes - ring_filled(ring);
        if (!bytes)
            return -LINUX_ENOMEM;
    }
    while (done < bytes) {
        const char *to;
        size_t part = ring_piece(ring, ring_filled(ring), bytes - done, &to);
        size_t copied = copy_in_some(space, (void *)(uintptr_t)to, address + done, part);
        ring->tail += (uint32_t)copied;
        done += copied;
        if (copied < part)
            return done ? (long)done : -LINUX_EFAULT;
    }
    return (long)done;
}

size_t ring_copy_out(const struct ring *ring, size_t from, struct space *space, uint64_t address,
                     size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        const char *piece;
        size_t part = ring_piece(ring, from + done, bytes - done, &piece);
        size_t copied = copy_out_some(space, address + done, piece, part);
        done += copied;
        if (copied < part)
            break;
    }
    return done;
}

void ring_put(struct ring *ring, const void *data, size_t bytes)
{
    size_t done = 0;

    linux_assert(bytes <= ring->bytes - ring_filled(ring));
    while (done < bytes) {
        const char *to;
        size_t part = ring_piece(ring, ring_filled(ring), bytes - done, &to);
        memcpy((void *)(uintptr_t)to, (const char *)data + done, part);
        ring->tail += (uint32_t)part;
        done += part;
    }
}

void ring_peek(const struct ring *ring, size_t from, void *data, size_t bytes)
{
    size_t done = 0;

    linux_assert(from + bytes <= ring_filled(ring));
    while (done < bytes) {
        const char *piece;
        size_t part = ring_piece(ring, from + done, bytes - done, &piece);
        memcpy((char *)data + done, piece, part);
        done += part;
    }
}

void ring_drop(struct ring *ring, size_t bytes)
{
    linux_assert(bytes <= ring_filled(ring));
    ring->head += (uint32_t)bytes;
    if (ring->head == ring->tail)
        ring->head = ring->tail = 0;
}

void ring_unput(struct ring *ring, size_t bytes)
{
    linux_assert(bytes <= ring_filled(ring));
    ring->tail -= (uint32_t)bytes;
}

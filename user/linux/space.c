/* Client address spaces (see space.h). Their Space capabilities follow the threads' Reply slots. */
#include "user/linux/space.h"

#include <stdbool.h>
#include <string.h>

#include "user/linux/abi.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/mmcall.h"
#include "user/linux/oom.h"
#include "user/linux/process.h"
#include "user/linux/time.h"

/* Each process has one, and an execve that waits has one more. */
#define SPACES_MAX MACHINE_SPACES

#define PAGE_BYTES   4096UL
#define COPY_RETRIES 3

/* Calls of the memory server, each of which releases at most 4,096 pages, in one part. */
#define RELEASE_CALLS             5
#define RELEASE_PAUSES_PER_SECOND 50000 /* a pause is 20 us */

struct space own_space; /* mm 0 is the memory server's number for the caller */
static struct space spaces[SPACES_MAX];
static uint64_t last_serial;

static struct space *make(const struct space *of, long *error)
{
    struct space *space = spaces;

    while (space < spaces + SPACES_MAX && space->users)
        space++;
    if (space == spaces + SPACES_MAX) {
        *error = -LINUX_EAGAIN;
        return NULL;
    }
    unsigned slot = MACHINE_SLOT_SPACES + (unsigned)(space - spaces);
    long mm = of ? mmcall_fork(of->mm, slot) : mmcall_create(slot);
    if (mm <= 0) {
        *error = mm ? mm : -LINUX_ENOMEM;
        return NULL;
    }
    *space = (struct space){.users = 1, .slot = slot, .mm = (uint64_t)mm, .serial = ++last_serial};
    return space;
}

struct space *space_create(long *error)
{
    return make(NULL, error);
}

struct space *space_fork(const struct space *of, long *error)
{
    struct space *space = make(of, error);

    if (space)
        space->trampoline = of->trampoline;
    return space;
}

void space_get(struct space *space)
{
    linux_assert(space->users > 0);
    space->users++;
}

bool space_put_part(struct space *space)
{
    long error = -LINUX_EAGAIN;

    linux_assert(space->users > 0);
    if (space->users > 1) {
        space->users--;
        return true;
    }
    for (unsigned i = 0; i < RELEASE_CALLS && error == -LINUX_EAGAIN; i++)
        error = mmcall_release(space->mm);
    if (error == -LINUX_EAGAIN)
        return false;
    linux_assert(error == 0);
    space->users = 0;
    /* The server takes the capability back with the space; what it left would be ours to drop. */
    kcall_cap_delete(space->slot);
    return true;
}

uint64_t space_next_part(void)
{
    return time_after(time_hz() / RELEASE_PAUSES_PER_SECOND);
}

static void release_rest(struct timer *timer)
{
    space_put((void *)((char *)timer - offsetof(struct space, release)));
}

void space_put(struct space *space)
{
    if (space_put_part(space))
        return;
    space->release.expire = release_rest;
    timer_set(&space->release, space_next_part());
}

/* Make the local page present: the kernel's copy does not fault for either side. */
static void local_touch(const char *local, bool write)
{
    volatile char *byte = (volatile char *)(uintptr_t)local;

    if (write)
        *byte = *byte;
    else
        (void)*byte;
}

static size_t copy_some(struct space *space, uint64_t address, const char *local, size_t bytes,
                        unsigned direction)
{
    bool to_client = direction == COPY_TO_SPACE;
    size_t done = 0;

    if (space == &own_space) {
        memcpy(to_client ? (char *)address : (char *)(uintptr_t)local,
               to_client ? local : (const char *)address, bytes);
        return bytes;
    }
    unsigned retries = 0;

    while (done < bytes) {
        size_t part = bytes - done < COPY_MAX_BYTES ? bytes - done : COPY_MAX_BYTES;
        long copied = kcall_space_copy(space->slot, address + done, local + done, part, direction);
        if (copied < 0)
            break;
        done += (size_t)copied;
        if ((size_t)copied == part) {
            retries = 0;
            continue;
        }
        if (copied > 0)
            retries = 0;
        else if (++retries > COPY_RETRIES)
            break;
        local_touch(local + done, !to_client);
        long error = mmcall_fault_in(space->mm, address + done, 1, to_client);
        if (error == -LINUX_ENOMEM)
            oom_note();
        if (error)
            break;
    }
    return done;
}

size_t copy_in_some(struct space *space, void *to, uint64_t from, size_t bytes)
{
    return copy_some(space, from, to, bytes, COPY_FROM_SPACE);
}

size_t copy_out_some(struct space *space, uint64_t to, const void *from, size_t bytes)
{
    return copy_some(space, to, from, bytes, COPY_TO_SPACE);
}

long copy_in(struct space *space, void *to, uint64_t from, size_t bytes)
{
    return copy_in_some(space, to, from, bytes) == bytes ? 0 : -LINUX_EFAULT;
}

long copy_out(struct space *space, uint64_t to, const void *from, size_t bytes)
{
    return copy_out_some(space, to, from, bytes) == bytes ? 0 : -LINUX_EFAULT;
}

/* Page by page, so that a string that ends before a hole is read without touching the hole. */
long copy_in_string(struct space *space, char *to, uint64_t from, size_t room)
{
    size_t done = 0;

    while (done < room) {
        size_t part = PAGE_BYTES - (from + done) % PAGE_BYTES;
        if (part > room - done)
            part = room - done;
        size_t copied = copy_in_some(space, to + done, from + done, part);
        const char *end = __builtin_memchr(to + done, 0, copied);
        if (end)
            return end - to;
        if (copied < part)
            return -LINUX_EFAULT;
        done += part;
    }
    return -LINUX_ENAMETOOLONG;
}

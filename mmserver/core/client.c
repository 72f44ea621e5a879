/*
 * Life of a client thread: object made, space, routes, mask, priority, hart and registers set,
 * started; stopped and deleted. The routes are set after the space: a thread never has the server's
 * route together with a space that the server did not choose.
 */
#include "mmserver/core/client.h"
#include "mmserver/core/ids.h"
#include "mmserver/core/kobj.h"
#include "mmserver/core/linux_abi.h"
#include "mmserver/core/caches.h"
#include <string.h>

struct client *client_slots[CLIENTS_MAX];
static uint8_t client_used_in[CLIENTS_MAX / ID_GROUP];
static struct id_table client_ids;
static uint64_t client_generation;

#define MASK_BIT(word, nr) ((nr) / 64 == (word) ? 1UL << ((nr)&63) : 0)
#define MASK_WORD(word)                                                                        \
    (MASK_BIT(word, NR_brk) | MASK_BIT(word, NR_munmap) | MASK_BIT(word, NR_mremap) |          \
     MASK_BIT(word, NR_mmap) | MASK_BIT(word, NR_mprotect) | MASK_BIT(word, NR_msync) |        \
     MASK_BIT(word, NR_mlock) | MASK_BIT(word, NR_munlock) | MASK_BIT(word, NR_mlockall) |     \
     MASK_BIT(word, NR_munlockall) | MASK_BIT(word, NR_mincore) | MASK_BIT(word, NR_madvise) | \
     MASK_BIT(word, NR_riscv_flush_icache) | MASK_BIT(word, NR_membarrier) |                   \
     MASK_BIT(word, NR_mlock2) | MASK_BIT(word, NR_mbind) | MASK_BIT(word, NR_get_mempolicy) | \
     MASK_BIT(word, NR_set_mempolicy) | MASK_BIT(word, NR_migrate_pages) |                     \
     MASK_BIT(word, NR_set_mempolicy_home_node))

uint64_t client_call_mask[8] = {
    MASK_WORD(0), MASK_WORD(1), MASK_WORD(2), MASK_WORD(3),
    MASK_WORD(4), MASK_WORD(5), MASK_WORD(6), MASK_WORD(7),
};

void client_ids_init(void)
{
    memset(client_slots, 0, sizeof client_slots);
    for (uint32_t i = 0; i < worker_count; i++)
        workers[i].clients = client_slots;
    memset(client_used_in, 0, sizeof client_used_in);
    client_ids = (struct id_table){(void **)client_slots, client_used_in, 1, CLIENTS_MAX, 0, 0};
}

static long client_configure(struct client *c, const struct client_route *route)
{
    long error = place_thread_set(c->slot, THREAD_HART, c->hart, 0);

    if (!error)
        error = place_thread_set(c->slot, THREAD_SPACE, c->mm->space_slot, 0);
    if (!error)
        error = place_thread_set(c->slot, THREAD_PAGER, SLOT_ENDPOINT, c->tag);
    if (!error && route->endpoint_slot)
        error = place_thread_set(c->slot, THREAD_PERSONALITY, route->endpoint_slot, route->badge);
    for (unsigned word = 0; !error && word < ARRAY_COUNT(client_call_mask); word++) {
        if (client_call_mask[word])
            error = place_thread_set(c->slot, THREAD_CALL_MASK, word, client_call_mask[word]);
    }
    return error ? error : place_thread_set(c->slot, THREAD_PRIORITY, c->priority, 0);
}

static bool client_number(struct client *c, struct mm *mm)
{
    lock_take(&ids_lock);
    c->id = id_take_locked(&client_ids, c);
    if (c->id) {
        c->tag = ++client_generation << CLIENT_TAG_SHIFT | c->id;
        mm->clients++;
        c->busy = 1; /* for the maker, dropped when it is complete */
    }
    lock_drop(&ids_lock);
    return c->id != 0;
}

/* Its tag is gone or its mm changed: wait until no other worker still works with what was. */
static void client_quiesce(struct worker *w, struct client *c)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < worker_count; i++) {
        while (&workers[i] != w && __atomic_load_n(&workers[i].serving, __ATOMIC_ACQUIRE) == c)
            place_relax();
    }
}

/* Nobody finds it by number any more: end it. It is stopped. */
static void client_free(struct worker *w, struct client *c)
{
    struct mm *mm = c->mm;

    __atomic_store_n(&c->tag, 0, __ATOMIC_RELAXED);
    client_quiesce(w, c);
    mm_assert(kobj_destroy(w, CAP_THREAD, 0, c->slot, c->object_page));
    slab_free(w, client_cache, c);
    lock_take(&ids_lock);
    mm->clients--;
    lock_drop(&ids_lock);
}

/* Floating-point registers like those of the client of that number, if any is named. */
static long client_fp_like(const struct client *c, uint64_t id)
{
    struct client *like = id ? client_get(id) : NULL;

    if (!id)
        return 0;
    long error = like ? place_thread_set(c->slot, THREAD_FP, like->slot, 0) : -ERR_EMPTY;
    if (like)
        client_put(like);
    return error;
}

long client_create(struct worker *w, struct mm *mm, const struct mm_thread *wanted,
                   const struct client_route *route, struct client **made)
{
    struct client *c = slab_zalloc(w, client_cache);
    struct user_regs regs = wanted->regs;

    if (!c)
        return -LINUX_ENOMEM;
    c->mm = mm;
    c->hart = (uint32_t)wanted->hart;
    c->priority = (uint32_t)wanted->priority;
    c->badge = wanted->badge;
    if (kobj_create(w, CAP_THREAD, 0, &c->slot, &c->object_page))
        goto no_thread;
    if (!client_number(c, mm))
        goto no_number;
    if (client_configure(c, route) || place_thread_regs(c->slot, &regs, true) ||
        client_fp_like(c, wanted->like))
        goto refused;
    mm_count(w, client_created);
    *made = c;
    client_put(c);
    return 0;

refused:
    lock_take(&ids_lock);
    id_drop_locked(&client_ids, c->id);
    lock_drop(&ids_lock);
    client_free(w, c);
    return -LINUX_ENOMEM;
no_number:
    mm_assert(kobj_destroy(w, CAP_THREAD, 0, c->slot, c->object_page));
no_thread:
    slab_free(w, client_cache, c);
    return -LINUX_ENOMEM;
}

struct client *client_get(uint64_t id)
{
    lock_take(&ids_lock);
    struct client *c = id_find_locked(&client_ids, id);
    if (c)
        c->busy++;
    lock_drop(&ids_lock);
    return c;
}

void client_put(struct client *c)
{
    lock_take(&ids_lock);
    mm_assert(c->busy);
    c->busy--;
    lock_drop(&ids_lock);
}

uint64_t client_next_id(uint64_t id)
{
    lock_take(&ids_lock);
    id = id_next_locked(&client_ids, id);
    lock_drop(&ids_lock);
    return id;
}

long client_stop(struct client *c)
{
    long error = place_thread_stop(c->slot);

    if (error == -ERR_AGAIN)
        return -LINUX_EAGAIN;
    if (error)
        return -LINUX_EBUSY;
    c->state = CLIENT_STOPPED;
    return 0;
}

long client_destroy(struct worker *w, struct client *c)
{
    long error = client_stop(c);

    if (error)
        return error;
    lock_take(&ids_lock);
    bool busy = c->busy != 1;
    if (!busy)
        id_drop_locked(&client_ids, c->id);
    lock_drop(&ids_lock);
    if (busy)
        return -LINUX_EAGAIN;
    client_free(w, c);
    return 0;
}

long client_destroy_native(struct worker *w, struct mm *mm)
{
    for (uint64_t id = client_next_id(0); id && mm->clients; id = client_next_id(id)) {
        struct client *c = client_get(id);

        if (!c)
            continue;
        long error = c->mm == mm && c->native ? client_destroy(w, c) : -LINUX_EINVAL;
        if (error)
            client_put(c);
        if (error == -LINUX_EAGAIN)
            return error;
    }
    return 0;
}

long client_move(struct worker *w, struct client *c, struct mm *mm,
                 const struct client_route *route)
{
    struct mm *old = c->mm;

    /* A thread's routes do not follow it into another space by themselves. */
    if (place_thread_set(c->slot, THREAD_SPACE, mm->space_slot, 0) ||
        place_thread_set(c->slot, THREAD_PAGER, SLOT_ENDPOINT, c->tag) ||
        place_thread_set(c->slot, THREAD_PERSONALITY, route->endpoint_slot, route->badge) ||
        place_thread_set(c->slot, THREAD_FP, 0, 0)) /* a new program starts clean */
        return -LINUX_EBUSY;
    lock_take(&ids_lock);
    c->mm = mm;
    mm->clients++;
    lock_drop(&ids_lock);
    client_quiesce(w, c);
    lock_take(&ids_lock);
    old->clients--;
    lock_drop(&ids_lock);
    return 0;
}

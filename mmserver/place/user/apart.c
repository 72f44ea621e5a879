/*
 * What the straight paths and batches are compared with; nothing of it is in use otherwise.
 *
 *   messages=plain   the kernel delivers every event through its queues; a fault is answered by a
 *                    mapping call, and then by a plain reply
 *   batches=off      each operation is a call of its own, for one page
 *
 * Which entries a worker has is chosen when it is bound, so the straight paths do not know of this.
 *
 * A batch taken apart is as good as a whole one to its sender, but for three things: what it took
 * away is fenced page by page, a run of BATCH_MOVE that fails has moved some pages, and copying a
 * leaf table for fork stays one operation: there is nothing smaller to ask for.
 */
#include "mmserver/place/user/apart.h"
#include "mmserver/core/fault.h"
#include "mmserver/core/place.h"
#include "mmserver/place/place_server.h"
#include <string.h>

bool place_batches_off;
static bool answers_plain;

bool place_apart(bool plain, bool single)
{
    answers_plain = plain;
    place_batches_off = single;
    return true;
}

const char *apart_entry(void)
{
    extern const char worker_entry[], worker_entry_apart[], worker_entry_plain[];

    return answers_plain       ? worker_entry_plain
           : place_batches_off ? worker_entry_apart
                               : worker_entry;
}

/* Page `i` of operation `op` as an operation of its own. */
static struct batch_op op_part(const struct batch_page *page, const struct batch_op *op, uint32_t i)
{
    uint64_t pages = (uint64_t)i << TABLE_SHIFT * op->level;
    struct batch_op part = *op;

    part.count = 1;
    part.address += pages << PAGE_SHIFT;
    if (op->code == BATCH_MAP)
        part.entry += pages << ENTRY_PAGE_SHIFT;
    if (op->code == BATCH_MOVE)
        part.extra += pages << PAGE_SHIFT;
    if (op->code == BATCH_MAP_LIST) {
        part.code = BATCH_MAP;
        part.entry = page->result[op->extra + i];
        part.extra = 0;
    }
    return part;
}

/* Entries that operations kept so far. The kernel writes each to word 0, which is the first's. */
struct kept {
    uint64_t first;
    uint32_t count;
};

static void kept_add(struct kept *k, struct batch_page *page)
{
    if (k->count)
        page->result[k->count] = page->result[0];
    else
        k->first = page->result[0];
    k->count++;
}

/* What `op` asks for, call by call. 0 or -ERR_x. */
static long op_apart(struct batch_page *page, struct batch_op *op, uint64_t space, struct kept *k)
{
    uint32_t parts = op->code == BATCH_COPY_TABLE ? 1 : op->count, done = 0;
    long performed = 1, stopped = 0;

    for (uint32_t i = 0; i < parts && performed == 1; i++) {
        page->op[0] = parts == 1 ? *op : op_part(page, op, i);
        performed = place_batch_whole(space, 1, &stopped);
        done += page->op[0].done;
        if (performed == 1 && op->flags & BATCH_KEEP && page->op[0].done)
            kept_add(k, page);
    }
    op->done = done;
    return performed == 1 ? 0 : performed < 0 ? performed : stopped;
}

static struct worker *this_worker(void)
{
    struct worker *w;

    __asm__ volatile("mv %0, tp" : "=r"(w));
    return w;
}

long place_batch_apart(uint64_t space, uint64_t count, long *stopped)
{
    struct worker *w = this_worker();

    if (!w || (count == 1 && w->ops->op[0].count == 1)) /* the start; nothing to take apart */
        return place_batch_whole(space, count, stopped);
    struct batch_op op[BATCH_OPS_MAX];
    struct kept kept = {0};
    uint64_t i = 0;

    memcpy(op, w->ops->op, count * sizeof op[0]);
    *stopped = 0;
    while (i < count && !(*stopped = op_apart(w->ops, &op[i], space, &kept)))
        i++;
    memcpy(w->ops->op, op, count * sizeof op[0]);
    if (kept.count)
        w->ops->result[0] = kept.first;
    return (long)i;
}

struct answer apart_answer(uint64_t value, uint64_t how, struct worker *w);
struct answer apart_answer(uint64_t value, uint64_t how, struct worker *w)
{
    struct answer a = answer_of(value, how);

    if (answer_kind(a) == ANSWER_CALL) {
        long stopped;

        mm_assert(place_batch(answer_second(a), w->batch_ops, &stopped) == (long)w->batch_ops);
        __atomic_store_n(&w->ops->op[0].finished, 1, __ATOMIC_RELEASE);
        a = answer_make(ANSWER_REPLY, answer_value(a), 0);
    }
    while (answer_kind(a) == ANSWER_BATCH) {
        uint32_t count = answer_second(a);
        long stopped, done = place_batch(answer_value(a), count, &stopped);

        a = done == (long)count ? answer_make(ANSWER_REPLY, 0, 0)
                                : batch_reply_failed(w, done, stopped);
    }
    return a;
}

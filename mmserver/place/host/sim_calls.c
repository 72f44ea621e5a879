/*
 * The calls of the simulated kernel: capabilities, objects, threads, copies, and all by number.
 * Batches are in sim_batch.c, the state in sim_kernel.h.
 */
#include "mmserver/core/worker.h"
#include "mmserver/place/host/sim_kernel.h"
#include "mmserver/server/server.h"
#include <pagoda/counter.h>
#include <stdlib.h>
#include <string.h>

#define CAPS_PER_PAGE 64U
#define REVOKE_BUDGET 3U /* small, so that ERR_AGAIN is met */

/* ---- capabilities ---- */

struct sim_table *sim_own_table(void)
{
    return &sim.tables[0];
}

struct sim_cap *sim_cap(uint64_t slot, enum cap_type type)
{
    struct sim_table *t = sim_own_table();

    return slot < t->size && t->cap[slot].type == type ? &t->cap[slot] : NULL;
}

struct sim_object *sim_object(uint64_t slot, enum cap_type type)
{
    struct sim_cap *c = sim_cap(slot, type);

    return c && sim.object[c->object].alive ? &sim.object[c->object] : NULL;
}

static struct sim_table *table_of(uint64_t slot)
{
    if (slot == SELF_TABLE)
        return sim_own_table();
    struct sim_object *o = sim_object(slot, CAP_TABLE);
    return o ? o->entries : NULL;
}

static struct sim_cap *entry_of(uint64_t table, uint64_t index)
{
    struct sim_table *t = table_of(table);

    return t && index < t->size ? &t->cap[index] : NULL;
}

static bool has_children(const struct sim_cap *c)
{
    for (unsigned t = 0; t < TABLES_MAX; t++) {
        for (unsigned i = 0; i < sim.tables[t].size; i++) {
            if (sim.tables[t].cap[i].type && sim.tables[t].cap[i].parent == c)
                return true;
        }
    }
    return false;
}

/* ---- objects ---- */

bool sim_injected(void)
{
    sim.calls++;
    if (!sim.fail_call || --sim.fail_call)
        return false;
    sim.failed = true;
    return true;
}

struct sim_table *sim_table_make(uint32_t size, uint32_t object)
{
    for (unsigned i = 0; i < TABLES_MAX; i++) {
        struct sim_table *t = &sim.tables[i];

        if (t->size)
            continue;
        t->cap = calloc(size, sizeof *t->cap);
        t->size = size;
        t->object = object;
        for (uint32_t k = 0; k < size; k++)
            t->cap[k].table = t;
        return t;
    }
    return NULL;
}

uint32_t sim_object_make(enum cap_type type, pfn_t page, uint64_t pages, uint64_t parameter)
{
    uint32_t index = 1;

    while (index < SIM_OBJECTS_MAX && sim.object[index].alive)
        index++;
    mm_assert(index < SIM_OBJECTS_MAX);
    struct sim_object *o = &sim.object[index];
    *o = (struct sim_object){.type = (uint8_t)type, .alive = 1, .page = page, .pages = pages};
    if (type == CAP_SPACE)
        o->root = page + 1;
    if (type == CAP_TABLE && parameter)
        o->entries = sim_table_make((uint32_t)parameter * CAPS_PER_PAGE, index);
    return index;
}

static long call_notification_bind(uint64_t notification, uint64_t thread)
{
    struct sim_object *n = sim_object(notification, CAP_NOTIFICATION);
    struct sim_object *t = sim_object(thread, CAP_THREAD);

    if (!n || !t)
        return -ERR_TYPE;
    n->worker = &workers[t->hart];
    return 0;
}

/* While one worker runs all others are parked, or seem so to it: the other enters at once. */
static long call_signal(uint64_t notification)
{
    struct sim_object *n = sim_object(notification, CAP_NOTIFICATION);

    if (!n || !n->worker)
        return -ERR_TYPE;
    mm_assert(answer_kind(server_signal(n->worker)) == ANSWER_PARK);
    return 0;
}

static long call_object_create(const uint64_t a[6])
{
    struct sim_cap *memory = sim_cap(a[0], CAP_MEMORY);
    struct sim_cap *to = entry_of(SELF_TABLE, a[4]);
    uint64_t pages = a[2] == CAP_SPACE ? 2 : a[2] == CAP_TABLE ? 1 + a[3] : 1;

    if (!memory || !(memory->rights & RIGHT_KEEP) || !to || to->type)
        return -ERR_TYPE;
    if (a[1] >= memory->pages || pages > memory->pages - a[1])
        return -ERR_RANGE;
    pfn_t page = memory->first + a[1];
    for (uint64_t i = 0; i < pages; i++) {
        if (!sim_is_tables(page + i))
            return -ERR_CLASS;
        if (sim.use[page + i - sim.first] != USE_FREE)
            return -ERR_BUSY;
    }
    if (sim_injected())
        return -ERR_LIMIT;
    for (uint64_t i = 0; i < pages; i++) {
        sim.use[page + i - sim.first] = USE_OBJECT;
        memset(page_pointer(page + i), 0, PAGE_BYTES);
    }
    *sim_block(page) -= (int32_t)pages;
    struct sim_table *table = to->table;
    *to = (struct sim_cap){.type = (uint8_t)a[2],
                           .rights = 0xff,
                           .primary = 1,
                           .parent = memory,
                           .table = table,
                           .object = sim_object_make((enum cap_type)a[2], page, pages, a[3])};
    return 0;
}

static long object_destroy(struct sim_object *o)
{
    if (o->type == CAP_SPACE) {
        const uint64_t *root = page_pointer(o->root);

        mm_assert(!o->tables); /* our server empties its spaces first */
        for (unsigned i = 0; i < TABLE_ENTRIES; i++)
            mm_assert(!root[i]);
        for (unsigned i = 1; i < SIM_OBJECTS_MAX; i++)
            mm_assert(!sim.object[i].alive || sim.object[i].type != CAP_THREAD ||
                      &sim.object[sim.object[i].space] != o);
    }
    if (o->type == CAP_TABLE) {
        for (uint32_t i = 0; i < o->entries->size; i++)
            mm_assert(!o->entries->cap[i].type || o->entries->cap[i].primary == 0);
        free(o->entries->cap);
        *o->entries = (struct sim_table){0};
    }
    for (uint64_t i = 0; i < o->pages; i++)
        sim.use[o->page + i - sim.first] = USE_FREE;
    *sim_block(o->page) += (int32_t)o->pages;
    o->alive = 0;
    return 0;
}

static void cap_clear(struct sim_cap *c)
{
    struct sim_table *table = c->table;

    *c = (struct sim_cap){.table = table};
}

static long cap_remove(struct sim_cap *c)
{
    if (has_children(c))
        return -ERR_CHILDREN;
    if (c->primary) {
        struct sim_object *o = &sim.object[c->object];
        long error = object_destroy(o);

        if (error)
            return error;
    }
    cap_clear(c);
    return 0;
}

/* Is c derived from `from`, however far? */
static bool descends(const struct sim_cap *c, const struct sim_cap *from)
{
    for (c = c->parent; c; c = c->parent) {
        if (c == from)
            return true;
    }
    return false;
}

static long cap_revoke(struct sim_cap *from)
{
    unsigned budget = REVOKE_BUDGET;

    for (unsigned t = 0; t < TABLES_MAX; t++) {
        for (unsigned i = 0; i < sim.tables[t].size; i++) {
            struct sim_cap *c = &sim.tables[t].cap[i];

            if (!c->type || !descends(c, from) || has_children(c))
                continue;
            if (!budget--)
                return -ERR_AGAIN;
            long error = cap_remove(c);
            if (error)
                return error;
            t = 0; /* the table may be gone; its parents come later */
            i = (unsigned)-1;
        }
    }
    return has_children(from) ? -ERR_AGAIN : 0;
}

static long call_cap_copy(const uint64_t a[6])
{
    struct sim_cap *from = entry_of(SELF_TABLE, a[0]);
    struct sim_cap *to = entry_of(a[1], a[2]);

    if (!from || !from->type || !to)
        return -ERR_SLOT;
    if (to->type)
        return -ERR_OCCUPIED;
    if (sim_injected())
        return -ERR_LIMIT;
    struct sim_table *table = to->table;
    *to = *from;
    to->table = table;
    to->primary = 0;
    to->parent = from;
    to->rights = from->rights & (uint8_t)a[3];
    if (from->type == CAP_MEMORY) {
        mm_assert(a[4] < from->pages && a[5] <= from->pages - a[4]);
        to->first += a[4];
        to->pages = a[5];
    }
    return 0;
}

static long call_block_class(const uint64_t a[6])
{
    struct sim_cap *memory = sim_cap(a[0], CAP_MEMORY);

    if (!memory || a[1] >= memory->pages || PAGES_PER_BLOCK > memory->pages - a[1])
        return -ERR_RANGE;
    pfn_t page = memory->first + a[1];
    if (page % PAGES_PER_BLOCK)
        return -ERR_ALIGN;
    int32_t *block = sim_block(page);
    if (a[2] == BLOCK_TABLES) {
        if (*block < 0)
            return -ERR_CLASS;
        mm_assert(*block == 0);
        if (sim_injected())
            return -ERR_BUSY;
        *block = -2; /* the directory is in use */
        memset(&sim.use[page - sim.first], USE_FREE, PAGES_PER_BLOCK);
        sim.use[page - sim.first] = USE_DIRECTORY;
        return 0;
    }
    if (*block >= 0)
        return -ERR_CLASS;
    if (*block != -2)
        return -ERR_BUSY;
    *block = 0;
    return 0;
}

/* ---- threads, copies ---- */

static long call_thread_set(const uint64_t a[6])
{
    struct sim_object *t = sim_object(a[0], CAP_THREAD);

    if (!t)
        return -ERR_TYPE;
    if (sim_injected())
        return -ERR_LIMIT;
    switch (a[1]) {
    case THREAD_SPACE:
        if (!sim_object(a[2], CAP_SPACE))
            return -ERR_TYPE;
        t->space = sim_cap(a[2], CAP_SPACE)->object;
        return 0;
    case THREAD_TABLE:
        if (!sim_cap(a[2], CAP_TABLE))
            return -ERR_TYPE;
        return 0;
    case THREAD_PAGER:
        t->pager = true;
        t->pager_badge = a[3];
        return 0;
    case THREAD_PERSONALITY:
        t->personality = true;
        return 0;
    case THREAD_CALL_MASK:
        t->mask[a[2]] = a[3];
        return 0;
    case THREAD_FP:
        return !a[2] || sim_object(a[2], CAP_THREAD) ? 0 : -ERR_TYPE;
    case THREAD_HART:
        t->hart = a[2];
        return a[2] < sim.info.harts ? 0 : -ERR_HART;
    default:
        return 0;
    }
}

/* Bytes from `address` that are mapped as wanted, at most `bytes` and to the end of its page. */
static char *client_bytes(struct sim_object *space, vaddr_t address, bool write, uint64_t *bytes)
{
    uint64_t leaf = address < sim.user_end ? sim_leaf(space, address) : 0;

    if (!(leaf & ENTRY_U) || (write && !(leaf & ENTRY_W)))
        return NULL;
    *bytes = min_u64(*bytes, PAGE_BYTES - (address & PAGE_MASK));
    return (char *)page_pointer(entry_page(leaf)) + (address & PAGE_MASK);
}

static long call_space_copy(const uint64_t a[6])
{
    struct sim_object *space = sim_object(a[0], CAP_SPACE);
    uint64_t done = 0;

    if (!space || a[3] > COPY_MAX_BYTES)
        return -ERR_ARGUMENT;
    while (done < a[3]) {
        uint64_t part = a[3] - done;
        char *local = (char *)(uintptr_t)a[2] + done;
        char *remote = client_bytes(space, a[1] + done, a[4] == COPY_TO_SPACE, &part);

        if (!remote)
            break;
        if (a[4] == COPY_TO_SPACE)
            memcpy(remote, local, part);
        else
            memcpy(local, remote, part);
        done += part;
    }
    return (long)done;
}

static long call_thread_regs(const uint64_t a[6])
{
    struct sim_object *t = sim_object(a[0], CAP_THREAD);
    struct user_regs *regs = (struct user_regs *)(uintptr_t)a[1];

    if (!t)
        return -ERR_TYPE;
    if (sim_injected())
        return -ERR_STATE;
    if (a[2])
        t->regs = *regs;
    else
        *regs = t->regs;
    return 0;
}

static long call_cap_read(const uint64_t a[6], uint64_t out[2])
{
    struct sim_cap *c = entry_of(a[0], a[1]);

    if (!c || !c->type)
        return -ERR_EMPTY;
    out[0] = c->first;
    out[1] = c->pages;
    return c->type | (long)c->rights << 8;
}

/* ---- the calls by number ---- */

long place_call(long number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                uint64_t a5, uint64_t result[2])
{
    const uint64_t a[6] = {a0, a1, a2, a3, a4, a5};
    uint64_t scratch[2];
    uint64_t *out = result ? result : scratch;
    struct sim_object *o;
    struct sim_cap *c;

    switch (number) {
    case CALL_BATCH:
        return sim_batch(a0, a1, false, &out[0]);
    case CALL_CAP_COPY:
        return call_cap_copy(a);
    case CALL_CAP_DELETE:
        c = entry_of(a0, a1);
        return c && c->type ? cap_remove(c) : -ERR_EMPTY;
    case CALL_CAP_REVOKE:
        c = entry_of(a0, a1);
        return c && c->type ? cap_revoke(c) : -ERR_EMPTY;
    case CALL_CAP_READ:
        return call_cap_read(a, out);
    case CALL_NOTIFICATION_BIND:
        return call_notification_bind(a0, a1);
    case CALL_SIGNAL:
        return call_signal(a0);
    case CALL_OBJECT_CREATE:
        return call_object_create(a);
    case CALL_BLOCK_CLASS:
        return call_block_class(a);
    case CALL_SPACE_COPY:
        return call_space_copy(a);
    case CALL_SPACE_INFO:
        o = sim_object(a0, CAP_SPACE);
        out[0] = sim.levels;
        return o ? (long)o->root : -ERR_TYPE;
    case CALL_THREAD_SET:
        return call_thread_set(a);
    case CALL_THREAD_REGS:
        return call_thread_regs(a);
    case CALL_THREAD_START:
        o = sim_object(a0, CAP_THREAD);
        if (o)
            o->running = 1;
        return o ? 0 : -ERR_TYPE;
    case CALL_WORKER_PAGE:
    case CALL_WORKER_BIND:
        return 0;
    case CALL_COUNTERS_READ:
        return (long)(COUNT_KERNEL * sizeof(uint64_t));
    case CALL_INSTRUCTION_FENCE:
        return 0;
    default:
        return -ERR_CALL;
    }
}

long place_call_switching(long number, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct sim_object *o = sim_object(a0, CAP_THREAD);

    (void)a1, (void)a2;
    mm_assert(number == CALL_THREAD_STOP);
    if (!o)
        return -ERR_TYPE;
    o->running = 0;
    return 0;
}

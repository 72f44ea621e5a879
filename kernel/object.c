/*
 * Making objects of pages, and giving the pages back.
 *
 *   type          pages
 *   Thread        1
 *   Space         2                the object, then its root table
 *   Table         1 + parameter    the object, then its entries
 *   Endpoint      1
 *   Notification  1
 *
 * All pages of an object lie in one tables block; the directory says whose they are. An object is
 * reached through capabilities, and from other objects, which count or list what they name; so an
 * object whose last capability goes is either free of such names or busy.
 *
 * Lock: the kernel lock.
 */
#include "kernel/object.h"

#include "arch/arch.h"
#include "kernel/assert.h"
#include "kernel/block.h"
#include "kernel/call.h"
#include "kernel/cap.h"
#include "kernel/hart.h"
#include "kernel/ipc.h"
#include "kernel/space.h"

_Static_assert(sizeof(struct space) <= PAGE_BYTES, "a space's object is one page");
_Static_assert(sizeof(struct endpoint) <= PAGE_BYTES, "an endpoint is one page");
_Static_assert(sizeof(struct notification) <= PAGE_BYTES, "a notification is one page");
_Static_assert(sizeof(struct table) <= PAGE_BYTES, "a table's object is one page");

struct creation {
    struct cap *memory, *to;
    enum cap_type type;
    pfn_t page;
    uint64_t pages;
};

/* Pages that an object of that type takes. */
static long object_pages(uint64_t type, uint64_t parameter, uint64_t *pages)
{
    switch (type) {
    case CAP_TABLE:
        if (parameter < 1 || parameter > TABLE_PAGES_MAX)
            return -ERR_ARGUMENT;
        *pages = 1 + parameter;
        return 0;
    case CAP_SPACE:
        *pages = 2;
        break;
    case CAP_THREAD:
    case CAP_ENDPOINT:
    case CAP_NOTIFICATION:
        *pages = 1;
        break;
    default:
        return -ERR_TYPE;
    }
    return parameter ? -ERR_ARGUMENT : 0;
}

/* The pages lie in the extent, in one tables block, and are free. */
static long decode_pages(struct creation *k, uint64_t page)
{
    const struct cap *memory = k->memory;
    if (page >= memory->pages || k->pages > memory->pages - page)
        return -ERR_RANGE;
    k->page = memory->first + page;
    if (k->page % PAGES_PER_BLOCK + k->pages > PAGES_PER_BLOCK)
        return -ERR_RANGE;
    for (uint64_t i = 0; i < k->pages; i++) {
        const uint64_t *word = page_directory(k->page + i);
        if (word == NULL)
            return -ERR_CLASS;
        if (page_word_use(*word) != PAGE_FREE)
            return -ERR_BUSY;
    }
    return 0;
}

static long decode_create(struct thread *t, const struct call_args *c, struct creation *k)
{
    long error;
    k->memory = cap_lookup(t, c->a[0], CAP_MEMORY, RIGHT_KEEP, &error);
    if (k->memory == NULL)
        return -error;
    if (k->memory->rights & RIGHT_IO)
        return -ERR_RIGHTS;
    error = object_pages(c->a[2], c->a[3], &k->pages);
    if (error)
        return error;
    k->type = (enum cap_type)c->a[2];
    k->to = cap_entry(t, SELF_TABLE, c->a[4], &error);
    if (k->to == NULL)
        return -error;
    if (k->to->type != CAP_NONE)
        return -ERR_OCCUPIED;
    if (cap_depth_at(k->memory, k->to) > CAP_DEPTH_MAX)
        return -ERR_LIMIT;
    return decode_pages(k, c->a[1]);
}

static enum page_use page_use_of(enum cap_type type, uint64_t index)
{
    if (index == 0)
        return PAGE_OBJECT;
    return type == CAP_SPACE ? PAGE_ROOT : PAGE_CAPS;
}

static void pages_take(const struct creation *k)
{
    for (uint64_t i = 0; i < k->pages; i++) {
        enum page_use use = page_use_of(k->type, i);
        unsigned detail = use == PAGE_OBJECT ? (unsigned)k->type
                          : use == PAGE_ROOT ? space_levels
                                             : 0;
        long error = page_take(k->page + i, page_word(use, detail, i ? k->page : 0));
        kassert(error == 0);
    }
}

static void perform_create(const struct creation *k)
{
    void *object = page_to_virt(k->page);

    pages_take(k);
    switch (k->type) {
    case CAP_THREAD:
        thread_init(object, this_hart());
        break;
    case CAP_SPACE:
        space_init(object, k->page, k->page + 1);
        break;
    case CAP_ENDPOINT:
        endpoint_init(object);
        break;
    case CAP_NOTIFICATION:
        notification_init(object);
        break;
    default:
        cap_table_init(object, page_to_virt(k->page + 1), (k->pages - 1) * CAPS_PER_PAGE,
                       cap_depth_at(k->memory, k->to));
    }
    cap_fill_object(k->to, k->memory, k->type, object, 0, RIGHT_ALL | RIGHT_COPY_ON, true);
}

long call_object_create(struct thread *t, struct call_args *c)
{
    struct creation creation = {0};
    kernel_lock();
    long result = decode_create(t, c, &creation);
    if (result == 0)
        perform_create(&creation);
    kernel_unlock();
    return result;
}

/* Busy for the thread that makes the call: it would return into freed memory. */
static long thread_destroy(struct thread *t)
{
    long error = thread_stop(t);
    if (error == 0)
        thread_unlink(t);
    return error;
}

static long space_destroy(struct space *s)
{
    if (s->thread_count || s == space_server)
        return -ERR_BUSY;
    return space_destroy_step(s);
}

long object_destroy(enum cap_type type, void *object)
{
    switch (type) {
    case CAP_THREAD:
        return thread_destroy(object);
    case CAP_SPACE:
        return space_destroy(object);
    case CAP_ENDPOINT:
        return endpoint_destroy(object);
    case CAP_NOTIFICATION:
        return notification_destroy(object);
    default: /* a table is empty by now; the Kernel capability stands for nothing that could go */
        return 0;
    }
}

static uint64_t object_size_pages(enum cap_type type, const void *object)
{
    if (type == CAP_SPACE)
        return 2;
    if (type == CAP_TABLE)
        return 1 + ((const struct table *)object)->size / CAPS_PER_PAGE;
    return 1;
}

void object_release(enum cap_type type, void *object)
{
    if (type == CAP_KERNEL)
        return;
    pfn_t page = virt_to_page(object);
    if (page_directory(page) == NULL)
        return;
    for (uint64_t left = object_size_pages(type, object); left > 0; left--)
        page_release(page + left - 1);
}

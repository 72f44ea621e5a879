/* epoll (see epoll.h). */
#include "user/linux/epoll.h"

#include <stdlib.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/poll.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/space.h"
#include "user/linux/time.h"
#include "user/linux/watch.h"

#define DEPTH_MAX 4 /* epolls in an epoll in an epoll ... */

#define SETTINGS (LINUX_EPOLLEXCLUSIVE | LINUX_EPOLLWAKEUP | LINUX_EPOLLONESHOT | LINUX_EPOLLET)
#define EXCLUSIVE_ALLOWED                                                               \
    (LINUX_POLLIN | LINUX_POLLOUT | LINUX_POLLERR | LINUX_POLLHUP | LINUX_EPOLLWAKEUP | \
     LINUX_EPOLLET | LINUX_EPOLLEXCLUSIVE)

struct epoll_item {
    struct watch watch; /* its events are those asked for; 0: disabled by EPOLLONESHOT */
    struct epoll *epoll;
    struct file *file;
    int fd;
    uint32_t settings; /* of SETTINGS */
    uint64_t data;
    bool changed; /* it stands in the list */
    TAILQ_ENTRY(epoll_item) changed_link;
    LIST_ENTRY(epoll_item) of_file, of_epoll;
};

TAILQ_HEAD(item_list, epoll_item);

struct epoll {
    struct file *file;      /* that it is */
    struct watched watched; /* who waits for this epoll, and epolls that it is in */
    struct item_list changed;
    LIST_HEAD(, epoll_item) items;
};

static const struct file_ops epoll_ops;

static void set_changed(struct epoll_item *item)
{
    if (item->changed)
        return;
    item->changed = true;
    TAILQ_INSERT_TAIL(&item->epoll->changed, item, changed_link);
}

static void clear_changed(struct epoll_item *item)
{
    if (!item->changed)
        return;
    item->changed = false;
    TAILQ_REMOVE(&item->epoll->changed, item, changed_link);
}

/* What of an item's file is ready now. */
static unsigned item_poll(const struct epoll_item *item)
{
    return item->watch.events ? file_poll(item->file) & item->watch.events : 0;
}

void epoll_notify(struct watch *watch)
{
    struct epoll_item *item =
        (struct epoll_item *)((char *)watch - offsetof(struct epoll_item, watch));

    set_changed(item);
    watched_wake(&item->epoll->watched, LINUX_POLLIN | LINUX_POLLRDNORM);
}

static void item_free(struct epoll_item *item)
{
    clear_changed(item);
    watch_end(&item->watch);
    LIST_REMOVE(item, of_file);
    LIST_REMOVE(item, of_epoll);
    free(item);
}

void epoll_forget(struct file *file)
{
    struct epoll_item *item;

    while ((item = LIST_FIRST(&file->items)))
        item_free(item);
}

/* ---- an epoll is a file ---- */

/* Whether any item is ready. Those that only were are taken out of the list on the way. */
static unsigned epoll_poll(const struct file *file)
{
    struct epoll_item *item;

    while ((item = TAILQ_FIRST(&file->epoll->changed))) {
        if (item_poll(item))
            return LINUX_POLLIN | LINUX_POLLRDNORM;
        clear_changed(item);
    }
    return 0;
}

static struct watched *epoll_watched(const struct file *file)
{
    return &file->epoll->watched;
}

static void epoll_close(struct file *file)
{
    struct epoll *epoll = file->epoll;
    struct epoll_item *item;

    while ((item = LIST_FIRST(&epoll->items)))
        item_free(item);
    watched_end(&epoll->watched);
    free(epoll);
}

static const struct file_ops epoll_ops = {
    .mode = 0600,
    .poll = epoll_poll,
    .watched = epoll_watched,
    .close = epoll_close,
};

long linux_epoll_create1(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[0];

    if (flags & ~(uint32_t)LINUX_O_CLOEXEC)
        return -LINUX_EINVAL;
    struct epoll *epoll = malloc(sizeof(*epoll));
    if (!epoll)
        return -LINUX_ENOMEM;
    watched_init(&epoll->watched);
    TAILQ_INIT(&epoll->changed);
    LIST_INIT(&epoll->items);
    struct file *file = file_open(FILE_EPOLL, &epoll_ops, LINUX_O_RDWR);
    if (!file) {
        free(epoll);
        return -LINUX_ENFILE;
    }
    file->epoll = epoll;
    epoll->file = file;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}

/* ---- changing the set ---- */

static struct epoll_item *find(const struct epoll *epoll, const struct file *file, int fd)
{
    struct epoll_item *item;

    LIST_FOREACH(item, &file->items, of_file)
    {
        if (item->epoll == epoll && item->fd == fd)
            return item;
    }
    return NULL;
}

/* How deep epolls are nested below that one (itself 0), more than DEPTH_MAX for a circle through
 * `through`. */
static unsigned depth_below(const struct epoll *epoll, const struct epoll *through)
{
    const struct epoll_item *item;
    unsigned deepest = 0;

    if (epoll == through)
        return DEPTH_MAX + 1;
    LIST_FOREACH(item, &epoll->items, of_epoll)
    {
        if (item->file->kind != FILE_EPOLL)
            continue;
        unsigned depth = 1 + depth_below(item->file->epoll, through);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest;
}

static unsigned depth_above(const struct file *file)
{
    const struct epoll_item *item;
    unsigned deepest = 0;

    LIST_FOREACH(item, &file->items, of_file)
    {
        unsigned depth = 1 + depth_above(item->epoll->file);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest;
}

/* The events an item asks for from now on. What is ready already counts as a change. */
static void item_set(struct epoll_item *item, const struct linux_epoll_event *event)
{
    item->settings = event->events & SETTINGS;
    item->watch.events = (event->events & ~SETTINGS) | WATCH_ALWAYS;
    item->data = event->data;
    if (item_poll(item))
        epoll_notify(&item->watch);
}

static long add(struct epoll *epoll, struct file *file, int fd,
                const struct linux_epoll_event *event)
{
    if (file->kind == FILE_EPOLL &&
        depth_above(epoll->file) + 1 + depth_below(file->epoll, epoll) > DEPTH_MAX)
        return -LINUX_ELOOP;
    if (find(epoll, file, fd))
        return -LINUX_EEXIST;
    struct epoll_item *item = calloc(1, sizeof(*item));
    if (!item)
        return -LINUX_ENOMEM;
    item->epoll = epoll;
    item->file = file;
    item->fd = fd;
    LIST_INSERT_HEAD(&file->items, item, of_file);
    LIST_INSERT_HEAD(&epoll->items, item, of_epoll);
    watch_start(&item->watch, file_watched(file));
    item_set(item, event);
    return 0;
}

static long modify(struct epoll_item *item, const struct linux_epoll_event *event)
{
    if (item->settings & LINUX_EPOLLEXCLUSIVE)
        return -LINUX_EINVAL;
    clear_changed(item);
    item_set(item, event);
    return 0;
}

/* EPOLLEXCLUSIVE wakes "one or more": all are woken, but what it goes with is checked. */
static bool exclusive_ok(uint32_t operation, const struct file *file, uint32_t events)
{
    if (!(events & LINUX_EPOLLEXCLUSIVE))
        return true;
    return operation == LINUX_EPOLL_CTL_ADD && file->kind != FILE_EPOLL &&
           !(events & ~EXCLUSIVE_ALLOWED);
}

long linux_epoll_ctl(struct thread *t, const uint64_t *a)
{
    struct file *of = fd_get(t->process->files, (int32_t)a[0]);
    struct file *file = fd_get(t->process->files, (int32_t)a[2]);
    uint32_t operation = (uint32_t)a[1];
    struct linux_epoll_event event = {0};

    if (operation != LINUX_EPOLL_CTL_DEL && copy_in(t->process->space, &event, a[3], sizeof(event)))
        return -LINUX_EFAULT;
    if (!of || !file)
        return -LINUX_EBADF;
    if ((file->flags & LINUX_O_PATH) || !file_watched(file))
        return file->flags & LINUX_O_PATH ? -LINUX_EBADF : -LINUX_EPERM;
    if (of == file || of->kind != FILE_EPOLL || !exclusive_ok(operation, file, event.events))
        return -LINUX_EINVAL;
    if (operation == LINUX_EPOLL_CTL_ADD)
        return add(of->epoll, file, (int32_t)a[2], &event);
    struct epoll_item *item = find(of->epoll, file, (int32_t)a[2]);
    if (operation != LINUX_EPOLL_CTL_DEL && operation != LINUX_EPOLL_CTL_MOD)
        return -LINUX_EINVAL;
    if (!item)
        return -LINUX_ENOENT;
    if (operation == LINUX_EPOLL_CTL_MOD)
        return modify(item, &event);
    item_free(item);
    return 0;
}

/* ---- waiting ---- */

/*
 * Give at most `max` events to the client: how many, or -EFAULT. Each item that was in the list
 * when this began is looked at once; one that stays ready, and may be told of again, goes to the
 * list's end.
 */
static long collect(struct epoll *epoll, struct space *space, uint64_t address, size_t max)
{
    struct epoll_item *item, *last = TAILQ_LAST(&epoll->changed, item_list);
    size_t count = 0;

    while (count < max && (item = TAILQ_FIRST(&epoll->changed))) {
        bool is_last = item == last;
        clear_changed(item);
        struct linux_epoll_event event = {.events = item_poll(item), .data = item->data};
        if (event.events) {
            if (copy_out(space, address + count * sizeof(event), &event, sizeof(event))) {
                set_changed(item);
                return count ? (long)count : -LINUX_EFAULT;
            }
            count++;
            if (item->settings & LINUX_EPOLLONESHOT)
                item->watch.events = 0;
            else if (!(item->settings & LINUX_EPOLLET))
                set_changed(item);
        }
        if (is_last)
            break;
    }
    return (long)count;
}

static long wait(struct thread *t, const uint64_t *a)
{
    struct file *file = request_file(t, (int32_t)a[0]);
    int32_t max = (int32_t)a[2];

    if (max <= 0 || (size_t)max > INT32_MAX / sizeof(struct linux_epoll_event))
        return -LINUX_EINVAL;
    if (!file)
        return -LINUX_EBADF;
    if (file->kind != FILE_EPOLL)
        return -LINUX_EINVAL;
    long count = collect(file->epoll, t->process->space, a[1], (size_t)max);
    if (count || deadline_passed(t))
        return count;
    long result = request_wait_file(t, file);
    return result == REQUEST_RESTART ? REQUEST_INTERRUPTED : result;
}

/* The limit in milliseconds, where others have a struct timespec: negative for none. */
static long begin_milliseconds(struct thread *t, int32_t limit, uint64_t mask, uint64_t mask_bytes)
{
    long error = poll_begin(t, 0, mask, mask_bytes);
    struct linux_timespec time = {limit / 1000, (int64_t)(limit % 1000) * 1000000};

    if (!error && limit >= 0)
        t->until = limit ? time_after(time_to_ticks(&time)) : 0;
    return error;
}

long linux_epoll_pwait(struct thread *t, const uint64_t *a)
{
    long error = t->again ? 0 : begin_milliseconds(t, (int32_t)a[3], a[4], a[5]);

    return error ? error : wait(t, a);
}

long linux_epoll_pwait2(struct thread *t, const uint64_t *a)
{
    long error = t->again ? 0 : poll_begin(t, a[3], a[4], a[5]);

    return error ? error : wait(t, a);
}

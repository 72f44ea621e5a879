/* inotify (see inotify.h): the queue of a descriptor, watches, and the calls. */
#include "user/linux/inotify.h"

#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/path.h"
#include "user/linux/process.h"
#include "user/linux/space.h"

#define NAME_UNIT sizeof(struct linux_inotify_event) /* names fill whole ones */
#define KNOWN_BITS                                                                           \
    (LINUX_IN_ALL_EVENTS | LINUX_IN_UNMOUNT | LINUX_IN_Q_OVERFLOW | LINUX_IN_IGNORED |       \
     LINUX_IN_ONLYDIR | LINUX_IN_DONT_FOLLOW | LINUX_IN_EXCL_UNLINK | LINUX_IN_MASK_CREATE | \
     LINUX_IN_MASK_ADD | LINUX_IN_ISDIR | LINUX_IN_ONESHOT)
/* What a watch keeps of the mask that it was made with. */
#define KEPT_BITS (LINUX_IN_ALL_EVENTS | LINUX_IN_EXCL_UNLINK | LINUX_IN_ONESHOT)

struct event {
    TAILQ_ENTRY(event) next;
    struct linux_inotify_event head;
    char name[]; /* head.len bytes */
};

TAILQ_HEAD(event_list, event);

struct inotify {
    struct event_list events;
    unsigned count;
    size_t bytes;        /* of all events, as they are read */
    struct event *spare; /* says that events were lost; NULL: it is in the queue */
    LIST_HEAD(, notice) watches;
    int last_wd;
    struct watched watched;
};

/* A watch. (One of watch.h is another thing.) */
struct notice {
    struct inotify *owner;
    LIST_ENTRY(notice) beside; /* of the owner's */
    struct node *node;
    struct notice *next; /* of the node's */
    int wd;
    uint32_t mask;
};

static unsigned watches, instances; /* that there are */

/* ---- the queue ---- */

static size_t size_of(const struct event *event)
{
    return sizeof(event->head) + event->head.len;
}

static bool alike(const struct event *a, const struct event *b)
{
    return a->head.wd == b->head.wd && a->head.mask == b->head.mask && a->head.len == b->head.len &&
           memcmp(a->name, b->name, a->head.len) == 0 && !(a->head.mask & LINUX_IN_IGNORED);
}

static struct event *event_make(int wd, uint32_t mask, uint32_t cookie, const char *name)
{
    size_t bytes = name ? (strlen(name) + NAME_UNIT) / NAME_UNIT * NAME_UNIT : 0;
    struct event *event = calloc(1, sizeof(*event) + bytes);

    if (!event)
        return NULL;
    event->head = (struct linux_inotify_event){wd, mask, cookie, (uint32_t)bytes};
    if (name)
        strcpy(event->name, name);
    return event;
}

static void append(struct inotify *inotify, struct event *event)
{
    TAILQ_INSERT_TAIL(&inotify->events, event, next);
    inotify->count++;
    inotify->bytes += size_of(event);
    watched_wake(&inotify->watched, LINUX_POLLIN | LINUX_POLLRDNORM);
}

/* NULL, for want of memory, is an event that is lost, as one that finds no room. */
static void queue_event(struct inotify *inotify, struct event *event)
{
    struct event *last = TAILQ_LAST(&inotify->events, event_list);

    if (event && last && alike(last, event)) {
        free(event);
    } else if (event && inotify->count < INOTIFY_EVENTS_MAX) {
        append(inotify, event);
    } else {
        free(event);
        if (inotify->spare)
            append(inotify, inotify->spare);
        inotify->spare = NULL;
    }
}

static void remove_first(struct inotify *inotify)
{
    struct event *event = TAILQ_FIRST(&inotify->events);

    TAILQ_REMOVE(&inotify->events, event, next);
    inotify->count--;
    inotify->bytes -= size_of(event);
    if (event->head.mask == LINUX_IN_Q_OVERFLOW)
        inotify->spare = event;
    else
        free(event);
}

size_t inotify_readable(const struct inotify *inotify)
{
    return inotify->bytes;
}

/* ---- watches ---- */

static void notice_remove(struct notice *notice)
{
    struct notice **at = &notice->node->notices;

    while (*at != notice)
        at = &(*at)->next;
    *at = notice->next;
    LIST_REMOVE(notice, beside);
    watches--;
    free(notice);
}

/* It goes, and its owner is told that there will be no more of it. */
static void notice_end(struct notice *notice)
{
    queue_event(notice->owner, event_make(notice->wd, LINUX_IN_IGNORED, 0, NULL));
    notice_remove(notice);
}

static void notice_tell(struct notice *notice, uint32_t event, uint32_t cookie, const char *name)
{
    if (!(notice->mask & event & LINUX_IN_ALL_EVENTS))
        return;
    queue_event(notice->owner, event_make(notice->wd, event, cookie, name));
    if (notice->mask & LINUX_IN_ONESHOT)
        notice_end(notice);
}

static uint32_t of_kind(const struct node *node, uint32_t event)
{
    bool self = (event & (LINUX_IN_DELETE_SELF | LINUX_IN_MOVE_SELF)) != 0;

    return node->kind == NODE_DIR && !self ? event | LINUX_IN_ISDIR : event;
}

void inotify_tell_name(struct node *dir, const char *name, uint32_t event, uint32_t cookie)
{
    struct notice *notice, *next;

    for (notice = dir->notices; notice; notice = next) {
        next = notice->next;
        notice_tell(notice, event, cookie, name);
    }
}

void inotify_tell_self(struct node *node, uint32_t event)
{
    inotify_tell_name(node, NULL, of_kind(node, event), 0);
}

/* The directory that it is in, or was before it lost its last name; NULL: there never was one. */
static struct node *dir_of(const struct node *node)
{
    bool nowhere = node->removed && !node->parent->memory;

    return node->parent == node || nowhere ? NULL : node->parent;
}

void inotify_tell(struct node *node, uint32_t event)
{
    struct node *dir = dir_of(node);
    struct notice *notice, *next;

    for (notice = dir ? dir->notices : NULL; notice; notice = next) {
        next = notice->next;
        if (!(node->removed && (notice->mask & LINUX_IN_EXCL_UNLINK)))
            notice_tell(notice, of_kind(node, event), 0, node->name);
    }
    inotify_tell_self(node, event);
}

uint32_t inotify_next_cookie(void)
{
    static uint32_t cookie;

    return ++cookie;
}

void inotify_node_gone(struct node *node)
{
    inotify_self(node, LINUX_IN_DELETE_SELF);
    while (node->notices)
        notice_end(node->notices);
}

/* ---- the file ---- */

static long inotify_read(struct file *file, struct space *space, uint64_t address, size_t bytes)
{
    struct inotify *inotify = file->inotify;
    struct event *event;
    size_t done = 0;

    while ((event = TAILQ_FIRST(&inotify->events))) {
        size_t size = size_of(event);
        if (size > bytes - done)
            return done ? (long)done : -LINUX_EINVAL;
        if (copy_out(space, address + done, &event->head, size))
            return done ? (long)done : -LINUX_EFAULT;
        remove_first(inotify);
        done += size;
    }
    return done ? (long)done : -LINUX_EAGAIN;
}

static unsigned inotify_poll(const struct file *file)
{
    return file->inotify->count ? LINUX_POLLIN | LINUX_POLLRDNORM : 0;
}

static struct watched *inotify_watched(const struct file *file)
{
    return &file->inotify->watched;
}

static void inotify_free(struct inotify *inotify)
{
    while (!LIST_EMPTY(&inotify->watches))
        notice_remove(LIST_FIRST(&inotify->watches));
    while (!TAILQ_EMPTY(&inotify->events))
        remove_first(inotify);
    watched_end(&inotify->watched);
    free(inotify->spare);
    free(inotify);
    instances--;
}

static void inotify_close(struct file *file)
{
    inotify_free(file->inotify);
}

static const struct file_ops inotify_ops = {
    .mode = 0600,
    .read = inotify_read,
    .poll = inotify_poll,
    .watched = inotify_watched,
    .close = inotify_close,
};

/* ---- calls ---- */

long linux_inotify_init1(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[0];

    if (flags & ~(uint32_t)(LINUX_O_NONBLOCK | LINUX_O_CLOEXEC))
        return -LINUX_EINVAL;
    if (instances == INOTIFY_INSTANCES_MAX)
        return -LINUX_EMFILE;
    struct inotify *inotify = calloc(1, sizeof(*inotify));
    if (!inotify)
        return -LINUX_ENOMEM;
    instances++;
    TAILQ_INIT(&inotify->events);
    LIST_INIT(&inotify->watches);
    watched_init(&inotify->watched);
    inotify->spare = event_make(-1, LINUX_IN_Q_OVERFLOW, 0, NULL);
    struct file *file =
        inotify->spare ? file_open(FILE_INOTIFY, &inotify_ops, flags & LINUX_O_NONBLOCK) : NULL;
    if (!file) {
        long error = inotify->spare ? -LINUX_ENFILE : -LINUX_ENOMEM;
        inotify_free(inotify);
        return error;
    }
    file->inotify = inotify;
    return fd_install_new(t->process->files, file, (flags & LINUX_O_CLOEXEC) != 0);
}

static struct notice *notice_on(const struct inotify *inotify, const struct node *node)
{
    struct notice *notice = node->notices;

    while (notice && notice->owner != inotify)
        notice = notice->next;
    return notice;
}

static long notice_make(struct inotify *inotify, struct node *node, uint32_t mask)
{
    struct notice *notice;

    if (watches == INOTIFY_WATCHES_MAX)
        return -LINUX_ENOSPC;
    notice = calloc(1, sizeof(*notice));
    if (!notice)
        return -LINUX_ENOMEM;
    watches++;
    notice->owner = inotify;
    notice->node = node;
    notice->wd = ++inotify->last_wd;
    notice->mask = mask & KEPT_BITS;
    notice->next = node->notices;
    node->notices = notice;
    LIST_INSERT_HEAD(&inotify->watches, notice, beside);
    return notice->wd;
}

static long inotify_of(struct thread *t, uint64_t fd, struct inotify **inotify)
{
    struct file *file = fd_get(t->process->files, (int32_t)fd);

    if (!file || (file->flags & LINUX_O_PATH))
        return -LINUX_EBADF;
    if (file->kind != FILE_INOTIFY)
        return -LINUX_EINVAL;
    *inotify = file->inotify;
    return 0;
}

long linux_inotify_add_watch(struct thread *t, const uint64_t *a)
{
    uint32_t mask = (uint32_t)a[2];
    struct inotify *inotify;
    struct place place;

    if ((mask & ~KNOWN_BITS) || !(mask & KNOWN_BITS))
        return -LINUX_EINVAL;
    long error = inotify_of(t, a[0], &inotify);
    if (error == -LINUX_EBADF)
        return error;
    if (error || ((mask & LINUX_IN_MASK_ADD) && (mask & LINUX_IN_MASK_CREATE)))
        return -LINUX_EINVAL;
    error = path_find(t, LINUX_AT_FDCWD, a[1], mask & LINUX_IN_DONT_FOLLOW ? 0 : FS_FOLLOW, &place);
    if (error)
        return error;
    if ((mask & LINUX_IN_ONLYDIR) && !fs_is_dir(&place))
        return -LINUX_ENOTDIR;
    struct notice *notice = notice_on(inotify, place.node);
    if (!notice)
        return notice_make(inotify, place.node, mask);
    if (mask & LINUX_IN_MASK_CREATE)
        return -LINUX_EEXIST;
    notice->mask = (mask & LINUX_IN_MASK_ADD ? notice->mask : 0) | (mask & KEPT_BITS);
    return notice->wd;
}

long linux_inotify_rm_watch(struct thread *t, const uint64_t *a)
{
    struct inotify *inotify;
    struct notice *notice;
    long error = inotify_of(t, a[0], &inotify);

    if (error)
        return error;
    LIST_FOREACH(notice, &inotify->watches, beside)
    {
        if (notice->wd == (int32_t)a[1]) {
            notice_end(notice);
            return 0;
        }
    }
    return -LINUX_EINVAL;
}

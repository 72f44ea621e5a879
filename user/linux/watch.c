/* Readiness (see watch.h). */
#include "user/linux/watch.h"

#include <stdlib.h>

#include "user/linux/epoll.h"
#include "user/linux/file.h"
#include "user/linux/lock.h"
#include "user/linux/process.h"
#include "user/linux/request.h"

/* What a request of ppoll waits for; it hangs on its thread. */
struct watch_set {
    size_t count;
    struct {
        struct watch watch;
        struct file *file;
    } entry[];
};

void watched_init(struct watched *watched)
{
    queue_init(&watched->wait);
    TAILQ_INIT(&watched->watches);
}

void watched_end(const struct watched *watched)
{
    linux_assert(TAILQ_EMPTY(&watched->wait.threads) && TAILQ_EMPTY(&watched->watches));
}

void watched_wake_all(struct watched *watched, uint32_t events)
{
    struct watch *watch;

    queue_wake(&watched->wait);
    TAILQ_FOREACH(watch, &watched->watches, link)
    {
        if (!(watch->events & events))
            continue;
        if (watch->poller)
            request_wake(watch->poller);
        else
            epoll_notify(watch);
    }
}

void watch_start(struct watch *watch, struct watched *watched)
{
    linux_assert(!watch->watched);
    watch->watched = watched;
    TAILQ_INSERT_TAIL(&watched->watches, watch, link);
}

void watch_end(struct watch *watch)
{
    if (!watch->watched)
        return;
    TAILQ_REMOVE(&watch->watched->watches, watch, link);
    watch->watched = NULL;
}

long watch_wait(struct thread *t, const struct linux_pollfd *want, size_t count)
{
    struct watch_set *set = NULL;

    if (count) {
        set = malloc(sizeof(*set) + count * sizeof(set->entry[0]));
        if (!set)
            return -LINUX_ENOMEM;
        set->count = 0;
    }
    long result = request_wait(t, NULL);
    if (result != REQUEST_WAITS || !set) {
        free(set);
        return result;
    }
    for (size_t i = 0; i < count; i++) {
        struct file *file = fd_get(t->process->files, want[i].fd);
        struct watched *watched = file ? file_watched(file) : NULL;
        if (!watched)
            continue;
        file_get(file);
        set->entry[set->count].file = file;
        set->entry[set->count].watch = (struct watch){
            .events = (uint32_t)(uint16_t)want[i].events | WATCH_ALWAYS, .poller = t};
        watch_start(&set->entry[set->count].watch, watched);
        set->count++;
    }
    t->watch_set = set;
    return result;
}

void watch_leave(struct thread *t)
{
    struct watch_set *set = t->watch_set;

    t->watch_set = NULL;
    for (size_t i = 0; i < set->count; i++) {
        watch_end(&set->entry[i].watch);
        file_put(set->entry[i].file);
    }
    free(set);
}

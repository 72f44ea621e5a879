/*
 * Sockets that nobody has (see socket.h): their last descriptors are in messages that wait at
 * sockets of the same kind. When any socket is closed while sockets are on their way, all that can
 * be reached from a descriptor or a waiting call are marked, then what is on its way to the others
 * is dropped, and with it they go.
 *
 * Invariant: file->flying counts a file's uses by messages; one with other uses is reachable.
 */
#include "user/linux/socket.h"

LIST_HEAD(socket_links, socket);

static struct socket_links sockets = LIST_HEAD_INITIALIZER(sockets);
static int flying; /* uses of sockets' files by messages */
static bool collecting;

void socket_collect_enter(struct socket *s)
{
    LIST_INSERT_HEAD(&sockets, s, all);
}

void socket_collect_leave(struct socket *s)
{
    LIST_REMOVE(s, all);
}

void socket_collect_flight(int change)
{
    flying += change;
}

/* Somebody has it, or its listener. */
static bool is_root(const struct socket *s)
{
    if (s->file)
        return s->file->users > s->file->flying;
    return s->listener && s->listener->reachable;
}

/* Mark what its messages carry: whether that was news. */
static bool follow(const struct socket *s)
{
    const struct socket_parcel *parcel;
    bool news = false;

    TAILQ_FOREACH(parcel, &s->parcels, link)
    {
        for (unsigned i = 0; parcel->rights && i < parcel->rights->count; i++) {
            struct file *file = parcel->rights->file[i];
            if (file->kind != FILE_SOCKET || file->socket->reachable)
                continue;
            file->socket->reachable = news = true;
        }
    }
    return news;
}

static void mark(void)
{
    struct socket *s;
    bool news = true;

    LIST_FOREACH(s, &sockets, all)
    {
        s->reachable = false;
    }
    while (news) {
        news = false;
        LIST_FOREACH(s, &sockets, all)
        {
            if (!s->reachable && is_root(s))
                s->reachable = news = true;
            if (s->reachable && follow(s))
                news = true;
        }
    }
}

void socket_collect(void)
{
    struct socket_links found = LIST_HEAD_INITIALIZER(found);
    struct socket *s;

    if (!flying || collecting)
        return;
    collecting = true;
    mark();
    LIST_FOREACH(s, &sockets, all)
    {
        if (s->reachable || !s->file)
            continue;
        file_get(s->file); /* until all of them were emptied */
        LIST_INSERT_HEAD(&found, s, found);
    }
    LIST_FOREACH(s, &found, found)
    {
        socket_parcels_free(s);
    }
    while ((s = LIST_FIRST(&found))) {
        LIST_REMOVE(s, found);
        file_put(s->file);
    }
    collecting = false;
}

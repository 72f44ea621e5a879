/* Pending signals (see sigqueue.h). */
#include "user/linux/sigqueue.h"

#include "user/linux/lock.h"

/* Signals of exceptions are taken first: their handlers' frames must tell where they happened. */
#define SYNCHRONOUS                                                                       \
    (1UL << (LINUX_SIGSEGV - 1) | 1UL << (LINUX_SIGBUS - 1) | 1UL << (LINUX_SIGILL - 1) | \
     1UL << (LINUX_SIGTRAP - 1) | 1UL << (LINUX_SIGFPE - 1) | 1UL << (LINUX_SIGSYS - 1))

static struct signal_entry pool[SIGNAL_ENTRIES];
static struct signal_entry *pool_end = pool; /* those from here on were never used */
static TAILQ_HEAD(, signal_entry) unused = TAILQ_HEAD_INITIALIZER(unused);

static struct signal_entry *entry_get(void)
{
    struct signal_entry *entry = TAILQ_FIRST(&unused);

    if (entry)
        TAILQ_REMOVE(&unused, entry, link);
    else if (pool_end < pool + SIGNAL_ENTRIES)
        entry = pool_end++;
    return entry;
}

void signal_set_init(struct signal_set *set)
{
    set->bits = 0;
    TAILQ_INIT(&set->entries);
}

void signal_set_add_entry(struct signal_set *set, struct signal_entry *entry)
{
    set->bits |= signal_bit(entry->signal);
    TAILQ_INSERT_TAIL(&set->entries, entry, link);
}

bool signal_set_add(struct signal_set *set, int signal, const struct signal_info *info)
{
    bool queues = signal >= LINUX_SIGRTMIN;

    if (!queues && (set->bits & signal_bit(signal)))
        return true;
    struct signal_entry *entry = entry_get();
    if (!entry) {
        if (!queues)
            set->bits |= signal_bit(signal);
        return !queues;
    }
    entry->signal = signal;
    entry->info = *info;
    entry->taken = NULL;
    signal_set_add_entry(set, entry);
    return true;
}

static struct signal_entry *first_of(const struct signal_set *set, int signal)
{
    struct signal_entry *entry;

    TAILQ_FOREACH(entry, &set->entries, link)
    {
        if (entry->signal == signal)
            return entry;
    }
    return NULL;
}

void signal_entry_remove(struct signal_set *set, struct signal_entry *entry)
{
    int signal = entry->signal;

    linux_assert(signal != 0);
    TAILQ_REMOVE(&set->entries, entry, link);
    entry->signal = 0;
    if (!first_of(set, signal))
        set->bits &= ~signal_bit(signal);
    if (!entry->taken)
        TAILQ_INSERT_HEAD(&unused, entry, link);
}

int signal_set_take(struct signal_set *set, uint64_t wanted, struct signal_info *info)
{
    uint64_t bits = set->bits & wanted;

    if (!bits)
        return 0;
    int signal = __builtin_ctzl(bits & SYNCHRONOUS ? bits & SYNCHRONOUS : bits) + 1;
    struct signal_entry *entry = first_of(set, signal);
    if (!entry) { /* there was no room for its info */
        set->bits &= ~signal_bit(signal);
        *info = (struct signal_info){.code = LINUX_SI_USER};
        return signal;
    }
    *info = entry->info;
    signal_entry_remove(set, entry);
    if (entry->taken)
        entry->taken(entry, info);
    return signal;
}

void signal_set_remove(struct signal_set *set, uint64_t signals)
{
    struct signal_entry *entry, *next;

    for (entry = TAILQ_FIRST(&set->entries); entry; entry = next) {
        next = TAILQ_NEXT(entry, link);
        if (!(signals & signal_bit(entry->signal)))
            continue;
        signal_entry_remove(set, entry);
        if (entry->taken)
            entry->taken(entry, NULL);
    }
    set->bits &= ~signals;
}

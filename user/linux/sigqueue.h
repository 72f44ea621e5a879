/*
 * Pending signals of a thread or of a process. One below SIGRTMIN pends once, with what came with
 * the first of its kind; real-time signals queue, each with its own, and are taken in order.
 *
 * Entries come from one pool, but for those that belong to a timer: a timer's signal pends once,
 * and can always be sent. Big lock held in all functions.
 */
#ifndef LINUX_SIGQUEUE_H
#define LINUX_SIGQUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/abi.h"

#define SIGNAL_ENTRIES 1024 /* of the pool: RLIMIT_SIGPENDING */
#define BROKEN_LSB     12   /* memory breaks by pages of 4 KiB */

/* What a signal carries beside its number: the first words of siginfo_t. */
struct signal_info {
    int32_t code;
    int32_t error;
    union {
        struct {
            uint64_t address; /* of an exception */
            uint64_t lsb;     /* of broken memory: how much of it, as a power of two */
        };
        struct {
            int32_t pid;  /* of a timer's: its number */
            uint32_t uid; /* of a timer's: its overrun */
            union {
                int32_t status;
                uint64_t value;
            };
        };
        uint64_t word[2];
    };
};

/* What comes with the signal of an exception. */
static inline struct signal_info signal_fault_info(int signal, int code, uint64_t address)
{
    bool broken = signal == LINUX_SIGBUS && code == LINUX_BUS_MCEERR_AR;

    return (struct signal_info){.code = code, .address = address, .lsb = broken ? BROKEN_LSB : 0};
}

struct signal_entry {
    TAILQ_ENTRY(signal_entry) link;
    int signal; /* 0: it is in no set */
    struct signal_info info;
    /* NULL: of the pool. Else called when it is taken, to complete *info, or was removed with
     * others: NULL. */
    void (*taken)(struct signal_entry *entry, struct signal_info *info);
};

struct signal_set {
    uint64_t bits; /* signal 1 is bit 0 */
    TAILQ_HEAD(, signal_entry) entries;
};

static inline uint64_t signal_bit(int signal)
{
    return 1UL << (signal - 1);
}

void signal_set_init(struct signal_set *set);
/* False if it is lost: a real-time signal that has no room. One below is at worst without info. */
bool signal_set_add(struct signal_set *set, int signal, const struct signal_info *info);
/* An entry of the caller's that is in no set. */
void signal_set_add_entry(struct signal_set *set, struct signal_entry *entry);
/* Take the first of the lowest signal in `wanted`, those of exceptions before others; 0: none. */
int signal_set_take(struct signal_set *set, uint64_t wanted, struct signal_info *info);
/* They do not pend any more. */
void signal_set_remove(struct signal_set *set, uint64_t signals);
void signal_entry_remove(struct signal_set *set, struct signal_entry *entry);

#endif

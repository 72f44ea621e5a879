/*
 * The one lock of the personality, and its assertions.
 *
 * Whoever finds it free has it: in no order, so that a hart that does not run now (a virtual one
 * that its host has taken off a processor) holds nobody up by being next. Nobody starves: between
 * two turns of a worker lies a client's run. Only workers take it, one per hart and above all
 * clients in priority: the holder runs, or the memory server runs for it, so spinning is bounded.
 * Held while a request is processed, never while a client waits.
 */
#ifndef LINUX_LOCK_H
#define LINUX_LOCK_H

void linux_lock(void);
void linux_unlock(void);
/* Held before and after: those who wait for it now have their turn meanwhile, if they run. */
void linux_let_through(void);
/* Whether somebody holds it: for assertions. */
int linux_locked(void);

/* A broken invariant of this server: says so on the kernel's log and stops the machine. */
_Noreturn void linux_panic(const char *file, int line, const char *what);

#define linux_assert(x)                          \
    do {                                         \
        if (__builtin_expect(!(x), 0))           \
            linux_panic(__FILE__, __LINE__, #x); \
    } while (0)

#endif

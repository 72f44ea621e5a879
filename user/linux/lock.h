/*
 * The one lock of the personality, and its assertions.
 *
 * It is a ticket lock: workers get it in the order in which they came, so a worker that lets go and
 * takes it again has let every other one through. Only workers take it, one per hart and above all
 * clients in priority: the holder runs, or the memory server runs for it, so spinning is bounded.
 * Held while a request is processed, never while a client waits.
 */
#ifndef LINUX_LOCK_H
#define LINUX_LOCK_H

void linux_lock(void);
void linux_unlock(void);
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

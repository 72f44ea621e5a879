/*
 * Assertions that stay on. A failed one is a bug in the server: it logs where, and stops the
 * machine. Nothing that a client does may reach one.
 */
#ifndef MMSERVER_CORE_ASSERT_H
#define MMSERVER_CORE_ASSERT_H

_Noreturn void place_panic(const char *file, int line, const char *what);

#define mm_assert(x)                             \
    do {                                         \
        if (__builtin_expect(!(x), 0))           \
            place_panic(__FILE__, __LINE__, #x); \
    } while (0)

#endif

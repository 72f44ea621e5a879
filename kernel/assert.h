/*
 * Assertions that stay on. A failed one is a bug in the kernel: it prints a crash record and stops
 * the machine. Nothing that user mode does may reach one.
 */
#ifndef KERNEL_ASSERT_H
#define KERNEL_ASSERT_H

_Noreturn void kernel_panic(const char *file, int line, const char *what);

#define kassert(x)                                \
    do {                                          \
        if (__builtin_expect(!(x), 0))            \
            kernel_panic(__FILE__, __LINE__, #x); \
    } while (0)

#endif

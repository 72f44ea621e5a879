/*
 * Start of a program: argument block, thread-local storage of the first thread, constructors,
 * main, exit.
 *
 * RISC-V uses TLS variant I: tp points at the thread's copy of the PT_TLS image, whose first byte
 * is aligned as the segment asks. The linker script reserves the first thread's block in .bss, so
 * that nothing here needs memory or a system call, and errno exists before the first call.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "pg.h"

/* From the linker script. */
extern char __tls_image_start[], __tls_image_size[], __tls_size[], __tls_main[];
extern void (*const __preinit_array_start[])(void), (*const __preinit_array_end[])(void);
extern void (*const __init_array_start[])(void), (*const __init_array_end[])(void);
extern void (*const __fini_array_start[])(void), (*const __fini_array_end[])(void);

int main(int argc, char **argv, char **envp);
void pg_start(unsigned long *block) __attribute__((noreturn));
void __libc_init_array(void);
void __libc_fini_array(void);

static const unsigned long *auxv_start;

const unsigned long *pg_auxv(void)
{
    return auxv_start;
}

unsigned long getauxval(unsigned long type)
{
    for (const unsigned long *pair = auxv_start; pair[0] != AT_NULL; pair += 2) {
        if (pair[0] == type)
            return pair[1];
    }
    errno = ENOENT;
    return 0;
}

size_t pg_tls_size(void)
{
    return (size_t)__tls_size;
}

void *pg_tls_init(void *block)
{
    size_t image_size = (size_t)__tls_image_size;

    memcpy(block, __tls_image_start, image_size);
    memset((char *)block + image_size, 0, (size_t)__tls_size - image_size);
    return block;
}

/* The C library's own versions refer to the segments of its own linker script. */
void __libc_init_array(void)
{
    for (void (*const *fn)(void) = __preinit_array_start; fn < __preinit_array_end; fn++)
        (*fn)();
    for (void (*const *fn)(void) = __init_array_start; fn < __init_array_end; fn++)
        (*fn)();
}

void __libc_fini_array(void)
{
    for (void (*const *fn)(void) = __fini_array_end; fn > __fini_array_start;)
        (*--fn)();
}

void pg_start(unsigned long *block)
{
    int argc = (int)block[0];
    char **argv = (char **)&block[1];
    char **envp = argv + argc + 1;
    unsigned long *rest = (unsigned long *)envp;

    __asm__ volatile("mv tp, %0" ::"r"(pg_tls_init(__tls_main)) : "memory");
    while (*rest++ != 0)
        continue;
    auxv_start = rest;
    environ = envp;
    __libc_init_array();
    exit(main(argc, argv, envp));
}

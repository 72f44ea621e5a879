/* crash KIND: makes a bad access, to see what becomes of it. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "user/bin/lib/util.h"

extern char _start[];

static uint32_t code_in_data[] = {0x00008067}; /* ret */

static void crash_null(void)
{
    *(volatile char *)0 = 1;
}

static void crash_text(void)
{
    *(volatile char *)_start = 1;
}

static void crash_data(void)
{
    ((void (*)(void))(uintptr_t)code_in_data)();
}

static unsigned long crash_stack_from(unsigned long depth)
{
    volatile char frame[4096];

    frame[0] = (char)depth;
    if (depth == ~0ul)
        return 0;
    return crash_stack_from(depth + 1) + (unsigned char)frame[0];
}

static void crash_stack(void)
{
    printf("%lu\n", crash_stack_from(0));
}

static void crash_kernel(void)
{
    *(volatile char *)0xffffffc000000000 = 1;
}

static void crash_illegal(void)
{
    __asm__ volatile("unimp");
}

static void crash_break(void)
{
    __asm__ volatile("ebreak");
}

static const struct {
    const char *name;
    void (*fn)(void);
    const char *what;
} kinds[] = {
    {"null", crash_null, "writes to address 0"},
    {"text", crash_text, "writes to its own code"},
    {"data", crash_data, "runs its data"},
    {"stack", crash_stack, "recurses without end"},
    {"kernel", crash_kernel, "writes to the kernel's half"},
    {"illegal", crash_illegal, "runs an illegal instruction"},
    {"break", crash_break, "runs into a breakpoint"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
    util_start(argv);
    for (size_t i = 0; argc == 2 && i < KINDS; i++) {
        if (strcmp(kinds[i].name, argv[1]) == 0) {
            kinds[i].fn();
            return util_fail("%s: it went well, which it must not", argv[1]);
        }
    }
    util_usage("KIND");
    for (size_t i = 0; i < KINDS; i++)
        fprintf(stderr, "  %-8s %s\n", kinds[i].name, kinds[i].what);
    return 2;
}

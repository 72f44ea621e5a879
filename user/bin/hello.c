/* hello: greets, and shows what a program is given at its start. */
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "pg.h"

enum auxv_kind { AUXV_NUMBER, AUXV_POINTER, AUXV_STRING };

static const struct {
    unsigned long type;
    const char *name;
    enum auxv_kind kind;
} auxv_names[] = {
    {AT_PHDR, "PHDR (program headers)", AUXV_POINTER},
    {AT_PHENT, "PHENT (size of one)", AUXV_NUMBER},
    {AT_PHNUM, "PHNUM (how many)", AUXV_NUMBER},
    {AT_PAGESZ, "PAGESZ", AUXV_NUMBER},
    {AT_BASE, "BASE (interpreter)", AUXV_POINTER},
    {AT_FLAGS, "FLAGS", AUXV_POINTER},
    {AT_ENTRY, "ENTRY", AUXV_POINTER},
    {AT_UID, "UID", AUXV_NUMBER},
    {AT_EUID, "EUID", AUXV_NUMBER},
    {AT_GID, "GID", AUXV_NUMBER},
    {AT_EGID, "EGID", AUXV_NUMBER},
    {AT_PLATFORM, "PLATFORM", AUXV_POINTER},
    {AT_HWCAP, "HWCAP", AUXV_POINTER},
    {AT_CLKTCK, "CLKTCK", AUXV_NUMBER},
    {AT_SECURE, "SECURE", AUXV_NUMBER},
    {AT_RANDOM, "RANDOM (16 bytes)", AUXV_POINTER},
    {AT_HWCAP2, "HWCAP2", AUXV_POINTER},
    {AT_EXECFN, "EXECFN", AUXV_STRING},
    {AT_SYSINFO_EHDR, "SYSINFO_EHDR (vDSO)", AUXV_POINTER},
    {AT_MINSIGSTKSZ, "MINSIGSTKSZ", AUXV_NUMBER},
};

static void print_pair(unsigned long type, unsigned long value)
{
    for (size_t i = 0; i < sizeof(auxv_names) / sizeof(auxv_names[0]); i++) {
        if (auxv_names[i].type != type)
            continue;
        if (auxv_names[i].kind == AUXV_NUMBER)
            printf("  %-24s %lu\n", auxv_names[i].name, value);
        else if (auxv_names[i].kind == AUXV_POINTER)
            printf("  %-24s 0x%lx\n", auxv_names[i].name, value);
        else
            printf("  %-24s %s\n", auxv_names[i].name, value != 0 ? (const char *)value : "(null)");
        return;
    }
    printf("  type %-19lu 0x%lx\n", type, value);
}

int main(int argc, char **argv, char **envp)
{
    printf("Hello from process %d (child of %d).\n", getpid(), getppid());
    printf("arguments: %d\n", argc);
    for (int i = 0; i < argc; i++)
        printf("  %2d  %s\n", i, argv[i]);
    printf("environment:\n");
    for (char **var = envp; *var != NULL; var++)
        printf("  %s\n", *var);
    printf("auxiliary vector:\n");
    for (const unsigned long *pair = pg_auxv(); pair[0] != AT_NULL; pair += 2)
        print_pair(pair[0], pair[1]);
    printf("main at %p, stack at %p\n", (void *)(unsigned long)main, __builtin_frame_address(0));
    return 0;
}

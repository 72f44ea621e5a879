/* Every kind of bad access ends the process, and its wait status says by which signal. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

/* arg: the access (r, w, x), then the address in hexadecimal. */
KTAP_CHILD(poke)
{
    volatile char *p = (volatile char *)strtoul(arg + 1, NULL, 16);

    if (arg[0] == 'r')
        return *p;
    if (arg[0] == 'w')
        *p = 1;
    if (arg[0] == 'x')
        ((void (*)(void))(uintptr_t)p)();
    return 0;
}

KTAP_CASE(read_null)
{
    EXPECT_CHILD_SIGNAL("poke", "r0", SIGSEGV);
}

KTAP_CASE(write_null)
{
    EXPECT_CHILD_SIGNAL("poke", "w0", SIGSEGV);
}

KTAP_CASE(call_null)
{
    EXPECT_CHILD_SIGNAL("poke", "x0", SIGSEGV);
}

KTAP_CASE(read_near_null)
{
    EXPECT_CHILD_SIGNAL("poke", "r7f8", SIGSEGV);
}

KTAP_CASE(read_unmapped)
{
    EXPECT_CHILD_SIGNAL("poke", "r30000000", SIGSEGV);
}

KTAP_CASE(write_unmapped)
{
    EXPECT_CHILD_SIGNAL("poke", "w30000000", SIGSEGV);
}

KTAP_CASE(call_unmapped)
{
    EXPECT_CHILD_SIGNAL("poke", "x30000000", SIGSEGV);
}

KTAP_CASE(read_last_page)
{
    EXPECT_CHILD_SIGNAL("poke", "rfffffffffffff000", SIGSEGV);
}

KTAP_CASE(read_last_byte)
{
    EXPECT_CHILD_SIGNAL("poke", "rffffffffffffffff", SIGSEGV);
}

KTAP_CASE(read_kernel_half_sv39)
{
    EXPECT_CHILD_SIGNAL("poke", "rffffffc000000000", SIGSEGV);
}

KTAP_CASE(write_kernel_half_sv39)
{
    EXPECT_CHILD_SIGNAL("poke", "wffffffc000000000", SIGSEGV);
}

KTAP_CASE(call_kernel_half_sv39)
{
    EXPECT_CHILD_SIGNAL("poke", "xffffffc000000000", SIGSEGV);
}

KTAP_CASE(read_kernel_half_sv48)
{
    EXPECT_CHILD_SIGNAL("poke", "rffff800000000000", SIGSEGV);
}

KTAP_CASE(read_kernel_half_sv57)
{
    EXPECT_CHILD_SIGNAL("poke", "rff00000000000000", SIGSEGV);
}

KTAP_CASE(read_first_address_behind_sv39)
{
    EXPECT_CHILD_SIGNAL("poke", "r4000000000", SIGSEGV);
}

KTAP_CASE(read_non_canonical)
{
    EXPECT_CHILD_SIGNAL("poke", "r4000000000000000", SIGSEGV);
}

KTAP_CASE(write_non_canonical)
{
    EXPECT_CHILD_SIGNAL("poke", "w8000000000000000", SIGSEGV);
}

KTAP_CASE(call_non_canonical)
{
    EXPECT_CHILD_SIGNAL("poke", "x4000000000000000", SIGSEGV);
}

KTAP_CASE(read_machine_addresses)
{
    EXPECT_CHILD_SIGNAL("poke", "r80000000", SIGSEGV);
    EXPECT_CHILD_SIGNAL("poke", "w80200000", SIGSEGV);
    EXPECT_CHILD_SIGNAL("poke", "w10000000", SIGSEGV);
}

KTAP_CHILD(map_and_poke)
{
    int prot = arg[0] == 'r' ? PROT_READ : PROT_READ | PROT_WRITE;
    volatile char *p = mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || *p != 0)
        return 1;
    if (arg[1] == 'w')
        *p = 1;
    else
        ((void (*)(void))(uintptr_t)p)();
    return 0;
}

KTAP_CASE(write_read_only)
{
    EXPECT_CHILD_SIGNAL("map_and_poke", "rw", SIGSEGV);
}

KTAP_CASE(call_not_executable)
{
    EXPECT_CHILD_SIGNAL("map_and_poke", "wx", SIGSEGV);
}

KTAP_CHILD(instruction)
{
    switch (arg[0]) {
    case 'u':
        __asm__ volatile("unimp");
        break;
    case '0':
        __asm__ volatile(".half 0");
        break;
    case 'f':
        __asm__ volatile(".word 0xffffffff");
        break;
    case 'b':
        __asm__ volatile("ebreak");
        break;
    case 's': /* csrr a0, sstatus: a supervisor's register */
        __asm__ volatile(".word 0x10002573" ::: "a0");
        break;
    case 'r': /* sret */
        __asm__ volatile(".word 0x10200073");
        break;
    case 'v': /* sfence.vma */
        __asm__ volatile(".word 0x12000073");
        break;
    }
    return 0;
}

KTAP_CASE(unimp_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "u", SIGILL);
}

KTAP_CASE(zero_halfword_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "0", SIGILL);
}

KTAP_CASE(all_ones_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "f", SIGILL);
}

KTAP_CASE(supervisor_register_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "s", SIGILL);
}

KTAP_CASE(sret_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "r", SIGILL);
}

KTAP_CASE(sfence_vma_is_sigill)
{
    EXPECT_CHILD_SIGNAL("instruction", "v", SIGILL);
}

KTAP_CASE(ebreak_is_sigtrap)
{
    EXPECT_CHILD_SIGNAL("instruction", "b", SIGTRAP);
}

KTAP_CHILD(call_abort)
{
    abort();
}

KTAP_CASE(abort_is_sigabrt)
{
    EXPECT_CHILD_SIGNAL("call_abort", "", SIGABRT);
}

KTAP_CHILD(thread_poke)
{
    /* A bad access of one thread ends the whole process. */
    pg_thread_join(pg_thread_create((void *(*)(void *))(uintptr_t)strlen, NULL, 0));
    return 0;
}

KTAP_CASE(bad_access_of_a_thread_ends_the_process)
{
    EXPECT_CHILD_SIGNAL("thread_poke", "", SIGSEGV);
}

KTAP_CASE(many_deaths_in_a_row)
{
    for (int i = 0; i < 20; i++)
        EXPECT_CHILD_SIGNAL("poke", "w0", SIGSEGV);
}

/* What a program finds when it starts: arguments, environment, auxiliary vector, TLS, alignment. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

extern char _start[], __tls_main[];

static __thread int tls_initialised = 0x1234567;
static __thread char tls_text[] = "thread local";
static __thread unsigned char tls_zeroed[100];
static __thread int tls_aligned __attribute__((aligned(64))) = 7;

static int constructor_order[3];
static int constructor_count;

__attribute__((constructor(201))) static void early_constructor(void)
{
    constructor_order[constructor_count++] = 1;
}

__attribute__((constructor(202))) static void late_constructor(void)
{
    constructor_order[constructor_count++] = 2;
}

KTAP_CASE(argc_and_argv)
{
    EXPECT(ktap_argc() >= 1);
    EXPECT(ktap_argv()[ktap_argc()] == NULL);
    EXPECT(ktap_argv()[0] != NULL && strlen(ktap_argv()[0]) > 0);
    EXPECT(strstr(ktap_argv()[0], "startup") != NULL);
}

KTAP_CASE(environment_follows_argv)
{
    EXPECT(environ == ktap_argv() + ktap_argc() + 1);
}

KTAP_CASE(auxv_follows_environment)
{
    char **end = environ;

    while (*end != NULL)
        end++;
    EXPECT((const unsigned long *)(end + 1) == pg_auxv());
}

KTAP_CASE(argument_block_is_16_byte_aligned)
{
    EXPECT_EQ((uintptr_t)(ktap_argv() - 1) % 16, 0);
}

KTAP_CASE(stack_is_16_byte_aligned)
{
    EXPECT_EQ((uintptr_t)__builtin_frame_address(0) % 16, 0);
}

KTAP_CASE(auxv_page_size)
{
    EXPECT_EQ(getauxval(AT_PAGESZ), 4096);
}

KTAP_CASE(auxv_entry)
{
    EXPECT_EQ(getauxval(AT_ENTRY), (uintptr_t)_start);
}

/* Our linker script puts the headers right after the 64-byte ELF header at 0x10000. */
KTAP_CASE(auxv_program_headers)
{
    EXPECT_EQ(getauxval(AT_PHDR), 0x10040);
    EXPECT_EQ(getauxval(AT_PHENT), 56);
    EXPECT(getauxval(AT_PHNUM) >= 4);
}

KTAP_CASE(program_headers_are_readable)
{
    const uint32_t *first = (const uint32_t *)getauxval(AT_PHDR);

    REQUIRE(first != NULL);
    EXPECT_EQ(first[0], 6); /* PT_PHDR */
    EXPECT_EQ(((const uint64_t *)first)[2], getauxval(AT_PHDR));
}

KTAP_CASE(auxv_random_points_to_16_bytes)
{
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);

    REQUIRE(random != NULL);
    EXPECT(!ktap_all_bytes(random, 16, 0));
}

KTAP_CASE(auxv_execfn)
{
    const char *name = (const char *)getauxval(AT_EXECFN);

    REQUIRE(name != NULL);
    EXPECT(strstr(name, "startup") != NULL);
}

KTAP_CASE(auxv_missing_entry_is_enoent)
{
    errno = 0;
    EXPECT_EQ(getauxval(0x7fffffff), 0);
    EXPECT_EQ(errno, ENOENT);
}

KTAP_CASE(tls_is_initialised)
{
    EXPECT_EQ(tls_initialised, 0x1234567);
    EXPECT(strcmp(tls_text, "thread local") == 0);
    EXPECT_EQ(tls_aligned, 7);
}

KTAP_CASE(tls_rest_is_zeroed)
{
    EXPECT(ktap_all_bytes(tls_zeroed, sizeof(tls_zeroed), 0));
}

KTAP_CASE(tls_is_aligned)
{
    EXPECT_EQ((uintptr_t)&tls_aligned % 64, 0);
}

KTAP_CASE(thread_pointer_is_the_tls_block)
{
    EXPECT(__builtin_thread_pointer() == (void *)__tls_main);
}

KTAP_CASE(constructors_ran_in_order)
{
    EXPECT_EQ(constructor_count, 2);
    EXPECT_EQ(constructor_order[0], 1);
    EXPECT_EQ(constructor_order[1], 2);
}

static void say_bye(void)
{
    _exit(42);
}

KTAP_CHILD(exit_runs_atexit)
{
    atexit(say_bye);
    return 1;
}

KTAP_CASE(atexit_runs_at_exit)
{
    EXPECT_CHILD_EXIT("exit_runs_atexit", "", 42);
}

KTAP_CHILD(sees_argument)
{
    return strcmp(arg, "a b\tc'\"") == 0 ? 17 : 1;
}

KTAP_CASE(argument_arrives_unchanged)
{
    EXPECT_CHILD_EXIT("sees_argument", "a b\tc'\"", 17);
}

KTAP_CHILD(sees_environment)
{
    const char *value = getenv("STARTUP_TEST");

    return value != NULL && strcmp(value, "x=y=z") == 0 ? 18 : 1;
}

KTAP_CASE(environment_is_inherited)
{
    setenv("STARTUP_TEST", "x=y=z", 1);
    EXPECT_CHILD_EXIT("sees_environment", "", 18);
    unsetenv("STARTUP_TEST");
}

KTAP_CASE(errno_values_have_their_names)
{
    EXPECT_EQ(SYSCALL(5000), -ENOSYS);
    EXPECT_EQ(pg_ret(pg_syscall(5000)), -1);
    EXPECT_EQ(errno, ENOSYS);
    EXPECT(strstr(strerror(errno), "implemented") != NULL);
}

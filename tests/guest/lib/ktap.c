/*
 * The frame of every guest test program: main, the list of cases, KTAP output, child processes.
 *
 * Output lines leave the program whole and in order: stdout is flushed before a child starts.
 */
#include "ktap.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"

static struct ktap_case *cases;
static struct ktap_child *children;
static int arg_count;
static char **args;
static const char *indent = "";

/* The running case. */
static bool failed;
static const char *skip_reason;

void ktap_register_case(struct ktap_case *test)
{
    struct ktap_case **at = &cases;

    while (*at != NULL && (*at)->line < test->line)
        at = &(*at)->next;
    test->next = *at;
    *at = test;
}

void ktap_register_child(struct ktap_child *child)
{
    child->next = children;
    children = child;
}

void ktap_fail(const char *file, int line, const char *format, ...)
{
    va_list va;

    failed = true;
    printf("%s# %s:%d: ", indent, file, line);
    va_start(va, format);
    vprintf(format, va);
    va_end(va);
    printf("\n");
}

void ktap_note(const char *format, ...)
{
    va_list va;

    printf("%s# ", indent);
    va_start(va, format);
    vprintf(format, va);
    va_end(va);
    printf("\n");
}

void ktap_skip(const char *reason)
{
    skip_reason = reason;
}

long ktap_raw(long result)
{
    if (result < 0 && result >= -4095)
        return -(long)pg_errno_from_linux((int)-result);
    return result;
}

void ktap_expect_error(const char *file, int line, const char *call, long result, int want_errno,
                       const char *want_name)
{
    if (result == -want_errno)
        return;
    if (result < 0 && result >= -4095)
        ktap_fail(file, line, "%s: %s, not %s", call, strerror((int)-result), want_name);
    else
        ktap_fail(file, line, "%s gives 0x%lx, not %s", call, result, want_name);
}

int ktap_child(const char *name, const char *arg)
{
    char *argv[] = {(char *)ktap_self(), "--child", (char *)name, (char *)arg, NULL};
    int status = -1;

    fflush(stdout);
    pid_t pid = pg_spawn(ktap_self(), argv, environ, NULL);
    if (pid < 0) {
        ktap_fail(__FILE__, __LINE__, "cannot start %s: %s", ktap_self(), strerror(errno));
        return -1;
    }
    if (waitpid(pid, &status, 0) != pid) {
        ktap_fail(__FILE__, __LINE__, "waitpid: %s", strerror(errno));
        return -1;
    }
    return status;
}

const char *ktap_status_text(int status)
{
    static char text[48];

    if (status == -1)
        snprintf(text, sizeof(text), "never ran");
    else if (WIFEXITED(status))
        snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof(text), "status 0x%x", (unsigned)status);
    return text;
}

bool ktap_on_pagoda(void)
{
    struct utsname name;

    return access("/proc/pagoda", F_OK) == 0 ||
           (uname(&name) == 0 && strcmp(name.sysname, "Pagoda") == 0);
}

bool ktap_emulated(void)
{
    return getenv("PG_EMULATOR") != NULL;
}

uint64_t ktap_seed(void)
{
    const char *seed = getenv("KTAP_SEED");

    return seed != NULL ? strtoul(seed, NULL, 0) : 1;
}

const char *ktap_self(void)
{
    return args[0];
}

int ktap_argc(void)
{
    return arg_count;
}

char **ktap_argv(void)
{
    return args;
}

static bool is_wanted(const struct ktap_case *test)
{
    bool any = arg_count < 2;

    for (int i = 1; i < arg_count; i++)
        any = any || strcmp(args[i], test->name) == 0;
    return any;
}

static bool run_case(const struct ktap_case *test, int number)
{
    failed = false;
    skip_reason = NULL;
    if (strncmp(test->name, "pagoda_", 7) == 0 && !ktap_on_pagoda())
        skip_reason = "only on Pagoda";
    else
        test->fn();
    printf("%s%s %d %s", indent, failed ? "not ok" : "ok", number, test->name);
    if (skip_reason != NULL && !failed)
        printf(" # SKIP %s", skip_reason);
    printf("\n");
    return !failed;
}

static int run_child(const char *name, const char *arg)
{
    for (struct ktap_child *child = children; child != NULL; child = child->next) {
        if (strcmp(child->name, name) == 0)
            return child->fn(arg);
    }
    fprintf(stderr, "%s: no child function named %s\n", ktap_self(), name);
    return 125;
}

int main(int argc, char **argv)
{
    int count = 0, number = 0;
    bool good = true;

    arg_count = argc;
    args = argv;
    if (argc >= 3 && strcmp(argv[1], "--child") == 0)
        return run_child(argv[2], argc > 3 ? argv[3] : "");
    if (getenv("KTAP_INDENT") != NULL)
        indent = "    ";
    for (struct ktap_case *test = cases; test != NULL; test = test->next)
        count += is_wanted(test);
    printf("%sKTAP version 1\n%s1..%d\n", indent, indent, count);
    for (struct ktap_case *test = cases; test != NULL; test = test->next) {
        if (is_wanted(test))
            good &= run_case(test, ++number);
    }
    return good ? 0 : 1;
}

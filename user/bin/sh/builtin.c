/* The commands that the shell does itself, because they are about the shell. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/bin/lib/util.h"
#include "user/bin/sh/sh.h"

static int builtin_cd(int argc, char **argv)
{
    const char *to = argc > 1 ? argv[1] : getenv("HOME");

    if (argc > 2 || to == NULL)
        return util_usage("cd DIRECTORY");
    return chdir(to) < 0 ? util_fail_errno("cd: %s", to) : 0;
}

static int builtin_pwd(int argc, char **argv)
{
    char path[SH_PATH_SIZE];

    (void)argc;
    (void)argv;
    if (getcwd(path, sizeof(path)) == NULL)
        return util_fail_errno("pwd");
    printf("%s\n", path);
    return 0;
}

static int builtin_exit(int argc, char **argv)
{
    unsigned long status = (unsigned long)sh.last_status;

    if (argc > 2 || (argc == 2 && !util_number(argv[1], 255, &status)))
        return util_usage("exit [0-255]");
    sh.exiting = true;
    return (int)status;
}

static int builtin_export(int argc, char **argv)
{
    if (argc == 1) {
        for (char **var = environ; *var != NULL; var++)
            printf("%s\n", *var);
    }
    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL)
            continue; /* every variable is exported already */
        *equals = '\0';
        if (setenv(argv[i], equals + 1, 1) < 0)
            return util_fail_errno("export: %s", argv[i]);
    }
    return 0;
}

static int builtin_unset(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        unsetenv(argv[i]);
    return 0;
}

static int builtin_history(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (size_t i = 0; edit_history(i) != NULL; i++)
        printf("%4zu  %s\n", i + 1, edit_history(i));
    return 0;
}

static int builtin_wait(int argc, char **argv)
{
    unsigned long pid;
    int status;

    if (argc > 2 || (argc == 2 && !util_number(argv[1], 0x7fffffff, &pid)))
        return util_usage("wait [PID]");
    if (argc == 1) {
        while (wait(&status) > 0 || errno == EINTR)
            continue;
        return 0;
    }
    if (waitpid((pid_t)pid, &status, 0) < 0)
        return util_fail_errno("wait: %s", argv[1]);
    run_set_status(argv[1], status);
    return sh.last_status;
}

static int builtin_help(int argc, char **argv);

static const struct {
    const char *name;
    builtin_fn fn;
    const char *what;
} builtins[] = {
    {"cd", builtin_cd, "cd [DIRECTORY]: go to a directory"},
    {"exit", builtin_exit, "exit [STATUS]: leave the shell"},
    {"export", builtin_export, "export [NAME=VALUE]: set a variable, or list all"},
    {"help", builtin_help, "help: this list"},
    {"history", builtin_history, "history: the lines typed so far"},
    {"pwd", builtin_pwd, "pwd: where you are"},
    {"unset", builtin_unset, "unset NAME: remove a variable"},
    {"wait", builtin_wait, "wait [PID]: wait for background processes"},
};

#define BUILTINS (sizeof(builtins) / sizeof(builtins[0]))

static int builtin_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("Built-in commands:\n");
    for (size_t i = 0; i < BUILTINS; i++)
        printf("  %s\n", builtins[i].what);
    printf(
        "A line:  CMD ARG...; CMD && CMD || CMD   CMD | CMD   CMD &   # comment\n"
        "         CMD <in >out >>append 2>errors 2>&1   NAME=value   $NAME ${NAME} $? $$ $!\n"
        "         'as it is' \"with $NAME\" \\x        all variables are exported\n"
        "Keys:    arrows Home End Delete, Tab completes, Ctrl-A/E start/end,\n"
        "         Ctrl-U/K/W delete to start/to end/word, Ctrl-L clears, Ctrl-C drops the line,\n"
        "         Ctrl-D leaves\n"
        "To look: ps, free, maps [PID], stat [TEXT], caps [PID], faults [N], ls /bin\n");
    return 0;
}

builtin_fn builtin_find(const char *name)
{
    for (size_t i = 0; i < BUILTINS; i++) {
        if (strcmp(builtins[i].name, name) == 0)
            return builtins[i].fn;
    }
    return NULL;
}

const char *builtin_name(size_t i)
{
    return i < BUILTINS ? builtins[i].name : NULL;
}

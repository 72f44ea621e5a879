/*
 * Running a line: lists (; && || &) of pipelines (|) of commands with redirections.
 *
 * A command becomes a process by pg_spawn; the shell itself goes on only with built-ins.
 * Descriptors that the shell opens for a command are at least 3 and close-on-exec, so a command
 * gets exactly 0, 1 and 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"
#include "user/bin/sh/sh.h"

#define STAGES_MAX 16
#define OPENED_MAX 8

/* One command, ready to run. */
struct command {
    int argc;
    char *argv[SH_ARGS_MAX + 1];
    int assignments; /* NAME=value words before the command */
    char *assignment[SH_ARGS_MAX];
    int fds[3];
    int opened[OPENED_MAX]; /* to be closed when it runs */
    int opened_count;
};

bool run_find(const char *name, char path[SH_PATH_SIZE])
{
    const char *dirs = getenv("PATH");

    if (strchr(name, '/') != NULL) {
        snprintf(path, SH_PATH_SIZE, "%s", name);
        return true;
    }
    for (const char *at = dirs != NULL ? dirs : "/bin"; *at != '\0';) {
        size_t length = strcspn(at, ":");
        struct stat st;
        int used = snprintf(path, SH_PATH_SIZE, "%.*s/%s", (int)length, at, name);
        if (used < SH_PATH_SIZE && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return true;
        at += length;
        at += *at == ':';
    }
    return false;
}

void run_set_status(const char *name, int status)
{
    if (WIFEXITED(status)) {
        sh.last_status = WEXITSTATUS(status);
        return;
    }
    sh.last_status = SH_STATUS_SIGNAL + WTERMSIG(status);
    fprintf(stderr, "%s: %s\n", name, strsignal(WTERMSIG(status)));
}

void run_reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (!sh.interactive)
            continue;
        if (WIFSIGNALED(status))
            fprintf(stderr, "[%d] %s\n", pid, strsignal(WTERMSIG(status)));
        else
            fprintf(stderr, "[%d] done, status %d\n", pid, WEXITSTATUS(status));
    }
}

static bool is_assignment(const char *word)
{
    size_t name = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

    return name > 0 && word[name] == '=' && (word[0] < '0' || word[0] > '9');
}

static void assign(const char *word)
{
    char name[64];
    size_t length = strcspn(word, "=");

    if (length >= sizeof(name)) {
        sh_error(1, "%.20s...: the name is too long", word);
        return;
    }
    memcpy(name, word, length);
    name[length] = '\0';
    setenv(name, word + length + 1, 1);
}

static bool keep_opened(struct command *command, int fd, const char *what)
{
    if (fd >= 0 && command->opened_count < OPENED_MAX) {
        command->opened[command->opened_count++] = fd;
        return true;
    }
    if (fd >= 0) {
        close(fd);
        sh_error(1, "more than %d redirections", OPENED_MAX);
    } else {
        sh_error(1, "%s: %s", what, strerror(errno));
    }
    return false;
}

/* Does one redirection; `target` is its file name's token (not used by 2>&1). */
static bool redirect(struct command *command, const struct token *op, const struct token *target)
{
    bool failed = false;
    int fd, flags = O_CLOEXEC;

    if (op->kind == TOKEN_DUP) {
        fd = command->fds[1] == 1 ? fcntl(1, F_DUPFD, 3) : command->fds[1];
        if (fd != command->fds[1]) {
            if (!keep_opened(command, fd, "2>&1"))
                return false;
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        }
        command->fds[2] = fd;
        return true;
    }
    if (target->kind != TOKEN_WORD) {
        sh_error(SH_STATUS_USAGE, "a redirection has no file name");
        return false;
    }
    char *name = lex_expand(target, &failed);
    if (op->kind == TOKEN_IN)
        flags |= O_RDONLY;
    else
        flags |= O_WRONLY | O_CREAT | (op->kind == TOKEN_APPEND ? O_APPEND : O_TRUNC);
    fd = name != NULL ? open(name, flags, 0666) : -1;
    if (name == NULL && !failed)
        sh_error(1, "a redirection's file name is empty");
    bool good = name != NULL && keep_opened(command, fd, name);
    if (good)
        command->fds[op->fd] = fd;
    free(name);
    return good;
}

static void command_free(struct command *command)
{
    for (int i = 0; i < command->argc; i++)
        free(command->argv[i]);
    for (int i = 0; i < command->assignments; i++)
        free(command->assignment[i]);
    for (int i = 0; i < command->opened_count; i++)
        close(command->opened[i]);
}

/*
 * Makes a command of the tokens [at, end) and adds its redirections to the fds it has. False with
 * a message when that fails; command_free is due in both cases.
 */
static bool command_make(struct command *command, const struct token *at, const struct token *end)
{
    bool failed = false;

    for (; at < end && !failed; at++) {
        if (at->kind != TOKEN_WORD) {
            if (!redirect(command, at, at + 1))
                return false;
            at += at->kind != TOKEN_DUP;
            continue;
        }
        char *word = lex_expand(at, &failed);
        if (word == NULL)
            continue;
        if (command->argc == 0 && is_assignment(word) && command->assignments < SH_ARGS_MAX) {
            command->assignment[command->assignments++] = word;
        } else if (command->argc < SH_ARGS_MAX) {
            command->argv[command->argc++] = word;
        } else {
            free(word);
            sh_error(1, "more than %d arguments", SH_ARGS_MAX);
            return false;
        }
    }
    command->argv[command->argc] = NULL;
    return !failed;
}

/* Starts the command as a process; its pid, or -1 with a message and last_status set. */
static pid_t command_start(struct command *command, bool background)
{
    char path[SH_PATH_SIZE];
    char *saved[SH_ARGS_MAX];

    if (!run_find(command->argv[0], path)) {
        sh_error(SH_STATUS_NOT_FOUND, "%s: no such command", command->argv[0]);
        return -1;
    }
    /* Assignments before a command are for that command only. */
    for (int i = 0; i < command->assignments; i++) {
        char *word = command->assignment[i], *equals = strchr(word, '=');
        *equals = '\0';
        saved[i] = getenv(word) != NULL ? strdup(getenv(word)) : NULL;
        setenv(word, equals + 1, 1);
    }
    fflush(stdout);
    /* Ctrl-C goes to all commands in the terminal's group; one in the background ignores it. */
    void (*on_interrupt)(int) = background ? signal(SIGINT, SIG_IGN) : SIG_ERR;
    pid_t pid = pg_spawn(path, command->argv, environ, command->fds);
    int error = errno;
    if (on_interrupt != SIG_ERR)
        signal(SIGINT, on_interrupt);
    for (int i = command->assignments - 1; i >= 0; i--) {
        if (saved[i] != NULL)
            setenv(command->assignment[i], saved[i], 1);
        else
            unsetenv(command->assignment[i]);
        free(saved[i]);
    }
    if (pid < 0)
        sh_error(error == ENOENT ? SH_STATUS_NOT_FOUND : SH_STATUS_NO_EXEC, "%s: %s", path,
                 strerror(error));
    return pid;
}

/* Runs a built-in with the command's descriptors in place of the shell's own. */
static void run_builtin(builtin_fn fn, struct command *command)
{
    int saved[3];

    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        saved[i] = command->fds[i] != i ? fcntl(i, F_DUPFD, 10) : -1;
        if (command->fds[i] != i)
            dup2(command->fds[i], i);
    }
    sh.last_status = fn(command->argc, command->argv);
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 3; i++) {
        if (saved[i] >= 0) {
            dup2(saved[i], i);
            close(saved[i]);
        }
    }
}

static void run_simple(const struct token *at, const struct token *end, bool background)
{
    struct command command = {.fds = {0, 1, 2}};
    int status = 0;

    if (command_make(&command, at, end)) {
        builtin_fn fn = command.argc > 0 ? builtin_find(command.argv[0]) : NULL;
        if (command.argc == 0) {
            sh.last_status = 0;
            for (int i = 0; i < command.assignments; i++)
                assign(command.assignment[i]);
        } else if (fn != NULL) {
            run_builtin(fn, &command);
        } else {
            pid_t pid = command_start(&command, background);
            if (pid > 0 && background) {
                sh.last_pid = pid;
                sh.last_status = 0;
                if (sh.interactive)
                    fprintf(stderr, "[%d]\n", pid);
            } else if (pid > 0 && waitpid(pid, &status, 0) == pid) {
                run_set_status(command.argv[0], status);
            }
        }
    }
    command_free(&command);
}

/* Starts one stage of a pipeline between two descriptors; its pid, or -1 after a message. */
static pid_t start_stage(const struct token *at, const struct token *end, int in, int out,
                         bool background)
{
    struct command command = {.fds = {in, out, 2}};
    pid_t pid = -1;

    if (command_make(&command, at, end)) {
        if (command.argc == 0)
            sh_error(SH_STATUS_USAGE, "a part of a pipeline has no command");
        else if (builtin_find(command.argv[0]) != NULL)
            sh_error(1, "%s: a built-in command cannot be part of a pipeline", command.argv[0]);
        else
            pid = command_start(&command, background);
    }
    command_free(&command);
    return pid;
}

static const struct token *find_pipe(const struct token *at, const struct token *end)
{
    while (at < end && at->kind != TOKEN_PIPE)
        at++;
    return at;
}

static void run_pipeline(const struct token *at, const struct token *end, bool background)
{
    pid_t pids[STAGES_MAX];
    int count = 0, in = 0, status = 0;
    bool good = true;

    if (find_pipe(at, end) == end) {
        run_simple(at, end, background);
        return;
    }
    for (const struct token *stage_end; good && at <= end; at = stage_end + 1) {
        int ends[2] = {-1, 1};
        stage_end = find_pipe(at, end);
        if (count == STAGES_MAX) {
            sh_error(1, "more than %d commands in a pipeline", STAGES_MAX);
            break;
        }
        if (stage_end < end && pipe2(ends, O_CLOEXEC) < 0) {
            sh_error(1, "no pipe: %s", strerror(errno));
            break;
        }
        pid_t pid = start_stage(at, stage_end, in, ends[1], background);
        good = pid > 0;
        if (good)
            pids[count++] = pid;
        if (in != 0)
            close(in);
        if (ends[1] != 1)
            close(ends[1]);
        in = ends[0];
    }
    if (in > 0)
        close(in);
    for (int i = 0; i < count && !background; i++) {
        if (waitpid(pids[i], &status, 0) == pids[i] && i == count - 1 && good)
            run_set_status("pipeline", status);
    }
    if (background && count > 0)
        sh.last_pid = pids[count - 1];
}

void run_line(const char *line)
{
    static struct token tokens[SH_TOKENS_MAX];
    bool skip = false;

    if (!lex_line(line, tokens))
        return;
    for (const struct token *at = tokens; at->kind != TOKEN_END && !sh.exiting;) {
        const struct token *end = at;
        while (end->kind == TOKEN_WORD || end->kind == TOKEN_PIPE || end->kind >= TOKEN_IN) {
            if (end->kind == TOKEN_END)
                break;
            end++;
        }
        if (end == at) {
            sh_error(SH_STATUS_USAGE, "a command is missing");
            return;
        }
        if (!skip)
            run_pipeline(at, end, end->kind == TOKEN_AMP);
        if (end->kind == TOKEN_AND)
            skip = sh.last_status != 0;
        else if (end->kind == TOKEN_OR)
            skip = sh.last_status == 0;
        else
            skip = false;
        if ((end->kind == TOKEN_AND || end->kind == TOKEN_OR) && end[1].kind == TOKEN_END) {
            sh_error(SH_STATUS_USAGE, "a command is missing at the end");
            return;
        }
        at = end->kind == TOKEN_END ? end : end + 1;
    }
}

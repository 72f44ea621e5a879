/*
 * sh: a small shell.  sh | sh -c LINE | sh FILE
 *
 * See sh.h for its parts. Lines come from the editor when the standard input is a terminal, else
 * byte by byte from a descriptor, so that commands find the rest of the input untouched.
 */
#include "user/bin/sh/sh.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/bin/lib/util.h"

struct sh sh;

void sh_error(int status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "sh: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    sh.last_status = status;
}

/* One line without its end. False at the end of input. */
static bool read_line(int fd, char line[SH_LINE_SIZE])
{
    size_t length = 0;
    bool too_long = false, any = false;
    char c;

    while (read(fd, &c, 1) == 1) {
        any = true;
        if (c == '\n')
            break;
        if (length < SH_LINE_SIZE - 1)
            line[length++] = c;
        else
            too_long = true;
    }
    line[length] = '\0';
    if (too_long) {
        sh_error(SH_STATUS_USAGE, "a line is longer than %d characters", SH_LINE_SIZE - 1);
        line[0] = '\0';
    }
    return any;
}

static void run_file(int fd)
{
    static char line[SH_LINE_SIZE];

    while (!sh.exiting && read_line(fd, line)) {
        run_line(line);
        run_reap();
    }
}

static void survive(int sig)
{
    (void)sig;
}

static void run_terminal(void)
{
    static char line[SH_LINE_SIZE];

    sh.interactive = true;
    /*
     * Ctrl-C is for the command that runs; while the line is edited it is a key. A handler, not
     * SIG_IGN: commands would inherit that.
     */
    signal(SIGINT, survive);
    signal(SIGQUIT, survive);
    while (!sh.exiting) {
        run_reap();
        int length = edit_line("$ ", line);
        if (length < 0)
            break;
        if (length > 0) {
            edit_add_history(line);
            run_line(line);
        }
    }
}

/* -c takes a text of any number of lines. */
static void run_text(const char *text)
{
    static char line[SH_LINE_SIZE];

    while (*text != '\0' && !sh.exiting) {
        size_t length = strcspn(text, "\n");
        if (length >= SH_LINE_SIZE) {
            sh_error(SH_STATUS_USAGE, "a line is longer than %d characters", SH_LINE_SIZE - 1);
            return;
        }
        memcpy(line, text, length);
        line[length] = '\0';
        run_line(line);
        text += length + (text[length] == '\n');
    }
}

int main(int argc, char **argv)
{
    util_start(argv);
    if (argc == 3 && strcmp(argv[1], "-c") == 0) {
        run_text(argv[2]);
    } else if (argc == 2 && argv[1][0] != '-') {
        int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            util_fail_errno("%s", argv[1]);
            return SH_STATUS_NOT_FOUND;
        }
        run_file(fd);
    } else if (argc == 1 && isatty(0)) {
        run_terminal();
    } else if (argc == 1) {
        run_file(0);
    } else {
        return util_usage("[-c LINE | FILE]");
    }
    return sh.last_status;
}

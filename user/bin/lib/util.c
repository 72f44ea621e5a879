/* What several commands share; see util.h. */
#include "user/bin/lib/util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program_name = "?";

void util_start(char **argv)
{
    const char *slash = argv[0] != NULL ? strrchr(argv[0], '/') : NULL;

    if (argv[0] != NULL)
        program_name = slash != NULL ? slash + 1 : argv[0];
}

static void message(const char *format, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", program_name);
    vfprintf(stderr, format, args);
}

int util_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    message(format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return 1;
}

int util_fail_errno(const char *format, ...)
{
    int error = errno;
    va_list args;

    va_start(args, format);
    message(format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", strerror(error));
    return 1;
}

int util_usage(const char *text)
{
    fprintf(stderr, "usage: %s%s%s\n", program_name, *text != '\0' ? " " : "", text);
    return 2;
}

char *util_read_file(const char *path)
{
    size_t used = 0, size = 4096;
    char *text = malloc(size);
    int fd = open(path, O_RDONLY);
    ssize_t got = -1;

    while (fd >= 0 && text != NULL) {
        got = read(fd, text + used, size - used - 1);
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used + 1 == size) {
            char *bigger = realloc(text, size *= 2);
            if (bigger == NULL)
                got = -1;
            else
                text = bigger;
            if (got < 0)
                break;
        }
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0 || text == NULL) {
        free(text);
        errno = error;
        return NULL;
    }
    text[used] = '\0';
    return text;
}

char *util_read_pagoda_file(const char *path)
{
    char *text = util_read_file(path);

    if (text == NULL && errno == ENOENT && access("/proc/pagoda", F_OK) < 0)
        util_fail("%s: only Pagoda has this file, and this system is another", path);
    else if (text == NULL)
        util_fail_errno("%s", path);
    return text;
}

int util_copy_out(int fd)
{
    char buf[4096];
    ssize_t got;

    fflush(stdout);
    while ((got = read(fd, buf, sizeof(buf))) > 0) {
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(1, buf + done, (size_t)(got - done));
            if (put < 0)
                return -1;
            done += put;
        }
    }
    return got < 0 ? -1 : 0;
}

bool util_number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 0);
    if (*end != '\0' || errno != 0 || value > max)
        return false;
    *out = value;
    return true;
}

const char *util_status_text(int status)
{
    static char text[64];

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
    return text;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **util_list_dir(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0, room = 16;
    char **names = dir != NULL ? malloc(room * sizeof(*names)) : NULL;
    struct dirent *entry;

    if (dir == NULL)
        return NULL;
    while (names != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (count + 1 == room) {
            char **bigger = realloc(names, (room *= 2) * sizeof(*names));
            if (bigger == NULL)
                break;
            names = bigger;
        }
        names[count] = strdup(entry->d_name);
        count += names[count] != NULL;
    }
    closedir(dir);
    if (names == NULL)
        return NULL;
    names[count] = NULL;
    qsort(names, count, sizeof(*names), compare_names);
    return names;
}

void util_free_list(char **names)
{
    for (char **name = names; name != NULL && *name != NULL; name++)
        free(*name);
    free(names);
}

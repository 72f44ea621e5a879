/*
 * Whole programs that are none of ours: each script of /workloads, from its start to its end, as a
 * row program_NAME; with workload=NAME on the command line that one only. Where there are none (an
 * initrd without Debian's programs) there is no row.
 *
 * The sample is the counter, or a clock in its place that goes on while everything sleeps; so the
 * figure to compare is what harness/events_plugin.c sees between the marks.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"
#include "user/bench/lib/bench.h"

#define DIRECTORY  "/workloads"
#define NAME_BYTES 64

static void run(char *path)
{
    char *argv[] = {path, NULL};
    int status = -1;
    pid_t pid = pg_spawn(path, argv, environ, NULL);

    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        bench_fail(path, pid < 0 ? -errno : status);
}

static void row(const char *name)
{
    struct bench_row row;
    char path[2 * NAME_BYTES], op[2 * NAME_BYTES], word[2 * NAME_BYTES];
    int length = (int)strcspn(name, ".");

    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    snprintf(op, sizeof op, "program_%.*s", length, name);
    snprintf(word, sizeof word, "workload=%.*s", length, name);
    if (bench_command_line_has("workload=") && !bench_command_line_has(word))
        return;
    bench_open(&row, op, BENCH_BY_OTHER, 1, 1);
    bench_events_begin();
    uint64_t begun = bench_now();
    run(path);
    uint64_t ended = bench_now();
    bench_events_end(&row);
    bench_add(&row, ended - begun);
    bench_close(&row);
}

/* The name in the directory that follows `name` by the alphabet, in its place; false behind the
 * last. */
static bool next(char name[NAME_BYTES])
{
    DIR *directory = opendir(DIRECTORY);
    const struct dirent *entry;
    const char *found = NULL;
    char least[NAME_BYTES];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        const char *at = entry->d_name;

        if (at[0] == '.' || strlen(at) >= NAME_BYTES || strcmp(at, name) <= 0)
            continue;
        if (found == NULL || strcmp(at, found) < 0)
            found = strcpy(least, at);
    }
    if (directory != NULL)
        closedir(directory);
    if (found != NULL)
        strcpy(name, found);
    return found != NULL;
}

int main(void)
{
    char name[NAME_BYTES] = "";

    bench_start();
    setenv("PATH", "/usr/bin:/usr/sbin:/bin", 1);
    while (next(name))
        row(name);
    return 0;
}

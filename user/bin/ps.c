/* ps: the processes, from /proc/PID/stat. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/bin/lib/util.h"

#define PAGE_KIB 4

/* Fields of /proc/PID/stat behind the name, counted from 3 as proc(5) does. */
enum {
    STAT_STATE = 3,
    STAT_PPID = 4,
    STAT_MINFLT = 10,
    STAT_THREADS = 20,
    STAT_VSIZE = 23,
    STAT_RSS = 24,
    STAT_FIELDS
};

/* A process may end between the listing and the reading: then it is left out. */
static void print_process(const char *pid)
{
    char path[64], state = '?';
    long field[STAT_FIELDS] = {0};

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    char *text = util_read_file(path);
    char *name = text != NULL ? strchr(text, '(') : NULL;
    char *end = text != NULL ? strrchr(text, ')') : NULL;
    if (name == NULL || end == NULL) {
        free(text);
        return;
    }
    *end = '\0';
    char *at = end + 1;
    for (int i = STAT_STATE; i < STAT_FIELDS && *at != '\0'; i++) {
        while (*at == ' ')
            at++;
        if (i == STAT_STATE)
            state = *at++;
        else
            field[i] = strtol(at, &at, 10);
    }
    printf("%5s %5ld %c %4ld %9ld %9ld %9ld  %s\n", pid, field[STAT_PPID], state,
           field[STAT_THREADS], field[STAT_VSIZE] / 1024, field[STAT_RSS] * PAGE_KIB,
           field[STAT_MINFLT], name + 1);
    free(text);
}

static int compare_pids(const void *a, const void *b)
{
    return atoi(*(char *const *)a) - atoi(*(char *const *)b);
}

int main(int argc, char **argv)
{
    size_t count = 0;

    util_start(argv);
    if (argc != 1)
        return util_usage("");
    char **names = util_list_dir("/proc");
    if (names == NULL)
        return util_fail_errno("/proc");
    while (names[count] != NULL)
        count++;
    qsort(names, count, sizeof(*names), compare_pids);
    printf("  PID  PPID S THRD  VIRT KiB   RSS KiB    FAULTS  NAME\n");
    for (char **name = names; *name != NULL; name++) {
        if (isdigit((unsigned char)**name))
            print_process(*name);
    }
    util_free_list(names);
    return 0;
}

/* ls [-l] [PATH...]: lists directories, sorted; -l with type, size and mode. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "user/bin/lib/util.h"

static void print_long(const char *path, const char *name)
{
    static const char bits[] = "rwxrwxrwx";
    struct stat st;
    char mode[11] = "?---------";

    if (lstat(path, &st) < 0) {
        printf("?                     %s: %s\n", name, strerror(errno));
        return;
    }
    mode[0] = S_ISDIR(st.st_mode)   ? 'd'
              : S_ISCHR(st.st_mode) ? 'c'
              : S_ISLNK(st.st_mode) ? 'l'
                                    : '-';
    for (int i = 0; i < 9; i++)
        mode[1 + i] = st.st_mode & (0400u >> i) ? bits[i] : '-';
    printf("%s %10ld %s\n", mode, st.st_size, name);
}

static int list(const char *path, bool with_details)
{
    struct stat st;
    char full[1024];

    if (stat(path, &st) < 0)
        return util_fail_errno("%s", path);
    if (!S_ISDIR(st.st_mode)) {
        if (with_details)
            print_long(path, path);
        else
            printf("%s\n", path);
        return 0;
    }
    char **names = util_list_dir(path);
    if (names == NULL)
        return util_fail_errno("%s", path);
    for (char **name = names; *name != NULL; name++) {
        snprintf(full, sizeof(full), "%s/%s", path, *name);
        if (with_details)
            print_long(full, *name);
        else
            printf("%s\n", *name);
    }
    util_free_list(names);
    return 0;
}

int main(int argc, char **argv)
{
    bool with_details = argc > 1 && strcmp(argv[1], "-l") == 0;
    int first = with_details ? 2 : 1, status = 0;

    util_start(argv);
    if (first == argc)
        return list(".", with_details);
    for (int i = first; i < argc; i++) {
        if (argc - first > 1)
            printf("%s:\n", argv[i]);
        status |= list(argv[i], with_details);
    }
    return status;
}

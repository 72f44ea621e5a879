/*
 * What a Tab stands for: a command's name at the start of a command, a path elsewhere and
 * wherever the text has a slash.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "user/bin/lib/util.h"
#include "user/bin/sh/sh.h"

static void add_word(struct completion *out, const char *word, const char *suffix)
{
    size_t size = strlen(word) + strlen(suffix) + 1;
    char **bigger = realloc(out->words, (out->count + 1) * sizeof(*bigger));
    char *copy = malloc(size);

    if (bigger != NULL)
        out->words = bigger;
    if (bigger == NULL || copy == NULL) {
        free(copy);
        return; /* a completion less does no harm */
    }
    snprintf(copy, size, "%s%s", word, suffix);
    out->words[out->count++] = copy;
}

/* Adds the entries of `dir` that begin with `prefix`, each with `before` in front. */
static void add_entries(struct completion *out, const char *dir, const char *before,
                        const char *prefix, bool is_command)
{
    char full[SH_PATH_SIZE * 2], word[SH_PATH_SIZE * 2];
    char **names = util_list_dir(dir);
    struct stat st;

    for (char **name = names; name != NULL && *name != NULL; name++) {
        if (strncmp(*name, prefix, strlen(prefix)) != 0 || (**name == '.' && *prefix != '.'))
            continue;
        snprintf(full, sizeof(full), "%s/%s", dir, *name);
        bool is_dir = stat(full, &st) == 0 && S_ISDIR(st.st_mode);
        if (is_command && is_dir)
            continue;
        snprintf(word, sizeof(word), "%s%s", before, *name);
        add_word(out, word, is_dir ? "/" : "");
    }
    util_free_list(names);
}

static void add_commands(struct completion *out, const char *prefix)
{
    char dir[SH_PATH_SIZE];
    const char *dirs = getenv("PATH");

    for (size_t i = 0; builtin_name(i) != NULL; i++) {
        if (strncmp(builtin_name(i), prefix, strlen(prefix)) == 0)
            add_word(out, builtin_name(i), "");
    }
    for (const char *at = dirs != NULL ? dirs : "/bin"; *at != '\0';) {
        size_t length = strcspn(at, ":");
        snprintf(dir, sizeof(dir), "%.*s", (int)length, at);
        add_entries(out, dir, "", prefix, true);
        at += length;
        at += *at == ':';
    }
}

static void add_paths(struct completion *out, const char *text)
{
    char dir[SH_PATH_SIZE], before[SH_PATH_SIZE];
    const char *slash = strrchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) + 1 : 0;

    if (length >= sizeof(before))
        return;
    snprintf(before, sizeof(before), "%.*s", (int)length, text);
    snprintf(dir, sizeof(dir), "%s", length == 0 ? "." : before);
    add_entries(out, dir, before, text + length, false);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t common_length(const struct completion *c)
{
    size_t common = c->count > 0 ? strlen(c->words[0]) : 0;

    for (size_t i = 1; i < c->count; i++) {
        size_t same = 0;
        while (same < common && c->words[i][same] == c->words[0][same])
            same++;
        common = same;
    }
    return common;
}

void complete(const char *line, size_t cursor, struct completion *out)
{
    char text[SH_LINE_SIZE];
    size_t start = cursor;

    *out = (struct completion){0};
    while (start > 0 && strchr(" \t;&|<>=", line[start - 1]) == NULL)
        start--;
    size_t before = start;
    while (before > 0 && (line[before - 1] == ' ' || line[before - 1] == '\t'))
        before--;
    bool is_command = before == 0 || strchr(";&|", line[before - 1]) != NULL;

    snprintf(text, sizeof(text), "%.*s", (int)(cursor - start), line + start);
    out->start = start;
    if (is_command && strchr(text, '/') == NULL)
        add_commands(out, text);
    else
        add_paths(out, text);
    if (out->count > 0)
        qsort(out->words, out->count, sizeof(*out->words), compare_words);
    out->common = common_length(out);
}

void complete_free(struct completion *completion)
{
    for (size_t i = 0; i < completion->count; i++)
        free(completion->words[i]);
    free(completion->words);
}

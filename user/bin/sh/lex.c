/*
 * From a line to tokens, and from a token to the word it means.
 *
 * Tokens keep the text as written, because a variable is replaced only when its command runs:
 * in `X=1; echo $X` the second command sees what the first one did.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/bin/sh/sh.h"

static const struct {
    const char *text;
    enum token_kind kind;
    int fd;
} operators[] = {
    /* The longer ones first. */
    {"2>&1", TOKEN_DUP, 2}, {"2>>", TOKEN_APPEND, 2}, {"2>", TOKEN_OUT, 2}, {">>", TOKEN_APPEND, 1},
    {">", TOKEN_OUT, 1},    {"<", TOKEN_IN, 0},       {"&&", TOKEN_AND, 0}, {"||", TOKEN_OR, 0},
    {"&", TOKEN_AMP, 0},    {"|", TOKEN_PIPE, 0},     {";", TOKEN_SEMI, 0},
};

/* The length of the word at `at`; 0 with a message when a quote in it does not end. */
static size_t word_length(const char *at)
{
    const char *start = at;

    for (; *at != '\0' && strchr(" \t\n;&|<>", *at) == NULL; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == '\'' || *at == '"') {
            char quote = *at;
            for (at++; *at != '\0' && *at != quote; at++)
                at += quote == '"' && *at == '\\' && at[1] != '\0';
            if (*at == '\0') {
                sh_error(SH_STATUS_USAGE, "a %c is not closed", quote);
                return 0;
            }
        }
    }
    return (size_t)(at - start);
}

/* Fills `token` with what begins at `at`; its length, or 0 with a message. */
static size_t lex_one(const char *at, struct token *token)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t length = strlen(operators[i].text);
        if (strncmp(at, operators[i].text, length) == 0) {
            *token = (struct token){.kind = operators[i].kind, .fd = operators[i].fd};
            return length;
        }
    }
    *token = (struct token){.kind = TOKEN_WORD, .text = at, .length = word_length(at)};
    return token->length;
}

bool lex_line(const char *line, struct token tokens[SH_TOKENS_MAX])
{
    size_t count = 0;

    for (const char *at = line;;) {
        at += strspn(at, " \t\n");
        if (*at == '\0' || *at == '#')
            break;
        if (count == SH_TOKENS_MAX - 1) {
            sh_error(SH_STATUS_USAGE, "more than %d words in a line", SH_TOKENS_MAX - 1);
            return false;
        }
        size_t length = lex_one(at, &tokens[count++]);
        if (length == 0)
            return false;
        at += length;
    }
    tokens[count] = (struct token){.kind = TOKEN_END};
    return true;
}

/* A word being put together. */
struct word {
    char text[SH_LINE_SIZE];
    size_t length;
    bool overflow;
};

static void word_add(struct word *word, const char *text, size_t length)
{
    if (word->length + length >= sizeof(word->text)) {
        word->overflow = true;
        return;
    }
    memcpy(word->text + word->length, text, length);
    word->length += length;
}

/* Adds the value of the variable at `at` (behind its $); gives how much of the text that was. */
static size_t add_variable(struct word *word, const char *at, const char *end)
{
    char name[64], number[16];
    size_t length = 0, skip = 0, taken;
    const char *value = NULL;

    if (at < end && (*at == '?' || *at == '$' || *at == '!')) {
        int numeric = *at == '?' ? sh.last_status : *at == '$' ? getpid() : sh.last_pid;
        snprintf(number, sizeof(number), "%d", numeric);
        word_add(word, number, strlen(number));
        return 1;
    }
    skip = at < end && *at == '{';
    while (at + skip + length < end &&
           (isalnum((unsigned char)at[skip + length]) || at[skip + length] == '_'))
        length++;
    taken = length + skip + (skip && at + skip + length < end);
    if (length == 0) {
        word_add(word, "$", 1);
        return 0;
    }
    if (length < sizeof(name)) {
        memcpy(name, at + skip, length);
        name[length] = '\0';
        value = getenv(name);
    }
    if (value != NULL)
        word_add(word, value, strlen(value));
    return taken;
}

/* Adds what is between double quotes; gives the place behind the closing one. */
static const char *add_quoted(struct word *word, const char *at, const char *end)
{
    while (at < end && *at != '"') {
        if (*at == '\\' && at + 1 < end && strchr("\"\\$", at[1]) != NULL) {
            word_add(word, at + 1, 1);
            at += 2;
        } else if (*at == '$') {
            at += 1 + add_variable(word, at + 1, end);
        } else {
            word_add(word, at++, 1);
        }
    }
    return at + 1;
}

char *lex_expand(const struct token *token, bool *failed)
{
    static struct word word;
    const char *at = token->text, *end = token->text + token->length;
    bool quoted = false;

    word.length = 0;
    word.overflow = false;
    while (at < end) {
        if (*at == '\'') {
            const char *close = memchr(at + 1, '\'', (size_t)(end - at - 1));
            word_add(&word, at + 1, (size_t)(close - at - 1));
            at = close + 1;
            quoted = true;
        } else if (*at == '"') {
            at = add_quoted(&word, at + 1, end);
            quoted = true;
        } else if (*at == '\\' && at + 1 < end) {
            word_add(&word, at + 1, 1);
            at += 2;
        } else if (*at == '$') {
            at += 1 + add_variable(&word, at + 1, end);
        } else {
            word_add(&word, at++, 1);
        }
    }
    word.text[word.length] = '\0';
    char *copy = word.overflow ? NULL : strdup(word.text);
    if (copy == NULL) {
        sh_error(1, word.overflow ? "a word is too long" : "no memory");
        *failed = true;
        return NULL;
    }
    if (word.length == 0 && !quoted) {
        free(copy);
        return NULL;
    }
    return copy;
}

/*
 * The shell's parts and what they share.
 *
 *   sh.c       start, where lines come from, the main loop
 *   edit.c     the line editor: keys, redrawing, history
 *   complete.c what a Tab stands for
 *   lex.c      a line into tokens; a token into the word it means
 *   run.c      lists, pipelines, redirections, processes
 *   builtin.c  commands that the shell does itself
 *
 * Every variable is an environment variable, so all are exported. There is one thread, and
 * children are made by pg_spawn only: nothing here needs a copy of the shell.
 */
#ifndef SH_H
#define SH_H

#include <stdbool.h>
#include <stddef.h>

#define SH_LINE_SIZE  1024
#define SH_TOKENS_MAX 256
#define SH_ARGS_MAX   128
#define SH_HISTORY    100
#define SH_PATH_SIZE  256

#define SH_STATUS_USAGE     2
#define SH_STATUS_NO_EXEC   126
#define SH_STATUS_NOT_FOUND 127
#define SH_STATUS_SIGNAL    128

struct sh {
    int last_status;  /* $? */
    int last_pid;     /* $! */
    bool interactive; /* lines come from a terminal through the editor */
    bool exiting;     /* `exit` was run: last_status is the shell's own */
};

extern struct sh sh;

/* Prints "sh: message" to stderr and sets last_status. */
void sh_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- lex.c ---- */

enum token_kind {
    TOKEN_WORD,
    TOKEN_SEMI,   /* ; */
    TOKEN_AMP,    /* & */
    TOKEN_AND,    /* && */
    TOKEN_OR,     /* || */
    TOKEN_PIPE,   /* | */
    TOKEN_IN,     /* < */
    TOKEN_OUT,    /* > (fd says which) */
    TOKEN_APPEND, /* >> */
    TOKEN_DUP,    /* 2>&1 */
    TOKEN_END,
};

struct token {
    enum token_kind kind;
    int fd;           /* of a redirection */
    const char *text; /* of a word, as written; not NUL-terminated */
    size_t length;
};

/*
 * Splits a line; `tokens` ends with TOKEN_END and points into the line. False, with a message,
 * when a quote does not end or the line is too long.
 */
bool lex_line(const char *line, struct token tokens[SH_TOKENS_MAX]);

/*
 * The word that a token means: quotes removed, variables replaced. To be freed. NULL when nothing
 * is left of an unquoted word. *failed is set, with a message, when the word cannot be made.
 */
char *lex_expand(const struct token *token, bool *failed);

/* ---- run.c ---- */

/* Runs one line; sets sh.last_status. */
void run_line(const char *line);
/* The file that a command name means, in `path`; false when there is none. */
bool run_find(const char *name, char path[SH_PATH_SIZE]);
/* Takes in background processes that ended, and says so in an interactive shell. */
void run_reap(void);
/* Sets last_status from a wait status and reports a death by a signal. */
void run_set_status(const char *name, int status);

/* ---- builtin.c ---- */

typedef int (*builtin_fn)(int argc, char **argv);

/* NULL when the name is no built-in command. */
builtin_fn builtin_find(const char *name);
/* The i-th name; NULL behind the last. */
const char *builtin_name(size_t i);

/* ---- edit.c ---- */

/*
 * Reads a line from the terminal into `line`. Returns its length, or -1 at the end of input.
 * Ctrl-C gives an empty line.
 */
int edit_line(const char *prompt, char line[SH_LINE_SIZE]);
void edit_add_history(const char *line);
/* The i-th line kept, oldest first; NULL behind the last. */
const char *edit_history(size_t i);

/* ---- complete.c ---- */

struct completion {
    char **words; /* all that fit, whole, sorted; directories end in '/' */
    size_t count;
    size_t start;  /* where in the line the completed text begins */
    size_t common; /* length of what all of them begin with */
};

/* What could stand at `cursor` of `line`. To be given to complete_free. */
void complete(const char *line, size_t cursor, struct completion *out);
void complete_free(struct completion *completion);

#endif

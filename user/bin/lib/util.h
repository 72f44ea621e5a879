/* What several commands share: errors, whole files, numbers. */
#ifndef USER_BIN_UTIL_H
#define USER_BIN_UTIL_H

#include <stdbool.h>
#include <stddef.h>

/* Names the program in messages: the last part of argv[0]. Called first in main. */
void util_start(char **argv);

/* Prints "NAME: message" (and ": why" of errno for util_fail_errno) to stderr. Gives 1. */
int util_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int util_fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints "usage: NAME text" to stderr. Gives 2. */
int util_usage(const char *text);

/*
 * The whole of a text file, NUL-terminated, to be freed by the caller; NULL with errno set when it
 * cannot be read. Files of /proc have no size, so it is read until its end.
 */
char *util_read_file(const char *path);

/*
 * The same for a file that only Pagoda has: when it is missing, says so on stderr and gives NULL.
 */
char *util_read_pagoda_file(const char *path);

/* Copies a descriptor's rest to stdout; 0, or -1 with errno set. */
int util_copy_out(int fd);

/* A whole number in [0, max]; false when text is anything else. */
bool util_number(const char *text, unsigned long max, unsigned long *out);

/* Describes a wait status: "exit 3", "signal 11 (Segmentation fault)". In a static buffer. */
const char *util_status_text(int status);

/*
 * The names in a directory, sorted, NULL-terminated, without "." and ".."; one allocation each.
 * NULL with errno set when it cannot be read.
 */
char **util_list_dir(const char *path);
void util_free_list(char **names);

#endif

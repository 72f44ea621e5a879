/*
 * Answers and batches taken apart into single calls (messages=plain, batches=off).
 */
#ifndef MMSERVER_PLACE_USER_APART_H
#define MMSERVER_PLACE_USER_APART_H

/* Where workers are entered. */
const char *apart_entry(void);

#endif

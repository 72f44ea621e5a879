/*
 * Pseudo-terminals: both ends and the line discipline between them (pty.c), sessions with a
 * terminal of their own (sessions.c), and here what these share. After LTP's pty and ptem tests.
 */
#ifndef PTY_H
#define PTY_H

#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "ktap.h"
#include "pg.h"

#define BAD_PTR   16l
#define NOCTTY    0400
#define TOSTOP    0400
#define UNTRACED  2
#define SWINSZ    0x5414l
#define IOC_NREAD 0x541bl
#define NOTTY     0x5422l
#define GSID      0x5429l
#define GPTPEER   0x5441l
#define GPTN      0x80045430l
#define SPTLCK    0x40045431l
#define GPTLCK    0x80045439l

struct pair {
    int master, slave;
    char name[32];
};

long control(int fd, long request, void *argument);
/* Both ends, opened with these flags. */
struct pair make_pair(int flags);
void close_pair(const struct pair *pair);
void put(int fd, const char *text);
/* Exactly that is read from there, in whatever pieces. */
void expect_text(int fd, const char *text);

#endif

/* The C library's <unistd.h> with the Linux calls that it does not know. */
#ifndef PG_UNISTD_H
#define PG_UNISTD_H

#include_next <unistd.h>

pid_t gettid(void);
int dup3(int old_fd, int new_fd, int flags);
int pipe2(int fds[2], int flags);
int brk(void *end);

#endif

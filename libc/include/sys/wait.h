/* Waiting for processes. */
#ifndef PG_SYS_WAIT_H
#define PG_SYS_WAIT_H

#include <sys/types.h>

#define WNOHANG   1
#define WUNTRACED 2

#define WEXITSTATUS(status) (((status) >> 8) & 0xff)
#define WTERMSIG(status)    ((status)&0x7f)
#define WIFEXITED(status)   (WTERMSIG(status) == 0)
#define WIFSTOPPED(status)  (((status)&0xff) == 0x7f)
#define WIFSIGNALED(status) (WTERMSIG(status) != 0 && !WIFSTOPPED(status))
#define WCOREDUMP(status)   ((status)&0x80)

struct rusage;

pid_t wait(int *status);
pid_t waitpid(pid_t pid, int *status, int options);
pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage);

#endif

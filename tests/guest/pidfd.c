/*
 * Descriptors of processes, and what reaches into another process' memory: pidfd_open,
 * pidfd_send_signal, waitid(P_PIDFD), process_madvise, process_vm_readv and _writev. After
 * kselftest's pidfd tests and LTP's process_madvise and process_vm tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_WAITID      95L
#define NR_PROCESS_VM  270L /* readv; writev is the next */
#define NR_SEND_SIGNAL 424L
#define NR_PIDFD_OPEN  434L
#define NR_ADVISE      440L
#define P_PIDFD_TYPE   3L
#define EXITED         4L
#define NO_HANG        1L
#define COLD           20L
#define DONTNEED       4L
#define RW             (PROT_READ | PROT_WRITE)

struct part {
    void *at;
    size_t bytes;
};

static long open_pid(long pid)
{
    return SYSCALL(NR_PIDFD_OPEN, pid, 0L);
}

/* A child that waits until it is killed. */
static pid_t sleeper(void)
{
    pid_t pid = fork();

    while (!pid)
        SYSCALL(SYS_ppoll, 0L, 0L, 0L, 0L, 0L); /* for ever */
    return pid;
}

static bool readable(long fd, int ms)
{
    struct pollfd want = {.fd = (int)fd, .events = POLLIN};

    struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    return SYSCALL(SYS_ppoll, &want, 1L, &limit, 0L, 8L) == 1 && (want.revents & POLLIN);
}

#define WITH_PIDFDS()                      \
    do {                                   \
        if (open_pid(getpid()) == -ENOSYS) \
            SKIP("there are no pidfds");   \
    } while (0)

KTAP_CASE(pidfd_open_is_checked)
{
    WITH_PIDFDS();
    long fd = open_pid(getpid());
    EXPECT(fd > 2);
    EXPECT_EQ(fcntl((int)fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_EQ(SYSCALL(NR_SEND_SIGNAL, fd, 0L, 0L, 0L), 0);
    EXPECT_ERROR(SYSCALL(NR_SEND_SIGNAL, fd, 0L, 0L, 1L << 30), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_SEND_SIGNAL, fd, 1000L, 0L, 0L), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_SEND_SIGNAL, 0L, 0L, 0L, 0L), EBADF);
    EXPECT_ERROR(SYSCALL(SYS_read, fd, &fd, 1L), EINVAL);
    EXPECT(!readable(fd, 0));
    close((int)fd);
    EXPECT_ERROR(SYSCALL(NR_SEND_SIGNAL, fd, 0L, 0L, 0L), EBADF);
    EXPECT_ERROR(open_pid(0), EINVAL);
    EXPECT_ERROR(open_pid(-1), EINVAL);
    EXPECT_ERROR(open_pid(32767), ESRCH);
    EXPECT_ERROR(SYSCALL(NR_PIDFD_OPEN, (long)getpid(), 1L << 30), EINVAL);
}

KTAP_CASE(pidfd_follows_its_process)
{
    siginfo_t info;

    WITH_PIDFDS();
    pid_t pid = sleeper();
    REQUIRE(pid > 0);
    long fd = open_pid(pid), other = open_pid(pid);
    EXPECT(fd > 0 && other > 0);
    EXPECT(!readable(fd, 0));
    EXPECT_EQ(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED | NO_HANG, 0L), 0);
    EXPECT_EQ(SYSCALL(NR_SEND_SIGNAL, fd, (long)SIGKILL, 0L, 0L), 0);
    EXPECT(readable(fd, 5000)); /* it ends while this waits */
    EXPECT(readable(other, 0));
    EXPECT_EQ(SYSCALL(NR_SEND_SIGNAL, fd, 0L, 0L, 0L), 0); /* a zombie is one still */
    memset(&info, 0, sizeof info);
    EXPECT_EQ(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED, 0L), 0);
    EXPECT_EQ(info.si_signo, SIGCHLD);
    EXPECT_EQ(info.si_status, SIGKILL);
    EXPECT_ERROR(SYSCALL(NR_SEND_SIGNAL, fd, 0L, 0L, 0L), ESRCH);
    EXPECT_ERROR(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED, 0L), ECHILD);
    EXPECT_ERROR(SYSCALL(NR_WAITID, P_PIDFD_TYPE, 0L, &info, EXITED, 0L), EBADF);
    EXPECT(readable(fd, 0));
    close((int)fd);
    close((int)other);
}

#define FLAG_PIDFD      0x1000L
#define FLAG_PARENT_TID 0x100000L
#define FLAG_DETACHED   0x400000L

KTAP_CASE(clone_gives_a_pidfd)
{
    siginfo_t info = {0};
    int fd = -1, status;

    SKIP_EMULATED("clone refuses CLONE_PIDFD");
    long pid = SYSCALL(SYS_clone, FLAG_PIDFD | SIGCHLD, 0L, &fd, 0L, 0L);
    REQUIRE(pid >= 0);
    if (pid == 0) {
        /* The child's descriptors were copied before there was this one. */
        int own = fd;
        _exit(own < 0 || fcntl(own, F_GETFD) < 0 ? 3 : 4);
    }
    REQUIRE(fd > 2);
    EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT(readable(fd, 5000));
    EXPECT_EQ(SYSCALL(NR_WAITID, P_PIDFD_TYPE, (long)fd, &info, EXITED, 0L), 0);
    EXPECT_EQ(info.si_status, 3);
    close(fd);
    EXPECT_ERROR(SYSCALL(SYS_clone, FLAG_PIDFD | SIGCHLD, 0L, 8L, 0L, 0L), EFAULT);
    EXPECT_EQ(open_pid(getpid()), fd); /* its number was given back */
    close(fd);
    EXPECT_ERROR(SYSCALL(SYS_clone, FLAG_PIDFD | FLAG_PARENT_TID | SIGCHLD, 0L, &fd, 0L, 0L),
                 EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_clone, FLAG_PIDFD | FLAG_DETACHED | SIGCHLD, 0L, &fd, 0L, 0L), EINVAL);
    EXPECT_ERROR(SYSCALL(SYS_wait4, -1L, &status, 1L, 0L), ECHILD); /* nobody was made */
}

KTAP_CASE(nonblocking_pidfd_does_not_wait)
{
    siginfo_t info;

    WITH_PIDFDS();
    pid_t pid = sleeper();
    REQUIRE(pid > 0);
    long fd = SYSCALL(NR_PIDFD_OPEN, (long)pid, (long)O_NONBLOCK);
    REQUIRE(fd > 2);
    EXPECT_ERROR(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED, 0L), EAGAIN);
    EXPECT_EQ(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED | NO_HANG, 0L), 0);
    EXPECT_ERROR(SYSCALL(NR_WAITID, P_PIDFD_TYPE, -1L, &info, EXITED, 0L), EINVAL);
    kill(pid, SIGKILL);
    EXPECT(readable(fd, 5000));
    EXPECT_EQ(SYSCALL(NR_WAITID, P_PIDFD_TYPE, fd, &info, EXITED, 0L), 0);
    close((int)fd);
}

KTAP_CASE(process_madvise_of_another)
{
    char *p = ktap_map(8 * PAGE, RW), *hole = ktap_map(PAGE, RW);
    struct part parts[3] = {{p, 2 * PAGE}, {p + 4 * PAGE, PAGE}, {hole, PAGE}};

    WITH_PIDFDS();
    SKIP_EMULATED("has no process_madvise");
    REQUIRE(p != NULL && hole != NULL);
    memset(p, 7, 8 * PAGE);
    munmap(hole, PAGE);
    long self = open_pid(getpid());
    pid_t pid = sleeper();
    REQUIRE(pid > 0);
    long fd = open_pid(pid);
    EXPECT_EQ(SYSCALL(NR_ADVISE, self, parts, 2L, COLD, 0L), (long)(3 * PAGE));
    EXPECT_EQ(SYSCALL(NR_ADVISE, fd, parts, 2L, COLD, 0L), (long)(3 * PAGE));
    EXPECT_EQ(SYSCALL(NR_ADVISE, fd, parts, 0L, COLD, 0L), 0);
    EXPECT_EQ(SYSCALL(NR_ADVISE, fd, parts, 3L, COLD, 0L), (long)(3 * PAGE)); /* up to the hole */
    EXPECT_ERROR(SYSCALL(NR_ADVISE, fd, parts + 2, 1L, COLD, 0L), ENOMEM);
    EXPECT_ERROR(SYSCALL(NR_ADVISE, fd, parts, 2L, DONTNEED, 0L), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_ADVISE, fd, parts, 2L, COLD, 1L), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_ADVISE, fd, 8L, 2L, COLD, 0L), EFAULT);
    EXPECT_ERROR(SYSCALL(NR_ADVISE, 0L, parts, 2L, COLD, 0L), EBADF);
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
    EXPECT_ERROR(SYSCALL(NR_ADVISE, fd, parts, 2L, COLD, 0L), ESRCH);
    EXPECT(ktap_all_bytes(p, 8 * PAGE, 7));
    close((int)fd);
    close((int)self);
    munmap(p, 8 * PAGE);
}

KTAP_CASE(memory_of_another_process)
{
    char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *p = ktap_map(4 * PAGE, RW), here[3 * 64];
    struct part local[2] = {{here, 64}, {here + 64, 128}};
    struct part remote[2] = {{p + PAGE - 32, 64}, {p + 3 * PAGE, 128}};

    REQUIRE(p != NULL && shared != MAP_FAILED);
    SKIP_EMULATED("has no process_vm_readv");
    p[PAGE] = 1;
    pid_t pid = fork();
    if (!pid) {
        memset(p, 5, 2 * PAGE); /* its own copies */
        shared[0] = 1;
        while (shared[1] == 0)
            sched_yield();
        _exit(p[PAGE] == 9 && p[3 * PAGE + 127] == 9 && p[3 * PAGE + 128] == 0 ? 0 : 1);
    }
    REQUIRE(pid > 0);
    while (__atomic_load_n(&shared[0], __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    memset(here, 3, sizeof here);
    long got = SYSCALL(NR_PROCESS_VM, (long)pid, local, 2L, remote, 2L, 0L);
    EXPECT_EQ(got, 192);
    EXPECT(ktap_all_bytes(here, 64, 5) && ktap_all_bytes(here + 64, 128, 0));
    EXPECT_EQ(p[PAGE], 1); /* not this process' own */
    memset(here, 9, sizeof here);
    EXPECT_EQ(SYSCALL(NR_PROCESS_VM + 1, (long)pid, local, 2L, remote, 2L, 0L), 192);
    EXPECT_EQ(p[3 * PAGE], 0);
    remote[1].at = (void *)8;
    EXPECT_EQ(SYSCALL(NR_PROCESS_VM, (long)pid, local, 2L, remote, 2L, 0L), 64);
    EXPECT_ERROR(SYSCALL(NR_PROCESS_VM, (long)pid, local, 1L, remote + 1, 1L, 0L), EFAULT);
    EXPECT_ERROR(SYSCALL(NR_PROCESS_VM, (long)pid, local, 2L, remote, 2L, 1L), EINVAL);
    EXPECT_ERROR(SYSCALL(NR_PROCESS_VM, 32767L, local, 2L, remote, 2L, 0L), ESRCH);
    EXPECT_EQ(SYSCALL(NR_PROCESS_VM, (long)pid, local, 0L, remote, 2L, 0L), 0);
    __atomic_store_n(&shared[1], 1, __ATOMIC_RELEASE);
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    munmap(p, 4 * PAGE);
    munmap(shared, PAGE);
}

/*
 * The Linux riscv64 ABI as this server answers it: error numbers, structures, flags. Names carry a
 * prefix because the C library's headers, some with other values, are in use beside them (its errno
 * numbers are not Linux's).
 */
#ifndef LINUX_ABI_H
#define LINUX_ABI_H

#include <stdint.h>

enum linux_errno {
    LINUX_EPERM = 1,
    LINUX_ENOENT = 2,
    LINUX_ESRCH = 3,
    LINUX_EINTR = 4,
    LINUX_EIO = 5,
    LINUX_ENXIO = 6,
    LINUX_E2BIG = 7,
    LINUX_ENOEXEC = 8,
    LINUX_EBADF = 9,
    LINUX_ECHILD = 10,
    LINUX_EAGAIN = 11,
    LINUX_ENOMEM = 12,
    LINUX_EACCES = 13,
    LINUX_EFAULT = 14,
    LINUX_EBUSY = 16,
    LINUX_EEXIST = 17,
    LINUX_EXDEV = 18,
    LINUX_ENODEV = 19,
    LINUX_ENOTDIR = 20,
    LINUX_EISDIR = 21,
    LINUX_EINVAL = 22,
    LINUX_ENFILE = 23,
    LINUX_EMFILE = 24,
    LINUX_ENOTTY = 25,
    LINUX_ETXTBSY = 26,
    LINUX_EFBIG = 27,
    LINUX_ENOSPC = 28,
    LINUX_ESPIPE = 29,
    LINUX_EROFS = 30,
    LINUX_EPIPE = 32,
    LINUX_EDOM = 33,
    LINUX_ERANGE = 34,
    LINUX_EDEADLK = 35,
    LINUX_ENAMETOOLONG = 36,
    LINUX_ENOLCK = 37,
    LINUX_ENOSYS = 38,
    LINUX_ENOTEMPTY = 39,
    LINUX_ELOOP = 40,
    LINUX_EIDRM = 43,
    LINUX_EOVERFLOW = 75,
    LINUX_ENOTSOCK = 88,
    LINUX_EDESTADDRREQ = 89,
    LINUX_EMSGSIZE = 90,
    LINUX_EPROTOTYPE = 91,
    LINUX_ENOPROTOOPT = 92,
    LINUX_EPROTONOSUPPORT = 93,
    LINUX_ESOCKTNOSUPPORT = 94,
    LINUX_EOPNOTSUPP = 95,
    LINUX_EAFNOSUPPORT = 97,
    LINUX_EADDRINUSE = 98,
    LINUX_EADDRNOTAVAIL = 99,
    LINUX_ENETUNREACH = 101,
    LINUX_ECONNABORTED = 103,
    LINUX_ECONNRESET = 104,
    LINUX_ENOBUFS = 105,
    LINUX_EISCONN = 106,
    LINUX_ENOTCONN = 107,
    LINUX_ETIMEDOUT = 110,
    LINUX_ECONNREFUSED = 111,
    LINUX_EALREADY = 114,
    LINUX_EINPROGRESS = 115,
};

/* ---- files ---- */

#define LINUX_O_ACCMODE   03
#define LINUX_O_WRONLY    01
#define LINUX_O_RDWR      02
#define LINUX_O_CREAT     0100
#define LINUX_O_EXCL      0200
#define LINUX_O_NOCTTY    0400
#define LINUX_O_TRUNC     01000
#define LINUX_O_APPEND    02000
#define LINUX_O_NONBLOCK  04000
#define LINUX_O_LARGEFILE 0100000 /* kept by every file that open gives */
#define LINUX_O_DIRECTORY 0200000
#define LINUX_O_NOFOLLOW  0400000
#define LINUX_O_CLOEXEC   02000000
#define LINUX_O_PATH      010000000

#define LINUX_AT_FDCWD            (-100)
#define LINUX_AT_SYMLINK_NOFOLLOW 0x100
#define LINUX_AT_EACCESS          0x200
#define LINUX_AT_SYMLINK_FOLLOW   0x400
#define LINUX_AT_NO_AUTOMOUNT     0x800
#define LINUX_AT_STATX_SYNC       0x6000
#define LINUX_AT_EMPTY_PATH       0x1000

#define LINUX_F_DUPFD         0
#define LINUX_F_GETFD         1
#define LINUX_F_SETFD         2
#define LINUX_F_GETFL         3
#define LINUX_F_SETFL         4
#define LINUX_F_GETLK         5
#define LINUX_F_SETLK         6
#define LINUX_F_SETLKW        7
#define LINUX_F_OFD_GETLK     36
#define LINUX_F_OFD_SETLK     37
#define LINUX_F_OFD_SETLKW    38
#define LINUX_F_DUPFD_CLOEXEC 1030
#define LINUX_F_SETPIPE_SZ    1031
#define LINUX_F_GETPIPE_SZ    1032
#define LINUX_F_ADD_SEALS     1033
#define LINUX_F_GET_SEALS     1034
#define LINUX_FD_CLOEXEC      1

#define LINUX_F_RDLCK 0
#define LINUX_F_WRLCK 1
#define LINUX_F_UNLCK 2

struct linux_flock {
    int16_t type;
    int16_t whence;
    int32_t pad;
    int64_t start, bytes;
    int32_t pid;
    int32_t pad2;
};
_Static_assert(sizeof(struct linux_flock) == 32, "struct flock of riscv64");

#define LINUX_LOCK_SH 1
#define LINUX_LOCK_EX 2
#define LINUX_LOCK_NB 4
#define LINUX_LOCK_UN 8

#define LINUX_CLOSE_RANGE_UNSHARE 0x2
#define LINUX_CLOSE_RANGE_CLOEXEC 0x4
#define LINUX_SYNC_FILE_RANGES    0x7 /* all flags of sync_file_range */

#define LINUX_SPLICE_F_MOVE     0x1
#define LINUX_SPLICE_F_NONBLOCK 0x2
#define LINUX_SPLICE_F_MORE     0x4
#define LINUX_SPLICE_F_GIFT     0x8

#define LINUX_RWF_HIPRI 0x1
#define LINUX_RWF_DSYNC 0x2
#define LINUX_RWF_SYNC  0x4

#define LINUX_F_SEAL_SEAL         0x01
#define LINUX_F_SEAL_SHRINK       0x02
#define LINUX_F_SEAL_GROW         0x04
#define LINUX_F_SEAL_WRITE        0x08
#define LINUX_F_SEAL_FUTURE_WRITE 0x10
#define LINUX_F_SEAL_EXEC         0x20
#define LINUX_F_SEALS             0x3f

#define LINUX_MFD_CLOEXEC       0x01
#define LINUX_MFD_ALLOW_SEALING 0x02
#define LINUX_MFD_HUGETLB       0x04
#define LINUX_MFD_NOEXEC_SEAL   0x08
#define LINUX_MFD_EXEC          0x10

/* In flags of calls that make something of huge pages: the logarithm of their size, 0: any. */
#define LINUX_HUGE_SHIFT      26
#define LINUX_HUGE_MASK       0x3f
#define LINUX_HUGE_PAGE_SHIFT 21 /* the one size that there is */

#define LINUX_FALLOC_KEEP_SIZE  0x01
#define LINUX_FALLOC_PUNCH_HOLE 0x02

#define LINUX_AT_REMOVEDIR     0x200
#define LINUX_RENAME_NOREPLACE 0x1

#define LINUX_S_IFMT   0170000
#define LINUX_S_IFREG  0100000
#define LINUX_S_IFDIR  0040000
#define LINUX_S_IFCHR  0020000
#define LINUX_S_IFIFO  0010000
#define LINUX_S_IFLNK  0120000
#define LINUX_S_IFBLK  0060000
#define LINUX_S_IFSOCK 0140000
#define LINUX_S_ISUID  04000
#define LINUX_S_ISGID  02000

#define LINUX_DT_FIFO 1
#define LINUX_DT_CHR  2
#define LINUX_DT_DIR  4
#define LINUX_DT_REG  8
#define LINUX_DT_LNK  10

#define LINUX_SEEK_SET  0
#define LINUX_SEEK_CUR  1
#define LINUX_SEEK_END  2
#define LINUX_SEEK_DATA 3
#define LINUX_SEEK_HOLE 4

#define LINUX_PATH_MAX 4096 /* with the NUL */
#define LINUX_NAME_MAX 255
#define LINUX_IOV_MAX  1024
#define LINUX_RW_MAX   0x7ffff000UL /* bytes that one call moves at most */
#define LINUX_PIPE_BUF 4096

struct linux_timespec {
    int64_t sec;
    int64_t nsec;
};

struct linux_timeval {
    int64_t sec;
    int64_t usec;
};

struct linux_stat {
    uint64_t dev;
    uint64_t ino;
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint64_t rdev;
    uint64_t reserved1;
    int64_t size;
    int32_t blksize;
    int32_t reserved2;
    int64_t blocks; /* of 512 bytes */
    struct linux_timespec atime;
    struct linux_timespec mtime;
    struct linux_timespec ctime;
    uint32_t reserved3[2];
};
_Static_assert(sizeof(struct linux_stat) == 128, "struct stat of riscv64");

struct linux_statx_time {
    int64_t sec;
    uint32_t nsec;
    int32_t reserved;
};

struct linux_statx {
    uint32_t mask; /* LINUX_STATX_* that are filled in */
    uint32_t blksize;
    uint64_t attributes;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint16_t mode;
    uint16_t reserved1;
    uint64_t ino;
    uint64_t size;
    uint64_t blocks; /* of 512 bytes */
    uint64_t attributes_mask;
    struct linux_statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor;
    uint32_t dev_major, dev_minor;
    uint64_t reserved2[14];
};
_Static_assert(sizeof(struct linux_statx) == 256, "struct statx");

#define LINUX_STATX_BASIC    0x7ffu
#define LINUX_STATX_RESERVED 0x80000000u

struct linux_statfs {
    uint64_t type;
    uint64_t bsize;
    uint64_t blocks;
    uint64_t bfree;
    uint64_t bavail;
    uint64_t files;
    uint64_t ffree;
    int32_t fsid[2];
    uint64_t namelen;
    uint64_t frsize;
    uint64_t flags;
    uint64_t reserved[4];
};
_Static_assert(sizeof(struct linux_statfs) == 120, "struct statfs of riscv64");

#define LINUX_TMPFS_MAGIC     0x01021994
#define LINUX_HUGETLBFS_MAGIC 0x958458f6
#define LINUX_RAMFS_MAGIC     0x858458f6
#define LINUX_PROC_MAGIC      0x9fa0
#define LINUX_PIPEFS_MAGIC    0x50495045

#define LINUX_UTIME_NOW  0x3fffffff
#define LINUX_UTIME_OMIT 0x3ffffffe

#define LINUX_FADV_NOREUSE 5

/* What getdents64 writes; the name follows, with its NUL, padded to 8 bytes. */
struct linux_dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
    char name[];
} __attribute__((packed));
#define LINUX_DIRENT64_HEAD 19

struct linux_iovec {
    uint64_t base;
    uint64_t bytes;
};

struct linux_pollfd {
    int32_t fd;
    int16_t events;
    int16_t revents;
};
#define LINUX_POLLIN     0x001
#define LINUX_POLLPRI    0x002
#define LINUX_POLLOUT    0x004
#define LINUX_POLLERR    0x008
#define LINUX_POLLHUP    0x010
#define LINUX_POLLNVAL   0x020
#define LINUX_POLLRDNORM 0x040
#define LINUX_POLLRDBAND 0x080
#define LINUX_POLLWRNORM 0x100
#define LINUX_POLLWRBAND 0x200
#define LINUX_POLLRDHUP  0x2000

/* The events of epoll are those of poll, and these. */
#define LINUX_EPOLLMSG       0x400
#define LINUX_EPOLLEXCLUSIVE 0x10000000U
#define LINUX_EPOLLWAKEUP    0x20000000U
#define LINUX_EPOLLONESHOT   0x40000000U
#define LINUX_EPOLLET        0x80000000U
#define LINUX_EPOLL_CTL_ADD  1
#define LINUX_EPOLL_CTL_DEL  2
#define LINUX_EPOLL_CTL_MOD  3

struct linux_epoll_event {
    uint32_t events;
    uint64_t data; /* aligned, as on all machines but x86 */
};
_Static_assert(sizeof(struct linux_epoll_event) == 16, "struct epoll_event of riscv64");

#define LINUX_EFD_SEMAPHORE     1
#define LINUX_TFD_CANCEL_ON_SET 2

struct linux_signalfd_siginfo {
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t tid, band, overrun, trapno;
    int32_t status, number;
    uint64_t pointer, utime, stime, address;
    uint8_t pad[48];
};
_Static_assert(sizeof(struct linux_signalfd_siginfo) == 128, "struct signalfd_siginfo");

/* What pselect6 finds at its sixth argument. */
struct linux_sigset_argument {
    uint64_t address;
    uint64_t bytes;
};

/* ---- processes ---- */

#define LINUX_CLONE_SIGNAL         0x000000ff
#define LINUX_CLONE_VM             0x00000100
#define LINUX_CLONE_FS             0x00000200
#define LINUX_CLONE_FILES          0x00000400
#define LINUX_CLONE_SIGHAND        0x00000800
#define LINUX_CLONE_PIDFD          0x00001000
#define LINUX_CLONE_PTRACE         0x00002000
#define LINUX_CLONE_VFORK          0x00004000
#define LINUX_CLONE_PARENT         0x00008000
#define LINUX_CLONE_THREAD         0x00010000
#define LINUX_CLONE_SYSVSEM        0x00040000
#define LINUX_CLONE_SETTLS         0x00080000
#define LINUX_CLONE_PARENT_SETTID  0x00100000
#define LINUX_CLONE_CHILD_CLEARTID 0x00200000
#define LINUX_CLONE_DETACHED       0x00400000
#define LINUX_CLONE_UNTRACED       0x00800000
#define LINUX_CLONE_CHILD_SETTID   0x01000000
#define LINUX_CLONE_IO             0x80000000
#define LINUX_CLONE_CLEAR_SIGHAND  0x100000000UL /* clone3 only, as is */
#define LINUX_CLONE_INTO_CGROUP    0x200000000UL

#define LINUX_WNOHANG    0x00000001
#define LINUX_WUNTRACED  0x00000002
#define LINUX_WEXITED    0x00000004
#define LINUX_WNOWAIT    0x01000000
#define LINUX_P_ALL      0 /* waitid */
#define LINUX_P_PID      1
#define LINUX_P_PGID     2
#define LINUX_P_PIDFD    3
#define LINUX_WCONTINUED 0x00000008
#define LINUX_WALL       0x40000000
#define LINUX_WNOTHREAD  0x20000000
#define LINUX_WCLONE     0x80000000

#define LINUX_FUTEX_WAIT           0
#define LINUX_FUTEX_WAKE           1
#define LINUX_FUTEX_REQUEUE        3
#define LINUX_FUTEX_CMP_REQUEUE    4
#define LINUX_FUTEX_WAKE_OP        5
#define LINUX_FUTEX_WAIT_BITSET    9
#define LINUX_FUTEX_WAKE_BITSET    10
#define LINUX_FUTEX_PRIVATE        128
#define LINUX_FUTEX_CLOCK_REALTIME 256
#define LINUX_FUTEX_OPERATION      127

/* FUTEX_WAKE_OP */
#define LINUX_FUTEX_OP_SET  0
#define LINUX_FUTEX_OP_ADD  1
#define LINUX_FUTEX_OP_OR   2
#define LINUX_FUTEX_OP_ANDN 3
#define LINUX_FUTEX_OP_XOR  4
#define LINUX_FUTEX_CMP_EQ  0
#define LINUX_FUTEX_CMP_NE  1
#define LINUX_FUTEX_CMP_LT  2
#define LINUX_FUTEX_CMP_LE  3
#define LINUX_FUTEX_CMP_GT  4
#define LINUX_FUTEX_CMP_GE  5

/* The word of a robust futex. */
#define LINUX_FUTEX_WAITERS    0x80000000U
#define LINUX_FUTEX_OWNER_DIED 0x40000000U
#define LINUX_FUTEX_TID_MASK   0x3fffffffU

#define LINUX_CLOCK_REALTIME         0
#define LINUX_CLOCK_MONOTONIC        1
#define LINUX_CLOCK_PROCESS_CPUTIME  2
#define LINUX_CLOCK_THREAD_CPUTIME   3
#define LINUX_CLOCK_MONOTONIC_RAW    4
#define LINUX_CLOCK_REALTIME_COARSE  5
#define LINUX_CLOCK_MONOTONIC_COARSE 6
#define LINUX_CLOCK_BOOTTIME         7
#define LINUX_TIMER_ABSTIME          1
#define LINUX_ITIMER_REAL            0
#define LINUX_ITIMER_VIRTUAL         1
#define LINUX_ITIMER_PROF            2

struct linux_rusage {
    struct linux_timeval utime;
    struct linux_timeval stime;
    int64_t maxrss; /* KiB */
    int64_t ixrss, idrss, isrss;
    int64_t minflt, majflt;
    int64_t nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};
_Static_assert(sizeof(struct linux_rusage) == 144, "struct rusage");

struct linux_rlimit {
    uint64_t soft;
    uint64_t hard;
};
/* personality(2) */
#define LINUX_ADDR_NO_RANDOMIZE 0x0040000
#define LINUX_PERSONALITY_ASK   0xffffffffU

#define LINUX_RLIMITS           16
#define LINUX_RLIMIT_CPU        0
#define LINUX_RLIMIT_FSIZE      1
#define LINUX_RLIMIT_DATA       2
#define LINUX_RLIMIT_STACK      3
#define LINUX_RLIMIT_CORE       4
#define LINUX_RLIMIT_RSS        5
#define LINUX_RLIMIT_NPROC      6
#define LINUX_RLIMIT_NOFILE     7
#define LINUX_RLIMIT_MEMLOCK    8
#define LINUX_RLIMIT_AS         9
#define LINUX_RLIMIT_SIGPENDING 11
#define LINUX_RLIMIT_MSGQUEUE   12
#define LINUX_RLIMIT_NICE       13
#define LINUX_RLIMIT_RTPRIO     14
#define LINUX_RLIM_INFINITY     (~0UL)

struct linux_sysinfo {
    int64_t uptime;
    uint64_t loads[3];
    uint64_t total_ram;
    uint64_t free_ram;
    uint64_t shared_ram;
    uint64_t buffer_ram;
    uint64_t total_swap;
    uint64_t free_swap;
    uint16_t processes;
    uint16_t pad;
    uint64_t total_high;
    uint64_t free_high;
    uint32_t unit_bytes;
};
_Static_assert(sizeof(struct linux_sysinfo) == 112, "struct sysinfo");

struct linux_utsname {
    char sysname[65];
    char nodename[65];
    char release[65];
    char version[65];
    char machine[65];
    char domainname[65];
};

#define LINUX_REBOOT_MAGIC1    0xfee1dead
#define LINUX_REBOOT_MAGIC2    672274793
#define LINUX_REBOOT_MAGIC2A   85072278
#define LINUX_REBOOT_MAGIC2B   369367448
#define LINUX_REBOOT_MAGIC2C   537993216
#define LINUX_REBOOT_CAD_OFF   0x00000000
#define LINUX_REBOOT_CAD_ON    0x89abcdef
#define LINUX_REBOOT_HALT      0xcdef0123
#define LINUX_REBOOT_POWER_OFF 0x4321fedc
#define LINUX_REBOOT_RESTART   0x01234567
#define LINUX_REBOOT_RESTART2  0xa1b2c3d4

/* ---- System V shared memory ---- */

#define LINUX_IPC_CREAT    01000
#define LINUX_IPC_EXCL     02000
#define LINUX_IPC_RMID     0
#define LINUX_IPC_SET      1
#define LINUX_IPC_STAT     2
#define LINUX_IPC_INFO     3
#define LINUX_SHM_LOCK     11
#define LINUX_SHM_UNLOCK   12
#define LINUX_SHM_STAT     13
#define LINUX_SHM_INFO     14
#define LINUX_SHM_STAT_ANY 15

#define LINUX_SHM_RDONLY    010000
#define LINUX_SHM_RND       020000
#define LINUX_SHM_REMAP     040000
#define LINUX_SHM_EXEC      0100000
#define LINUX_SHM_HUGETLB   04000
#define LINUX_SHM_NORESERVE 010000 /* of shmget */

#define LINUX_SHM_DEST   01000 /* in its mode: it goes with the last attachment */
#define LINUX_SHM_LOCKED 02000

struct linux_ipc_perm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid;
    uint32_t mode;
    uint16_t seq, pad;
    uint64_t unused[2];
};

struct linux_shmid_ds {
    struct linux_ipc_perm perm;
    uint64_t bytes;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t nattch;
    uint64_t unused[2];
};
_Static_assert(sizeof(struct linux_shmid_ds) == 112, "struct shmid64_ds");

struct linux_shminfo {
    uint64_t max, min, mni, seg, all;
    uint64_t unused[4];
};

struct linux_shm_info {
    int32_t used_ids, pad;
    uint64_t total, resident, swapped; /* pages */
    uint64_t swap_attempts, swap_successes;
};

/* ---- signals ---- */

#define LINUX_NSIG 64 /* signals are 1..LINUX_NSIG */

#define LINUX_SIGHUP    1
#define LINUX_SIGINT    2
#define LINUX_SIGQUIT   3
#define LINUX_SIGILL    4
#define LINUX_SIGTRAP   5
#define LINUX_SIGABRT   6
#define LINUX_SIGBUS    7
#define LINUX_SIGFPE    8
#define LINUX_SIGKILL   9
#define LINUX_SIGSEGV   11
#define LINUX_SIGPIPE   13
#define LINUX_SIGALRM   14
#define LINUX_SIGTERM   15
#define LINUX_SIGCHLD   17
#define LINUX_SIGCONT   18
#define LINUX_SIGSTOP   19
#define LINUX_SIGTSTP   20
#define LINUX_SIGTTIN   21
#define LINUX_SIGTTOU   22
#define LINUX_SIGURG    23
#define LINUX_SIGXCPU   24
#define LINUX_SIGXFSZ   25
#define LINUX_SIGVTALRM 26
#define LINUX_SIGPROF   27
#define LINUX_SIGWINCH  28
#define LINUX_SIGSYS    31
#define LINUX_SIGRTMIN  32

#define LINUX_SIG_DFL 0
#define LINUX_SIG_IGN 1

#define LINUX_SA_NOCLDSTOP 0x00000001UL
#define LINUX_SA_NOCLDWAIT 0x00000002UL
#define LINUX_SA_SIGINFO   0x00000004UL
#define LINUX_SA_ONSTACK   0x08000000UL
#define LINUX_SA_RESTART   0x10000000UL
#define LINUX_SA_NODEFER   0x40000000UL
#define LINUX_SA_RESETHAND 0x80000000UL

#define LINUX_SIG_BLOCK   0
#define LINUX_SIG_UNBLOCK 1
#define LINUX_SIG_SETMASK 2

#define LINUX_SI_USER       0
#define LINUX_SI_KERNEL     128
#define LINUX_SI_TKILL      (-6)
#define LINUX_SI_TIMER      (-2)
#define LINUX_SEGV_MAPERR   1
#define LINUX_SEGV_ACCERR   2
#define LINUX_BUS_ADRALN    1
#define LINUX_BUS_ADRERR    2
#define LINUX_BUS_MCEERR_AR 4
#define LINUX_ILL_ILLOPC    1
#define LINUX_TRAP_BRKPT    1
#define LINUX_CLD_EXITED    1
#define LINUX_CLD_KILLED    2
#define LINUX_CLD_STOPPED   5
#define LINUX_CLD_CONTINUED 6

#define LINUX_SS_ONSTACK    1
#define LINUX_SS_DISABLE    2
#define LINUX_SS_AUTODISARM INT32_MIN
#define LINUX_MINSIGSTKSZ   2048

struct linux_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t mask;
};

struct linux_sigaltstack {
    uint64_t sp;
    int32_t flags;
    int32_t pad;
    uint64_t bytes;
};

struct linux_itimerspec {
    struct linux_timespec interval, value;
};

/* timer_create */
struct linux_sigevent {
    uint64_t value;
    int32_t signal;
    int32_t notify;
    int32_t tid;
    int32_t pad[11];
};
_Static_assert(sizeof(struct linux_sigevent) == 64, "struct sigevent");
#define LINUX_SIGEV_SIGNAL    0
#define LINUX_SIGEV_NONE      1
#define LINUX_SIGEV_THREAD    2
#define LINUX_SIGEV_THREAD_ID 4

/* clone3; versions of 64, 80 and 88 bytes. */
/* ioctl of block devices */
#define LINUX_BLKROGET     0x125e
#define LINUX_BLKGETSIZE   0x1260 /* in sectors */
#define LINUX_BLKFLSBUF    0x1261
#define LINUX_BLKSSZGET    0x1268
#define LINUX_BLKPBSZGET   0x127b
#define LINUX_BLKBSZGET    0x80081270
#define LINUX_BLKGETSIZE64 0x80081272

struct linux_clone_args {
    uint64_t flags;
    uint64_t pidfd;
    uint64_t child_tid, parent_tid;
    uint64_t exit_signal;
    uint64_t stack, stack_bytes;
    uint64_t tls;
    uint64_t set_tid, set_tid_count;
    uint64_t cgroup;
};
#define LINUX_CLONE_ARGS_BYTES_MIN 64
#define LINUX_PID_NAMESPACES_MAX   32

struct linux_siginfo {
    int32_t signo;
    int32_t err;
    int32_t code;
    int32_t pad;
    union {
        uint64_t address; /* faults */
        struct {          /* kill, tgkill, SIGCHLD */
            int32_t pid;
            uint32_t uid;
            int32_t status;
        };
        uint64_t space[14];
    };
};
_Static_assert(sizeof(struct linux_siginfo) == 128, "siginfo_t");

struct linux_ucontext {
    uint64_t flags;
    uint64_t link;
    struct linux_sigaltstack stack;
    uint64_t mask;
    uint8_t unused[120];
    uint64_t pad;
    uint64_t regs[32]; /* pc, x1..x31 */
    union {
        struct {
            uint64_t f[32];
            uint32_t fcsr;
        } d;
        uint64_t q[66];
    } fp;
};
_Static_assert(sizeof(struct linux_ucontext) == 960, "struct ucontext of riscv64");

/* What a handler finds at its stack pointer, and rt_sigreturn reads back. */
struct linux_sigframe {
    struct linux_siginfo info;
    struct linux_ucontext context;
};

#endif

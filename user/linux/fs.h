/*
 * The file tree: the initrd's files and directories, with /dev and /proc added, which are read-only
 * and complete after fs_init(); a file's data stays in the archive. Below /tmp and /dev/shm files,
 * directories and links come and go; the data of such a file is an object of the memory server.
 *
 * A *place* is a node together with a process: the nodes below /proc/PID exist once, and a place
 * says whose they are. Everything here is pure but for the question which processes there are.
 *
 * A node is a file and, at once, its first name. Further names of it are nodes of kind NODE_NAME,
 * which walks do not end at unless they ask. When the first name goes, a further one takes its
 * place: so a node that has any name has one of its own.
 *
 * Life of a node that fs_make() made: names and users (open files, working directories, programs)
 * keep it. memfile.h frees it with the last of both. One that has lost its name keeps the directory
 * that it was in.
 */
#ifndef LINUX_FS_H
#define LINUX_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "user/linux/abi.h"

enum node_kind {
    NODE_DIR,
    NODE_FILE,    /* data in the archive */
    NODE_MEMORY,  /* data in an object of the memory server: below /tmp, /dev/shm; memfd */
    NODE_SOCKET,  /* the name of a socket */
    NODE_FIFO,    /* the name of a pipe, or a pipe without one: pipe.h */
    NODE_LINK,    /* target in the archive, or of its own */
    NODE_NAME,    /* a further name of another node */
    NODE_CONSOLE, /* /dev/console, and the other terminals (terminal.h): */
    NODE_TTY,     /* /dev/tty: that of the session which asks */
    NODE_PTMX,    /* /dev/ptmx: a new one's far end */
    NODE_PTY,     /* /dev/pts/N */
    NODE_NULL,
    NODE_ZERO,
    NODE_FULL,
    NODE_RANDOM,
    NODE_DEVMEM,      /* /dev/mem: registers of devices, for mmap */
    NODE_RAMDISK,     /* /dev/ram0: ramdisk.h */
    NODE_NO_DEVICE,   /* made by mknod with the number of no device */
    NODE_TEXT,        /* /proc: text made when it is read */
    NODE_SELF,        /* /proc/self: a link to the directory of who asks */
    NODE_THREAD_SELF, /* /proc/thread-self: likewise, of the thread */
    NODE_EXE,         /* /proc/PID/exe: a link to its program */
    NODE_CWD,         /* /proc/PID/cwd */
    NODE_ROOT,        /* /proc/PID/root */
    NODE_FD,          /* /proc/PID/fd/N: a link to what is open */
    NODE_PID_MEM,     /* /proc/PID/mem (procmem.h) */
    NODE_PID,         /* /proc/PID */
    NODE_TASK,        /* /proc/PID/task/TID */
    /* Directories that also have what the process side numbers: */
    NODE_PROC,    /* /proc: processes */
    NODE_TASKS,   /* /proc/PID/task: threads */
    NODE_FDS,     /* /proc/PID/fd: open files */
    NODE_FDINFOS, /* /proc/PID/fdinfo: likewise */
    NODE_PTYS     /* /dev/pts: pseudo-terminals */
};

TAILQ_HEAD(node_list, node);

struct node {
    struct node *parent; /* the root's is itself */
    TAILQ_ENTRY(node) beside;
    LIST_ENTRY(node) alike; /* dir.h: the same bucket */
    uint64_t number;        /* dir.h: in its directory */
    const char *name;
    enum node_kind kind;
    uint32_t mode; /* type and permissions */
    uint32_t ino;
    uint32_t detail; /* NODE_TEXT: enum proc_text; devices: their number */
    uint32_t uid, gid;
    struct linux_timespec accessed, modified, changed;

    struct node_list names; /* NODE_DIR: what is in it, */
    uint64_t numbered;      /* how many there ever were, */
    struct node *listed;    /* and where the last listing was */
    uint64_t start;         /* NODE_FILE, NODE_LINK: where in the archive */
    uint64_t bytes;
    char *target;           /* NODE_LINK of our own: malloced; else NULL */
    uint64_t object;        /* NODE_MEMORY, NODE_RAMDISK once opened: handle */
    struct pipe *pipe;      /* NODE_FIFO: while somebody has it open */
    struct node *of;        /* NODE_NAME: whose */
    struct notice *notices; /* watches of inotify: inotify.h */
    struct node *more;      /* of its further names one, which leads to the next; NULL: none */
    unsigned links;         /* names of all kinds */
    unsigned users;         /* what else keeps it */
    unsigned writers;       /* files that were opened by its name to write, and */
    unsigned runners;       /* processes whose program it is: never both */
    bool memory;            /* made by fs_make(), or a directory where that may be done */
    bool seals;             /* NODE_MEMORY: memfd_create(MFD_ALLOW_SEALING) */
    bool huge;              /* NODE_MEMORY: of huge pages */
    bool removed;           /* in no directory */
};

struct place {
    struct node *node;
    int pid;    /* below /proc/PID, else 0 */
    int number; /* below /proc/PID/task/TID, or at fd/N, fdinfo/N or /dev/pts/N: TID or N */
};

/* The files and directories of /proc, /sys and /dev/pts: tables that end without a path (procfs.c).
 * Directories on the way are made; "#" stands for what is numbered. */
struct fs_special {
    const char *path;
    enum node_kind kind;
    uint32_t mode, detail;
};
extern const struct fs_special *const fs_specials[];

/* A device's number as Linux encodes it, for mknod and stat. */
static inline uint32_t fs_major(uint64_t device)
{
    return (uint32_t)(device >> 8 & 0xfff);
}
static inline uint32_t fs_minor(uint64_t device)
{
    return (uint32_t)((device & 0xff) | (device >> 12 & 0xfff00));
}

#define FS_RAMDISKS 2

/* The kind of a node of that type (LINUX_S_IFCHR, LINUX_S_IFBLK) and number, for a name that is not
 * in /dev. */
enum node_kind fs_device_kind(uint32_t type, uint32_t device);

/* Build the tree. NULL, or what is wrong with the archive. */
const char *fs_init(const void *archive, size_t archive_bytes);
/* One more, of a tree that is made: false without memory. */
bool fs_add_special(const struct fs_special *special);
struct place fs_root(void);
/* A new node of that name in `dir` (a memory directory, where there is none), or in no directory if
 * that is NULL; NULL without memory. */
struct node *fs_make(struct node *dir, const char *name, size_t bytes, enum node_kind kind,
                     uint32_t mode);
/* A further name for a node: 0 or -ENOMEM. */
long fs_link(struct node *node, struct node *dir, const char *name, size_t bytes);
/* A name goes (it is the node's own, or a NODE_NAME): the node that it was of, which stays. */
struct node *fs_remove(struct node *name);
/* Give a name another place and text: 0 or -ENOMEM. */
long fs_move(struct node *name, struct node *dir, const char *text, size_t bytes);
/* Free a node that is in no directory. */
void fs_free(struct node *node);
/* A file's or a link's bytes in the archive, or those of a link of our own. */
const void *fs_data(const struct node *node);
static inline bool fs_is_dir(const struct place *place)
{
    return (place->node->mode & LINUX_S_IFMT) == LINUX_S_IFDIR;
}
static inline bool fs_is_device(const struct place *place)
{
    uint32_t type = place->node->mode & LINUX_S_IFMT;

    return type == LINUX_S_IFCHR || type == LINUX_S_IFBLK;
}
static inline bool fs_is_link(const struct place *place)
{
    return (place->node->mode & LINUX_S_IFMT) == LINUX_S_IFLNK;
}

/* A pipe that no path has ever named. */
static inline bool fs_is_nameless(const struct place *place)
{
    return place->node->kind == NODE_FIFO && !place->node->name[0];
}

#define FS_FOLLOW 0x1 /* a symbolic link at the path's end is followed */
#define FS_NAME   0x2 /* a further name at the path's end is meant itself */

/* Find a path of `bytes` bytes from `from` (a directory) for the process self_pid: 0, or -errno. */
long fs_walk(const struct place *from, const char *path, size_t bytes, unsigned flags, int self_pid,
             struct place *out);

/* Where a walk stopped because there is no such name. */
struct fs_missing {
    struct node *dir;
    const char *name; /* a part of the path, or of a link's target */
    size_t bytes;
    bool slash; /* one follows: a directory is meant */
};
/* Find the place for a name that is to be made: 0, -EEXIST, or -errno. */
long fs_walk_new(const struct place *from, const char *path, size_t bytes, unsigned flags,
                 int self_pid, struct fs_missing *missing);
/* The target of a link into `to`: its length (cut off at room), or -errno. */
long fs_link_target(const struct place *link, int self_pid, char *to, size_t room);
/* Absolute path of a place with its NUL: the length with it, or -ERANGE. */
long fs_path(const struct place *place, char *to, size_t room);
void fs_stat(const struct place *place, struct linux_stat *stat);

struct fs_entry {
    char name[LINUX_NAME_MAX + 1];
    uint64_t ino;
    uint8_t type; /* LINUX_DT_* */
};
/* The entry of a directory that has number *index (dir.h; "." and ".." included) or a higher one;
 * false: there are no more. After the names, /proc lists processes. *index moves behind it. */
bool fs_entry(const struct place *dir, uint64_t *index, struct fs_entry *entry);

/* Given by the process side: the lowest number from `from` on that a directory of numbers has, -1
 * if there is none. */
int fs_number_from(const struct place *dir, int from);
/* What is open there: 0 with the place, or -errno; and what its link says. */
long fs_process_fd(const struct place *fd, struct place *at);
long fs_process_fd_text(const struct place *fd, char *to, size_t room);
/* The thread that asks, for /proc/thread-self. */
int fs_self_tid(void);
/* Likewise: the program of a process
 * and working directory (false if it has none). */
bool fs_process_exe(int pid, struct place *exe);
bool fs_process_cwd(int pid, struct place *cwd);

#endif

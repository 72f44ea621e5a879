/*
 * execve and execveat.
 *
 *   1. Read path, arguments and environment from the client.
 *   2. Find the file; for a script (#!) its interpreter, again and again up to a limit.
 *   3. Have the memory server load the image into a fresh space. Until here every error is
 * answered.
 *   4. End the other threads of the process, and wait until they are gone.
 *   5. Move the thread into the new space, drop the old one, and start.
 */
#include "user/linux/exec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/calls.h"
#include "user/linux/file.h"
#include "user/linux/futex.h"
#include "user/linux/lock.h"
#include "user/linux/memfile.h"
#include "user/linux/mmcall.h"
#include "user/linux/path.h"
#include "user/linux/process.h"
#include "user/linux/request.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"

/*
 * Strings and the pointers to them may take a quarter of the stack, within these bounds; one string
 * with its NUL takes at most the lower one.
 */
#define STRINGS_LEAST  131072UL
#define STRINGS_MAX    (6UL << 20)
#define STRINGS_KEPT   262144UL /* bytes of our own memory that stay for the next */
#define STRING_MAX     STRINGS_LEAST
#define SCRIPTS_MAX    4   /* interpreters that are scripts themselves */
#define SCRIPT_LINE    256 /* bytes of a #! line that count */
#define HEADROOM       ((SCRIPTS_MAX + 1) * (LINUX_PATH_MAX + SCRIPT_LINE))
#define CMDLINE_MAX    4096
#define POINTERS_ONCE  64
#define ELF_LEAST      64 /* bytes of a file header */
#define OWN_PAGE_BYTES 4096UL

/*
 * Arguments, then environment, from `start` to `end`; scripts add arguments at the front, into the
 * room that is left there. One at a time, under the big lock.
 */
static struct {
    char bytes[HEADROOM + STRINGS_MAX];
    size_t start, end;
    unsigned argc, envc;
    size_t room; /* what strings and pointers may still take, in bytes */
} strings;

static char path[LINUX_PATH_MAX];   /* the program's, as it is told; then its interpreter's */
static char called[LINUX_PATH_MAX]; /* a script gives the process its own name */
static bool path_goes;              /* what it leads through is closed before it would be used */

static void strings_reset(void)
{
    strings.start = strings.end = HEADROOM;
    strings.argc = strings.envc = 0;
}

/* Take bytes of the room for strings and pointers: 0 or -E2BIG. */
static long room_take(size_t bytes)
{
    if (bytes > strings.room)
        return -LINUX_E2BIG;
    strings.room -= bytes;
    return 0;
}

/* One string of a client, behind the others. */
static long add_string(struct space *space, uint64_t from)
{
    size_t room = strings.room < STRING_MAX ? strings.room : STRING_MAX;
    long bytes = copy_in_string(space, strings.bytes + strings.end, from, room);

    if (bytes < 0)
        return bytes == -LINUX_ENAMETOOLONG ? -LINUX_E2BIG : bytes;
    strings.end += (size_t)bytes + 1;
    return room_take((size_t)bytes + 1);
}

/* Append the strings of a client's NULL-terminated vector: how many, or -errno. */
static long add_vector(struct space *space, uint64_t vector)
{
    uint64_t pointers[POINTERS_ONCE];
    long count = 0;

    if (!vector)
        return 0;
    for (;;) {
        /* As many pointers as can be read; the vector may end just before a hole. */
        size_t got = copy_in_some(space, pointers, vector, sizeof(pointers)) / sizeof(uint64_t);
        if (got == 0)
            return -LINUX_EFAULT;
        for (size_t i = 0; i < got; i++, count++) {
            if (!pointers[i])
                return count;
            long error = room_take(sizeof(uint64_t));
            if (!error)
                error = add_string(space, pointers[i]);
            if (error)
                return error;
        }
        vector += got * sizeof(uint64_t);
    }
}

static void push_front(const char *text, size_t bytes)
{
    linux_assert(strings.start >= bytes + 1);
    strings.start -= bytes + 1;
    memcpy(strings.bytes + strings.start, text, bytes);
    strings.bytes[strings.start + bytes] = 0;
    strings.argc++;
}

static void drop_front(void)
{
    strings.start += strlen(strings.bytes + strings.start) + 1;
    strings.argc--;
}

/* What strings and pointers of a program that p starts may take. */
static size_t strings_limit(const struct process *p)
{
    uint64_t limit = p->limit[LINUX_RLIMIT_STACK].soft / 4;

    return limit < STRINGS_LEAST ? STRINGS_LEAST : limit > STRINGS_MAX ? STRINGS_MAX : limit;
}

/* The arguments and the environment at these addresses; `path` is there. */
static long read_arguments(struct thread *t, uint64_t argv, uint64_t envp)
{
    struct space *space = t->process->space;

    strings_reset();
    strings.room = strings_limit(t->process);
    long argc = room_take(strlen(path) + 1);
    if (!argc)
        argc = add_vector(space, argv);
    if (argc < 0)
        return argc;
    strings.argc = (unsigned)argc;
    if (argc == 0)
        push_front("", 0); /* nobody is started without a name */
    long envc = add_vector(space, envp);
    if (envc < 0)
        return envc;
    strings.envc = (unsigned)envc;
    return 0;
}

/* The memory of unusually many strings is given back. */
static void strings_done(void)
{
    uint64_t kept = ((uint64_t)strings.bytes + HEADROOM + STRINGS_KEPT) & -OWN_PAGE_BYTES;
    uint64_t end = (uint64_t)strings.bytes + strings.end;

    if (end > kept)
        mmcall_own_forget(kept, (end - kept + OWN_PAGE_BYTES - 1) & -OWN_PAGE_BYTES);
}

/* ---- finding the image ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The file is a script: its interpreter becomes `path`, and the arguments begin with it. */
static long use_interpreter(const char *line, size_t bytes)
{
    const char *end = memchr(line, '\n', bytes);
    const char *name = line + 2;

    if (!end)
        end = line + bytes;
    while (end > name && (is_blank(end[-1]) || end[-1] == '\r'))
        end--;
    while (name < end && is_blank(*name))
        name++;
    const char *name_end = name;
    while (name_end < end && !is_blank(*name_end))
        name_end++;
    if (name_end == name)
        return -LINUX_ENOEXEC;
    const char *argument = name_end;
    while (argument < end && is_blank(*argument))
        argument++;
    drop_front();
    push_front(path, strlen(path));
    if (argument < end)
        push_front(argument, (size_t)(end - argument));
    push_front(name, (size_t)(name_end - name));
    strcpy(path, strings.bytes + strings.start);
    return 0;
}

/* How a file begins: all of one of the archive, as much as there is room for of another. */
struct head {
    const char *data;
    uint64_t bytes;
};

/* A file that may be executed, and that nobody changes. */
static long may_run(const struct node *node)
{
    if (!(node->mode & 0111) || (node->kind != NODE_FILE && node->kind != NODE_MEMORY))
        return -LINUX_EACCES;
    return node->writers ? -LINUX_ETXTBSY : 0;
}

static long read_head(const struct node *node, struct head *head)
{
    static char room[4096]; /* under the big lock */

    long error = may_run(node);

    if (error)
        return error;
    *head = (struct head){fs_data(node), node->bytes};
    if (node->kind == NODE_FILE)
        return 0;
    memset(room, 0, sizeof(room)); /* there, when the memory server writes to it */
    long got = mmcall_object_read(node->object, 0, 0, (uint64_t)room, sizeof(room));
    *head = (struct head){room, got > 0 ? (uint64_t)got : 0};
    return got < 0 ? got : 0;
}

/*
 * The image to load, scripts followed: 0 or -errno. *image is the file that `path` tells of, at
 * first; where that is a script, `path` and *image become its interpreter.
 */
static long find_image(const struct place *cwd, int pid, struct place *image, struct head *head)
{
    strcpy(called, path);
    for (unsigned depth = 0; depth <= SCRIPTS_MAX; depth++) {
        long error = depth ? fs_walk(cwd, path, strlen(path), FS_FOLLOW, pid, image) : 0;
        if (!error)
            error = read_head(image->node, head);
        if (error)
            return error;
        const char *data = head->data;
        uint64_t bytes = head->bytes;
        if (bytes < 2 || data[0] != '#' || data[1] != '!')
            return 0;
        if (path_goes)
            return -LINUX_ENOENT;
        error = use_interpreter(data, bytes < SCRIPT_LINE ? bytes : SCRIPT_LINE);
        if (error)
            return error;
    }
    return -LINUX_ELOOP;
}

/* ELF: where a program header says which program loads the rest. The memory server checks the file
 * whole; here only that nothing outside it is read. */
#define ELF_HEADERS_AT    32
#define ELF_HEADER_COUNT  56
#define ELF_HEADER_BYTES  56
#define ELF_INTERPRETER   3
#define ELF_HEADER_OFFSET 8
#define ELF_HEADER_SIZE   32

static uint64_t number_at(const char *data, uint64_t at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, data + at, bytes);
    return value;
}

/* The path of the dynamic loader that an image names, or NULL. */
static const char *image_interpreter(const struct head *head)
{
    const char *data = head->data;
    uint64_t bytes = head->bytes;
    uint64_t at = bytes >= ELF_LEAST ? number_at(data, ELF_HEADERS_AT, 8) : bytes;
    uint64_t count = bytes >= ELF_LEAST ? number_at(data, ELF_HEADER_COUNT, 2) : 0;

    for (; count && at < bytes && bytes - at >= ELF_HEADER_BYTES; count--, at += ELF_HEADER_BYTES) {
        uint64_t offset = number_at(data, at + ELF_HEADER_OFFSET, 8);
        uint64_t size = number_at(data, at + ELF_HEADER_SIZE, 8);

        if (number_at(data, at, 4) != ELF_INTERPRETER)
            continue;
        if (offset >= bytes || size > bytes - offset || size < 2 || size > LINUX_PATH_MAX ||
            data[offset + size - 1])
            return NULL;
        return data + offset;
    }
    return NULL;
}

/* Fill in the dynamic loader, if the image names one: 0 or -errno. */
static long find_interpreter(const struct process *p, const struct head *head, struct mm_exec *exec)
{
    const char *name = image_interpreter(head);
    struct place loader;

    if (!name)
        return 0;
    long error = fs_walk(&p->fs->cwd, name, strlen(name), FS_FOLLOW, p->pid, &loader);
    if (error)
        return error;
    error = may_run(loader.node);
    if (error)
        return error;
    if (loader.node->kind == NODE_FILE ? loader.node->bytes < ELF_LEAST
                                       : memfile_bytes(loader.node) < ELF_LEAST)
        return -LINUX_EIO;
    exec->interpreter_object = loader.node->object;
    exec->interpreter_start = loader.node->start;
    exec->interpreter_bytes = loader.node->bytes;
    exec->interpreter_name = (uint64_t)name;
    return 0;
}

/* A new space with the image in it; NULL with *error. */
static struct space *load(const struct process *p, const struct place *image,
                          const struct head *head, uint64_t *pc, uint64_t *sp, long *error)
{
    struct mm_exec exec = {
        .file_object = image->node->object,
        .file_start = image->node->start,
        .file_bytes = image->node->bytes,
        .strings = (uint64_t)strings.bytes + strings.start,
        .strings_bytes = strings.end - strings.start,
        .argc = strings.argc,
        .envc = strings.envc,
        .name = (uint64_t)path,
        .fixed = (p->persona & LINUX_ADDR_NO_RANDOMIZE) != 0,
    };

    *error = find_interpreter(p, head, &exec);
    struct space *space = *error ? NULL : space_create(error);
    if (!space)
        return NULL;
    process_limits_apply(p, space->mm);
    *error = mmcall_exec(space->mm, &exec);
    if (*error) {
        space_put(space);
        return NULL;
    }
    *pc = exec.entry;
    *sp = exec.sp;
    return space;
}

/* ---- becoming it ---- */

static void set_cmdline(struct process *p)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < strings.argc; i++)
        bytes += strlen(strings.bytes + strings.start + bytes) + 1;
    if (bytes > CMDLINE_MAX)
        bytes = CMDLINE_MAX;
    free(p->cmdline);
    p->cmdline = malloc(bytes);
    p->cmdline_bytes = p->cmdline ? bytes : 0;
    if (p->cmdline)
        memcpy(p->cmdline, strings.bytes + strings.start, bytes);
}

/* Names of the new program, while the strings are at hand. */
static void set_names(struct process *p, const struct place *image)
{
    process_set_exe(p, image);
    process_set_comm(p, called);
    set_cmdline(p);
}

/* Only this thread is left; the space is loaded. */
static long become(struct thread *t)
{
    struct process *p = t->process;
    struct space *old = p->space;
    struct user_regs regs = {.x = {[0] = t->exec_pc, [2] = t->exec_sp}};

    thread_keep(t);
    usage_space_gone(t);
    long error = mmcall_thread_move(t->number, t->exec_space->mm);
    if (error == 0)
        error = thread_regs_write(t, &regs);
    if (error) {
        process_kill(p, LINUX_SIGKILL);
        return REQUEST_GONE;
    }
    futex_thread_ends(t);
    thread_clear_tid(t);
    p->space = t->exec_space;
    t->exec_space = NULL;
    space_put(old);
    t->tid = p->pid;
    p->start_sp = t->exec_sp;
    p->keeps_caps = false;
    t->altstack = (struct linux_sigaltstack){.flags = LINUX_SS_DISABLE};
    p->has_exec = true;
    p->exit_signal = LINUX_SIGCHLD;
    alarms_exec(p);
    signal_reset(p);
    fd_close_exec(p->files);
    process_vfork_release(p);
    return 0;
}

/* The others end; this thread's request is run again when one is gone. */
static long end_others(struct thread *t)
{
    struct thread *other;

    TAILQ_FOREACH(other, &t->process->threads, mates)
    {
        if (other != t)
            thread_kill(other);
    }
    queue_join(&t->process->alone_wait, t);
    return REQUEST_WAITS;
}

/* ---- the calls ---- */

/*
 * The file that a descriptor and a path name, and in `path` the name that is told of it: the path,
 * or one through /dev/fd if the descriptor is a part of it. 0 or -errno.
 */
static long find_program(struct thread *t, int fd, uint64_t address, uint32_t flags,
                         struct place *image)
{
    struct process *p = t->process;
    unsigned how = (flags & LINUX_AT_SYMLINK_NOFOLLOW ? 0 : FS_FOLLOW) |
                   (flags & LINUX_AT_EMPTY_PATH ? PATH_EMPTY : 0);
    long bytes = copy_in_string(p->space, path, address, sizeof(path));
    const struct file *file = bytes == 0 ? fd_get(p->files, fd) : NULL;

    if (bytes < 0)
        return bytes;
    if (file && !file_has_place(file) && (flags & LINUX_AT_EMPTY_PATH))
        return -LINUX_EACCES;
    long error = path_find(t, fd, address, how, image);
    if (error)
        return error;
    if (fs_is_link(image))
        return -LINUX_ELOOP;
    path_goes = false;
    if (path[0] == '/' || fd == LINUX_AT_FDCWD)
        return 0;
    char prefix[32];
    size_t more =
        (size_t)snprintf(prefix, sizeof(prefix), bytes ? "/dev/fd/%d/" : "/dev/fd/%d", fd);
    if (more + (size_t)bytes >= sizeof(path))
        return -LINUX_ENAMETOOLONG;
    memmove(path + more, path, (size_t)bytes + 1);
    memcpy(path, prefix, more);
    path_goes = fd_is_close_exec(p->files, (unsigned)fd);
    return 0;
}

/* The new space, and the names that go with it: 0 or -errno. */
static long prepare(struct thread *t, int fd, const uint64_t *strings_at, uint32_t flags)
{
    struct process *p = t->process;
    struct place image;
    struct head head;

    long error = find_program(t, fd, strings_at[0], flags, &image);
    if (!error)
        error = read_arguments(t, strings_at[1], strings_at[2]);
    if (!error)
        error = find_image(&p->fs->cwd, p->pid, &image, &head);
    if (error)
        return error;
    t->exec_space = load(p, &image, &head, &t->exec_pc, &t->exec_sp, &error);
    if (!t->exec_space)
        return error;
    if (!fd_table_unshare(&p->files) || !sighand_unshare(&p->sighand)) {
        space_put(t->exec_space);
        t->exec_space = NULL;
        return -LINUX_ENOMEM;
    }
    set_names(p, &image);
    return 0;
}

/* strings_at: addresses of the path, the arguments and the environment. */
static long exec(struct thread *t, int fd, const uint64_t *strings_at, uint32_t flags)
{
    if (!t->exec_space) {
        long error = prepare(t, fd, strings_at, flags);
        strings_done();
        if (error)
            return error;
    }
    return t->process->thread_count > 1 ? end_others(t) : become(t);
}

long linux_execve(struct thread *t, const uint64_t *a)
{
    return exec(t, LINUX_AT_FDCWD, a, 0);
}

long linux_execveat(struct thread *t, const uint64_t *a)
{
    uint32_t flags = (uint32_t)a[4];

    if (flags & ~(uint32_t)(LINUX_AT_SYMLINK_NOFOLLOW | LINUX_AT_EMPTY_PATH))
        return -LINUX_EINVAL;
    return exec(t, (int32_t)a[0], a + 1, flags);
}

long exec_first(struct process *p, const char *program, const char *text, size_t bytes,
                unsigned argc, unsigned envc, uint64_t *pc, uint64_t *sp)
{
    struct place image;
    struct head head;
    long error;

    if (strlen(program) >= sizeof(path) || bytes > STRINGS_MAX)
        return -LINUX_ENAMETOOLONG;
    strcpy(path, program);
    strings_reset();
    memcpy(strings.bytes + strings.start, text, bytes);
    strings.end = strings.start + bytes;
    strings.argc = argc;
    strings.envc = envc;
    error = fs_walk(&p->fs->cwd, path, strlen(path), FS_FOLLOW, p->pid, &image);
    if (!error)
        error = find_image(&p->fs->cwd, p->pid, &image, &head);
    if (error)
        return error;
    p->space = load(p, &image, &head, pc, sp, &error);
    if (!p->space)
        return error;
    set_names(p, &image);
    p->start_sp = *sp;
    return 0;
}

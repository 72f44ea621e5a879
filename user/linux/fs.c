/* The file tree (see fs.h): built once from the archive; then only looked at. */
#include "user/linux/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cpio.h"
#include "user/linux/dir.h"
#include "user/linux/proc.h"

#define LINKS_MAX        40  /* symbolic links followed in one walk */
#define LINK_ROOM        256 /* for the targets of /proc's own links */
#define INODES_PER_PID   128
#define PIDS_INO         0x100000UL
#define NUMBERS_INO      0x10000000UL
#define LIST_PIDS        0x40000000UL /* index of a listing from which on it is about numbers */
#define DEVICE(maj, min) ((maj) << 8 | (min))

static struct node *root, *pid_node;
static const uint8_t *archive_base;
static uint32_t last_ino;

struct place fs_root(void)
{
    return (struct place){.node = root};
}

const void *fs_data(const struct node *node)
{
    return node->target ? (const void *)node->target : archive_base + node->start;
}

/* ---- building ---- */

/* NULL if there is no memory. `name` is copied. */
static struct node *add(struct node *dir, const char *name, size_t name_bytes, enum node_kind kind,
                        uint32_t mode)
{
    struct node *n = calloc(1, sizeof(*n) + name_bytes + 1);

    if (!n)
        return NULL;
    char *copy = (char *)(n + 1);
    memcpy(copy, name, name_bytes);
    n->name = copy;
    n->kind = kind;
    n->mode = mode;
    n->ino = ++last_ino;
    n->parent = n;
    n->links = 1;
    TAILQ_INIT(&n->names);
    if (dir)
        dir_add(dir, n);
    return n;
}

/* The directory `name` of dir, made if it is not there. */
static struct node *add_dir(struct node *dir, const char *name, size_t bytes)
{
    struct node *n = dir_find(dir, name, bytes);

    if (n)
        return n->kind == NODE_DIR ? n : NULL;
    return add(dir, name, bytes, NODE_DIR, LINUX_S_IFDIR | 0755);
}

static enum node_kind kind_of(uint32_t mode)
{
    switch (mode & LINUX_S_IFMT) {
    case LINUX_S_IFREG:
        return NODE_FILE;
    case LINUX_S_IFLNK:
        return NODE_LINK;
    default:
        return NODE_DIR;
    }
}

/* One entry of the archive; directories on the way that have none of their own are made. Device
 * nodes and the like are passed over: /dev is ours. */
static const char *add_entry(const struct cpio_entry *e)
{
    const char *path = cpio_path(e->name);
    uint32_t type = e->mode & LINUX_S_IFMT;
    struct node *dir = root;

    if (*path == 0 || strcmp(path, ".") == 0)
        return NULL;
    if (type != LINUX_S_IFREG && type != LINUX_S_IFDIR && type != LINUX_S_IFLNK)
        return NULL;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        if (slash == path)
            continue;
        dir = add_dir(dir, path, (size_t)(slash - path));
        if (!dir)
            return "a directory is not one, or no memory";
    }
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes > LINUX_NAME_MAX)
        return bytes ? "a name is too long" : NULL;
    struct node *n = dir_find(dir, path, bytes);
    if (!n)
        n = add(dir, path, bytes, kind_of(e->mode), e->mode);
    if (!n)
        return "no memory for the file tree";
    /* Of entries with the same path the last counts; a directory keeps what is in it. */
    if (!dir_is_empty(n) && type != LINUX_S_IFDIR)
        return "a file has the name of a directory";
    n->kind = kind_of(e->mode);
    n->mode = e->mode & (LINUX_S_IFMT | 07777);
    n->start = e->data_offset;
    n->bytes = type == LINUX_S_IFDIR ? 0 : e->bytes;
    return NULL;
}

struct extra {
    const char *name;
    enum node_kind kind;
    uint32_t mode;
    uint32_t detail;
};

static bool add_all(struct node *dir, const struct extra *extra, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct node *n = dir_find(dir, extra[i].name, strlen(extra[i].name));
        if (!n)
            n = add(dir, extra[i].name, strlen(extra[i].name), extra[i].kind, extra[i].mode);
        if (!n)
            return false;
        n->kind = extra[i].kind;
        n->mode = extra[i].mode;
        n->detail = extra[i].detail;
    }
    return true;
}

/* A link of our own, unless the archive has something of that name. */
static bool add_link(struct node *dir, const char *name, const char *target)
{
    if (dir_find(dir, name, strlen(name)))
        return true;
    struct node *n = add(dir, name, strlen(name), NODE_LINK, LINUX_S_IFLNK | 0777);
    if (!n)
        return false;
    n->bytes = strlen(target);
    n->target = strdup(target);
    return n->target != NULL;
}

#define CHARACTER (LINUX_S_IFCHR | 0666)
#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))

#define BLOCK (LINUX_S_IFBLK | 0660)

static const struct extra devices[] = {
    {"console", NODE_CONSOLE, CHARACTER, DEVICE(5, 1)},
    {"tty", NODE_TTY, CHARACTER, DEVICE(5, 0)},
    {"ptmx", NODE_PTMX, CHARACTER, DEVICE(5, 2)},
    {"mem", NODE_DEVMEM, LINUX_S_IFCHR | 0640, DEVICE(1, 1)},
    {"null", NODE_NULL, CHARACTER, DEVICE(1, 3)},
    {"zero", NODE_ZERO, CHARACTER, DEVICE(1, 5)},
    {"full", NODE_FULL, CHARACTER, DEVICE(1, 7)},
    {"random", NODE_RANDOM, CHARACTER, DEVICE(1, 8)},
    {"urandom", NODE_RANDOM, CHARACTER, DEVICE(1, 9)},
    {"ram0", NODE_RAMDISK, BLOCK, DEVICE(1, 0)},
    {"ram1", NODE_RAMDISK, BLOCK, DEVICE(1, 1)},
};

/* A master of pseudo-terminals belongs to the file system of its slaves, and only there. */
enum node_kind fs_device_kind(uint32_t type, uint32_t device)
{
    for (unsigned i = 0; i < COUNT(devices); i++) {
        if ((devices[i].mode & LINUX_S_IFMT) == type && devices[i].detail == device &&
            devices[i].kind != NODE_PTMX)
            return devices[i].kind;
    }
    return NODE_NO_DEVICE;
}

static bool add_devices(void)
{
    struct node *dev = add_dir(root, "dev", 3);

    return dev && add_all(dev, devices, COUNT(devices)) && add_link(dev, "fd", "/proc/self/fd") &&
           add_link(dev, "stdin", "/proc/self/fd/0") &&
           add_link(dev, "stdout", "/proc/self/fd/1") && add_link(dev, "stderr", "/proc/self/fd/2");
}

/* The directories of numbers, and what their numbers lead to. */
static const enum node_kind numbered[] = {NODE_PROC, NODE_TASKS, NODE_FDS, NODE_FDINFOS, NODE_PTYS};
static struct node *members[COUNT(numbered)];

/* What a number in that directory leads to; NULL: it has no numbers. */
static struct node *member_of(const struct node *dir)
{
    for (unsigned i = 0; i < COUNT(numbered); i++) {
        if (numbered[i] == dir->kind)
            return members[i];
    }
    return NULL;
}

/* A directory or file of the table. Members of directories of numbers have the path of their
 * directory with "/#" behind it, and are in no list. */
static struct node *add_special(const struct fs_special *special)
{
    const char *slash = strrchr(special->path, '/');
    struct node *dir = root;

    for (const char *at = special->path + 1; at < slash;) {
        const char *end = strchr(at, '/');
        struct node *next = dir_find(dir, at, (size_t)(end - at));
        if (!next && *at == '#' && member_of(dir))
            next = member_of(dir);
        if (!next)
            next = add_dir(dir, at, (size_t)(end - at));
        if (!next)
            return NULL;
        dir = next;
        at = end + 1;
    }
    bool member = slash[1] == '#';
    struct node *n = member ? add(NULL, "", 0, special->kind, special->mode)
                            : add(dir, slash + 1, strlen(slash + 1), special->kind, special->mode);
    if (!n)
        return NULL;
    n->detail = special->detail;
    for (unsigned i = 0; member && i < COUNT(numbered); i++) {
        if (numbered[i] == dir->kind)
            members[i] = n;
    }
    if (member)
        n->parent = dir;
    return n;
}

bool fs_add_special(const struct fs_special *special)
{
    return add_special(special) != NULL;
}

static bool add_table(const struct fs_special *special)
{
    for (; special->path; special++) {
        /* The numbers of what is below /proc/PID are a block of their own. */
        if (special->kind == NODE_PID)
            last_ino = INODES_PER_PID * ((last_ino + INODES_PER_PID) / INODES_PER_PID);
        struct node *n = add_special(special);
        if (!n)
            return false;
        if (special->kind == NODE_PID)
            pid_node = n;
    }
    return true;
}

static bool add_specials(void)
{
    for (const struct fs_special *const *table = fs_specials; *table; table++) {
        if (!add_table(*table))
            return false;
    }
    return true;
}

/* The directories below which files come and go. */
static bool add_memory(void)
{
    struct node *tmp = add_dir(root, "tmp", 3);
    struct node *dev = add_dir(root, "dev", 3);
    struct node *shm = dev ? add_dir(dev, "shm", 3) : NULL;

    if (!tmp || !shm)
        return false;
    tmp->mode = shm->mode = LINUX_S_IFDIR | 01777;
    tmp->memory = shm->memory = true;
    return true;
}

const char *fs_init(const void *archive, size_t archive_bytes)
{
    struct cpio_entry entry;
    size_t position = 0;
    int result;

    archive_base = archive;
    last_ino = 0;
    root = add(NULL, "", 0, NODE_DIR, LINUX_S_IFDIR | 0755);
    if (!root)
        return "no memory for the file tree";
    while ((result = cpio_next(archive, archive_bytes, &position, &entry)) > 0) {
        const char *wrong = add_entry(&entry);
        if (wrong)
            return wrong;
    }
    if (result < 0)
        return cpio_error_text(result);
    if (!add_devices() || !add_specials() || !add_memory())
        return "/dev, /proc or /tmp cannot be made";
    return NULL;
}

/* ---- what comes and goes ---- */

struct node *fs_make(struct node *dir, const char *name, size_t bytes, enum node_kind kind,
                     uint32_t mode)
{
    struct node *n = add(dir, name, bytes, kind, mode);

    if (!n)
        return NULL;
    n->memory = true;
    if (!dir) {
        n->removed = true;
        n->links = 0;
        n->parent = root; /* where its path begins */
    }
    return n;
}

long fs_link(struct node *node, struct node *dir, const char *name, size_t bytes)
{
    struct node *n = fs_make(dir, name, bytes, NODE_NAME, node->mode);

    if (!n)
        return -LINUX_ENOMEM;
    n->of = node;
    n->more = node->more;
    node->more = n;
    node->links++;
    return 0;
}

/* The name may be longer than the one that the node was made with, which stays its own. */
static char *name_of_its_own(const struct node *node)
{
    return node->name == (const char *)(node + 1) ? NULL : (char *)(uintptr_t)node->name;
}

static void set_name(struct node *node, char *name)
{
    free(name_of_its_own(node));
    node->name = name;
}

long fs_move(struct node *name, struct node *dir, const char *text, size_t bytes)
{
    char *copy = malloc(bytes + 1);

    if (!copy)
        return -LINUX_ENOMEM;
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    dir_remove(name);
    set_name(name, copy);
    dir_add(dir, name);
    return 0;
}

/* A further name is no more. */
static void name_free(struct node *name)
{
    struct node **at = &name->of->more;

    while (*at != name)
        at = &(*at)->more;
    *at = name->more;
    dir_remove(name);
    fs_free(name);
}

struct node *fs_remove(struct node *name)
{
    struct node *node = name->kind == NODE_NAME ? name->of : name, *heir = node->more;

    if (name != node) {
        name_free(name);
    } else if (heir) {
        if (fs_move(node, heir->parent, heir->name, strlen(heir->name)))
            return NULL;
        name_free(heir);
    } else {
        dir_remove(node);
        node->removed = true;
    }
    node->links--;
    return node;
}

void fs_free(struct node *node)
{
    free(name_of_its_own(node));
    free(node->target);
    free(node);
}

/* ---- finding ---- */

/* A decimal number without leading zeros; -1 if the name is none. */
static int number_of_name(const char *name, size_t bytes)
{
    int number = 0;

    if (bytes == 0 || bytes > 6 || (name[0] == '0' && bytes > 1))
        return -1;
    for (size_t i = 0; i < bytes; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        number = number * 10 + (name[i] - '0');
    }
    return number;
}

/* What that number leads to in a directory of numbers. */
static struct place member_at(const struct place *dir, int number)
{
    struct place at = {.node = member_of(dir->node), .pid = dir->pid, .number = number};

    if (at.node == pid_node) {
        at.pid = number;
        at.number = 0;
    }
    return at;
}

/* as_name: a further name is meant itself. */
static bool step(struct place *at, const char *name, size_t bytes, bool as_name)
{
    if (bytes == 1 && name[0] == '.')
        return true;
    if (bytes == 2 && name[0] == '.' && name[1] == '.') {
        if (at->node->kind == NODE_PID)
            at->pid = 0;
        if (at->node->kind == NODE_TASK)
            at->number = 0;
        at->node = at->node->parent;
        return true;
    }
    struct node *n = dir_find(at->node, name, bytes);
    if (n) {
        at->node = n->kind == NODE_NAME && !as_name ? n->of : n;
        return true;
    }
    int number = member_of(at->node) ? number_of_name(name, bytes) : -1;
    if (number < 0 || fs_number_from(at, number) != number)
        return false;
    *at = member_at(at, number);
    return true;
}

/* What stays the same in one walk, also through links. */
struct walk {
    int self_pid;
    unsigned links;             /* followed */
    struct fs_missing *missing; /* NULL: nobody wants to know */
};

static long walk(struct walk *w, struct place at, const char *path, size_t bytes, unsigned flags,
                 struct place *out);

/* Go where the link points, from the directory it is in. */
static long follow(struct walk *w, const struct place *dir, const struct place *link,
                   struct place *out)
{
    char text[LINK_ROOM];
    const char *target = text;
    size_t bytes;

    if (++w->links > LINKS_MAX)
        return -LINUX_ELOOP;
    if (link->node->kind == NODE_EXE)
        return fs_process_exe(link->pid, out) ? 0 : -LINUX_ENOENT;
    if (link->node->kind == NODE_CWD)
        return fs_process_cwd(link->pid, out) ? 0 : -LINUX_ENOENT;
    if (link->node->kind == NODE_FD)
        return fs_process_fd(link, out);
    if (link->node->kind == NODE_LINK) {
        target = fs_data(link->node);
        bytes = link->node->bytes;
    } else {
        bytes = (size_t)fs_link_target(link, w->self_pid, text, sizeof(text));
    }
    return walk(w, *dir, target, bytes, FS_FOLLOW, out);
}

/* The end of the slashes that begin at `path`. */
static const char *behind_slashes(const char *path, const char *end)
{
    while (path < end && *path == '/')
        path++;
    return path;
}

static long walk(struct walk *w, struct place at, const char *path, size_t bytes, unsigned flags,
                 struct place *out)
{
    const char *end = path + bytes;

    if (bytes == 0)
        return -LINUX_ENOENT;
    if (*path == '/')
        at = fs_root();
    for (path = behind_slashes(path, end); path < end;) {
        const char *name = path;
        while (path < end && *path != '/')
            path++;
        size_t name_bytes = (size_t)(path - name);
        bool slash = path < end;
        path = behind_slashes(path, end);
        if (!fs_is_dir(&at))
            return -LINUX_ENOTDIR;
        if (name_bytes > LINUX_NAME_MAX)
            return -LINUX_ENAMETOOLONG;
        struct place dir = at;
        if (!step(&at, name, name_bytes, !slash && (flags & FS_NAME))) {
            if (w->missing && path == end)
                *w->missing = (struct fs_missing){dir.node, name, name_bytes, slash};
            return -LINUX_ENOENT;
        }
        if (fs_is_link(&at) && (slash || (flags & FS_FOLLOW))) {
            struct place link = at;
            long error = follow(w, &dir, &link, &at);
            if (error)
                return error;
        }
        if (slash && !fs_is_dir(&at))
            return -LINUX_ENOTDIR;
    }
    *out = at;
    return 0;
}

long fs_walk(const struct place *from, const char *path, size_t bytes, unsigned flags, int self_pid,
             struct place *out)
{
    struct walk w = {.self_pid = self_pid};

    return walk(&w, *from, path, bytes, flags, out);
}

long fs_walk_new(const struct place *from, const char *path, size_t bytes, unsigned flags,
                 int self_pid, struct fs_missing *missing)
{
    struct walk w = {.self_pid = self_pid, .missing = missing};
    struct place place;

    missing->dir = NULL;
    long error = walk(&w, *from, path, bytes, flags, &place);
    if (error == 0)
        return -LINUX_EEXIST;
    return error == -LINUX_ENOENT && missing->dir ? 0 : error;
}

long fs_link_target(const struct place *link, int self_pid, char *to, size_t room)
{
    char text[LINUX_PATH_MAX];
    struct place target;
    size_t bytes;
    const char *from = text;

    switch (link->node->kind) {
    case NODE_LINK:
        from = fs_data(link->node);
        bytes = link->node->bytes;
        break;
    case NODE_SELF:
        bytes = (size_t)snprintf(text, sizeof(text), "%d", self_pid);
        break;
    case NODE_THREAD_SELF:
        bytes = (size_t)snprintf(text, sizeof(text), "%d/task/%d", self_pid, fs_self_tid());
        break;
    case NODE_ROOT:
        strcpy(text, "/");
        bytes = 1;
        break;
    case NODE_FD: {
        long length = fs_process_fd_text(link, text, sizeof(text));
        if (length < 0)
            return length;
        bytes = (size_t)length;
        break;
    }
    case NODE_EXE:
    case NODE_CWD:
        if (!(link->node->kind == NODE_EXE ? fs_process_exe(link->pid, &target)
                                           : fs_process_cwd(link->pid, &target)))
            return -LINUX_ENOENT;
        bytes = (size_t)fs_path(&target, text, sizeof(text)) - 1;
        break;
    default:
        return -LINUX_EINVAL;
    }
    if (bytes > room)
        bytes = room;
    memcpy(to, from, bytes);
    return (long)bytes;
}

long fs_path(const struct place *place, char *to, size_t room)
{
    size_t start = room;
    struct place at = *place;

    if (room < 2)
        return -LINUX_ERANGE;
    to[--start] = 0;
    while (at.node != root) {
        char number[12];
        const char *name = at.node->name;
        if (!*name) {
            snprintf(number, sizeof(number), "%d", at.node == pid_node ? at.pid : at.number);
            name = number;
        }
        size_t bytes = strlen(name);
        if (start < bytes + 1)
            return -LINUX_ERANGE;
        start -= bytes;
        memcpy(to + start, name, bytes);
        to[--start] = '/';
        at.node = at.node->parent;
    }
    if (to[start] == 0)
        to[--start] = '/';
    memmove(to, to + start, room - start);
    return (long)(room - start);
}

/* ---- looking ---- */

static uint64_t ino_of(const struct place *place)
{
    if (!place->pid)
        return place->node->ino + (uint64_t)place->number * NUMBERS_INO;
    return PIDS_INO + (uint64_t)place->pid * INODES_PER_PID + (place->node->ino - pid_node->ino) +
           (uint64_t)place->number * NUMBERS_INO;
}

static uint8_t type_of(const struct node *node)
{
    return (uint8_t)((node->mode & LINUX_S_IFMT) >> 12);
}

void fs_stat(const struct place *place, struct linux_stat *stat)
{
    const struct node *n = place->node;

    *stat = (struct linux_stat){
        .dev = place->pid || n->kind == NODE_TEXT || n->kind == NODE_PROC ? 2 : 1,
        .ino = ino_of(place),
        .mode = n->mode,
        .nlink = n->links + (fs_is_dir(place) && n->links),
        .uid = n->uid,
        .gid = n->gid,
        .atime = n->accessed,
        .mtime = n->modified,
        .ctime = n->changed,
        .size = (int64_t)n->bytes,
        .blksize = 4096,
        .blocks = (int64_t)((n->bytes + 511) / 512),
    };
    if (fs_is_device(place))
        stat->rdev = n->detail + (uint32_t)place->number;
}

/* Those of a directory of numbers, behind its names. */
static bool number_entry(const struct place *dir, uint64_t *index, struct fs_entry *entry)
{
    int number = fs_number_from(dir, (int)(*index - LIST_PIDS));

    if (number < 0)
        return false;
    struct place place = member_at(dir, number);
    snprintf(entry->name, sizeof(entry->name), "%d", number);
    entry->ino = ino_of(&place);
    entry->type = type_of(place.node);
    *index = LIST_PIDS + (uint64_t)number + 1;
    return true;
}

bool fs_entry(const struct place *dir, uint64_t *index, struct fs_entry *entry)
{
    bool numbers = member_of(dir->node) != NULL;
    struct place at = *dir;

    if (numbers && *index >= LIST_PIDS)
        return number_entry(dir, index, entry);
    if (*index < DIR_FIRST) {
        step(&at, "..", *index ? 2 : 1, false);
        snprintf(entry->name, sizeof(entry->name), "%s", *index ? ".." : ".");
        ++*index;
    } else {
        struct node *n = dir_from(dir->node, *index);
        if (!n) {
            *index = LIST_PIDS;
            return numbers && number_entry(dir, index, entry);
        }
        snprintf(entry->name, sizeof(entry->name), "%s", n->name);
        *index = n->number + 1;
        at.node = n->kind == NODE_NAME ? n->of : n;
    }
    entry->ino = ino_of(&at);
    entry->type = type_of(at.node);
    return true;
}

/* The file tree: building from an archive, walking paths, links, listings, /proc. */
#include "ktap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/linux/dir.c"
#include "user/linux/fs.c"

/* ---- a small archive ---- */

static uint8_t archive[16384];
static size_t archive_bytes;

static void pad(void)
{
    while (archive_bytes % 4)
        archive[archive_bytes++] = 0;
}

static void member(const char *name, unsigned mode, const char *data)
{
    char head[112];
    size_t bytes = strlen(data);

    snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1,
             mode, 0, 0, 1, 0, (unsigned)bytes, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
    memcpy(archive + archive_bytes, head, 110);
    archive_bytes += 110;
    memcpy(archive + archive_bytes, name, strlen(name) + 1);
    archive_bytes += strlen(name) + 1;
    pad();
    memcpy(archive + archive_bytes, data, bytes);
    archive_bytes += bytes;
    pad();
}

static void start(void)
{
    member("bin", 0040755, "");
    member("bin/sh", 0100755, "shell");
    member("etc/motd", 0100644, "hello\n");
    member("etc/link", 0120777, "motd");
    member("etc/up", 0120777, "../bin/sh");
    member("etc/abs", 0120777, "/etc/motd");
    member("etc/loop", 0120777, "loop");
    member("etc/dir", 0120777, "/bin");
    member("etc/none", 0120777, "missing");
    member("TRAILER!!!", 0, "");
    EXPECT(fs_init(archive, archive_bytes) == NULL);
}

static const struct fs_special specials[] = {
    {"/proc", NODE_PROC, LINUX_S_IFDIR | 0555, 0},
    {"/proc/self", NODE_SELF, LINUX_S_IFLNK | 0777, 0},
    {"/proc/meminfo", NODE_TEXT, LINUX_S_IFREG | 0444, 1},
    {"/proc/sys/vm/knob", NODE_TEXT, LINUX_S_IFREG | 0644, 2},
    {"/proc/#", NODE_PID, LINUX_S_IFDIR | 0555, 0},
    {"/proc/#/exe", NODE_EXE, LINUX_S_IFLNK | 0777, 0},
    {"/proc/#/cwd", NODE_CWD, LINUX_S_IFLNK | 0777, 0},
    {"/proc/#/maps", NODE_TEXT, LINUX_S_IFREG | 0444, PROC_MAPS},
    {"/proc/#/stat", NODE_TEXT, LINUX_S_IFREG | 0444, 4},
    {"/proc/#/status", NODE_TEXT, LINUX_S_IFREG | 0444, 5},
    {"/proc/#/fd", NODE_FDS, LINUX_S_IFDIR | 0500, 0},
    {"/proc/#/fd/#", NODE_FD, LINUX_S_IFLNK | 0700, 0},
    {"/proc/#/task", NODE_TASKS, LINUX_S_IFDIR | 0555, 0},
    {"/proc/#/task/#", NODE_TASK, LINUX_S_IFDIR | 0555, 0},
    {"/proc/#/task/#/comm", NODE_TEXT, LINUX_S_IFREG | 0444, 6},
    {NULL, NODE_DIR, 0, 0},
};
const struct fs_special *const fs_specials[] = {specials, NULL};

/* Processes 1 and 17, each with a thread of its number; 17 has the files 0 and 5. */
int fs_number_from(const struct place *dir, int from)
{
    if (dir->node->kind == NODE_TASKS)
        return from <= dir->pid ? dir->pid : -1;
    if (dir->node->kind == NODE_FDS)
        return dir->pid != 17 || from > 5 ? -1 : from > 0 ? 5 : 0;
    return from <= 1 ? 1 : from <= 17 ? 17 : -1;
}

static long find(const char *path, struct place *out)
{
    struct place root_place = fs_root();

    return fs_walk(&root_place, path, strlen(path), FS_FOLLOW, 17, out);
}

long fs_process_fd(const struct place *fd, struct place *at)
{
    return fd->number == 5 ? find("/bin/sh", at) : -LINUX_ENXIO;
}

long fs_process_fd_text(const struct place *fd, char *to, size_t room)
{
    return snprintf(to, room, "file %d of %d", fd->number, fd->pid);
}

bool fs_process_exe(int pid, struct place *exe)
{
    return pid == 17 && find("/bin/sh", exe) == 0;
}

int fs_self_tid(void)
{
    return 2;
}

bool fs_process_cwd(int pid, struct place *cwd)
{
    *cwd = fs_root();
    return pid == 17;
}

static void expect_found(const char *path, const char *canonical)
{
    struct place place;
    char name[256];

    ktap_note("%s", path);
    EXPECT_EQ(find(path, &place), 0);
    EXPECT_EQ(fs_path(&place, name, sizeof(name)), strlen(canonical) + 1);
    EXPECT(strcmp(name, canonical) == 0);
}

static void expect_error(const char *path, long error)
{
    struct place place;

    ktap_note("%s", path);
    EXPECT_EQ(find(path, &place), error);
}

KTAP_CASE(paths_are_found)
{
    start();
    expect_found("/", "/");
    expect_found("//", "/");
    expect_found("/bin/sh", "/bin/sh");
    expect_found("bin/sh", "/bin/sh");
    expect_found("/bin//./sh", "/bin/sh");
    expect_found("/bin/../etc/motd", "/etc/motd");
    expect_found("/../..", "/");
    expect_found("/bin/", "/bin");
    expect_found("/dev/null", "/dev/null");
}

KTAP_CASE(errors_of_paths)
{
    char name[LINUX_NAME_MAX + 3];

    start();
    expect_error("", -LINUX_ENOENT);
    expect_error("/nothing", -LINUX_ENOENT);
    expect_error("/nothing/there", -LINUX_ENOENT);
    expect_error("/bin/sh/x", -LINUX_ENOTDIR);
    expect_error("/bin/sh/", -LINUX_ENOTDIR);
    expect_error("/bin/sh/..", -LINUX_ENOTDIR);
    memset(name, 'x', sizeof(name) - 1);
    name[0] = '/';
    name[sizeof(name) - 1] = 0;
    expect_error(name, -LINUX_ENAMETOOLONG);
}

KTAP_CASE(links_are_followed)
{
    start();
    expect_found("/etc/link", "/etc/motd");
    expect_found("/etc/up", "/bin/sh");
    expect_found("/etc/abs", "/etc/motd");
    expect_found("/etc/dir/sh", "/bin/sh");
    expect_error("/etc/loop", -LINUX_ELOOP);
    expect_error("/etc/none", -LINUX_ENOENT);
    expect_error("/etc/link/x", -LINUX_ENOTDIR);
}

KTAP_CASE(the_last_link_can_be_seen_itself)
{
    struct place root_place, place;
    char text[16];

    start();
    root_place = fs_root();
    EXPECT_EQ(fs_walk(&root_place, "/etc/loop", 9, 0, 1, &place), 0);
    EXPECT(fs_is_link(&place));
    EXPECT_EQ(fs_link_target(&place, 1, text, sizeof(text)), 4);
    EXPECT(memcmp(text, "loop", 4) == 0);
    EXPECT_EQ(fs_link_target(&place, 1, text, 2), 2);
}

KTAP_CASE(data_stays_in_the_archive)
{
    struct place place;
    struct linux_stat stat;

    start();
    EXPECT_EQ(find("/etc/motd", &place), 0);
    EXPECT(memcmp(fs_data(place.node), "hello\n", 6) == 0);
    EXPECT((const uint8_t *)fs_data(place.node) > archive);
    fs_stat(&place, &stat);
    EXPECT_EQ(stat.size, 6);
    EXPECT_EQ(stat.mode, 0100644);
    EXPECT_EQ(find("/dev/zero", &place), 0);
    fs_stat(&place, &stat);
    EXPECT_EQ(stat.rdev, 0x105);
}

KTAP_CASE(processes_have_directories)
{
    struct place place;

    start();
    expect_found("/proc/17/maps", "/proc/17/maps");
    expect_found("/proc/1/../17", "/proc/17");
    expect_found("/proc/17/..", "/proc");
    expect_found("/proc/self/maps", "/proc/17/maps");
    expect_found("/proc/self/exe", "/bin/sh");
    expect_found("/proc/17/cwd/bin", "/bin");
    expect_found("/proc/sys/vm/knob", "/proc/sys/vm/knob");
    expect_found("/proc/17/task/17/comm", "/proc/17/task/17/comm");
    expect_found("/proc/17/task/17/../../fd", "/proc/17/fd");
    expect_found("/proc/17/fd/5", "/bin/sh");
    expect_error("/proc/17/fd/0", -LINUX_ENXIO);
    expect_error("/proc/17/fd/1", -LINUX_ENOENT);
    expect_error("/proc/1/fd/5", -LINUX_ENOENT);
    expect_error("/proc/17/task/1", -LINUX_ENOENT);
    expect_error("/proc/#", -LINUX_ENOENT);
    expect_error("/proc/18", -LINUX_ENOENT);
    expect_error("/proc/017", -LINUX_ENOENT);
    expect_error("/proc/99999999999", -LINUX_ENOENT);
    expect_error("/proc/1/exe", -LINUX_ENOENT);
    EXPECT_EQ(find("/proc/17/maps", &place), 0);
    EXPECT_EQ(place.pid, 17);
    EXPECT_EQ(place.node->detail, PROC_MAPS);
}

static bool listed(const char *dir, const char *name, unsigned *count)
{
    struct place place;
    struct fs_entry entry;
    uint64_t index = 0;
    bool found = false;

    EXPECT_EQ(find(dir, &place), 0);
    for (*count = 0; fs_entry(&place, &index, &entry); ++*count) {
        EXPECT(entry.ino != 0);
        found |= strcmp(entry.name, name) == 0;
        EXPECT(*count < 100);
    }
    return found;
}

KTAP_CASE(listings)
{
    unsigned count;

    start();
    EXPECT(listed("/", "proc", &count));
    EXPECT_EQ(count, 2 + 5); /* bin, etc, dev, proc, tmp */
    EXPECT(listed("/bin", "sh", &count));
    EXPECT_EQ(count, 3);
    EXPECT(listed("/bin", "..", &count));
    EXPECT(listed("/proc", "17", &count));
    EXPECT(listed("/proc", "meminfo", &count));
    EXPECT(listed("/proc/1", "status", &count));
    EXPECT(!listed("/proc/1", "17", &count));
    EXPECT(listed("/proc/17/fd", "5", &count));
    EXPECT_EQ(count, 4); /* ., .., 0, 5 */
    EXPECT(listed("/proc/17/task", "17", &count));
}

KTAP_CASE(inode_numbers_differ)
{
    const char *paths[] = {"/",
                           "/bin",
                           "/proc",
                           "/proc/1",
                           "/proc/17",
                           "/proc/1/maps",
                           "/proc/17/maps",
                           "/proc/17/stat",
                           "/proc/17/task/17"};
    uint64_t ino[8];

    start();
    for (unsigned i = 0; i < 8; i++) {
        struct place place;
        struct linux_stat stat;
        EXPECT_EQ(find(paths[i], &place), 0);
        fs_stat(&place, &stat);
        ino[i] = stat.ino;
        for (unsigned k = 0; k < i; k++)
            EXPECT(ino[k] != ino[i]);
    }
}

KTAP_CASE(a_path_needs_room)
{
    struct place place;
    char text[16];

    start();
    EXPECT_EQ(find("/etc/motd", &place), 0);
    EXPECT_EQ(fs_path(&place, text, 10), 10);
    EXPECT_EQ(fs_path(&place, text, 9), -LINUX_ERANGE);
    place = fs_root();
    EXPECT_EQ(fs_path(&place, text, 2), 2);
    EXPECT_EQ(fs_path(&place, text, 1), -LINUX_ERANGE);
}

KTAP_CASE(broken_archives_are_refused)
{
    member("a", 0100644, "file");
    member("a/b", 0100644, "inside a file");
    member("TRAILER!!!", 0, "");
    EXPECT(fs_init(archive, archive_bytes) != NULL);
    EXPECT(fs_init(archive, 50) != NULL);
    EXPECT(fs_init("", 0) != NULL);
}

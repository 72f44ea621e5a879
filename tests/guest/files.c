/* Files that come and go: links, names, times, owners, listings, and programs that lie in memory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define DIRECTORY "/tmp/ktap-files"
#define IN(name)  DIRECTORY "/" name

#define AT_FDCWD_   (-100l)
#define REMOVEDIR   0x200l
#define NOFOLLOW    0x100l
#define EMPTY       0x1000l
#define UTIME_NOW_  0x3fffffffl
#define UTIME_OMIT_ 0x3ffffffel
#define TMPFS_MAGIC 0x01021994l

static long link_(const char *from, const char *to)
{
    return SYSCALL(SYS_linkat, AT_FDCWD_, from, AT_FDCWD_, to, 0l);
}

static long symlink_(const char *target, const char *to)
{
    return SYSCALL(SYS_symlinkat, target, AT_FDCWD_, to);
}

static long unlink_(const char *path, long flags)
{
    return SYSCALL(SYS_unlinkat, AT_FDCWD_, path, flags);
}

static long rename_(const char *from, const char *to)
{
    return SYSCALL(SYS_renameat2, AT_FDCWD_, from, AT_FDCWD_, to, 0l);
}

static void clear(const char *dir)
{
    char path[512];
    DIR *stream = opendir(dir);
    struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (unlink_(path, 0) != 0) {
            clear(path);
            unlink_(path, REMOVEDIR);
        }
    }
    if (stream)
        closedir(stream);
}

static bool start(void)
{
    mkdir(DIRECTORY, 0755);
    clear(DIRECTORY);
    return access(DIRECTORY, F_OK) == 0;
}

static bool make(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0644);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    close(fd);
    return done;
}

static bool holds(const char *path, const char *text)
{
    char got[64] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, got, sizeof(got) - 1);

    close(fd);
    return bytes == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static struct stat stat_of(const char *path)
{
    struct stat s;

    memset(&s, 0, sizeof(s));
    EXPECT_EQ(SYSCALL(SYS_newfstatat, AT_FDCWD_, path, &s, NOFOLLOW), 0);
    return s;
}

KTAP_CASE(further_names_are_the_same_file)
{
    REQUIRE(start() && make(IN("one"), "text"));
    EXPECT_EQ(link_(IN("one"), IN("two")), 0);
    EXPECT_EQ(link_(IN("two"), IN("three")), 0);
    EXPECT_EQ(stat_of(IN("two")).st_nlink, 3);
    EXPECT_EQ(stat_of(IN("two")).st_ino, stat_of(IN("one")).st_ino);
    EXPECT(make(IN("three"), "changed") && holds(IN("one"), "changed"));
    EXPECT_EQ(unlink_(IN("one"), 0), 0); /* its first name */
    EXPECT_EQ(access(IN("one"), F_OK), -1);
    EXPECT(holds(IN("two"), "changed") && holds(IN("three"), "changed"));
    EXPECT_EQ(stat_of(IN("two")).st_nlink, 2);
    EXPECT_EQ(unlink_(IN("three"), 0), 0);
    EXPECT_EQ(unlink_(IN("two"), 0), 0);
    EXPECT_EQ(access(IN("two"), F_OK), -1);
}

KTAP_CASE(an_open_file_outlives_its_names)
{
    char got[8] = {0};
    struct stat s;

    REQUIRE(start() && make(IN("a"), "kept"));
    EXPECT_EQ(link_(IN("a"), IN("b")), 0);
    int fd = open(IN("b"), O_RDONLY);
    REQUIRE(fd >= 0);
    EXPECT_EQ(unlink_(IN("b"), 0), 0);
    EXPECT_EQ(unlink_(IN("a"), 0), 0);
    EXPECT_EQ(fstat(fd, &s), 0);
    EXPECT_EQ(s.st_nlink, 0);
    EXPECT_EQ(read(fd, got, sizeof(got)), 4);
    close(fd);
}

KTAP_CASE(links_may_not_be_made_where_they_must_not)
{
    REQUIRE(start() && make(IN("a"), "") && make(IN("b"), ""));
    EXPECT_ERROR(link_(IN("a"), IN("b")), EEXIST);
    EXPECT_ERROR(link_(IN("missing"), IN("c")), ENOENT);
    EXPECT_ERROR(link_(DIRECTORY, IN("c")), EPERM);
    EXPECT_ERROR(link_("/proc/version", IN("c")), EXDEV);
    EXPECT_ERROR(link_(IN("a"), IN("none/c")), ENOENT);
    EXPECT_ERROR(symlink_("x", IN("a")), EEXIST);
    EXPECT_ERROR(symlink_("", IN("c")), ENOENT);
}

KTAP_CASE(renaming_among_names)
{
    REQUIRE(start() && make(IN("a"), "a") && make(IN("b"), "b"));
    EXPECT_EQ(link_(IN("a"), IN("a2")), 0);
    EXPECT_EQ(rename_(IN("a"), IN("a2")), 0); /* the same file: nothing happens */
    EXPECT(holds(IN("a"), "a") && holds(IN("a2"), "a"));
    EXPECT_EQ(rename_(IN("a2"), IN("b")), 0); /* over another one */
    EXPECT(holds(IN("b"), "a"));
    EXPECT_EQ(access(IN("a2"), F_OK), -1);
    EXPECT_EQ(stat_of(IN("a")).st_nlink, 2);
    EXPECT_EQ(rename_(IN("a"), IN("c")), 0);
    EXPECT_EQ(unlink_(IN("c"), 0), 0);
    EXPECT(holds(IN("b"), "a"));
    EXPECT_EQ(stat_of(IN("b")).st_nlink, 1);
}

KTAP_CASE(symbolic_links)
{
    char target[64] = {0};

    REQUIRE(start() && make(IN("file"), "text"));
    EXPECT_EQ(symlink_("file", IN("link")), 0);
    EXPECT_EQ(symlink_(IN("link"), IN("second")), 0);
    EXPECT_EQ(symlink_("missing", IN("nowhere")), 0);
    EXPECT_EQ(symlink_("self", IN("self")), 0);
    EXPECT(holds(IN("second"), "text"));
    EXPECT_EQ(SYSCALL(SYS_readlinkat, AT_FDCWD_, IN("link"), target, 64l), 4);
    EXPECT(strcmp(target, "file") == 0);
    EXPECT_EQ(stat_of(IN("link")).st_size, 4);
    EXPECT(S_ISLNK(stat_of(IN("link")).st_mode));
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD_, IN("nowhere"), O_RDONLY), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD_, IN("self"), O_RDONLY), ELOOP);
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD_, IN("link"), O_RDONLY | O_NOFOLLOW), ELOOP);
    EXPECT_EQ(unlink_(IN("second"), 0), 0); /* the link, not the file */
    EXPECT(holds(IN("link"), "text"));
}

KTAP_CASE(a_file_is_made_through_a_link)
{
    REQUIRE(start());
    EXPECT_EQ(symlink_("made", IN("link")), 0);
    EXPECT(make(IN("link"), "through"));
    EXPECT(holds(IN("made"), "through"));
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD_, IN("link"), O_CREAT | O_EXCL | O_RDWR, 0644l),
                 EEXIST);
}

KTAP_CASE(times_are_kept)
{
    const struct timespec given[2] = {{1000, 5}, {2000, 7}},
                          partly[2] = {{0, UTIME_OMIT_}, {3000, 9}};
    const struct timespec bad[2] = {{0, 1000000000}, {0, 0}};

    REQUIRE(start() && make(IN("a"), "x"));
    struct stat fresh = stat_of(IN("a"));
    EXPECT(fresh.st_mtim.tv_sec > 1500000000);
    EXPECT_EQ(SYSCALL(SYS_utimensat, AT_FDCWD_, IN("a"), given, 0l), 0);
    struct stat s = stat_of(IN("a"));
    EXPECT(s.st_atim.tv_sec == 1000 && s.st_atim.tv_nsec == 5);
    EXPECT(s.st_mtim.tv_sec == 2000 && s.st_mtim.tv_nsec == 7);
    EXPECT(s.st_ctim.tv_sec >= fresh.st_ctim.tv_sec);
    EXPECT_EQ(SYSCALL(SYS_utimensat, AT_FDCWD_, IN("a"), partly, 0l), 0);
    s = stat_of(IN("a"));
    EXPECT(s.st_atim.tv_sec == 1000 && s.st_mtim.tv_sec == 3000);
    EXPECT_ERROR(SYSCALL(SYS_utimensat, AT_FDCWD_, IN("a"), bad, 0l), EINVAL);
    EXPECT(make(IN("a"), "more"));
    EXPECT(stat_of(IN("a")).st_mtim.tv_sec >= fresh.st_mtim.tv_sec);
    EXPECT(holds(IN("a"), "more"));
    EXPECT(stat_of(IN("a")).st_atim.tv_sec >= fresh.st_atim.tv_sec);
    int fd = open(IN("a"), O_RDWR);
    EXPECT_EQ(SYSCALL(SYS_utimensat, (long)fd, NULL, given, 0l), 0);
    close(fd);
    EXPECT_EQ(stat_of(IN("a")).st_mtim.tv_sec, 2000);
    const struct timespec now[2] = {{0, UTIME_NOW_}, {0, UTIME_NOW_}};
    EXPECT_EQ(SYSCALL(SYS_utimensat, AT_FDCWD_, IN("a"), now, 0l), 0);
    EXPECT(stat_of(IN("a")).st_mtim.tv_sec >= fresh.st_mtim.tv_sec);
}

KTAP_CASE(a_directory_changes_with_its_names)
{
    const struct timespec given[2] = {{1000, 0}, {1000, 0}};

    REQUIRE(start());
    EXPECT_EQ(SYSCALL(SYS_utimensat, AT_FDCWD_, DIRECTORY, given, 0l), 0);
    EXPECT(make(IN("new"), ""));
    EXPECT(stat_of(DIRECTORY).st_mtim.tv_sec > 1000);
    EXPECT_EQ(SYSCALL(SYS_utimensat, AT_FDCWD_, DIRECTORY, given, 0l), 0);
    EXPECT_EQ(unlink_(IN("new"), 0), 0);
    EXPECT(stat_of(DIRECTORY).st_mtim.tv_sec > 1000);
}

KTAP_CASE(owners_are_kept)
{
    REQUIRE(start() && make(IN("a"), ""));
    if (ktap_emulated())
        SKIP("needs to be root");
    EXPECT_EQ(SYSCALL(SYS_fchownat, AT_FDCWD_, IN("a"), 1000l, 100l, 0l), 0);
    EXPECT(stat_of(IN("a")).st_uid == 1000 && stat_of(IN("a")).st_gid == 100);
    EXPECT_EQ(SYSCALL(SYS_fchownat, AT_FDCWD_, IN("a"), -1l, 5l, 0l), 0);
    EXPECT(stat_of(IN("a")).st_uid == 1000 && stat_of(IN("a")).st_gid == 5);
    EXPECT_EQ(SYSCALL(SYS_fchmodat, AT_FDCWD_, IN("a"), 0640l), 0);
    EXPECT_EQ(stat_of(IN("a")).st_mode & 07777, 0640);
}

KTAP_CASE(statx_says_the_same)
{
    struct {
        uint32_t mask, blksize;
        uint64_t attributes;
        uint32_t nlink, uid, gid;
        uint16_t mode, spare;
        uint64_t ino, size, blocks;
        uint64_t rest[32];
    } x;

    memset(&x, 0, sizeof(x));
    REQUIRE(start() && make(IN("a"), "twelve bytes"));
    EXPECT_EQ(SYSCALL(SYS_statx, AT_FDCWD_, IN("a"), 0l, 0x7ffl, &x), 0);
    struct stat s = stat_of(IN("a"));
    EXPECT_EQ(x.mask & 0x7ff, 0x7ff);
    EXPECT_EQ(x.size, 12);
    EXPECT_EQ(x.ino, s.st_ino);
    EXPECT_EQ(x.mode, s.st_mode);
    EXPECT_EQ(x.nlink, 1);
    EXPECT_ERROR(SYSCALL(SYS_statx, AT_FDCWD_, IN("none"), 0l, 0x7ffl, &x), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_statx, AT_FDCWD_, IN("a"), 0x6000l, 0x7ffl, &x), EINVAL);
    int fds[2];
    REQUIRE(pipe(fds) == 0);
    EXPECT_EQ(SYSCALL(SYS_statx, (long)fds[0], "", EMPTY, 0x7ffl, &x), 0);
    EXPECT((x.mode & S_IFMT) == S_IFIFO);
    close(fds[0]);
    close(fds[1]);
}

/* What is listed neither depends on what came and went meanwhile, nor takes long in a big one. */
KTAP_CASE(a_listing_goes_on_where_it_was)
{
    enum { FILES = 2000 };
    char path[512];
    unsigned seen = 0;
    struct dirent *entry;

    REQUIRE(start());
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), IN("file%u"), i);
        EXPECT_EQ(SYSCALL(SYS_mknodat, AT_FDCWD_, path, 0100644l, 0l), 0);
    }
    DIR *dir = opendir(DIRECTORY);
    REQUIRE(dir != NULL);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        seen++;
        snprintf(path, sizeof(path), IN("%s"), entry->d_name);
        EXPECT_EQ(unlink_(path, 0), 0);
    }
    closedir(dir);
    EXPECT_EQ(seen, FILES);
    EXPECT_EQ(unlink_(DIRECTORY, REMOVEDIR), 0);
}

KTAP_CASE(a_working_directory_may_be_removed)
{
    char name[64];

    REQUIRE(start());
    EXPECT_EQ(mkdir(IN("d"), 0755), 0);
    REQUIRE(chdir(IN("d")) == 0);
    EXPECT_EQ(unlink_(IN("d"), REMOVEDIR), 0);
    EXPECT_EQ(access(".", F_OK), 0);
    EXPECT_ERROR(SYSCALL(SYS_openat, AT_FDCWD_, "new", O_CREAT | O_RDWR, 0644l), ENOENT);
    EXPECT_ERROR(SYSCALL(SYS_getcwd, name, 64l), ENOENT);
    EXPECT_EQ(chdir(".."), 0);
    EXPECT(getcwd(name, sizeof(name)) != NULL && strcmp(name, DIRECTORY) == 0);
    EXPECT_EQ(chdir("/"), 0);
}

KTAP_CASE(a_directory_is_renamed_over_an_empty_one)
{
    REQUIRE(start());
    EXPECT(mkdir(IN("a"), 0755) == 0 && mkdir(IN("b"), 0755) == 0 && make(IN("a/f"), "x"));
    EXPECT_ERROR(rename_(IN("b"), IN("a")), ENOTEMPTY);
    EXPECT_ERROR(rename_(IN("a/f"), IN("a")), ENOTEMPTY);
    EXPECT_ERROR(rename_(IN("a"), IN("a/c")), EINVAL);
    EXPECT_EQ(rename_(IN("a"), IN("b")), 0);
    EXPECT(holds(IN("b/f"), "x"));
}

KTAP_CASE(statfs_of_memory)
{
    uint64_t s[15] = {0};

    REQUIRE(start());
    EXPECT_EQ(SYSCALL(SYS_statfs, DIRECTORY, s), 0);
    if (!ktap_emulated())
        EXPECT_EQ(s[0], TMPFS_MAGIC);
    EXPECT_EQ(s[1], PAGE);
    EXPECT(s[3] <= s[2]);
    EXPECT_ERROR(SYSCALL(SYS_statfs, IN("none"), s), ENOENT);
}

/* ---- programs in memory files ---- */

KTAP_CHILD(end_with)
{
    return atoi(arg);
}

static bool copy_program(const char *from, const char *to)
{
    static char buffer[65536];
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    ssize_t bytes;

    while ((bytes = read(in, buffer, sizeof(buffer))) > 0) {
        if (write(out, buffer, (size_t)bytes) != bytes)
            break;
    }
    close(in);
    close(out);
    return bytes == 0;
}

static int run(const char *path, char *const argv[])
{
    int status = -1;
    pid_t pid = pg_spawn(path, argv, environ, NULL);

    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

KTAP_CASE(a_program_runs_from_a_memory_file)
{
    char *argv[] = {IN("program"), "--child", "end_with", "7", NULL};

    if (ktap_emulated())
        SKIP_EMULATED("it would run the copy by itself");
    REQUIRE(start() && copy_program(ktap_self(), IN("program")));
    EXPECT_EQ(run(IN("program"), argv), 7 << 8);
    EXPECT_EQ(link_(IN("program"), IN("again")), 0);
    EXPECT_EQ(run(IN("again"), argv), 7 << 8);
    EXPECT_EQ(SYSCALL(SYS_fchmodat, AT_FDCWD_, IN("program"), 0644l), 0);
    EXPECT_EQ(pg_spawn(IN("program"), argv, environ, NULL), -1);
    EXPECT_EQ(errno, EACCES);
}

KTAP_CASE(a_script_runs_from_a_memory_file)
{
    char line[300], *argv[] = {IN("script"), NULL};

    if (ktap_emulated())
        SKIP_EMULATED("it would run the script's interpreter by itself");
    REQUIRE(start() && copy_program(ktap_self(), IN("program")));
    snprintf(line, sizeof(line), "#!%s --child\n", IN("program"));
    REQUIRE(make(IN("script"), line));
    EXPECT_EQ(SYSCALL(SYS_fchmodat, AT_FDCWD_, IN("script"), 0755l), 0);
    EXPECT_EQ(run(IN("script"), argv) & 0x7f, 0); /* there is no such child: it ends by itself */
    REQUIRE(make(IN("script"), "no program"));
    EXPECT_EQ(pg_spawn(IN("script"), argv, environ, NULL), -1);
    EXPECT_EQ(errno, ENOEXEC);
}

/* A program whose file is removed while it runs goes on, and its pages with it. */
KTAP_CHILD(remove_own_file)
{
    char path[256] = {0};

    (void)arg;
    if (readlink("/proc/self/exe", path, sizeof(path) - 1) <= 0 || unlink_(path, 0) != 0)
        return 1;
    volatile double x = 2.0; /* code that was not touched before */
    return x * 21.0 == 42.0 ? 42 : 2;
}

KTAP_CASE(a_running_program_keeps_its_file)
{
    char *argv[] = {IN("program"), "--child", "remove_own_file", "", NULL};

    if (ktap_emulated())
        SKIP_EMULATED("its /proc/self/exe is another program");
    REQUIRE(start() && copy_program(ktap_self(), IN("program")));
    EXPECT_EQ(run(IN("program"), argv), 42 << 8);
    EXPECT_EQ(access(IN("program"), F_OK), -1);
}

KTAP_CASE(devices_without_positions_are_at_their_beginning)
{
    static const char *const path[] = {"/dev/null", "/dev/zero", "/dev/full"};

    for (int i = 0; i < 3; i++) {
        int fd = open(path[i], O_RDWR);
        REQUIRE(fd >= 0);
        EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, -5l, (long)SEEK_SET), 0);
        EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 100l, (long)SEEK_CUR), 0);
        EXPECT_EQ(SYSCALL(SYS_lseek, (long)fd, 100l, (long)SEEK_END), 0);
        EXPECT_ERROR(SYSCALL(SYS_lseek, (long)fd, 0l, 9l), EINVAL);
        close(fd);
    }
}

/*
 * System V shared memory, and files of /dev/shm and /tmp. After LTP's shmget, shmat, shmctl and
 * shm_open tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define RW (PROT_READ | PROT_WRITE)

#define CREAT  01000
#define EXCL   02000
#define RMID   0
#define SET    1
#define STAT   2
#define INFO   3
#define RDONLY 010000
#define RND    020000
#define REMAP  040000
#define DEST   01000

struct status {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t seq, pad;
    uint64_t unused[2];
    uint64_t bytes;
    int64_t atime, dtime, ctime;
    int32_t cpid, lpid;
    uint64_t nattch;
    uint64_t unused2[2];
};

static int32_t some_key(void)
{
    return 0x50670000 + (int32_t)(getpid() & 0xffff);
}

static long get(int32_t key, size_t bytes, long flags)
{
    return SYSCALL(SYS_shmget, (long)key, bytes, flags);
}

static long attach(long id, const volatile void *at, long flags)
{
    return SYSCALL(SYS_shmat, id, at, flags);
}

static long detach(const volatile void *at)
{
    return SYSCALL(SYS_shmdt, at);
}

static long control(long id, long command, void *to)
{
    return SYSCALL(SYS_shmctl, id, command, to);
}

static uint64_t attached(long id)
{
    struct status st;

    return control(id, STAT, &st) ? 999 : st.nattch;
}

/* ---- shmget ---- */

KTAP_CASE(get_checks_its_arguments)
{
    int32_t key = some_key();

    EXPECT_ERROR(get(key, PAGE, 0), ENOENT);
    EXPECT_ERROR(get(key, 0, CREAT | 0600), EINVAL);
    long id = get(key, PAGE, CREAT | EXCL | 0600);
    REQUIRE(id >= 0);
    EXPECT_ERROR(get(key, PAGE, CREAT | EXCL | 0600), EEXIST);
    EXPECT_EQ(get(key, PAGE, 0), id);
    EXPECT_EQ(get(key, 0, 0), id);
    EXPECT_ERROR(get(key, PAGE + 1, 0), EINVAL);
    EXPECT_EQ(control(id, RMID, NULL), 0);
    EXPECT_ERROR(get(key, PAGE, 0), ENOENT);
}

KTAP_CASE(private_segments_are_all_new)
{
    long a = get(0, PAGE, 0600), b = get(0, PAGE, 0600);

    EXPECT(a >= 0 && b >= 0 && a != b);
    EXPECT_EQ(control(a, RMID, NULL), 0);
    EXPECT_EQ(control(b, RMID, NULL), 0);
}

/* ---- shmat ---- */

KTAP_CASE(attachments_share_memory)
{
    long id = get(0, 3 * PAGE - 100, 0600);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, 0), *b = (uint8_t *)attach(id, NULL, 0);

    REQUIRE((long)a > 0 && (long)b > 0);
    EXPECT(a != b);
    EXPECT_EQ(attached(id), 2);
    a[0] = 1;
    a[3 * PAGE - 1] = 2;
    EXPECT_EQ(b[0], 1);
    EXPECT_EQ(b[3 * PAGE - 1], 2);
    EXPECT_EQ(b[PAGE], 0);
    EXPECT_EQ(detach(a), 0);
    EXPECT_EQ(attached(id), 1);
    EXPECT_EQ(detach(b), 0);
    b = (uint8_t *)attach(id, NULL, 0);
    REQUIRE((long)b > 0);
    EXPECT_EQ(b[0], 1);
    EXPECT_EQ(detach(b), 0);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

KTAP_CASE(attach_checks_its_arguments)
{
    long id = get(0, PAGE, 0600);
    uint8_t *room = ktap_map(2 * PAGE, RW);

    EXPECT_ERROR(attach(-1, NULL, 0), EINVAL);
    EXPECT_ERROR(attach(0x7ffffff, NULL, 0), EINVAL);
    EXPECT_ERROR(attach(id, room + 1, 0), EINVAL);
    EXPECT_ERROR(attach(id, room, 0), EINVAL); /* something is there */
    if (!ktap_emulated())                      /* which maps it somewhere */
        EXPECT_ERROR(attach(id, NULL, REMAP), EINVAL);
    EXPECT_EQ(attach(id, room, REMAP), (uintptr_t)room);
    EXPECT_EQ(detach(room), 0);
    EXPECT_EQ(attach(id, room + 5, RND), (uintptr_t)room);
    EXPECT_EQ(detach(room), 0);
    EXPECT_ERROR(detach(room), EINVAL);
    EXPECT_ERROR(detach(room + PAGE), EINVAL); /* memory, but no segment */
    EXPECT_ERROR(detach(room + 1), EINVAL);
    munmap(room, 2 * PAGE);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

KTAP_CHILD(writes_read_only)
{
    long id = get(0, PAGE, 0600);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, RDONLY);

    control(id, RMID, NULL);
    a[0] = 1;
    return 0;
}

KTAP_CASE(read_only_attachments)
{
    long id = get(0, PAGE, 0600);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, RDONLY);

    REQUIRE((long)a > 0);
    EXPECT_EQ(a[0], 0);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, a, PAGE, (long)RW), EACCES);
    EXPECT_EQ(detach(a), 0);
    EXPECT_EQ(control(id, RMID, NULL), 0);
    EXPECT_CHILD_SIGNAL("writes_read_only", "", SIGSEGV);
}

KTAP_CASE(detach_takes_all_that_is_left)
{
    long id = get(0, 4 * PAGE, 0600);
    uint8_t *a = (uint8_t *)attach(id, NULL, 0);

    REQUIRE((long)a > 0);
    memset(a, 1, 4 * PAGE);
    EXPECT_EQ(munmap(a + PAGE, PAGE), 0);
    EXPECT_EQ(mprotect(a + 3 * PAGE, PAGE, PROT_READ), 0);
    EXPECT_EQ(attached(id), 3);
    EXPECT_EQ(detach(a), 0);
    EXPECT_EQ(attached(id), 0);
    struct ktap_vma left[4];
    EXPECT_EQ(ktap_vmas(a, a + 4 * PAGE, left, 4), 0);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

/* ---- shmctl ---- */

KTAP_CASE(status_tells)
{
    int32_t key = some_key();
    long id = get(key, 5000, CREAT | 0640);
    struct status st;

    memset(&st, 0xff, sizeof(st));
    EXPECT_EQ(control(id, STAT, &st), 0);
    EXPECT_EQ(st.key, key);
    EXPECT_EQ(st.bytes, 5000);
    EXPECT_EQ(st.mode & 0777, 0640);
    EXPECT_EQ(st.cpid, getpid());
    EXPECT_EQ(st.lpid, 0);
    EXPECT_EQ(st.nattch, 0);
    EXPECT_EQ(st.atime, 0);
    EXPECT(st.ctime > 0);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, 0);
    EXPECT_EQ(control(id, STAT, &st), 0);
    EXPECT_EQ(st.nattch, 1);
    EXPECT_EQ(st.lpid, getpid());
    EXPECT(st.atime > 0);
    st.mode = 0600;
    EXPECT_EQ(control(id, SET, &st), 0);
    EXPECT_EQ(control(id, STAT, &st), 0);
    EXPECT_EQ(st.mode & 0777, 0600);
    EXPECT_EQ(detach(a), 0);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

KTAP_CASE(control_checks_its_arguments)
{
    long id = get(0, PAGE, 0600);
    struct status st;

    EXPECT_ERROR(control(-1, STAT, &st), EINVAL);
    EXPECT_ERROR(control(id, 99, NULL), EINVAL);
    EXPECT_ERROR(control(id, STAT, NULL), EFAULT);
    EXPECT_EQ(control(id, RMID, NULL), 0);
    EXPECT_ERROR(control(id, RMID, NULL), EINVAL);
    EXPECT_ERROR(attach(id, NULL, 0), EINVAL);
}

KTAP_CASE(removed_segments_stay_until_detached)
{
    int32_t key = some_key();
    long id = get(key, PAGE, CREAT | 0600);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, 0);
    struct status st;

    REQUIRE((long)a > 0);
    a[0] = 3;
    EXPECT_EQ(control(id, RMID, NULL), 0);
    EXPECT_EQ(control(id, STAT, &st), 0);
    EXPECT_EQ(st.mode & DEST, DEST);
    EXPECT_EQ(a[0], 3);
    EXPECT_ERROR(get(key, PAGE, 0), ENOENT);
    EXPECT_EQ(detach(a), 0);
    EXPECT_ERROR(control(id, STAT, &st), EINVAL);
}

KTAP_CASE(fork_inherits_attachments)
{
    long id = get(0, 2 * PAGE, 0600);
    volatile uint8_t *a = (uint8_t *)attach(id, NULL, 0);
    int status;

    REQUIRE((long)a > 0);
    a[0] = 1;
    pid_t pid = fork();
    if (pid == 0) {
        bool good = a[0] == 1 && attached(id) == 2;
        a[1] = 2;
        a[PAGE] = 3;
        _exit(good ? 0 : 1);
    }
    REQUIRE(pid > 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(a[1], 2);
    EXPECT_EQ(a[PAGE], 3);
    EXPECT_EQ(attached(id), 1);
    EXPECT_EQ(detach(a), 0);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

KTAP_CASE(proc_lists_segments)
{
    long id = get(some_key(), 12345, CREAT | 0600);
    char line[256];
    bool found = false;

    FILE *list = fopen("/proc/sysvipc/shm", "r");
    REQUIRE(list != NULL);
    while (fgets(line, sizeof(line), list)) {
        long key, number;
        if (sscanf(line, "%ld %ld", &key, &number) == 2 && number == id)
            found = key == some_key() && strstr(line, "12345") != NULL;
    }
    fclose(list);
    EXPECT(found);
    EXPECT_EQ(control(id, RMID, NULL), 0);
}

/* ---- files of memory file systems ---- */

static char *file_name(const char *dir)
{
    static char name[64];

    snprintf(name, sizeof(name), "%s/pagoda-test-%d", dir, (int)getpid());
    return name;
}

static void check_file(const char *dir)
{
    char *name = file_name(dir), text[6] = {0};
    struct stat st;
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);

    REQUIRE(fd >= 0);
    EXPECT_EQ(open(name, O_RDWR | O_CREAT | O_EXCL, 0600), -1);
    EXPECT_EQ(errno, EEXIST);
    EXPECT_EQ(write(fd, "hello", 5), 5);
    int again = open(name, O_RDONLY);
    REQUIRE(again >= 0);
    EXPECT_EQ(read(again, text, 5), 5);
    EXPECT_EQ(strcmp(text, "hello"), 0);
    EXPECT_EQ(ftruncate(fd, 3 * (long)PAGE), 0);
    volatile uint8_t *a = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
    REQUIRE(a != MAP_FAILED);
    a[1] = 'E';
    a[2 * PAGE] = 'x';
    EXPECT_EQ(SYSCALL(SYS_pread64, (long)again, text, 5l, 0l), 5);
    EXPECT_EQ(strcmp(text, "hEllo"), 0);
    EXPECT_ERROR(SYSCALL(SYS_mmap, NULL, PAGE, (long)RW, (long)MAP_SHARED, (long)again, 0l),
                 EACCES);
    volatile uint8_t *r = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, again, 0);
    REQUIRE(r != MAP_FAILED);
    EXPECT_ERROR(SYSCALL(SYS_mprotect, r, PAGE, (long)RW), EACCES);
    EXPECT_EQ(unlink(name), 0);
    EXPECT_EQ(stat(name, &st), -1);
    EXPECT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, 3 * (long)PAGE);
    EXPECT_EQ(st.st_nlink, 0);
    EXPECT_EQ(st.st_mode, S_IFREG | 0600);
    EXPECT_EQ(r[1], 'E');
    close(fd);
    close(again);
    EXPECT_EQ(a[2 * PAGE], 'x');
    munmap((void *)(uintptr_t)a, 3 * PAGE);
    munmap((void *)(uintptr_t)r, PAGE);
}

KTAP_CASE(files_in_dev_shm)
{
    check_file("/dev/shm");
}

KTAP_CASE(files_in_tmp)
{
    check_file("/tmp");
}

KTAP_CASE(opening_truncates_and_appends)
{
    char *name = file_name("/tmp");
    struct stat st;
    int fd = open(name, O_WRONLY | O_CREAT, 0600);

    REQUIRE(fd >= 0);
    EXPECT_EQ(write(fd, "abcdef", 6), 6);
    close(fd);
    fd = open(name, O_WRONLY | O_APPEND);
    EXPECT_EQ(write(fd, "g", 1), 1);
    EXPECT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, 7);
    close(fd);
    fd = open(name, O_RDWR | O_TRUNC);
    EXPECT_EQ(fstat(fd, &st), 0);
    EXPECT_EQ(st.st_size, 0);
    close(fd);
    EXPECT_EQ(unlink(name), 0);
}

KTAP_CASE(directories_and_names_change)
{
    char dir[80], file[96], other[96];
    struct stat st;

    snprintf(dir, sizeof(dir), "%s.d", file_name("/tmp"));
    snprintf(file, sizeof(file), "%s/a", dir);
    snprintf(other, sizeof(other), "%s/b", dir);
    EXPECT_EQ(mkdir(dir, 0700), 0);
    EXPECT_EQ(mkdir(dir, 0700), -1);
    EXPECT_EQ(errno, EEXIST);
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    REQUIRE(fd >= 0);
    EXPECT_EQ(write(fd, "1", 1), 1);
    close(fd);
    EXPECT_ERROR(SYSCALL(SYS_unlinkat, (long)AT_FDCWD, dir, 0x200l), ENOTEMPTY);
    EXPECT_ERROR(SYSCALL(SYS_unlinkat, (long)AT_FDCWD, dir, 0l), EISDIR);
    EXPECT_EQ(SYSCALL(SYS_renameat2, (long)AT_FDCWD, file, (long)AT_FDCWD, other, 0l), 0);
    EXPECT_EQ(stat(file, &st), -1);
    EXPECT_EQ(stat(other, &st), 0);
    EXPECT_EQ(st.st_size, 1);
    EXPECT_ERROR(SYSCALL(SYS_unlinkat, (long)AT_FDCWD, file, 0l), ENOENT);
    EXPECT_EQ(SYSCALL(SYS_unlinkat, (long)AT_FDCWD, other, 0l), 0);
    EXPECT_ERROR(SYSCALL(SYS_renameat2, (long)AT_FDCWD, dir, (long)AT_FDCWD, other, 0l), EINVAL);
    EXPECT_EQ(SYSCALL(SYS_unlinkat, (long)AT_FDCWD, dir, 0x200l), 0);
    EXPECT_EQ(stat(dir, &st), -1);
}

/*
 * execve and execveat: how the program is named, which files are none, how much may be given to it,
 * and what loads a dynamic one. After LTP's execve and execveat tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "pg.h"

#define NR_EXECVE        221
#define NR_EXECVEAT      281
#define EMPTY_PATH       0x1000
#define NOFOLLOW         0x100
#define E_TXTBSY         26
#define E_LOOP           40 /* as Linux has it */
#define E_LIBBAD         80
#define NO_BARE_EXEC     SKIP_EMULATED("programs of this kind cannot be started by a bare execve")
#define STRING_MAX       131072
#define LINUX_ERROR(nr_) (-(nr_))

/* The status of a child that makes the call; 100 + errno if it comes back. */
static int status_of(long fd, const char *path, char *const *argv, long flags)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        long error = pg_syscall(NR_EXECVEAT, fd, (uintptr_t)path, (uintptr_t)argv,
                                (uintptr_t)environ, flags);
        _exit(100 - (int)error);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CAME_BACK(errno_) (100 + (errno_))

KTAP_CHILD(says_42)
{
    return 42;
}

static char *says_42[] = {"name", "--child", "says_42", NULL};

/* Files of the cases, in a directory that goes with each. */
#define DIR "/tmp/exec_test"

static void dir_begin(void)
{
    mkdir(DIR, 0755);
}

static void dir_end(void)
{
    static const char *const names[] = {"program", "link",   "script", "script2",
                                        "data",    "loader", "dynamic"};
    char path[64];

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), DIR "/%s", names[i]);
        unlink(path);
    }
    rmdir(DIR);
}

static void mode_set(const char *path, mode_t mode)
{
    EXPECT_EQ(SYSCALL(53l /* fchmodat */, AT_FDCWD, path, mode), 0);
}

static void file_make(const char *path, const void *data, size_t bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

    EXPECT(fd >= 0);
    EXPECT_EQ(write(fd, data, bytes), (long)bytes);
    close(fd);
    mode_set(path, mode);
}

static void copy_of_self(const char *path)
{
    static char part[65536];
    int from = open(ktap_self(), O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    long got;

    EXPECT(from >= 0 && to >= 0);
    while ((got = read(from, part, sizeof(part))) > 0)
        EXPECT_EQ(write(to, part, (size_t)got), got);
    close(from);
    close(to);
}

/* ---- which file ---- */

KTAP_CASE(execveat_by_path_directory_or_descriptor)
{
    NO_BARE_EXEC;
    const char *slash = strrchr(ktap_self(), '/');
    char dir[128] = "";
    REQUIRE(slash && slash - ktap_self() < 128);
    memcpy(dir, ktap_self(), (size_t)(slash - ktap_self()));
    int fd = open(dir[0] ? dir : "/", O_RDONLY), self = open(ktap_self(), O_RDONLY);
    int path = open(ktap_self(), 010000000 /* O_PATH */);

    EXPECT_EQ(status_of(AT_FDCWD, ktap_self(), says_42, 0), 42);
    EXPECT_EQ(status_of(fd, slash + 1, says_42, 0), 42);
    EXPECT_EQ(status_of(self, "", says_42, EMPTY_PATH), 42);
    EXPECT_EQ(status_of(path, "", says_42, EMPTY_PATH), 42);
    EXPECT_EQ(status_of(-1, ktap_self(), says_42, 0), 42); /* absolute: it does not matter */
    close(fd);
    close(self);
    close(path);
}

KTAP_CASE(execveat_refuses)
{
    SKIP_EMULATED("does not know the call");
    int self = open(ktap_self(), O_RDONLY), dir = open("/", O_RDONLY), ends[2];
    dir_begin();
    EXPECT_EQ(SYSCALL(SYS_symlinkat, ktap_self(), AT_FDCWD, DIR "/link"), 0);
    REQUIRE(pipe(ends) == 0);

    EXPECT_EQ(status_of(self, "", says_42, EMPTY_PATH | 0x400), CAME_BACK(EINVAL));
    EXPECT_EQ(status_of(-1, "x", says_42, 0), CAME_BACK(EBADF));
    EXPECT_EQ(status_of(-1, "", says_42, EMPTY_PATH), CAME_BACK(EBADF));
    EXPECT_EQ(status_of(self, "x", says_42, 0), CAME_BACK(ENOTDIR));
    EXPECT_EQ(status_of(self, "", says_42, 0), CAME_BACK(ENOENT));
    EXPECT_EQ(status_of(dir, "no_such", says_42, 0), CAME_BACK(ENOENT));
    EXPECT_EQ(status_of(dir, "", says_42, EMPTY_PATH), CAME_BACK(EACCES));
    EXPECT_EQ(status_of(ends[0], "", says_42, EMPTY_PATH), CAME_BACK(EACCES));
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/link", says_42, NOFOLLOW), CAME_BACK(E_LOOP));
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/link", says_42, 0), 42);
    EXPECT_EQ(status_of(AT_FDCWD, (const char *)16, says_42, 0), CAME_BACK(EFAULT));
    EXPECT_EQ(status_of(AT_FDCWD, ktap_self(), (char **)16, 0), CAME_BACK(EFAULT));
    close(ends[0]);
    close(ends[1]);
    close(self);
    close(dir);
    dir_end();
}

KTAP_CASE(files_that_are_no_programs)
{
    static const char text[] = "hello, this is a text and neither a program nor a script........";

    NO_BARE_EXEC;
    dir_begin();
    file_make(DIR "/data", text, sizeof(text), 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/data", says_42, 0), CAME_BACK(ENOEXEC));
    file_make(DIR "/data", "", 0, 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/data", says_42, 0), CAME_BACK(ENOEXEC));
    file_make(DIR "/data", "\177ELF", 4, 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/data", says_42, 0), CAME_BACK(ENOEXEC));
    file_make(DIR "/data", text, sizeof(text), 0644);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/data", says_42, 0), CAME_BACK(EACCES));
    dir_end();
}

KTAP_CASE(script_by_descriptor_is_named_through_dev_fd)
{
    char text[256];
    char *argv[] = {"x", NULL};

    NO_BARE_EXEC;
    dir_begin();
    int bytes = snprintf(text, sizeof(text), "#!%s no_case_of_this_name\n", ktap_self());
    file_make(DIR "/script", text, (size_t)bytes, 0755);
    int quiet = dup(1), null = open("/dev/null", O_WRONLY);
    dup2(null, 1); /* the program says that it knows no such case */
    int fd = open(DIR "/script", O_RDONLY), closed = open(DIR "/script", O_RDONLY | O_CLOEXEC);
    int by_name = status_of(AT_FDCWD, DIR "/script", argv, 0);
    int by_fd = status_of(fd, "", argv, EMPTY_PATH);
    int by_closed = status_of(closed, "", argv, EMPTY_PATH);
    dup2(quiet, 1);
    EXPECT(by_name >= 0 && by_name < 100);
    EXPECT_EQ(by_fd, by_name);
    EXPECT_EQ(by_closed, CAME_BACK(ENOENT)); /* the interpreter could not open it */
    close(quiet);
    close(null);
    close(fd);
    close(closed);
    dir_end();
}

KTAP_CASE(scripts_of_scripts_have_an_end)
{
    static const char own[] = "#!" DIR "/script2\n", to_own[] = "#!" DIR "/script\n";
    static const char missing[] = "#!/no/such/interpreter\n", empty[] = "#! \n";
    char *argv[] = {"x", NULL};

    NO_BARE_EXEC;
    dir_begin();
    file_make(DIR "/script", own, sizeof(own) - 1, 0755);
    file_make(DIR "/script2", to_own, sizeof(to_own) - 1, 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/script", argv, 0), CAME_BACK(E_LOOP));
    file_make(DIR "/script", missing, sizeof(missing) - 1, 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/script", argv, 0), CAME_BACK(ENOENT));
    file_make(DIR "/script", empty, sizeof(empty) - 1, 0755);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/script", argv, 0), CAME_BACK(ENOEXEC));
    dir_end();
}

/* ---- text busy ---- */

KTAP_CHILD(waits_for_input)
{
    char byte;

    return read(0, &byte, 1) == 0 ? 3 : 4;
}

KTAP_CASE(program_open_for_writing_does_not_run)
{
    NO_BARE_EXEC;
    dir_begin();
    copy_of_self(DIR "/program");
    int fd = open(DIR "/program", O_WRONLY);
    REQUIRE(fd >= 0);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/program", says_42, 0), CAME_BACK(E_TXTBSY));
    close(fd);
    EXPECT_EQ(status_of(AT_FDCWD, DIR "/program", says_42, 0), 42);
    dir_end();
}

KTAP_CASE(running_program_is_not_written_to)
{
    char *argv[] = {"x", "--child", "waits_for_input", NULL};
    int ends[2], status;

    NO_BARE_EXEC;
    dir_begin();
    copy_of_self(DIR "/program");
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const int fds[3] = {ends[0], 1, 2};
    pid_t pid = pg_spawn(DIR "/program", argv, environ, fds);
    REQUIRE(pid > 0);
    long error = SYSCALL(SYS_openat, AT_FDCWD, DIR "/program", O_WRONLY, 0);
    EXPECT_EQ(error, LINUX_ERROR(E_TXTBSY));
    error = SYSCALL(45l /* truncate */, DIR "/program", 0l);
    EXPECT_EQ(error, LINUX_ERROR(E_TXTBSY));
    int fd = open(DIR "/program", O_RDONLY);
    EXPECT(fd >= 0);
    close(fd);
    close(ends[0]);
    close(ends[1]);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 3 << 8);
    fd = open(DIR "/program", O_WRONLY);
    EXPECT(fd >= 0);
    close(fd);
    dir_end();
}

/* ---- how much ---- */

KTAP_CHILD(counts_arguments)
{
    return ktap_argc() & 0xff;
}

static int stack_limit(const struct rlimit *limit)
{
    return (int)pg_syscall(261 /* prlimit64 */, 0, RLIMIT_STACK, (uintptr_t)limit, 0);
}

static char *many[2048];
static char big[STRING_MAX + 1];

/* Status of a program that gets `count` strings of `bytes` bytes with their NULs. */
static int status_with(int count, size_t bytes)
{
    memset(big, 'x', sizeof(big));
    big[bytes - 1] = 0;
    many[0] = "x";
    many[1] = "--child";
    many[2] = "counts_arguments";
    for (int i = 0; i < count; i++)
        many[3 + i] = big;
    many[3 + count] = NULL;
    return status_of(AT_FDCWD, ktap_self(), many, 0);
}

KTAP_CASE(a_string_has_128_kib)
{
    NO_BARE_EXEC;
    EXPECT_EQ(status_with(1, STRING_MAX), 4);
    EXPECT_EQ(status_with(1, STRING_MAX + 1), CAME_BACK(E2BIG));
}

KTAP_CASE(strings_have_a_quarter_of_the_stack)
{
    struct rlimit before, less;

    NO_BARE_EXEC;
    REQUIRE(getrlimit(RLIMIT_STACK, &before) == 0);
    less = before;
    less.rlim_cur = 8UL << 20;
    REQUIRE(stack_limit(&less) == 0);
    EXPECT_EQ(status_with(15, STRING_MAX), 18);
    EXPECT_EQ(status_with(16, STRING_MAX), CAME_BACK(E2BIG)); /* the names need room too */
    less.rlim_cur = 2UL << 20;
    REQUIRE(stack_limit(&less) == 0);
    EXPECT_EQ(status_with(3, STRING_MAX), 6);
    EXPECT_EQ(status_with(4, STRING_MAX), CAME_BACK(E2BIG));
    less.rlim_cur = 64UL << 10; /* 128 KiB are always there */
    REQUIRE(stack_limit(&less) == 0);
    EXPECT_EQ(status_with(2, STRING_MAX / 2), CAME_BACK(E2BIG));
    stack_limit(&before);
}

/* Pointers count: 1,500 strings of one byte take nine bytes each. */
KTAP_CASE(pointers_take_room_too)
{
    struct rlimit before, less;

    NO_BARE_EXEC;
    REQUIRE(getrlimit(RLIMIT_STACK, &before) == 0);
    less = before;
    less.rlim_cur = 512UL << 10; /* 128 KiB for strings */
    REQUIRE(stack_limit(&less) == 0);
    EXPECT_EQ(status_with(1000, 64), 1003 & 0xff); /* 72,000 */
    EXPECT_EQ(status_with(2000, 64), CAME_BACK(E2BIG));
    EXPECT_EQ(status_with(2000, 16), 2003 & 0xff); /* 48,000 */
    stack_limit(&before);
}

/* ---- dynamic programs ---- */

/*
 * A loader: exits with 1 if AT_BASE is not where it is, else goes to AT_ENTRY with a0 = 1 if the
 * program is at least 1 MiB away. Its file is headers of HEAD bytes and this.
 */
__asm__(".pushsection .rodata\n"
        ".balign 4\n"
        "exec_loader_code:\n"
        "    auipc s2, 0\n"
        "    addi s2, s2, -512\n"
        "    ld t0, 0(sp)\n"
        "    addi t1, sp, 16\n"
        "    slli t0, t0, 3\n"
        "    add t1, t1, t0\n"
        "1:  ld t2, 0(t1)\n"
        "    addi t1, t1, 8\n"
        "    bnez t2, 1b\n"
        "2:  ld t2, 0(t1)\n"
        "    ld t3, 8(t1)\n"
        "    addi t1, t1, 16\n"
        "    beqz t2, 4f\n"
        "    li t4, 7\n" /* AT_BASE */
        "    bne t2, t4, 3f\n"
        "    mv s0, t3\n"
        "3:  li t4, 9\n" /* AT_ENTRY */
        "    bne t2, t4, 2b\n"
        "    mv s1, t3\n"
        "    j 2b\n"
        "4:  li a0, 1\n"
        "    bne s0, s2, 6f\n"
        "    sub t0, s1, s0\n"
        "    bgez t0, 5f\n"
        "    neg t0, t0\n"
        "5:  srli t0, t0, 20\n"
        "    snez a0, t0\n"
        "    jr s1\n"
        "6:  li a7, 94\n"
        "    ecall\n"
        "exec_loader_end:\n"
        "exec_program_code:\n" /* exits with 40 + a0 */
        "    addi a0, a0, 40\n"
        "    li a7, 94\n"
        "    ecall\n"
        "exec_program_end:\n"
        ".popsection\n");
extern const char exec_loader_code[], exec_loader_end[], exec_program_code[], exec_program_end[];

#define HEAD 512

struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};

struct image {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, headers, sections;
    uint32_t flags;
    uint16_t bytes, header_bytes, header_count, section_bytes, section_count, names;
    struct program_header header[2];
    char interpreter[64];
};
_Static_assert(sizeof(struct image) <= HEAD, "what comes before the code");

/* A position-independent image that wants `interpreter`, of which `name_bytes` count; or none. */
static void image_make(const char *path, const char *interpreter, size_t name_bytes,
                       const char *code, size_t code_bytes, uint16_t machine)
{
    static char file[2048];
    struct image image = {
        .ident = {0x7f, 'E', 'L', 'F', 2, 1, 1},
        .type = 3,
        .machine = machine,
        .version = 1,
        .entry = HEAD,
        .headers = offsetof(struct image, header),
        .bytes = 64,
        .header_bytes = sizeof(struct program_header),
        .header_count = interpreter ? 2 : 1,
    };
    const uint64_t bytes = HEAD + code_bytes;

    image.header[interpreter ? 1 : 0] = (struct program_header){
        .type = 1, .flags = 5, .file_bytes = bytes, .memory_bytes = bytes, .align = PAGE};
    if (interpreter) {
        image.header[0] = (struct program_header){.type = 3,
                                                  .flags = 4,
                                                  .offset = offsetof(struct image, interpreter),
                                                  .file_bytes = name_bytes,
                                                  .memory_bytes = name_bytes,
                                                  .align = 1};
        memcpy(image.interpreter, interpreter, name_bytes);
    }
    memset(file, 0, sizeof(file));
    memcpy(file, &image, sizeof(image));
    memcpy(file + HEAD, code, code_bytes);
    file_make(path, file, bytes, 0755);
}

#define RISCV 243

static void loader_make(uint16_t machine)
{
    image_make(DIR "/loader", NULL, 0, exec_loader_code,
               (size_t)(exec_loader_end - exec_loader_code), machine);
}

static void dynamic_make(const char *interpreter, size_t name_bytes)
{
    image_make(DIR "/dynamic", interpreter, name_bytes, exec_program_code,
               (size_t)(exec_program_end - exec_program_code), RISCV);
}

static int dynamic_status(void)
{
    char *argv[] = {"x", NULL};

    return status_of(AT_FDCWD, DIR "/dynamic", argv, 0);
}

KTAP_CASE(loader_runs_first_and_stands_apart)
{
    static const char name[] = DIR "/loader";

    NO_BARE_EXEC;
    dir_begin();
    loader_make(RISCV);
    dynamic_make(name, sizeof(name));
    EXPECT_EQ(dynamic_status(), 41);
    dir_end();
}

KTAP_CASE(loaders_that_are_none)
{
    static const char name[] = DIR "/loader";
    static const char text[] = "this is as long as the header of a program but it is not the same";

    NO_BARE_EXEC;
    dir_begin();
    dynamic_make(name, sizeof(name));
    EXPECT_EQ(dynamic_status(), CAME_BACK(ENOENT));
    file_make(DIR "/loader", text, sizeof(text), 0755);
    EXPECT_EQ(dynamic_status(), CAME_BACK(E_LIBBAD));
    file_make(DIR "/loader", text, 10, 0755);
    EXPECT_EQ(dynamic_status(), CAME_BACK(EIO));
    loader_make(62); /* of another machine */
    EXPECT_EQ(dynamic_status(), CAME_BACK(E_LIBBAD));
    loader_make(RISCV);
    mode_set(DIR "/loader", 0644);
    EXPECT_EQ(dynamic_status(), CAME_BACK(EACCES));
    mode_set(DIR "/loader", 0755);
    int fd = open(DIR "/loader", O_WRONLY);
    EXPECT_EQ(dynamic_status(), CAME_BACK(E_TXTBSY));
    close(fd);
    EXPECT_EQ(dynamic_status(), 41);
    dynamic_make(DIR, sizeof(DIR));
    EXPECT_EQ(dynamic_status(), CAME_BACK(EACCES));
    dynamic_make(name, sizeof(name) - 1); /* without its NUL */
    EXPECT_EQ(dynamic_status(), CAME_BACK(ENOEXEC));
    dynamic_make("", 1);
    EXPECT_EQ(dynamic_status(), CAME_BACK(ENOEXEC));
    dir_end();
}

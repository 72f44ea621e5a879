/*
 * init: the first process. What it does is on the kernel's command line (/proc/cmdline, or
 * PG_CMDLINE in the environment):
 *
 *   test=all | test=a,b      runs /test/NAME each, one KTAP stream around their outputs; power off
 *   bench=all | bench=a,b    runs /bench/NAME each; power off
 *   program=all | program=a  runs /programs/NAME each between lines that name it; power off
 *   run=WORD | run="a line"  gives the line to /bin/sh; power off
 *   (none of them)           a shell, and again a shell when it ends: /bin/sh, or shell="PATH WORD"
 *   seed=N                   goes to the tests as KTAP_SEED
 *
 * On a system that starts with nothing mounted (Linux) it mounts /proc, /sys, /dev, /dev/pts,
 * /tmp and /dev/shm, and brings the loopback network up.
 *
 * Powering off tells success or failure by the reboot call's command. PG_ROOT in the environment
 * goes before all paths, and as any process but the first one it exits instead of powering off:
 * so it can be tried on another system.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg.h"
#include "user/bin/lib/util.h"

#define PATH_SIZE  256
#define VALUE_SIZE 1024

/* Linux's, for the network interface that is there without any. */
#define SIOCSIFFLAGS 0x8914ul
#define INTERFACE_UP 1

static const char *root = "";

/*
 * The value of key= on the command line, without its double quotes; false when it is not there.
 */
static bool option(const char *cmdline, const char *key, char value[VALUE_SIZE])
{
    size_t key_length = strlen(key), used = 0;
    bool quoted = false;
    const char *at = cmdline;

    for (;; at++) {
        at += strspn(at, " \n\t");
        if (*at == '\0')
            return false;
        if (strncmp(at, key, key_length) == 0 && at[key_length] == '=')
            break;
        for (; *at != '\0' && (quoted || strchr(" \n\t", *at) == NULL); at++)
            quoted ^= *at == '"';
        if (*at == '\0')
            return false;
    }
    for (at += key_length + 1; *at != '\0' && (quoted || strchr(" \n\t", *at) == NULL); at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (used < VALUE_SIZE - 1)
            value[used++] = *at;
    }
    value[used] = '\0';
    return true;
}

static void power_off(bool good)
{
    fflush(stdout);
    if (getpid() != 1)
        exit(good ? 0 : 1);
    if (good)
        reboot(LINUX_REBOOT_CMD_POWER_OFF, NULL);
    else
        reboot(LINUX_REBOOT_CMD_RESTART2, "fail");
    util_fail_errno("reboot");
    for (;;)
        sleep(1000);
}

/* Waits for one process and meanwhile takes in the orphans that end. */
static int wait_for(pid_t wanted)
{
    for (;;) {
        int status = 0;
        pid_t pid = wait(&status);
        if (pid == wanted)
            return status;
        if (pid < 0 && errno != EINTR)
            return -1;
    }
}

/* Runs a program to its end. The wait status, or -1 with errno when it cannot be started. */
static int run(const char *path, char *const argv[])
{
    fflush(stdout);
    pid_t pid = pg_spawn(path, argv, environ, NULL);

    return pid < 0 ? -1 : wait_for(pid);
}

static void make_path(char path[PATH_SIZE], const char *dir, const char *name)
{
    snprintf(path, PATH_SIZE, "%s%s%s%s", root, dir, *dir ? "/" : "", name);
}

/* The programs that `value` asks for: all of dir, sorted, or those it names. NULL on failure. */
static char **chosen(const char *dir, char *value)
{
    char path[PATH_SIZE];
    size_t count = 0;

    if (strcmp(value, "all") == 0) {
        snprintf(path, sizeof(path), "%s%s", root, dir);
        char **names = util_list_dir(path);
        if (names == NULL)
            util_fail_errno("%s", path);
        return names;
    }
    char **names = calloc(strlen(value) + 1, sizeof(*names));
    for (char *name = strtok(value, ","); names != NULL && name != NULL; name = strtok(NULL, ","))
        names[count++] = strdup(name);
    return names;
}

static bool run_test(const char *name, unsigned number)
{
    char path[PATH_SIZE];
    char *argv[] = {path, NULL};

    make_path(path, "/test", name);
    printf("# Subtest: %s\n", name);
    int status = run(path, argv);
    if (status == 0)
        printf("ok %u - %s\n", number, name);
    else if (status == -1)
        printf("not ok %u - %s # ERROR cannot start: %s\n", number, name, strerror(errno));
    else
        printf("not ok %u - %s # ERROR %s\n", number, name, util_status_text(status));
    return status == 0;
}

static bool run_tests(char *value)
{
    unsigned count = 0;
    bool good = true;
    char **names = chosen("/test", value);

    while (names != NULL && names[count] != NULL)
        count++;
    setenv("KTAP_INDENT", "1", 1);
    printf("KTAP version 1\n1..%u\n", count);
    for (unsigned i = 0; i < count; i++)
        good &= run_test(names[i], i + 1);
    util_free_list(names);
    return good && count > 0;
}

/* Each benchmark finds the same free memory, whatever is loaded and whatever ran before. Elsewhere
 * than on Pagoda there is no such file. */
static void fresh_memory(void)
{
    int fd = open("/proc/pagoda/fresh_memory", O_WRONLY);

    if (fd < 0)
        return;
    if (write(fd, "1", 1) != 1)
        util_fail_errno("fresh memory");
    close(fd);
}

static bool run_benches(char *value)
{
    char path[PATH_SIZE];
    char *argv[] = {path, NULL};
    bool good = true;
    char **names = chosen("/bench", value);

    for (char **name = names; name != NULL && *name != NULL; name++) {
        make_path(path, "/bench", *name);
        printf("# bench %s\n", *name);
        fresh_memory();
        int status = run(path, argv);
        if (status == -1)
            good = util_fail_errno("%s", path) == 0;
        else if (status != 0)
            good = util_fail("%s: %s", path, util_status_text(status)) == 0;
    }
    good = good && names != NULL && names[0] != NULL;
    util_free_list(names);
    return good;
}

/* Its output stands between two lines, the second of which tells how it ended. */
static bool run_program(const char *dir, const char *name)
{
    char path[PATH_SIZE];
    char *argv[] = {path, NULL};

    make_path(path, dir, name);
    printf("# program %s begins\n", name);
    int status = run(path, argv);
    if (status == -1)
        util_fail_errno("%s", path);
    printf("\n# program %s ended: %s\n", name, util_status_text(status));
    return status == 0;
}

/* After them everything is recounted, where there is a command for it. */
static bool run_programs(char *value)
{
    bool good = true;
    char **names = chosen("/programs", value);

    setenv("PATH", "/usr/bin:/usr/sbin:/bin", 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    if (chdir("/tmp") != 0)
        return util_fail_errno("/tmp") == 0;
    for (char **name = names; name != NULL && *name != NULL; name++)
        good &= run_program("/programs", *name);
    if (access("/proc/pagoda", F_OK) == 0)
        good &= run_program("/bin", "mmcheck");
    good = good && names != NULL && names[0] != NULL;
    util_free_list(names);
    return good;
}

static bool run_line(char *line)
{
    char path[PATH_SIZE];
    char *argv[] = {path, "-c", line, NULL};

    make_path(path, "/bin", "sh");
    int status = run(path, argv);
    if (status == -1)
        util_fail_errno("%s", path);
    return status == 0;
}

static void survive(int sig)
{
    (void)sig;
}

/*
 * Makes the console the terminal of init's session. The shell and its commands are in the same
 * group, so Ctrl-C reaches init too; the handler, unlike SIG_IGN, is not inherited by them.
 */
static void take_terminal(void)
{
    setsid();
    ioctl(0, TIOCSCTTY, 0l);
    signal(SIGINT, survive);
    signal(SIGQUIT, survive);
}

/* `given`: path and one argument of the shell, which is /bin/sh if that is empty. */
static void run_shells(char *given)
{
    char path[PATH_SIZE];
    const char *program = strtok(given, " ");
    char *argv[] = {path, program != NULL ? strtok(NULL, " ") : NULL, NULL};
    struct utsname name;

    if (getpid() == 1)
        take_terminal();
    make_path(path, "", program != NULL ? program : "/bin/sh");
    if (uname(&name) == 0)
        printf("\n%s %s on %s. Type help for the built-in commands, ls /bin for the others,\n"
               "poweroff to end.\n\n",
               name.sysname, name.release, name.machine);
    for (;;) {
        int status = run(path, argv);
        if (status == -1) {
            util_fail_errno("%s", path);
            power_off(false);
        }
        printf("init: the shell ended (%s); here is a new one\n", util_status_text(status));
        if (getpid() != 1)
            power_off(true);
    }
}

static void open_console(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/console", O_RDWR) != fd)
            return; /* there is nowhere to complain */
    }
}

static void mount_basics(void)
{
    static const struct {
        const char *type, *at;
    } basic[] = {{"proc", "/proc"}, {"sysfs", "/sys"},      {"devtmpfs", "/dev"},
                 {"tmpfs", "/tmp"}, {"devpts", "/dev/pts"}, {"tmpfs", "/dev/shm"}};

    for (unsigned i = 0; i < sizeof(basic) / sizeof(basic[0]); i++) {
        mkdir(basic[i].at, 0755);
        pg_syscall(SYS_mount, basic[i].type, basic[i].at, basic[i].type, 0l, 0l);
    }
    pg_syscall(SYS_symlinkat, "/proc/self/fd", (long)AT_FDCWD, "/dev/fd");
}

static void loopback_up(void)
{
    struct {
        char name[16];
        short flags;
        char pad[22];
    } request = {.name = "lo", .flags = INTERFACE_UP};
    int fd = (int)pg_syscall(SYS_socket, (long)AF_INET, (long)SOCK_DGRAM, 0l);

    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}

/* What Linux leaves to the first process. Here all of it is there, and nothing happens. */
static void settle_in(void)
{
    if (getpid() != 1 || access("/proc/self", F_OK) == 0)
        return;
    mount_basics();
    loopback_up();
}

int main(int argc, char **argv)
{
    char value[VALUE_SIZE];
    char *cmdline = getenv("PG_CMDLINE");

    util_start(argv);
    if (argc > 1)
        return util_usage("(its options are on the kernel's command line)");
    settle_in();
    open_console();
    if (getenv("PG_ROOT") != NULL)
        root = getenv("PG_ROOT");
    setenv("PATH", "/bin", 0);
    setenv("HOME", "/", 0);
    setenv("TERM", "vt100", 0);
    if (cmdline == NULL)
        cmdline = util_read_file("/proc/cmdline");
    if (cmdline == NULL) {
        util_fail_errno("/proc/cmdline");
        cmdline = "";
    }
    if (option(cmdline, "seed", value))
        setenv("KTAP_SEED", value, 1);
    if (option(cmdline, "test", value))
        power_off(run_tests(value));
    if (option(cmdline, "bench", value))
        power_off(run_benches(value));
    if (option(cmdline, "program", value))
        power_off(run_programs(value));
    if (option(cmdline, "run", value))
        power_off(run_line(value));
    if (!option(cmdline, "shell", value))
        value[0] = '\0';
    else
        setenv("PATH", "/usr/bin:/usr/sbin:/bin", 1);
    run_shells(value);
    return 0;
}

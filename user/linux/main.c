/*
 * The personality's start.
 *
 * The memory server starts main() as an ordinary thread, with the capabilities and pages that mm.h
 * lists. main() builds what can be built alone, binds a worker to every hart, and sends one message
 * to its own endpoint: the worker that gets it creates the first process, and never answers. From
 * then on there are only workers.
 */
#include <stdio.h>
#include <string.h>

#include "pg.h"
#include "user/linux/console.h"
#include "user/linux/cpus.h"
#include "user/linux/exec.h"
#include "user/linux/file.h"
#include "user/linux/futex.h"
#include "user/linux/kcall.h"
#include "user/linux/load.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/nodes.h"
#include "user/linux/oom.h"
#include "user/linux/process.h"
#include "user/linux/random.h"
#include "user/linux/space.h"
#include "user/linux/time.h"

#define HARTS_MAX     64
#define WORKER_STACK  65536 /* a path of nested links takes most */
#define WORKER_TLS    512
#define DEFAULT_INIT  "/bin/init"
#define CONSOLE_PATH  "/dev/console"
#define FIRST_STRINGS 2048

static char worker_stack[HARTS_MAX][WORKER_STACK] __attribute__((aligned(16)));
static char worker_tls[HARTS_MAX][WORKER_TLS] __attribute__((aligned(64)));

extern const char worker_entry[];

const struct linux_start *machine_start_page(void)
{
    return (const struct linux_start *)LINUX_START_ADDRESS;
}

void machine_power_off(int status)
{
    console_flush();
    kcall_power_off((uint64_t)status);
    linux_panic(__FILE__, __LINE__, "the machine cannot be switched off");
}

void linux_panic(const char *file, int line, const char *what)
{
    char text[200];
    int bytes = snprintf(text, sizeof(text), "linux: %s:%d: broken: %s\n", file, line, what);

    kcall_log_write(text, bytes < (int)sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
    kcall_power_off(1);
    for (;;)
        continue;
}

/* It cannot start: say why on the kernel's log and end the machine. */
static _Noreturn void fail(const char *what, const char *why)
{
    char text[256];
    int bytes = snprintf(text, sizeof(text), "linux: %s: %s\n", what, why);

    kcall_log_write(text, bytes < (int)sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
    kcall_power_off(1);
    for (;;)
        continue;
}

long machine_argument(const char *name, const char **value)
{
    const char *at = machine_start_page()->args;
    size_t name_bytes = strlen(name);

    for (;;) {
        at += strspn(at, " ");
        size_t bytes = strcspn(at, " ");
        if (bytes == 0 || (bytes == 2 && memcmp(at, "--", 2) == 0))
            return -1;
        if (bytes > name_bytes && memcmp(at, name, name_bytes) == 0 && at[name_bytes] == '=') {
            *value = at + name_bytes + 1;
            return (long)(bytes - name_bytes - 1);
        }
        at += bytes;
    }
}

/* ---- the first process ---- */

struct first_strings {
    char bytes[FIRST_STRINGS];
    size_t end;
    unsigned count;
};

static void add_string(struct first_strings *s, const char *text, size_t bytes)
{
    if (bytes + 1 > sizeof(s->bytes) - s->end)
        fail("the first program's arguments", "too long");
    memcpy(s->bytes + s->end, text, bytes);
    s->bytes[s->end + bytes] = 0;
    s->end += bytes + 1;
    s->count++;
}

/* The words after "--" on the command line are the first program's arguments. */
static void add_arguments(struct first_strings *s)
{
    const char *at = machine_start_page()->args;
    bool after = false;

    for (;;) {
        at += strspn(at, " ");
        size_t bytes = strcspn(at, " ");
        if (bytes == 0)
            return;
        if (after)
            add_string(s, at, bytes);
        else
            after = bytes == 2 && memcmp(at, "--", 2) == 0;
        at += bytes;
    }
}

static void open_console(struct process *p)
{
    struct place root = fs_root(), place;

    if (fs_walk(&root, CONSOLE_PATH, strlen(CONSOLE_PATH), FS_FOLLOW, p->pid, &place))
        fail(CONSOLE_PATH, "not there");
    struct file *file = terminal_file(console_terminal(), &place, LINUX_O_RDWR);
    for (unsigned fd = 0; fd < 3; fd++) {
        if (fd)
            file_get(file);
        fd_replace(p->files, fd, file, false);
    }
    terminal_take(console_terminal(), p);
}

/* Text for an error number; it is only for the one line that says why there is no first process. */
static const char *error_text(long error)
{
    static char text[32];

    switch (error) {
    case -LINUX_ENOENT:
        return "no such file";
    case -LINUX_ENOEXEC:
        return "not a program for this machine";
    case -LINUX_EACCES:
        return "not executable";
    case -LINUX_ENOMEM:
        return "no memory";
    default:
        snprintf(text, sizeof(text), "error %ld", -error);
        return text;
    }
}

void machine_start(void)
{
    static struct first_strings strings;
    struct user_regs regs = {0};
    const char *given;
    char path[256];
    long error;

    long bytes = machine_argument("init", &given);
    if (bytes <= 0) {
        given = DEFAULT_INIT;
        bytes = (long)strlen(DEFAULT_INIT);
    }
    snprintf(path, sizeof(path), "%.*s", (int)bytes, given);
    struct process *p = process_create(NULL, NULL, pid_allocate(), 0);
    linux_assert(p && p->pid == 1);
    add_string(&strings, path, strlen(path));
    add_arguments(&strings);
    unsigned argc = strings.count;
    add_string(&strings, "HOME=/", 6);
    add_string(&strings, "PATH=/bin", 9);
    add_string(&strings, "TERM=vt100", 10);
    error = exec_first(p, path, strings.bytes, strings.end, argc, strings.count - argc, &regs.x[0],
                       &regs.x[2]);
    if (error)
        fail(path, error_text(error));
    open_console(p);
    struct thread *t = thread_create(p, p->pid, &regs, threads_all_harts(), NULL, &error);
    if (!t)
        fail(path, error_text(error));
    thread_start(t);
}

/* ---- start ---- */

static void bind_workers(unsigned harts)
{
    if (pg_tls_size() > WORKER_TLS)
        fail("workers", "thread-local data is larger than its room");
    for (unsigned i = 0; i < harts; i++) {
        void *tp = pg_tls_init(worker_tls[i]);
        long error = kcall_worker_bind(LINUX_SLOT_WORKER + i, LINUX_SLOT_ENDPOINT, worker_entry,
                                       worker_stack[i] + WORKER_STACK, tp);
        if (error)
            fail("workers", "one cannot be bound");
    }
    if (kcall_notification_bind(LINUX_SLOT_NOTIFICATION, LINUX_SLOT_WORKER))
        fail("workers", "the notification cannot be bound");
}

int main(void)
{
    const struct linux_start *start = machine_start_page();

    if (start->harts < 1 || start->harts > HARTS_MAX)
        fail("start", "the number of harts makes no sense");
    const char *wrong = fs_init((const void *)LINUX_INITRD_ADDRESS, start->initrd_bytes);
    if (wrong)
        fail("initrd", wrong);
    if (!nodes_init() || !cpus_init((unsigned)start->harts))
        fail("/sys", "no memory for nodes and harts");
    time_init(start->timebase_hz, start->real_ns);
    random_seed(start->rng_seed);
    threads_init((unsigned)start->harts);
    processes_init();
    futex_init();
    load_init();
    oom_init();
    bind_workers((unsigned)start->harts);
    console_init(start->uart_bytes != 0);
    long error = kcall_call(LINUX_SLOT_ENDPOINT);
    fail("start",
         error ? "the endpoint refuses the first message" : "the first message was answered");
}

/* The life of requests, threads and processes, driven from the side of the clients. */
#include "sim.h"

#include <string.h>

#include "ktap.h"
#include "user/linux/abi.h"
#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/signal.h"

#define SYS_dup3        24
#define SYS_openat      56
#define SYS_close       57
#define SYS_pipe2       59
#define SYS_read        63
#define SYS_write       64
#define SYS_ppoll       73
#define SYS_exit        93
#define SYS_exit_group  94
#define SYS_futex       98
#define SYS_nanosleep   101
#define SYS_setaffinity 122
#define SYS_yield       124
#define SYS_kill        129
#define SYS_tgkill      131
#define SYS_sigaction   134
#define SYS_sigprocmask 135
#define SYS_sigreturn   139
#define SYS_getpid      172
#define SYS_getppid     173
#define SYS_gettid      178
#define SYS_clone       220
#define SYS_execve      221
#define SYS_wait4       260

#define VFORK_FLAGS (LINUX_CLONE_VM | LINUX_CLONE_VFORK | LINUX_SIGCHLD)
#define SPAWN_FLAGS (LINUX_CLONE_VM | LINUX_SIGCHLD)
#define THREAD_FLAGS                                                                 \
    (LINUX_CLONE_VM | LINUX_CLONE_THREAD | LINUX_CLONE_SIGHAND | LINUX_CLONE_FILES | \
     LINUX_CLONE_CHILD_CLEARTID | LINUX_CLONE_PARENT_SETTID)

#define AT(offset) (SIM_BASE + (offset))
#define WORDS      0x8000 /* where the cases keep numbers in client memory */

/* Outside what the parts cover. */
void linux_panic(const char *file, int line, const char *what)
{
    ktap_fail(file, line, "panic: %s", what);
}

static void put_string(int thread, uint64_t address, const char *text)
{
    memcpy(sim_memory(thread, address), text, strlen(text) + 1);
}

static void put_word(int thread, uint64_t address, uint64_t value)
{
    memcpy(sim_memory(thread, address), &value, sizeof(value));
}

static int32_t get_int(int thread, uint64_t address)
{
    int32_t value;

    memcpy(&value, sim_memory(thread, address), sizeof(value));
    return value;
}

/* execve of /bin/prog with one argument. */
static long exec(int thread)
{
    put_string(thread, AT(0x100), "/bin/prog");
    put_word(thread, AT(0x200), AT(0x100));
    put_word(thread, AT(0x208), 0);
    return CALL(thread, SYS_execve, AT(0x100), AT(0x200), AT(0x208));
}

/* A child that has called execve; *pid is its number. */
static int spawn(int parent, int *pid)
{
    long answer = CALL(parent, SYS_clone, VFORK_FLAGS, 0);

    EXPECT_EQ(answer, SIM_BLOCKED);
    int child = sim_newest();
    EXPECT(child != parent);
    EXPECT_EQ(sim_answer(child), 0);
    EXPECT_EQ(exec(child), 0);
    EXPECT(sim_answer(parent) > 0);
    *pid = (int)sim_answer(parent);
    EXPECT_EQ(CALL(child, SYS_getpid), *pid);
    return child;
}

static int make_thread(int thread, long *tid)
{
    *tid = CALL(thread, SYS_clone, THREAD_FLAGS, AT(0x4000), AT(WORDS), 0, AT(WORDS + 8));
    EXPECT(*tid > 1);
    EXPECT_EQ(get_int(thread, AT(WORDS)), *tid);
    return sim_newest();
}

static void expect_only(unsigned threads)
{
    EXPECT_EQ(sim_threads(), threads);
    EXPECT_EQ(sim_spaces(), threads);
    EXPECT_EQ(sim_replies(), 0);
}

KTAP_CASE(first_process_answers)
{
    int init = sim_start();

    EXPECT_EQ(CALL(init, SYS_getpid), 1);
    EXPECT_EQ(CALL(init, SYS_gettid), 1);
    EXPECT_EQ(CALL(init, SYS_getppid), 0);
    EXPECT_EQ(CALL(init, 250), -LINUX_ENOSYS);
    expect_only(1);
}

KTAP_CASE(child_ends_and_is_waited_for)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    expect_only(2);
    EXPECT_EQ(CALL(init, SYS_wait4, -1, AT(WORDS)), SIM_BLOCKED);
    EXPECT_EQ(CALL(child, SYS_exit_group, 7), SIM_GONE);
    EXPECT_EQ(sim_answer(init), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), 7 << 8);
    EXPECT_EQ(CALL(init, SYS_wait4, -1, 0), -LINUX_ECHILD);
    expect_only(1);
}

KTAP_CASE(zombie_waits_for_its_parent)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS), LINUX_WNOHANG), 0);
    EXPECT_EQ(CALL(child, SYS_exit, 259), SIM_GONE);
    EXPECT_EQ(CALL(init, SYS_kill, pid, 0), 0);
    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS), LINUX_WNOHANG), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), 3 << 8);
    EXPECT_EQ(CALL(init, SYS_kill, pid, 0), -LINUX_ESRCH);
}

KTAP_CASE(vfork_child_that_exits_releases_its_parent)
{
    int init = sim_start();

    EXPECT_EQ(CALL(init, SYS_clone, VFORK_FLAGS, 0), SIM_BLOCKED);
    int child = sim_newest();
    EXPECT_EQ(sim_spaces(), 1);
    EXPECT_EQ(CALL(child, SYS_exit_group, 1), SIM_GONE);
    EXPECT(sim_answer(init) > 1);
    EXPECT_EQ(CALL(init, SYS_wait4, -1, AT(WORDS)), sim_answer(init));
    expect_only(1);
}

KTAP_CASE(failed_execve_leaves_everything)
{
    int init = sim_start();

    put_string(init, AT(0x100), "/nothing");
    EXPECT_EQ(CALL(init, SYS_execve, AT(0x100), 0, 0), -LINUX_ENOENT);
    put_string(init, AT(0x100), "/dev/null");
    EXPECT_EQ(CALL(init, SYS_execve, AT(0x100), 0, 0), -LINUX_EACCES);
    EXPECT_EQ(CALL(init, SYS_execve, 16, 0, 0), -LINUX_EFAULT);
    put_string(init, AT(0x100), "/bin/prog");
    EXPECT_EQ(CALL(init, SYS_execve, AT(0x100), 16, 0), -LINUX_EFAULT);
    for (unsigned n = 1; n <= 2; n++) {
        sim_fail_after = n;
        EXPECT_EQ(CALL(init, SYS_execve, AT(0x100), 0, 0), -LINUX_ENOMEM);
    }
    sim_fail_after = 0;
    expect_only(1);
    EXPECT_EQ(exec(init), 0);
    EXPECT_EQ(sim_regs(init)->x[0], SIM_BASE);
    expect_only(1);
}

/* A forked child goes on where its parent is, with bytes of its own. */
KTAP_CASE(fork_copies_the_space)
{
    int init = sim_start();

    put_word(init, AT(0x300), 17);
    long pid = CALL(init, SYS_clone, LINUX_SIGCHLD | LINUX_CLONE_CHILD_SETTID, 0, 0, 0, AT(WORDS));
    int child = sim_newest();
    EXPECT(pid > 1 && child != init);
    EXPECT_EQ(sim_answer(child), 0);
    EXPECT_EQ(get_int(child, AT(WORDS)), pid);
    EXPECT_EQ(get_int(child, AT(0x300)), 17);
    put_word(child, AT(0x300), 18);
    EXPECT_EQ(get_int(init, AT(0x300)), 17);
    EXPECT_EQ(CALL(child, SYS_exit_group, 3), SIM_GONE);
    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), 3 << 8);
    expect_only(1);
}

KTAP_CASE(failed_clone_leaves_nothing)
{
    int init = sim_start();

    sim_fail_after = 1;
    EXPECT_EQ(CALL(init, SYS_clone, VFORK_FLAGS, 0), -LINUX_ENOMEM);
    sim_fail_after = 1;
    EXPECT_EQ(CALL(init, SYS_clone, THREAD_FLAGS, AT(0x4000)), -LINUX_ENOMEM);
    for (unsigned n = 1; n <= 2; n++) {
        sim_fail_after = n;
        EXPECT_EQ(CALL(init, SYS_clone, LINUX_SIGCHLD, 0), -LINUX_ENOMEM);
    }
    sim_fail_after = 0;
    EXPECT_EQ(CALL(init, SYS_clone, LINUX_CLONE_THREAD, 0), -LINUX_EINVAL);
    EXPECT_EQ(CALL(init, SYS_wait4, -1, 0), -LINUX_ECHILD);
    expect_only(1);
}

KTAP_CASE(kill_ends_a_process_in_every_state)
{
    int init = sim_start(), pid, other;
    long tid;

    for (unsigned reluctance = 0; reluctance < 9; reluctance += 4) {
        sim_reluctance = reluctance;
        int child = spawn(init, &pid); /* in user mode */
        EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGKILL), 0);
        sim_advance(10000000);
        EXPECT(!sim_alive(child));
        EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), pid);
        EXPECT_EQ(get_int(init, AT(WORDS)), LINUX_SIGKILL);

        child = spawn(init, &pid); /* waiting, and with a second thread that runs */
        other = make_thread(child, &tid);
        EXPECT_EQ(CALL(child, SYS_read, 0, AT(0), 10), SIM_BLOCKED);
        EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), SIM_BLOCKED);
        EXPECT_EQ(CALL(other, SYS_kill, pid, LINUX_SIGTERM), SIM_GONE);
        sim_advance(10000000);
        EXPECT_EQ(sim_answer(init), pid);
        EXPECT_EQ(get_int(init, AT(WORDS)), LINUX_SIGTERM);
        expect_only(1);
    }
}

KTAP_CASE(orphans_go_to_the_first_process)
{
    int init = sim_start(), pid, grandchild_pid;
    int child = spawn(init, &pid);
    int grandchild = spawn(child, &grandchild_pid);

    EXPECT_EQ(CALL(child, SYS_exit_group, 0), SIM_GONE);
    EXPECT_EQ(CALL(grandchild, SYS_getppid), 1);
    EXPECT_EQ(CALL(init, SYS_wait4, pid, 0), pid);
    EXPECT_EQ(CALL(init, SYS_wait4, -1, 0), SIM_BLOCKED);
    EXPECT_EQ(CALL(grandchild, SYS_exit_group, 0), SIM_GONE);
    EXPECT_EQ(sim_answer(init), grandchild_pid);
    expect_only(1);
}

KTAP_CASE(fault_ends_the_process_and_says_why)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    sim_fault(child, 0x1234, LINUX_SIGSEGV, LINUX_SEGV_MAPERR);
    EXPECT(!sim_alive(child));
    ktap_note("%s", sim_output());
    EXPECT(strstr(sim_output(), "killed by SIGSEGV: store to 0x1234 at pc 0x10004: no mapping"));
    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), LINUX_SIGSEGV);
}

/* ---- threads ---- */

KTAP_CASE(thread_end_clears_its_word_and_wakes)
{
    int init = sim_start();
    long tid;
    int thread = make_thread(init, &tid);

    put_word(init, AT(WORDS + 8), (uint64_t)tid);
    EXPECT_EQ(CALL(thread, SYS_gettid), tid);
    EXPECT_EQ(CALL(thread, SYS_getpid), 1);
    EXPECT_EQ(CALL(init, SYS_futex, AT(WORDS + 8), LINUX_FUTEX_WAIT, tid), SIM_BLOCKED);
    EXPECT_EQ(CALL(thread, SYS_exit, 0), SIM_GONE);
    EXPECT_EQ(sim_answer(init), 0);
    EXPECT_EQ(get_int(init, AT(WORDS + 8)), 0);
    expect_only(1);
}

KTAP_CASE(execve_ends_the_other_threads)
{
    int init = sim_start(), pid;
    long tid;

    for (unsigned reluctance = 0; reluctance < 9; reluctance += 4) {
        sim_reluctance = reluctance;
        int child = spawn(init, &pid);
        int a = make_thread(child, &tid), b = make_thread(child, &tid);
        EXPECT_EQ(CALL(a, SYS_read, 0, AT(0), 1), SIM_BLOCKED);
        exec(b);
        sim_advance(10000000);
        EXPECT_EQ(sim_answer(b), 0);
        EXPECT(!sim_alive(a) && !sim_alive(child));
        EXPECT_EQ(CALL(b, SYS_gettid), pid);
        EXPECT_EQ(CALL(b, SYS_exit_group, 0), SIM_GONE);
        EXPECT_EQ(CALL(init, SYS_wait4, pid, 0), pid);
        expect_only(1);
    }
}

KTAP_CASE(affinity_moves_a_thread)
{
    int init = sim_start();

    for (unsigned hart = 0; hart < SIM_HARTS; hart++) {
        put_word(init, AT(WORDS), 1UL << hart);
        EXPECT_EQ(CALL(init, SYS_setaffinity, 0, 8, AT(WORDS)), 0);
        EXPECT_EQ(CALL(init, 168, AT(WORDS + 8), 0), 0);
        EXPECT_EQ(get_int(init, AT(WORDS + 8)), hart);
    }
    put_word(init, AT(WORDS), 1UL << SIM_HARTS);
    EXPECT_EQ(CALL(init, SYS_setaffinity, 0, 8, AT(WORDS)), -LINUX_EINVAL);
    EXPECT_EQ(CALL(init, SYS_yield), 0);
    expect_only(1);
}

/* ---- waiting ---- */

KTAP_CASE(sleep_ends_in_time)
{
    int init = sim_start();

    put_word(init, AT(WORDS), 2);
    put_word(init, AT(WORDS + 8), 500000000);
    EXPECT_EQ(CALL(init, SYS_nanosleep, AT(WORDS), 0), SIM_BLOCKED);
    sim_advance(2400000);
    EXPECT_EQ(sim_answer(init), SIM_BLOCKED);
    sim_advance(100051);
    EXPECT_EQ(sim_answer(init), 0);
    put_word(init, AT(WORDS + 8), 1000000000);
    EXPECT_EQ(CALL(init, SYS_nanosleep, AT(WORDS), 0), -LINUX_EINVAL);
}

KTAP_CASE(console_read_waits_for_a_line)
{
    int init = sim_start();

    EXPECT_EQ(CALL(init, SYS_read, 0, AT(0x300), 100), SIM_BLOCKED);
    sim_type("ab");
    EXPECT_EQ(sim_answer(init), SIM_BLOCKED);
    sim_type("c\r");
    EXPECT_EQ(sim_answer(init), 4);
    EXPECT(memcmp(sim_memory(init, AT(0x300)), "abc\n", 4) == 0);
    EXPECT(strcmp(sim_output(), "abc\r\n") == 0);
}

KTAP_CASE(pipe_between_processes)
{
    int init = sim_start(), pid;

    EXPECT_EQ(CALL(init, SYS_pipe2, AT(WORDS), 0), 0);
    EXPECT_EQ(get_int(init, AT(WORDS)), 3);
    int child = spawn(init, &pid);
    EXPECT_EQ(CALL(init, SYS_close, 4), 0);
    EXPECT_EQ(CALL(init, SYS_read, 3, AT(0x300), 10), SIM_BLOCKED);
    put_string(child, AT(0), "hello");
    EXPECT_EQ(CALL(child, SYS_write, 4, AT(0), 5), 5);
    EXPECT_EQ(sim_answer(init), 5);
    EXPECT_EQ(CALL(init, SYS_read, 3, AT(0x300), 10), SIM_BLOCKED);
    EXPECT_EQ(CALL(child, SYS_exit_group, 0), SIM_GONE);
    EXPECT_EQ(sim_answer(init), 0);
    EXPECT_EQ(CALL(init, SYS_write, 3, AT(0), 1), -LINUX_EBADF);
}

KTAP_CASE(full_pipe_holds_its_writer)
{
    int init = sim_start();
    long tid;
    int writer = make_thread(init, &tid);

    EXPECT_EQ(CALL(init, SYS_pipe2, AT(WORDS), 0), 0);
    for (unsigned i = 0; i < SIM_BYTES; i++)
        *(char *)sim_memory(init, AT(i)) = (char)(i * 7);
    EXPECT_EQ(CALL(writer, SYS_write, 4, AT(0), SIM_BYTES), SIM_BYTES);
    EXPECT_EQ(CALL(writer, SYS_write, 4, AT(0), 5000), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_read, 3, AT(0), 100), 100);
    EXPECT_EQ(sim_answer(writer), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_read, 3, AT(0), 60000), 60000);
    EXPECT_EQ(sim_answer(writer), 5000);
    EXPECT_EQ(CALL(init, SYS_read, 3, AT(0), 65536), 65536 - 60100 + 5000);
}

KTAP_CASE(write_without_a_reader_is_sigpipe)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    EXPECT_EQ(CALL(init, SYS_pipe2, AT(WORDS), 0), 0);
    EXPECT_EQ(CALL(init, SYS_close, 3), 0);
    EXPECT_EQ(CALL(init, SYS_write, 4, AT(0), 1), -LINUX_EPIPE); /* the first process survives */
    EXPECT_EQ(CALL(child, SYS_pipe2, AT(WORDS), 0), 0);
    EXPECT_EQ(CALL(child, SYS_close, 3), 0);
    EXPECT_EQ(CALL(child, SYS_write, 4, AT(0), 1), SIM_GONE);
    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), LINUX_SIGPIPE);
}

KTAP_CASE(poll_waits_for_input_or_time)
{
    int init = sim_start();
    struct linux_pollfd fds[2] = {{.fd = 0, .events = LINUX_POLLIN}, {.fd = 77}};

    memcpy(sim_memory(init, AT(WORDS)), fds, sizeof(fds));
    EXPECT_EQ(CALL(init, SYS_ppoll, AT(WORDS), 2), 1);
    EXPECT_EQ(CALL(init, SYS_ppoll, AT(WORDS), 1), SIM_BLOCKED);
    sim_type("\n");
    EXPECT_EQ(sim_answer(init), 1);
    EXPECT_EQ(CALL(init, SYS_read, 0, AT(0), 10), 1);
    put_word(init, AT(WORDS + 64), 0);
    put_word(init, AT(WORDS + 72), 1000000);
    EXPECT_EQ(CALL(init, SYS_ppoll, AT(WORDS), 1, AT(WORDS + 64)), SIM_BLOCKED);
    sim_advance(1049);
    EXPECT_EQ(sim_answer(init), SIM_BLOCKED); /* the timer slack is not over */
    sim_advance(1);
    EXPECT_EQ(sim_answer(init), 0);
}

KTAP_CASE(futex_wakes_in_order_and_counts)
{
    int init = sim_start(), t[4];
    long tid;

    for (int i = 0; i < 4; i++) {
        t[i] = make_thread(init, &tid);
        EXPECT_EQ(CALL(t[i], SYS_futex, AT(0x400), LINUX_FUTEX_WAIT, 0), SIM_BLOCKED);
    }
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x400), LINUX_FUTEX_WAIT, 1), -LINUX_EAGAIN);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x402), LINUX_FUTEX_WAIT, 0), -LINUX_EINVAL);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x404), LINUX_FUTEX_WAKE, 9), 0);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x400), LINUX_FUTEX_WAKE, 1), 1);
    EXPECT_EQ(sim_answer(t[0]), 0);
    EXPECT_EQ(sim_answer(t[1]), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x400), LINUX_FUTEX_REQUEUE, 1, 1, AT(0x500)), 2);
    EXPECT_EQ(sim_answer(t[1]), 0);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x400), LINUX_FUTEX_WAKE, 9), 1);
    EXPECT_EQ(sim_answer(t[2]), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x500), LINUX_FUTEX_WAKE, 9), 1);
    put_word(init, AT(WORDS), 0);
    put_word(init, AT(WORDS + 8), 1000000);
    EXPECT_EQ(CALL(init, SYS_futex, AT(0x400), LINUX_FUTEX_WAIT, 0, AT(WORDS)), SIM_BLOCKED);
    sim_advance(1051);
    EXPECT_EQ(sim_answer(init), -LINUX_ETIMEDOUT);
}

/* ---- signals ---- */

#define HANDLER 0x12340

static void handle(int thread, int signal, uint64_t flags)
{
    put_word(thread, AT(WORDS), HANDLER);
    put_word(thread, AT(WORDS + 8), flags);
    put_word(thread, AT(WORDS + 16), 0);
    EXPECT_EQ(CALL(thread, SYS_sigaction, signal, AT(WORDS), 0, 8), 0);
}

/* What the trampoline makes of its registers, which are s0..s8. */
static void trampoline(int thread)
{
    struct user_regs *regs = sim_regs(thread);
    struct linux_sigframe *frame = sim_memory(thread, regs->x[2]);
    uint64_t info[4] = {regs->x[8], regs->x[9], regs->x[18], regs->x[19]};

    memset(&frame->info, 0, sizeof(frame->info));
    memcpy(&frame->info, info, sizeof(info));
    frame->context.stack =
        (struct linux_sigaltstack){regs->x[22], (int32_t)regs->x[23], 0, regs->x[24]};
    frame->context.mask = regs->x[21];
    regs->x[11] = regs->x[2];
}

/* The thread is at the start of the trampoline to its handler. */
static void expect_handler(int thread, int signal)
{
    struct user_regs *regs = sim_regs(thread);

    EXPECT_EQ(regs->x[0], 0x7000);
    EXPECT_EQ(regs->x[20], HANDLER);
    EXPECT_EQ(regs->x[8], signal);
    EXPECT_EQ(regs->x[2] % 16, 0);
    trampoline(thread);
    EXPECT_EQ(get_int(thread, regs->x[11]), signal);
}

/* The end of the trampoline. */
static long handler_returns(int thread)
{
    struct user_regs *regs = sim_regs(thread);
    const struct linux_sigframe *frame = sim_memory(thread, regs->x[2]);

    return CALL(thread, SYS_sigreturn, regs->x[2], frame->context.mask, frame->context.stack.sp,
                frame->context.stack.flags, frame->context.stack.bytes, SIGRETURN_LOADED);
}

KTAP_CASE(handler_of_ones_own_signal_runs_and_returns)
{
    int init = sim_start();

    sim_regs(init)->x[2] = AT(0x7000);
    handle(init, LINUX_SIGTERM, 0);
    sim_regs(init)->x[8] = 0x888;
    uint64_t pc = sim_regs(init)->x[0];
    EXPECT_EQ(CALL(init, SYS_kill, 1, LINUX_SIGTERM), LINUX_SIGTERM);
    expect_handler(init, LINUX_SIGTERM);
    sim_regs(init)->x[8] = 0x999;
    EXPECT_EQ(handler_returns(init), 0);
    EXPECT_EQ(sim_regs(init)->x[0], pc + 4);
    EXPECT_EQ(sim_regs(init)->x[2], AT(0x7000));
    EXPECT_EQ(sim_regs(init)->x[8], 0x888);
}

KTAP_CASE(handler_interrupts_a_wait)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    sim_regs(child)->x[2] = AT(0x7000);
    handle(child, LINUX_SIGTERM, 0);
    EXPECT_EQ(CALL(child, SYS_read, 0, AT(0), 1), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGTERM), 0);
    expect_handler(child, LINUX_SIGTERM);
    EXPECT_EQ(CALL(child, SYS_sigreturn, 0, 0, 0, 0, 0, SIGRETURN_LOADED), -LINUX_EINTR);

    handle(child, LINUX_SIGTERM, LINUX_SA_RESTART);
    uint64_t pc = sim_regs(child)->x[0];
    EXPECT_EQ(CALL(child, SYS_read, 0, AT(0x20), 1), SIM_BLOCKED);
    EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGTERM), 0);
    expect_handler(child, LINUX_SIGTERM);
    EXPECT_EQ(CALL(child, SYS_sigreturn, 0, 0, 0, 0, 0, SIGRETURN_LOADED), 0);
    EXPECT_EQ(sim_regs(child)->x[0], pc); /* the call is made again */
    EXPECT_EQ(sim_regs(child)->x[11], AT(0x20));
}

KTAP_CASE(handler_reaches_a_thread_in_user_mode)
{
    int init = sim_start(), pid;

    for (unsigned reluctance = 0; reluctance < 9; reluctance += 4) {
        sim_reluctance = reluctance;
        int child = spawn(init, &pid);
        sim_regs(child)->x[2] = AT(0x7000);
        handle(child, LINUX_SIGTERM, 0);
        sim_regs(child)->x[10] = 0x4321;
        uint64_t pc = sim_regs(child)->x[0];
        EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGTERM), 0);
        sim_advance(10000000);
        expect_handler(child, LINUX_SIGTERM);
        EXPECT_EQ(handler_returns(child), 0x4321);
        EXPECT_EQ(sim_regs(child)->x[0], pc);
        EXPECT_EQ(CALL(child, SYS_exit_group, 0), SIM_GONE);
        EXPECT_EQ(CALL(init, SYS_wait4, pid, 0), pid);
    }
}

KTAP_CASE(blocked_signal_waits)
{
    int init = sim_start();

    sim_regs(init)->x[2] = AT(0x7000);
    handle(init, LINUX_SIGTERM, 0);
    put_word(init, AT(WORDS), 1UL << (LINUX_SIGTERM - 1));
    EXPECT_EQ(CALL(init, SYS_sigprocmask, LINUX_SIG_BLOCK, AT(WORDS), 0, 8), 0);
    EXPECT_EQ(CALL(init, SYS_tgkill, 1, 1, LINUX_SIGTERM), 0);
    EXPECT_EQ(CALL(init, SYS_getppid), 0);
    EXPECT_EQ(CALL(init, SYS_sigprocmask, LINUX_SIG_UNBLOCK, AT(WORDS), 0, 8), LINUX_SIGTERM);
    expect_handler(init, LINUX_SIGTERM);
}

KTAP_CASE(handler_of_a_fault_gets_its_address)
{
    int init = sim_start();

    sim_regs(init)->x[2] = AT(0x7000);
    handle(init, LINUX_SIGSEGV, LINUX_SA_SIGINFO);
    sim_fault(init, 0xabc0, LINUX_SIGSEGV, LINUX_SEGV_ACCERR);
    expect_handler(init, LINUX_SIGSEGV);
    const struct linux_siginfo *info = sim_memory(init, sim_regs(init)->x[11]);
    EXPECT_EQ(info->address, 0xabc0);
    EXPECT_EQ(info->code, LINUX_SEGV_ACCERR);
    EXPECT_EQ(sim_output()[0], 0);
}

KTAP_CASE(control_c_goes_to_the_foreground_group)
{
    int init = sim_start(), pid;
    int child = spawn(init, &pid);

    EXPECT_EQ(CALL(init, SYS_wait4, pid, AT(WORDS)), SIM_BLOCKED);
    EXPECT_EQ(CALL(child, SYS_read, 0, AT(0), 1), SIM_BLOCKED);
    sim_type("\003");
    EXPECT(!sim_alive(child));
    EXPECT_EQ(sim_answer(init), pid);
    EXPECT_EQ(get_int(init, AT(WORDS)), LINUX_SIGINT);
}

KTAP_CASE(request_in_hand_of_a_worker_is_undone_by_a_signal)
{
    int init = sim_start(), pid;

    EXPECT_EQ(CALL(init, SYS_pipe2, AT(WORDS), 0), 0);
    for (unsigned reluctance = 0; reluctance < 9; reluctance += 4) {
        sim_reluctance = reluctance;
        int child = spawn(init, &pid);
        sim_regs(child)->x[2] = AT(0x7000);
        handle(child, LINUX_SIGTERM, 0);
        uint64_t pc = sim_regs(child)->x[0];
        sim_call_begin(child, SYS_write, 4, (long)AT(0), 3, 0, 0, 0);
        EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGTERM), 0);
        sim_call_end(child);
        sim_advance(10000000);
        expect_handler(child, LINUX_SIGTERM);
        EXPECT_EQ(handler_returns(child), 4);
        EXPECT_EQ(sim_regs(child)->x[0], pc);
        EXPECT_EQ(CALL(child, SYS_write, 4, AT(0), 3), 3);
        EXPECT_EQ(CALL(init, SYS_read, 3, AT(0x300), 100), 3); /* written once */
        EXPECT_EQ(CALL(child, SYS_exit_group, 0), SIM_GONE);
        EXPECT_EQ(CALL(init, SYS_wait4, pid, 0), pid);
    }
}

KTAP_CASE(request_in_hand_of_a_worker_ends_with_its_thread)
{
    int init = sim_start(), pid;

    for (unsigned reluctance = 0; reluctance < 9; reluctance += 4) {
        sim_reluctance = reluctance;
        int child = spawn(init, &pid);
        sim_call_begin(child, SYS_read, 0, (long)AT(0), 3, 0, 0, 0);
        EXPECT_EQ(CALL(init, SYS_kill, pid, LINUX_SIGKILL), 0);
        sim_call_end(child);
        sim_advance(10000000);
        EXPECT(!sim_alive(child));
        EXPECT_EQ(CALL(init, SYS_wait4, pid, 0), pid);
        expect_only(1);
    }
}

/* ---- everything at once ---- */

static void random_step(int thread)
{
    uint64_t sp = AT(0x7000);

    sim_regs(thread)->x[2] = sp;
    switch (ktap_random_below(15)) {
    case 0:
        sim_call(thread, SYS_clone, ktap_random_below(2) ? VFORK_FLAGS : LINUX_SIGCHLD, 0, 0, 0, 0,
                 0);
        break;
    case 1:
        sim_call(thread, SYS_clone, THREAD_FLAGS, (long)AT(0x4000), (long)AT(WORDS), 0,
                 (long)AT(WORDS + 8), 0);
        break;
    case 2:
        sim_call(thread, SYS_clone, SPAWN_FLAGS, 0, 0, 0, 0, 0);
        break;
    case 3:
        exec(thread);
        break;
    case 4:
        if (CALL(thread, SYS_getpid) != 1)
            sim_call(thread, ktap_random_below(2) ? SYS_exit : SYS_exit_group, 0, 0, 0, 0, 0, 0);
        break;
    case 5:
        sim_call(thread, SYS_wait4, -1, 0, (long)ktap_random_below(2), 0, 0, 0);
        break;
    case 6:
        sim_call(thread, SYS_kill, (long)(2 + ktap_random_below(60)),
                 ktap_random_below(2) ? LINUX_SIGKILL : LINUX_SIGTERM, 0, 0, 0, 0);
        break;
    case 7:
        sim_call(thread, SYS_futex, (long)AT(0x400), (long)ktap_random_below(2), 0, 0, 0, 0);
        break;
    case 8:
        put_word(thread, AT(WORDS), 0);
        put_word(thread, AT(WORDS + 8), ktap_random_below(1000000));
        sim_call(thread, SYS_nanosleep, (long)AT(WORDS), 0, 0, 0, 0, 0);
        break;
    case 9:
        sim_call(thread, SYS_pipe2, (long)AT(WORDS), 0, 0, 0, 0, 0);
        break;
    case 10:
        sim_call(thread, ktap_random_below(2) ? SYS_read : SYS_write, (long)ktap_random_below(12),
                 (long)AT(0), (long)ktap_random_below(9000), 0, 0, 0);
        break;
    case 11:
        sim_call(thread, SYS_close, (long)(3 + ktap_random_below(9)), 0, 0, 0, 0, 0);
        break;
    case 12: {
        int signal = ktap_random_below(2) ? LINUX_SIGTERM : LINUX_SIGINT;
        put_word(thread, AT(WORDS), HANDLER);
        put_word(thread, AT(WORDS + 8), ktap_random_below(2) ? LINUX_SA_RESTART : 0);
        put_word(thread, AT(WORDS + 16), 0);
        sim_call(thread, SYS_sigaction, signal, (long)AT(WORDS), 0, 8, 0, 0);
        break;
    }
    case 13:
        put_word(thread, AT(WORDS), 1 + ktap_random_below((1 << SIM_HARTS) - 1));
        sim_call(thread, SYS_setaffinity, 0, 8, (long)AT(WORDS), 0, 0, 0);
        break;
    default:
        if (CALL(thread, SYS_getpid) != 1)
            sim_fault(thread, 0x10, LINUX_SIGSEGV, LINUX_SEGV_MAPERR);
    }
}

static bool runs(int thread, int init)
{
    return thread != init && sim_alive(thread) && sim_answer(thread) != SIM_BLOCKED;
}

/* Others come first while a worker has the thread's request in hand. */
static void random_race(int thread, int init)
{
    static const long calls[] = {SYS_getppid, SYS_read, SYS_exit, SYS_yield};
    long number = calls[ktap_random_below(4)];

    if (CALL(thread, SYS_getpid) == 1)
        return;
    sim_call_begin(thread, number, 0, (long)AT(0), 1, 0, 0, 0);
    for (uint64_t i = ktap_random_below(4); i > 0; i--) {
        int other = (int)(1 + ktap_random_below(100));
        if (other != thread && runs(other, init))
            random_step(other);
    }
    sim_call_end(thread);
}

KTAP_CASE(random_processes_leave_nothing_behind)
{
    int init = sim_start();

    for (int round = 0; round < 60; round++) {
        sim_reluctance = (unsigned)ktap_random_below(8);
        for (int step = 0; step < 400; step++) {
            int thread = (int)(1 + ktap_random_below(100));
            if (ktap_random_below(6) == 0)
                sim_advance(ktap_random_below(1000));
            else if (ktap_random_below(20) == 0)
                sim_type(ktap_random_below(2) ? "x\n" : "\003");
            else if (runs(thread, init) && ktap_random_below(8) == 0)
                random_race(thread, init);
            else if (runs(thread, init))
                random_step(thread);
            if (ktap_random_below(30) == 0 && sim_answer(init) != SIM_BLOCKED) {
                long answer = sim_call(init, SYS_clone, VFORK_FLAGS, 0, 0, 0, 0, 0);
                EXPECT(answer == SIM_BLOCKED || answer == -LINUX_EAGAIN);
                if (answer == SIM_BLOCKED)
                    exec(sim_newest());
            }
            sim_output_clear();
        }
        /* All end, one after the other. */
        sim_reluctance = 0;
        for (int pid = 2; pid < 32768 && sim_threads() > 1; pid++) {
            if (sim_answer(init) == SIM_BLOCKED)
                break;
            sim_call(init, SYS_kill, pid, LINUX_SIGKILL, 0, 0, 0, 0);
        }
        sim_advance(10000000);
        if (sim_answer(init) == SIM_BLOCKED)
            continue; /* it waits for a vfork child; the next rounds go on */
        while (CALL(init, SYS_wait4, -1, 0, LINUX_WNOHANG) > 0)
            continue;
        EXPECT_EQ(CALL(init, SYS_wait4, -1, 0, LINUX_WNOHANG), -LINUX_ECHILD);
        expect_only(1);
    }
}

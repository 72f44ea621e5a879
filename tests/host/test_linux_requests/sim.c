/* The simulated kernel and memory server (see sim.h). */
#include "sim.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "user/linux/console.h"
#include "user/linux/exec.h"
#include "user/linux/file.h"
#include "user/linux/futex.h"
#include "user/linux/oom.h"
#include "user/linux/kcall.h"
#include "user/linux/lock.h"
#include "user/linux/machine.h"
#include "user/linux/process.h"
#include "user/linux/signal.h"
#include "user/linux/space.h"
#include "user/linux/time.h"
#include "user/linux/uart.h"

#define THREADS 1024
#define MMS     1024
#define PAGE    4096UL

_Noreturn void worker_fault(uint64_t badge, uint64_t address, uint64_t cause, uint64_t pc,
                            uint64_t sequence, uint64_t signal, uint64_t code, uint64_t sp);
_Noreturn void worker_straight_refused(uint64_t badge);
_Noreturn void worker_call(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5, uint64_t badge, uint64_t number);
_Noreturn void worker_signal(uint64_t bits);

enum state { NONE, STOPPED, USER, CALL, FAULT, KEPT };

static struct sim_thread {
    enum state state;
    bool is_fault;
    unsigned slot;        /* of the Reply, when KEPT */
    uint64_t thread_slot; /* of the Thread */
    unsigned mm;
    unsigned reluctant;
    uint64_t badge, hart;
    struct user_regs regs;
    struct user_regs entered; /* as its worker was entered; stays when the thread goes */
    uint64_t entered_badge;
} threads[THREADS];

static struct sim_mm {
    bool used, loaded;
    unsigned slot;
    char *memory;
    bool present[SIM_BYTES / PAGE];
} mms[MMS];

enum cap { CAP_FREE, CAP_REPLY_OF, CAP_SPACE_OF };
static struct {
    enum cap type;
    unsigned of;
} caps[MACHINE_SLOTS];

static jmp_buf parked;
static struct sim_thread *client; /* of the worker that runs */
static uint64_t now_ticks = 1000, timer;
static char output[1 << 16];
static size_t output_bytes;
static const char *input;

unsigned sim_reluctance, sim_fail_after;

#define sim_assert(x)                                            \
    do {                                                         \
        if (!(x))                                                \
            ktap_fail(__FILE__, __LINE__, "simulation: %s", #x); \
    } while (0)

/* ---- what stands in for other parts of the personality ---- */

uint64_t time_now_ticks(void)
{
    return now_ticks;
}

const struct linux_start *machine_start_page(void)
{
    static const struct linux_start page = {.harts = SIM_HARTS, .args = "sim"};

    return &page;
}

void machine_power_off(int status)
{
    ktap_fail(__FILE__, __LINE__, "powered off with status %d", status);
}

long machine_argument(const char *name, const char **value)
{
    (void)name, (void)value;
    return -1;
}

/* sim_start() does it. */
void machine_start(void)
{
}

uint64_t signal_return_offset(void)
{
    return 64;
}

uint64_t trampoline_address(struct space *space)
{
    (void)space;
    return 0x7000;
}

void uart_init(void)
{
}

void uart_put(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && output_bytes < sizeof(output) - 1; i++)
        output[output_bytes++] = text[i];
    output[output_bytes] = 0;
}

void uart_flush(void)
{
}

void uart_service(void)
{
    while (*input)
        console_input((unsigned char)*input++);
}

/* ---- calls of the memory server ---- */

static bool fails(void)
{
    return sim_fail_after && --sim_fail_after == 0;
}

static long mm_create(uint64_t slot)
{
    if (fails())
        return -LINUX_ENOMEM;
    for (unsigned i = 1; i < MMS; i++) {
        if (mms[i].used)
            continue;
        sim_assert(slot < MACHINE_SLOTS && caps[slot].type == CAP_FREE);
        mms[i] = (struct sim_mm){.used = true, .slot = (unsigned)slot};
        mms[i].memory = calloc(1, SIM_BYTES);
        caps[slot].type = CAP_SPACE_OF;
        caps[slot].of = i;
        return i;
    }
    return -LINUX_ENOMEM;
}

static long mm_fork(uint64_t of, uint64_t slot)
{
    sim_assert(mms[of].used && mms[of].loaded);
    long mm = mm_create(slot);
    if (mm > 0) {
        memcpy(mms[mm].memory, mms[of].memory, SIM_BYTES);
        mms[mm].loaded = true;
    }
    return mm;
}

static long mm_exec(uint64_t mm, struct mm_exec *exec)
{
    sim_assert(mms[mm].used && !mms[mm].loaded);
    if (fails())
        return -LINUX_ENOMEM;
    const char *at = (const char *)exec->strings, *end = at + exec->strings_bytes;
    for (unsigned i = 0; i < exec->argc + exec->envc; i++) {
        sim_assert(at < end);
        at += strlen(at) + 1;
    }
    sim_assert(at == end);
    mms[mm].loaded = true;
    exec->entry = SIM_BASE;
    exec->sp = SIM_BASE + SIM_BYTES;
    return 0;
}

static long mm_release(uint64_t mm)
{
    sim_assert(mms[mm].used);
    for (unsigned i = 0; i < THREADS; i++)
        sim_assert(threads[i].state == NONE || threads[i].mm != mm);
    caps[mms[mm].slot].type = CAP_FREE;
    free(mms[mm].memory);
    mms[mm] = (struct sim_mm){0};
    return 0;
}

static long thread_create_(uint64_t mm, const struct mm_thread *made)
{
    sim_assert(mms[mm].used && mms[mm].loaded && made->hart < SIM_HARTS);
    if (fails())
        return -LINUX_ENOMEM;
    for (unsigned i = 1; i < THREADS; i++) {
        if (threads[i].state != NONE)
            continue;
        struct sim_thread *t = &threads[i];
        t->state = STOPPED;
        t->mm = (unsigned)mm;
        t->badge = made->badge;
        t->thread_slot = made->slot;
        t->hart = made->hart;
        t->reluctant = sim_reluctance;
        t->regs = made->regs;
        return i;
    }
    return -LINUX_ENOMEM;
}

/* Like the kernel: what it waited for happens again. */
static void undo(struct sim_thread *t)
{
    if (t->state == KEPT) {
        sim_assert(caps[t->slot].type == CAP_REPLY_OF);
        caps[t->slot].type = CAP_FREE;
    }
    if (t->state == CALL || (t->state == KEPT && !t->is_fault))
        t->regs.x[0] -= 4;
    if (t == client)
        client = NULL;
    t->state = STOPPED;
}

static bool reluctant(struct sim_thread *t)
{
    if ((t->state != USER && t->state != CALL) || t == client || t->reluctant == 0)
        return false;
    if (--t->reluctant == 0)
        undo(t); /* its hart has noticed */
    return true;
}

static long thread_regs_(struct sim_thread *t, struct user_regs *regs, bool write)
{
    sim_assert(t->state != USER);
    if (write)
        t->regs = *regs;
    else
        *regs = t->regs;
    return 0;
}

static long fault_in(uint64_t mm, uint64_t address)
{
    if (address < SIM_BASE || address >= SIM_BASE + SIM_BYTES)
        return -LINUX_EFAULT;
    mms[mm].present[(address - SIM_BASE) / PAGE] = true;
    return 0;
}

static long mm_call(long number, const uint64_t *a)
{
    struct sim_thread *t = &threads[a[0] % THREADS];

    if (number >= MM_THREAD_START && number <= MM_THREAD_HART)
        sim_assert(t->state != NONE);
    switch (number) {
    case MM_CREATE:
        return mm_create(a[0]);
    case MM_FORK:
        return mm_fork(a[0], a[1]);
    case MM_EXEC:
        return mm_exec(a[0], (struct mm_exec *)a[1]);
    case MM_RELEASE:
        return mm_release(a[0]);
    case MM_THREAD_CREATE:
        return thread_create_(a[0], (const struct mm_thread *)a[1]);
    case MM_THREAD_START:
        sim_assert(t->state == STOPPED);
        t->state = USER;
        t->reluctant = sim_reluctance;
        return 0;
    case MM_THREAD_STOP:
        if (reluctant(t))
            return -LINUX_EAGAIN;
        undo(t);
        return 0;
    case MM_THREAD_DESTROY:
        if (reluctant(t))
            return -LINUX_EAGAIN;
        undo(t);
        t->state = NONE;
        return 0;
    case MM_THREAD_REGS:
        return thread_regs_(t, (struct user_regs *)a[1], a[2]);
    case MM_THREAD_MOVE:
        sim_assert(t->state != USER && mms[a[1]].loaded);
        t->mm = (unsigned)a[1];
        return 0;
    case MM_THREAD_HART:
        sim_assert(t->state != USER && a[1] < SIM_HARTS);
        t->hart = a[1];
        return 0;
    case MM_FAULT_IN:
        return fault_in(a[0], a[1]);
    default:
        return 0; /* reports are empty */
    }
}

/* ---- kernel calls ---- */

static long reply_keep(uint64_t slot)
{
    sim_assert(slot < MACHINE_SLOTS && caps[slot].type == CAP_FREE);
    if (!client)
        return -ERR_CLIENT;
    client->is_fault = client->state == FAULT;
    client->state = KEPT;
    client->slot = (unsigned)slot;
    caps[slot].type = CAP_REPLY_OF;
    caps[slot].of = (unsigned)(client - threads);
    client = NULL;
    return 0;
}

static void answer(struct sim_thread *t, bool is_fault, uint64_t value)
{
    sim_assert(!is_fault || value == 0);
    if (!is_fault)
        t->regs.x[10] = value;
    t->state = USER;
    t->reluctant = sim_reluctance;
}

static long reply_send(uint64_t slot, uint64_t value)
{
    sim_assert(slot < MACHINE_SLOTS && caps[slot].type == CAP_REPLY_OF);
    struct sim_thread *t = &threads[caps[slot].of];
    sim_assert(t->state == KEPT && t->slot == slot);
    caps[slot].type = CAP_FREE;
    answer(t, t->is_fault, value);
    return 0;
}

static long space_copy(uint64_t slot, uint64_t address, char *local, size_t bytes, bool to)
{
    sim_assert(slot < MACHINE_SLOTS && caps[slot].type == CAP_SPACE_OF);
    struct sim_mm *mm = &mms[caps[slot].of];
    size_t done = 0;

    for (; done < bytes; done++) {
        uint64_t at = address + done - SIM_BASE;
        if (at >= SIM_BYTES || !mm->present[at / PAGE])
            break;
        if (to)
            mm->memory[at] = local[done];
        else
            local[done] = mm->memory[at];
    }
    return (long)done;
}

static long thread_regs_by_slot(uint64_t slot, struct user_regs *regs, uint64_t write)
{
    struct sim_thread *t = &threads[1];

    while (t < threads + THREADS && (t->state == NONE || t->thread_slot != slot))
        t++;
    sim_assert(t < threads + THREADS);
    if (t->state == USER || t->reluctant % 2)
        return -ERR_STATE; /* another hart has it: the memory server's way is tried then */
    return thread_regs_(t, regs, write);
}

long kcall6(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    uint64_t args[] = {a, b, c, d, e, f};

    if (number > 0)
        return mm_call(number, args);
    switch (number) {
    case CALL_THREAD_REGS:
        return thread_regs_by_slot(a, (struct user_regs *)b, c);
    case CALL_REPLY_KEEP:
        return reply_keep(a);
    case CALL_REPLY_SEND:
        return reply_send(a, b);
    case CALL_SPACE_COPY:
        return space_copy(a, b, (char *)c, d, e == COPY_TO_SPACE);
    case CALL_CAP_DELETE:
        sim_assert(caps[b].type == CAP_FREE);
        return -ERR_EMPTY;
    case CALL_TIMER_SET:
        timer = b;
        return 0;
    default:
        ktap_fail(__FILE__, __LINE__, "unexpected kernel call %ld", number);
    }
}

/* Nobody has used the processors, or was switched from. */
long kcall_three(long number, uint64_t value, uint64_t more[2])
{
    sim_assert(number == CALL_THREAD_TIME || number == CALL_THREAD_SWITCHES);
    (void)value;
    more[0] = more[1] = 0;
    return 0;
}

void worker_reply_park(long value)
{
    if (client) {
        struct sim_thread *t = client;
        client = NULL;
        answer(t, t->state == FAULT, (uint64_t)value);
    }
    longjmp(parked, 1);
}

void worker_reply_last(long value)
{
    worker_reply_park(value);
}

void worker_push(const struct signal_push *push, uint64_t badge)
{
    (void)push, (void)badge;
    ktap_fail(__FILE__, __LINE__, "a straight push with several harts");
}

/* The kernel's: the client's registers from its memory, or a refusal. */
void worker_pop(uint64_t space, uint64_t address, uint64_t badge)
{
    struct sim_thread *t = client;
    struct user_regs regs;

    sim_assert(!linux_locked());
    if (!t || ktap_random_below(3) == 0 ||
        space_copy(space, address, (char *)&regs, sizeof(regs), false) != sizeof(regs))
        worker_straight_refused(badge);
    client = NULL;
    t->regs = regs;
    answer(t, false, regs.x[10]);
    longjmp(parked, 1);
}

void worker_park(void)
{
    sim_assert(!client);
    sim_assert(!linux_locked());
    longjmp(parked, 1);
}

/* ---- driving ---- */

static bool timer_due(void)
{
    return timer && timer <= now_ticks;
}

static void run_timer(void)
{
    while (timer_due()) {
        timer = 0;
        if (setjmp(parked) == 0)
            worker_signal(MACHINE_SIGNAL_TIMER);
    }
}

int sim_start(void)
{
    static const char archive[] = "070701000000010000"
                                  "81ed"
                                  "00000000000000000000000100000000"
                                  "000000040000000000000000000000000000000000000009"
                                  "00000000"
                                  "bin/prog\0\0" /* 110 + 9 bytes, padded to 120 */
                                  "ELF!"
                                  "0707010000000000000000000000000000000000000001000000000000000000"
                                  "000000000000000000000000000000"
                                  "0000000b00000000TRAILER!!!\0\0\0\0";
    struct user_regs regs = {0};
    long error;

    const char *wrong = fs_init(archive, sizeof(archive) - 1);
    if (wrong)
        ktap_fail(__FILE__, __LINE__, "archive: %s", wrong);
    time_init(1000000, 0);
    threads_init(SIM_HARTS);
    processes_init();
    futex_init();
    oom_init();
    console_init(true);
    struct process *p = process_create(NULL, NULL, pid_allocate(), 0);
    error = exec_first(p, "/bin/prog", "prog\0A=1", 9, 1, 1, &regs.x[0], &regs.x[2]);
    sim_assert(error == 0);
    struct place root = fs_root(), place;
    sim_assert(fs_walk(&root, "/dev/console", 12, FS_FOLLOW, 1, &place) == 0);
    struct file *file = terminal_file(console_terminal(), &place, LINUX_O_RDWR);
    file_get(file);
    file_get(file);
    for (unsigned fd = 0; fd < 3; fd++)
        fd_replace(p->files, fd, file, false);
    console_terminal()->tty.session = console_terminal()->tty.foreground = 1;
    struct thread *t = thread_create(p, 1, &regs, threads_all_harts(), NULL, &error);
    sim_assert(t);
    thread_start(t);
    return (int)t->number;
}

long sim_answer(int thread)
{
    struct sim_thread *t = &threads[thread];

    if (t->state == NONE)
        return SIM_GONE;
    return t->state == USER ? (long)t->regs.x[10] : SIM_BLOCKED;
}

void sim_call_begin(int thread, long number, long a0, long a1, long a2, long a3, long a4, long a5)
{
    struct sim_thread *t = &threads[thread];
    const long a[] = {a0, a1, a2, a3, a4, a5};

    sim_assert(t->state == USER && !client);
    for (unsigned i = 0; i < 6; i++)
        t->regs.x[10 + i] = (uint64_t)a[i];
    t->regs.x[17] = (uint64_t)number;
    t->regs.x[0] += 4;
    t->state = CALL;
    t->entered = t->regs;
    t->entered_badge = t->badge;
}

/* The worker has the request in its registers, whatever became of its client meanwhile. */
long sim_call_end(int thread)
{
    struct sim_thread *t = &threads[thread];
    const uint64_t *x = t->entered.x;

    sim_assert(!client);
    client = t->state == CALL ? t : NULL;
    if (setjmp(parked) == 0)
        worker_call(x[10], x[11], x[12], x[13], x[14], x[15], t->entered_badge, x[17]);
    run_timer();
    return sim_answer(thread);
}

long sim_call(int thread, long number, long a0, long a1, long a2, long a3, long a4, long a5)
{
    sim_call_begin(thread, number, a0, a1, a2, a3, a4, a5);
    return sim_call_end(thread);
}

void sim_fault(int thread, uint64_t address, int signal, int code)
{
    struct sim_thread *t = &threads[thread];

    sim_assert(t->state == USER && !client);
    t->state = FAULT;
    client = t;
    if (setjmp(parked) == 0)
        worker_fault(t->badge, address, CAUSE_STORE_PAGE, t->regs.x[0], 1, (uint64_t)signal,
                     (uint64_t)code, t->regs.x[2]);
    run_timer();
}

bool sim_alive(int thread)
{
    return threads[thread].state != NONE;
}

int sim_newest(void)
{
    int newest = 0;
    uint64_t generation = 0;

    for (int i = 1; i < THREADS; i++) {
        if (threads[i].state != NONE && threads[i].state != STOPPED) {
            struct thread *t = thread_from_badge(threads[i].badge);
            if (t && (uint64_t)t->tid > generation) {
                generation = (uint64_t)t->tid;
                newest = i;
            }
        }
    }
    return newest;
}

struct user_regs *sim_regs(int thread)
{
    return &threads[thread].regs;
}

void *sim_memory(int thread, uint64_t address)
{
    struct sim_mm *mm = &mms[threads[thread].mm];

    sim_assert(address - SIM_BASE < SIM_BYTES);
    mm->present[(address - SIM_BASE) / PAGE] = true;
    return mm->memory + (address - SIM_BASE);
}

void sim_advance(uint64_t ticks)
{
    uint64_t until = now_ticks + ticks;

    while (timer && timer <= until) {
        if (timer > now_ticks)
            now_ticks = timer;
        run_timer();
    }
    now_ticks = until;
}

void sim_type(const char *text)
{
    input = text;
    if (setjmp(parked) == 0)
        worker_signal(MACHINE_SIGNAL_UART);
    run_timer();
}

const char *sim_output(void)
{
    return output;
}

void sim_output_clear(void)
{
    output_bytes = 0;
    output[0] = 0;
}

unsigned sim_threads(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < THREADS; i++)
        count += threads[i].state != NONE;
    return count;
}

unsigned sim_spaces(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MMS; i++)
        count += mms[i].used;
    return count;
}

unsigned sim_replies(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MACHINE_SLOTS; i++)
        count += caps[i].type == CAP_REPLY_OF;
    return count;
}

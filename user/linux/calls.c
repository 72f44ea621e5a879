/* The dispatch of system calls (see calls.h), and the count of those that are refused. */
#include "user/linux/calls.h"

#include <stdio.h>

#include "user/linux/process.h"
#include "user/linux/signal.h"

#define NUMBERS      512     /* all of Linux's are below */
#define NUMBER_OTHER NUMBERS /* where all others are counted */

static call_handler *const handlers[NUMBERS + 1] = {
#define LINUX_CALL(number, name) [number] = linux_##name,
#include "user/linux/calls.def"
#undef LINUX_CALL
};

static uint64_t refused[NUMBERS + 1];

static long refuse(uint64_t number)
{
    __atomic_fetch_add(&refused[number], 1, __ATOMIC_RELAXED);
    return -LINUX_ENOSYS;
}

long calls_run(struct thread *t)
{
    uint64_t number = t->call < NUMBERS ? t->call : NUMBER_OTHER;

    if (handlers[number])
        return handlers[number](t, t->args);
    return refuse(number);
}

const char *calls_name(uint64_t number)
{
    static const char *const names[NUMBERS] = {
#define LINUX_CALL(number, name) [number] = #name,
#include "user/linux/calls.def"
#undef LINUX_CALL
    };

    return number < NUMBERS && names[number] ? names[number] : "?";
}

bool calls_plain(const struct thread *t, uint64_t number, long *value)
{
    switch (number) {
    case 172: /* getpid */
        *value = t->process->pid;
        return true;
    case 173: /* getppid */
        *value = __atomic_load_n(&t->process->ppid, __ATOMIC_RELAXED);
        return true;
    case 174: /* getuid */
        *value = t->process->cred.user.real;
        return true;
    case 175: /* geteuid */
        *value = t->process->cred.user.effective;
        return true;
    case 176: /* getgid */
        *value = t->process->cred.group.real;
        return true;
    case 177: /* getegid */
        *value = t->process->cred.group.effective;
        return true;
    case 178: /* gettid */
        *value = t->tid;
        return true;
    default:
        if (number < NUMBERS && handlers[number])
            return false;
        *value = refuse(number < NUMBERS ? number : NUMBER_OTHER);
        return true;
    }
}

/* NULL: Linux has none of that number either. */
static const char *refused_name(unsigned number)
{
    static const char *const names[NUMBERS + 1] = {
#define REFUSED_CALL(number, name) [number] = #name,
#include "user/linux/refused.def"
#undef REFUSED_CALL
        [NUMBER_OTHER] = "other",
    };

    return names[number];
}

size_t calls_refused_text(char *text, size_t room)
{
    size_t bytes = 0;

    for (unsigned i = 0; i <= NUMBERS; i++) {
        const char *name = refused_name(i);
        char number[8];

        if (!refused[i])
            continue;
        snprintf(number, sizeof(number), "%u", i);
        int line = snprintf(
            text + bytes, room - bytes, "call_refused_%s %lu system calls of number %s refused\n",
            name ? name : number, refused[i], i == NUMBER_OTHER ? "512 and more" : number);
        if (line < 0 || (size_t)line >= room - bytes)
            break;
        bytes += (size_t)line;
    }
    return bytes;
}

/* kill [-SIGNAL] PID...: sends a signal, by number or name; SIGTERM when none is given. */
#include <signal.h>
#include <string.h>

#include "user/bin/lib/util.h"

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"KILL", SIGKILL}, {"USR1", SIGUSR1},
    {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"STOP", SIGSTOP}, {"CONT", SIGCONT}, {"SEGV", SIGSEGV},
};

static int signal_number(const char *text)
{
    unsigned long number;

    if (util_number(text, NSIG - 1, &number))
        return (int)number;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (strcmp(signals[i].name, text) == 0)
            return signals[i].number;
    }
    return -1;
}

int main(int argc, char **argv)
{
    int number = SIGTERM, first = 1, status = 0;

    util_start(argv);
    if (argc > 1 && argv[1][0] == '-') {
        number = signal_number(argv[1] + 1);
        first = 2;
    }
    if (first >= argc)
        return util_usage("[-SIGNAL] PID...");
    if (number < 0)
        return util_fail("%s: no such signal", argv[1] + 1);
    for (int i = first; i < argc; i++) {
        unsigned long pid;
        if (!util_number(argv[i], 0x7fffffff, &pid) || pid == 0)
            status = util_fail("%s: not a process id", argv[i]);
        else if (kill((pid_t)pid, number) < 0)
            status = util_fail_errno("%s", argv[i]);
    }
    return status;
}

/*
 * The runner behind ktap.h: selects cases, runs each in a child process, prints KTAP version 1.
 *
 * A child tells its outcome through a page shared with the runner; a child that ends without
 * having written one (a signal, a sanitizer's abort, an exit() of its own) has failed.
 */
#include "ktap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum outcome { OUTCOME_NONE, OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_SKIPPED };

struct report {
    enum outcome outcome;
    char reason[256]; /* of a skip */
};

static struct ktap_case *first_case;
static struct ktap_case **last_link = &first_case;
static struct report *report; /* shared between runner and child */
static uint64_t seed = 1;
static uint64_t random_state;
static bool use_fork = true;
static jmp_buf case_end;

void ktap_register(struct ktap_case *item)
{
    *last_link = item;
    last_link = &item->next;
}

uint64_t ktap_seed(void)
{
    return seed;
}

uint64_t ktap_random(void)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t ktap_random_below(uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)ktap_random() * bound) >> 64);
}

void ktap_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("# ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

void ktap_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("# %s:%d: ", file, line);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    report->outcome = OUTCOME_FAILED;
    longjmp(case_end, 1);
}

void ktap_skip(const char *reason)
{
    report->outcome = OUTCOME_SKIPPED;
    snprintf(report->reason, sizeof(report->reason), "%s", reason);
    longjmp(case_end, 1);
}

static void run_body(const struct ktap_case *item)
{
    random_state = seed;
    if (setjmp(case_end) == 0) {
        item->run();
        report->outcome = OUTCOME_PASSED;
    }
    fflush(stdout);
}

static void run_in_child(const struct ktap_case *item)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        printf("Bail out! fork: %s\n", strerror(errno));
        exit(2);
    }
    if (child == 0) {
        run_body(item);
        _exit(0);
    }

    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            printf("Bail out! waitpid: %s\n", strerror(errno));
            exit(2);
        }
    }
    if (WIFSIGNALED(status))
        printf("# killed by signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 || report->outcome == OUTCOME_NONE)
        printf("# ended with exit status %d in the middle\n", WEXITSTATUS(status));
    else
        return;
    report->outcome = OUTCOME_FAILED;
}

static bool run_case(const struct ktap_case *item, unsigned int number)
{
    report->outcome = OUTCOME_NONE;
    if (use_fork)
        run_in_child(item);
    else
        run_body(item);

    bool failed = report->outcome == OUTCOME_FAILED;
    printf("%sok %u - %s", failed ? "not " : "", number, item->name);
    if (report->outcome == OUTCOME_SKIPPED)
        printf(" # SKIP %s", report->reason);
    printf("\n");
    fflush(stdout);
    return !failed;
}

static bool is_selected(const struct ktap_case *item, char *const *filters)
{
    if (!*filters)
        return true;
    for (; *filters; filters++) {
        if (strstr(item->name, *filters))
            return true;
    }
    return false;
}

static int run_selected(char *const *filters)
{
    unsigned int planned = 0, number = 0, failed = 0;
    for (const struct ktap_case *item = first_case; item; item = item->next)
        planned += is_selected(item, filters);

    printf("KTAP version 1\n1..%u\n", planned);
    for (const struct ktap_case *item = first_case; item; item = item->next) {
        if (is_selected(item, filters))
            failed += !run_case(item, ++number);
    }
    return failed ? 1 : 0;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seed N] [--list] [--no-fork] [part of a case's name]...\n",
            program);
    return 2;
}

int main(int argc, char **argv)
{
    int next = 1;
    for (; next < argc && argv[next][0] == '-'; next++) {
        char *end = NULL;
        if (strcmp(argv[next], "--no-fork") == 0) {
            use_fork = false;
        } else if (strcmp(argv[next], "--list") == 0) {
            for (const struct ktap_case *item = first_case; item; item = item->next)
                printf("%s\n", item->name);
            return 0;
        } else if (strcmp(argv[next], "--seed") == 0 && next + 1 < argc) {
            seed = strtoull(argv[++next], &end, 0);
            if (end == argv[next] || *end)
                return usage(argv[0]);
        } else {
            return usage(argv[0]);
        }
    }

    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    return run_selected(argv + next);
}

/*
 * clock: the clock of day, read from its registers. A driver in one page: /proc/iomem says where
 * they are, /dev/mem maps them. Runs on Pagoda; a Linux that has a driver of its own for the clock
 * keeps the registers to itself.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "user/bin/lib/util.h"

#define COMPATIBLE "google,goldfish-rtc"
#define LOW        0 /* nanoseconds since 1970; reading the lower word latches the other */
#define HIGH       1
#define SECOND_NS  1000000000UL

/* The physical address of the clock; 0: there is none. */
static unsigned long clock_find(void)
{
    char *text = util_read_file("/proc/iomem"),
         *name = text ? strstr(text, " : " COMPATIBLE) : NULL;
    unsigned long at = 0;

    if (name) {
        while (name > text && name[-1] != '\n')
            name--;
        at = strtoul(name, NULL, 16);
    }
    free(text);
    return at;
}

int main(int argc, char **argv)
{
    char text[32];

    util_start(argv);
    if (argc != 1)
        return util_usage("");
    unsigned long at = clock_find();
    if (!at)
        return util_fail("no %s in /proc/iomem", COMPATIBLE);
    int fd = open("/dev/mem", O_RDONLY);
    if (fd < 0)
        return util_fail_errno("/dev/mem");
    volatile uint32_t *clock = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)at);
    if (clock == MAP_FAILED)
        return util_fail_errno("registers at %lx", at);
    uint64_t low = clock[LOW], now_ns = (uint64_t)clock[HIGH] << 32 | low;
    time_t seconds = (time_t)(now_ns / SECOND_NS);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime(&seconds));
    printf("%s.%09lu\n", text, now_ns % SECOND_NS);
    return 0;
}

/*
 * Random kernel calls, in generations.
 *
 *   KTAP_SEED      the seed
 *   HOSTILE_CALLS  how many calls at least (20,000); or hostile=N on the kernel's command line
 */
#include "hostile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg.h"

#define CALLS_DEFAULT        20000UL
#define CALLS_PER_GUEST      1000UL
#define CALLS_PER_GUEST_MANY 8000UL
#define MANY                 500000UL

static uint64_t calls_wanted(void)
{
    const char *text = getenv("HOSTILE_CALLS");
    char line[1024] = "";
    FILE *file;

    if (text != NULL)
        return strtoul(text, NULL, 0);
    file = fopen("/proc/cmdline", "r");
    if (file == NULL)
        return CALLS_DEFAULT;
    line[fread(line, 1, sizeof(line) - 1, file)] = '\0';
    fclose(file);
    text = strstr(line, "hostile=");
    return text != NULL ? strtoul(text + strlen("hostile="), NULL, 0) : CALLS_DEFAULT;
}

KTAP_CASE(pagoda_random_kernel_calls)
{
    uint64_t wanted = calls_wanted(), made = 0, generation = 0;
    uint64_t quota = wanted < MANY ? CALLS_PER_GUEST : CALLS_PER_GUEST_MANY;
    uint64_t generations_max = 4 * (wanted / (quota * GUESTS) + 2);

    REQUIRE(hostile_world());
    honest_check();
    for (; made < wanted && generation < generations_max; generation++) {
        bool built = generation_build(ktap_seed() * 1000003 + generation, quota);
        if (!built)
            ktap_fail(__FILE__, __LINE__, "generation %lu cannot be built",
                      (unsigned long)generation);
        REQUIRE(built);
        made += generation_run();
        honest_check();
        generation_end();
    }
    honest_check();
    ktap_note("%lu calls in %lu generations, seed %lu", (unsigned long)made,
              (unsigned long)generation, (unsigned long)ktap_seed());
    EXPECT(made >= wanted);
    EXPECT_EQ(pg_syscall(MM_CHECK), 0);
}

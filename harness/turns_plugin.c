/*
 * A QEMU plugin: harts under -icount take short turns, `turn` instructions each on the average.
 *
 * QEMU itself ends a turn under -icount only where a timer is due, and the hart behind gets nothing
 * then: it is served with a budget of none, and the first hart begins anew. So a hart that waits for
 * another one by spinning, as the firmware does for a remote fence, may wait for ever. Here a turn
 * ends as if something had happened that QEMU must look at.
 *
 * All that decides is how many instructions were executed, so a run repeats to the instruction. As
 * turns are short, harts meet as if they ran at once: how long one spins for a lock is how long
 * another holds it. Their lengths vary, or else two loops could march in step and never meet.
 *
 * The interface of plugins has no way to end a turn. `cpu_exit` is QEMU's own; Debian's QEMU, which
 * loads modules, exports it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

EXPORT int qemu_plugin_version = 1;

extern void *qemu_get_cpu(int index) __attribute__((weak));
extern void cpu_exit(void *cpu) __attribute__((weak));

static long turn, left;
static unsigned runs; /* the hart whose turn it is */

static long turn_length(void)
{
    static uint64_t state;

    state = state * 6364136223846793005UL + 1442695040888963407UL;
    return 1 + (long)((state >> 33) % (uint64_t)(2 * turn - 1));
}

static void block_begins(unsigned hart, void *instructions)
{
    if (hart != runs) {
        runs = hart;
        left = turn_length();
    }
    left -= (long)instructions;
    if (left > 0)
        return;
    left = turn_length();
    cpu_exit(qemu_get_cpu((int)hart));
}

static void translated(plugin_id id, struct tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, block_begins, NO_REGISTERS,
                                         (void *)qemu_plugin_tb_n_insns(tb));
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);
EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "turn=", 5) != 0 || (turn = atol(argv[0] + 5)) <= 0) {
        fprintf(stderr, "turns: turn=N, a number of instructions, is needed\n");
        return -1;
    }
    if (qemu_get_cpu == NULL || cpu_exit == NULL) {
        fprintf(stderr, "turns: this QEMU keeps cpu_exit to itself\n");
        return -1;
    }
    left = turn_length();
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}

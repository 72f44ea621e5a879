/*
 * State of the boot, on the boot hart, until the hand-over to the scheduler. Functions between the
 * portable and the machine's part are in arch/boot.h.
 */
#ifndef KERNEL_BOOT_H
#define KERNEL_BOOT_H

#include "arch/boot.h"
#include "kernel/options.h"
#include "kernel/regions.h"
#include "lib/fdt.h"
#include <pagoda/boot.h>

#define BOOT_DEVICES_MAX 16

struct boot_state {
    struct fdt tree;
    paddr_t tree_start;
    struct options options;
    struct regions regions; /* memory; devices are apart */
    char args[BOOT_ARGS_BYTES];
    paddr_t initrd_start;
    uint64_t initrd_bytes; /* 0: there is none */
    uint64_t rng_seed;
    unsigned devices; /* offered to the memory server, the UART first */
    struct region device[BOOT_DEVICES_MAX];
    bool sealed; /* no more boot_alloc() */
};
extern struct boot_state boot;

/*
 * server.c: make the memory server from the initrd (pager=user), or the thread on whose behalf the
 * one in the kernel makes its calls (pager=kernel). server_prepare() takes all the memory that is
 * needed; after it boot.regions is final. server_start() makes it ready to run; all harts are
 * online. It answers what the server is told.
 */
void server_prepare(void);
const struct boot_info *server_start(void);

#endif

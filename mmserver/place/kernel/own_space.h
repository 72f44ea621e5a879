/*
 * The server's own address space when it runs in the kernel: a part of the kernel's half, which
 * every space shares. There is no Space capability for it; the batches that the core sends to
 * SLOT_SPACE end here. What they ask for needs no check, since asker and answerer are the same
 * program; what would be a bug of the core fails an assertion.
 */
#ifndef MMSERVER_PLACE_KERNEL_OWN_SPACE_H
#define MMSERVER_PLACE_KERNEL_OWN_SPACE_H

#include "mmserver/core/place.h"

/* Perform the first `count` operations of the running worker's page. As CALL_BATCH answers. */
long own_space_batch(uint64_t count, long *stopped);

#endif

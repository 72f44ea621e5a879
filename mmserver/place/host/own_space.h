/*
 * The simulated machine's memory, and the server's own space on it: what batches on SLOT_SPACE map
 * is mapped into this program too, so the server's regions are memory that can be used, and what it
 * unmapped is gone: touching it stops the test.
 */
#ifndef MMSERVER_PLACE_HOST_OWN_SPACE_H
#define MMSERVER_PLACE_HOST_OWN_SPACE_H

#include "mmserver/place/host/sim_kernel.h"

#define SIM_DEVICE_PAGE  0x101UL /* a device of two pages, below memory */
#define SIM_DEVICE_PAGES 2UL

/* Memory for the machine, filled with a pattern, aligned to 2 MiB. */
char *own_memory_make(uint64_t bytes);
/* Show what the first `done` operations of that page changed in the server's own space. */
void own_space_show(struct sim_object *space, const struct batch_page *page, uint64_t done);

#endif

/* Words of the kernel command line that the kernel itself understands; all others are the server's.
 */
#ifndef KERNEL_OPTIONS_H
#define KERNEL_OPTIONS_H

#include "kernel/types.h"

struct options {
    unsigned levels;    /* paging=sv39|sv48|sv57: 3, 4 or 5 */
    unsigned harts_max; /* maxharts=N */
    bool asid_off;      /* asid=0 */
    bool pager_kernel;  /* pager=kernel */
    bool plain;         /* messages=plain: no straight paths; only with pager=user */
};

/* Start from the defaults. NULL, or the word that has a bad value (a pointer into `args`). */
const char *options_read(struct options *o, const char *args);

#endif

/* The personality's sources, for this test: System V shared memory. */
#include "user/linux/cred.c"
#include "user/linux/hardware.c"
#include "user/linux/prctl.c"
#include "user/linux/priority.c"
#include "user/linux/robust.c"
#include "user/linux/shm.c"

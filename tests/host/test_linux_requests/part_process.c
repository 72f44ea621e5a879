/* The personality's sources, for this test: requests, threads, processes, signals. */
#include "user/linux/lock.c"
#include "user/linux/process.c"
#include "user/linux/request.c"
#include "user/linux/sigcalls.c"
#include "user/linux/signal.c"
#include "user/linux/sleep.c"
#include "user/linux/space.c"
#include "user/linux/thread.c"

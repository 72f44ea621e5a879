/* The personality's sources, for this test: counters, timers and signals that are files. */
#include "user/linux/eventfd.c"
#include "user/linux/signalfd.c"
#include "user/linux/timerfd.c"

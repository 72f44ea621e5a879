/* The native world of the guest tests (native.h), compiled into the benchmarks' library. */
#include "native.c"

/* Native kernel calls: the tests' source, compiled into the benchmarks' library. */
#include "tests/guest/lib/native.c"

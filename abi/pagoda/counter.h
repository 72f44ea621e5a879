/* Indices of the kernel counters and their names; see counter.def. */
#ifndef PAGODA_COUNTER_H
#define PAGODA_COUNTER_H

enum kernel_counter {
#define COUNTER(name, description) COUNT_##name,
#include <pagoda/counter.def>
#undef COUNTER
    COUNT_KERNEL
};

#endif

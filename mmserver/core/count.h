/* Counters of the server; see count.def. */
#ifndef MMSERVER_CORE_COUNT_H
#define MMSERVER_CORE_COUNT_H

enum mm_counter {
#define MMCOUNT(name, description) MMCOUNT_##name,
#include "mmserver/core/count.def"
#undef MMCOUNT
    MMCOUNT_COUNT
};

#endif

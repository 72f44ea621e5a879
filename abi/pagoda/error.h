/* Kernel error numbers, generated from the one table. Calls answer them negated. */
#ifndef PAGODA_ERROR_H
#define PAGODA_ERROR_H

enum pagoda_error {
#define ERROR(name, sentence) ERR_##name,
#include <pagoda/error.def>
#undef ERROR
    ERR_COUNT
};

#endif

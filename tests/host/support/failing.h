/* For programs that use the worlds of host tests without the test runner: there is only failing. To
 * be included by one source of a program. */
#ifndef PAGODA_TESTS_HOST_FAILING_H
#define PAGODA_TESTS_HOST_FAILING_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void ktap_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

#endif

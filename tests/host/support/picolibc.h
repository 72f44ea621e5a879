/*
 * Included before every source that is compiled for the host: what picolibc's headers define and
 * the host's do not. The sources use picolibc's sys/tree.h, which the host finds behind its own
 * headers.
 */
#ifndef PAGODA_TESTS_HOST_PICOLIBC_H
#define PAGODA_TESTS_HOST_PICOLIBC_H

#define __unused __attribute__((__unused__))

#endif

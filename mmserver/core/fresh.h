/*
 * Free memory in one order, whatever ran before and whatever is loaded beside: for benchmarks. What
 * an operation costs depends a little on where free pages lie and on how full the slabs are, and
 * that on the size of every image; from here on it does not (docs/decisions/142).
 *
 * Afterwards each zone has the whole chunks (CHUNK_PAGES_MAX) that one capability has from a fixed
 * place on, the lowest first out, and nothing else; all caches begin with a new slab; harts' lists
 * are empty. What else is free is put aside until the next call, which begins with giving it back.
 * Not for a system at work.
 *
 * Locks: takes LOCK_SLABS and later ones, one after the other.
 */
#ifndef MMSERVER_CORE_FRESH_H
#define MMSERVER_CORE_FRESH_H

#include "mmserver/core/worker.h"

/* Pages that are free now. A zone that would lose more than half of them stays as it is. */
uint64_t fresh_memory(struct worker *w);

#endif

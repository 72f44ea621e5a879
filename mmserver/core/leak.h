/*
 * The leak finder: what was allocated since a mark and not freed, and what nothing refers to. Both
 * know the objects of caches that keep traces (slab_debug=U); marks know large kmallocs too.
 */
#ifndef MMSERVER_CORE_LEAK_H
#define MMSERVER_CORE_LEAK_H

#include "mmserver/core/text.h"

/* Objects allocated from now on are after the mark. */
void leak_mark(void);
/* Objects in use from after the mark, by cache and place that asked. */
void leak_report(struct text *t);

/*
 * Looks for references to every known object in the server's data, its pages, page descriptors, and
 * objects that are referred to; conservatively: any word that points into an object refers to it,
 * wherever in it. Two passes; only what both missed counts, so an object that is moved between
 * lists meanwhile is not called lost. Their number; leak_scan_report() names them.
 */
uint64_t leak_scan(void);
void leak_scan_report(struct text *t);

#endif

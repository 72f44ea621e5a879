/* What /proc/PID tells of an address space, in Linux's formats. All unlocked. */
#ifndef MMSERVER_CORE_REPORT_MM_H
#define MMSERVER_CORE_REPORT_MM_H

#include "mmserver/core/mm.h"
#include "mmserver/core/text.h"

void report_maps(struct text *t, struct mm *mm);
void report_smaps(struct text *t, struct mm *mm);
void report_smaps_rollup(struct text *t, struct mm *mm);
void report_numa_maps(struct text *t, struct mm *mm);
void report_statm(struct text *t, struct mm *mm);
/* The Vm* and Rss* lines of status. */
void report_status(struct text *t, struct mm *mm);
/* Binary: eight bytes for each page of the space, from t->offset on. */
void report_pagemap(struct text *t, struct mm *mm);

#endif

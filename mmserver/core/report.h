/* Reports: what the server knows, as text. */
#ifndef MMSERVER_CORE_REPORT_H
#define MMSERVER_CORE_REPORT_H

#include "mmserver/core/client.h"
#include "mmserver/core/text.h"

/* The kernel's command line, kept for reports. */
extern const char *report_command_line;
/* Size of the server's own capability table. */
extern uint64_t report_table_entries;

/* The text of that kind about `mm` (MM_REPORT_CAPS with NULL: about the server itself) or `c`; NULL
 * where the kind needs none. `id`: the number that was given. False: no such kind. */
bool report_write(struct text *t, uint64_t kind, uint64_t id, struct mm *mm, struct client *c);

/* zone_report.c: what the zones hold, as Linux says it. */
void report_buddyinfo(struct text *t);
void report_pagetypeinfo(struct text *t);
void report_zoneinfo(struct text *t);

/* Sum of a counter over all workers. */
uint64_t report_count(enum mm_counter counter);

#endif

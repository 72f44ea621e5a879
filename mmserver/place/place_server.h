/*
 * What the server's start needs of a placement beyond mmserver/core/place.h: its workers, and how
 * the machine is switched off.
 */
#ifndef MMSERVER_PLACE_SERVER_H
#define MMSERVER_PLACE_SERVER_H

#include "mmserver/core/worker.h"

/*
 * Answer faults by a mapping call and a plain reply (`plain`), and send each operation of a batch
 * by a call of its own, a page each (`single`): what the straight paths are compared with. False:
 * this placement has no calls to take apart.
 */
bool place_apart(bool plain, bool single);
/* w's thread object is made: give it what it needs to run here. The caller works as `boot`, with
 * the operation page of that one. */
bool place_worker_prepare(struct worker *boot, struct worker *w);
/* Make it the worker of its hart. 0 or -ERR_x. */
long place_worker_bind(struct worker *w);
_Noreturn void place_power_off(uint64_t status);

#endif

/*
 * A simulated machine for the memory server: physical memory in a host buffer, and a flat, strict
 * model of what the kernel does with its calls. Everything that the server asks for is checked;
 * what no correct server would ask (a page mapped outside its capability, a table that is not
 * empty, an object of a page in use) stops the test.
 *
 * Tests play the clients: they touch memory and make calls, and the answers of the server are
 * carried out as the kernel would. All harts are simulated by calling: one at a time.
 */
#ifndef MMSERVER_PLACE_HOST_SIM_H
#define MMSERVER_PLACE_HOST_SIM_H

#include "mmserver/core/answer.h"
#include "mmserver/core/client.h"
#include "mmserver/core/worker.h"
#include <pagoda/boot.h>
#include <stdbool.h>

/* What a client saw of an access. */
enum sim_access { SIM_READ, SIM_WRITE, SIM_FETCH };
struct sim_outcome {
    bool done;       /* the access happened */
    uint32_t signal; /* else: what went to the personality */
    uint32_t code;
    uint32_t faults; /* taken on the way */
};

struct sim_config {
    uint64_t
        memory_pages; /* in all ranges, or of the span from SIM_FIRST_PAGE when those are given */
    const struct boot_range *range; /* NULL: three, with a hole, none of them aligned */
    uint32_t ranges;
    uint32_t harts;
    uint32_t levels;     /* 3, 4 or 5 */
    const void *archive; /* what the initrd holds */
    uint64_t archive_bytes;
    const char *args;
    bool runs; /* it has Svnapot */
};

#define SIM_FIRST_PAGE 0x80000UL

/* Power on: memory, capabilities, boot information; then mmserver_start(). */
void sim_boot(const struct sim_config *config);
const struct boot_info *sim_boot_info(void);
struct worker *sim_worker(uint32_t hart);

/* One access of a client, faults served; `value` is stored or loaded if not NULL. */
struct sim_outcome sim_access(struct client *c, vaddr_t address, enum sim_access access,
                              uint8_t *value);
/* A foreign call of a client: the answer. *forwarded is set if it went to the personality. */
long sim_call(struct client *c, long number, const uint64_t a[6], bool *forwarded);
/* The idle entry of a hart. */
void sim_idle(uint32_t hart);

/*
 * Fault injection: the n-th (from 1) call that the kernel may refuse for lack of something is
 * refused, counted from now; 0 switches it off. sim_calls_counted() says how many there were.
 */
void sim_fail_call(uint64_t n);
uint64_t sim_calls_counted(void);
/* The same for allocations of the server. */
void sim_fail_alloc(uint64_t n);
uint64_t sim_allocs_counted(void);
/* Has the failure asked for happened? */
bool sim_failed(void);

/*
 * The next fault_reply stays under way, as on a hart that is slower than the others: sim_access()
 * returns with done = false and no signal. When another hart's worker waits for it (place_relax),
 * it arrives, or, if `fails`, the kernel refuses it.
 */
void sim_hold_next_reply(bool fails);
/* When it arrives, its worker is entered at once by the next fault of the same space, and has said
 * that it is going to read, but not yet looked whether it may. */
void sim_held_begins_again(void);
/* Called each time that a worker waits; NULL: nobody is. */
void sim_on_relax(void (*waits)(void));
/* The worker whose reply was held and refused goes on: how it ended its turn. */
struct answer sim_held_goes_on(void);
/* Is a reply still held? */
bool sim_reply_is_held(void);

/* A reply race: the next fault_reply finds the entry filled by `page` meanwhile. */
void sim_race_next_reply(void);

/* The simulated kernel's own recount: block counters against the entries of all spaces. */
bool sim_consistent(void);

#endif

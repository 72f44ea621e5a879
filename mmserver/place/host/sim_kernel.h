/*
 * The state of the simulated kernel, and what its parts (sim.c, sim_calls.c, sim_batch.c) share.
 * `block`: class, and count of mappings or pages in use, per 2 MiB; `use`: what each page of a
 * tables block is. Page tables lie in the simulated memory as the real ones would.
 *
 * A refusal that a correct server can meet (no resources, a race lost) comes from fault injection
 * only; any other refusal is a broken expectation of the server and is answered with the kernel's
 * error, so that the server's own assertions see it.
 */
#ifndef MMSERVER_PLACE_HOST_SIM_KERNEL_H
#define MMSERVER_PLACE_HOST_SIM_KERNEL_H

#include "mmserver/core/place.h"
#include "mmserver/place/host/sim.h"

#define TABLES_MAX      64U
#define SIM_OBJECTS_MAX 4096U

struct sim_cap {
    uint8_t type, rights, primary;
    uint32_t object;
    uint64_t first, pages;
    struct sim_cap *parent;
    struct sim_table *table; /* that it stands in */
};

struct sim_table {
    struct sim_cap *cap;
    uint32_t size;
    uint32_t object;
};

struct sim_object {
    uint8_t type, alive, running;
    pfn_t page;
    uint64_t pages;
    pfn_t root;            /* Space */
    uint64_t tables;       /* Space: tables in it */
    uint32_t space, table; /* Thread: objects */
    uint64_t pager_badge, hart, mask[8];
    bool pager, personality;
    struct worker *worker; /* Notification: bound to */
    struct user_regs regs;
    struct sim_table *entries; /* Table */
};

enum page_use { USE_FREE, USE_DIRECTORY, USE_TABLE, USE_OBJECT };

struct sim {
    char *memory;
    pfn_t first, end;
    uint32_t levels;
    uint64_t user_end;
    int32_t *block; /* >= 0 data and mappings; < 0: tables, -1 - pages in use */
    uint8_t *use;   /* per page of tables blocks */
    struct sim_table tables[TABLES_MAX];
    struct sim_object object[SIM_OBJECTS_MAX];
    uint32_t objects;
    struct boot_info info;
    uint32_t hart;             /* whose worker runs */
    struct sim_object *thread; /* whose event it has */
    uint64_t fail_call, calls, fail_alloc, allocs;
    bool failed, race;
    void (*on_relax)(void);
    enum { HOLD_NONE, HOLD_NEXT, HOLD_LANDS, HOLD_FAILS } hold;
    bool hold_fails, held_again;
    struct answer held;
    struct worker *held_worker;
    struct sim_object *held_space;
    vaddr_t held_address;
    uint64_t ticks;
    vaddr_t fault_address;
};

extern struct sim sim;

bool sim_page_is_there(pfn_t page);
/* The counter of the page's block; is the block of class tables? */
int32_t *sim_block(pfn_t page);
bool sim_is_tables(pfn_t page);
/* The slot at that level, or NULL if a table is missing or a larger leaf stands there. */
uint64_t *sim_entry(struct sim_object *space, vaddr_t address, unsigned level);
/* The small or large leaf that maps the address, as the entry of a small one; 0: none. */
uint64_t sim_leaf(struct sim_object *space, vaddr_t address);
/* What stands in that slot of the server's table; NULL if it is not of that type. */
struct sim_cap *sim_cap(uint64_t slot, enum cap_type type);
struct sim_object *sim_object(uint64_t slot, enum cap_type type);
/* The server's own table; new ones, and new objects, for power on. */
struct sim_table *sim_own_table(void);
struct sim_table *sim_table_make(uint32_t size, uint32_t object);
uint32_t sim_object_make(enum cap_type type, pfn_t page, uint64_t pages, uint64_t parameter);
/* Is this the call that is to be refused? */
bool sim_injected(void);

/* CALL_BATCH, or CALL_REPLY_BATCH without the answer, for the worker that runs. */
long sim_batch(uint64_t space, uint64_t count, bool reply, uint64_t *stopped);
/* The mapping of a fault reply. */
long sim_map_one(struct sim_object *space, vaddr_t address, uint64_t entry, uint64_t memory,
                 uint64_t old);

#endif

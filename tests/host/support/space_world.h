/*
 * Address spaces in the small system of kernel_world.h: making them, running single operations and
 * batches on them, running them on harts. Block 0 of the free memory becomes tables, all else is
 * data.
 */
#ifndef TESTS_SPACE_WORLD_H
#define TESTS_SPACE_WORLD_H

#include "kernel_world.h"
#include "arch/host/tlb.h"

/* Space number n stands at this slot. */
#define SPACE_SLOT(n) (SLOT_FREE + (n))
#define SPACES_MAX    8

struct space_world {
    uint64_t table_next; /* next page (relative to world.first) for tables and objects */
    uint64_t data;       /* first page (relative) of data */
    uint32_t done;       /* of the last operation of the last batch */
    struct space *space[SPACES_MAX];
};

extern struct space_world sw;

void space_world_start(const struct machine_options *options, unsigned spaces);

static inline struct batch_page *operation_page(void)
{
    return world.thread->operation_page;
}

/* One operation on space n: 0 or -ERR_x; sw.done is set. */
long op_on(unsigned n, struct batch_op op);
/* The first `count` operations of the operation page. */
long batch_on(unsigned n, unsigned count, long *error);

/* Physical page number of data page i. */
pfn_t data_page(uint64_t i);
/* A page for a table that was not used yet. */
pfn_t table_page(void);
/* All tables from the root down to the one that holds `level` slots for the address. */
void tables_for(unsigned n, vaddr_t address, unsigned level);

/* Operations. */
struct batch_op op_map(vaddr_t address, uint32_t count, pfn_t page, uint64_t bits);
/* The entries are result words of the operation page, from index `first` on. */
struct batch_op op_list(vaddr_t address, uint32_t count, uint64_t first);
struct batch_op op_simple(enum batch_code code, vaddr_t address, uint32_t count, uint64_t entry);

/* What stands in the slot; 0 if there is none. */
uint64_t entry_of(unsigned n, vaddr_t address, unsigned level);
/* Hart `hart` runs space n from now on. */
void run_on(unsigned hart, unsigned n);
/* Delete the capability of space n until it is done; the last answer. */
long space_delete(unsigned n);

/* EXPECT that nothing is wrong with any invariant, nor any translation. */
#define CHECK_ALL()                              \
    do {                                         \
        world_check();                           \
        if (tlb_check_all())                     \
            ktap_note("%s", tlb_first_report()); \
        EXPECT_EQ(tlb_reports(), 0);             \
    } while (0)

#endif

/*
 * What the kernel tells the memory server at its start. One page, read-only, its address in a0 of
 * the first worker's first entry. Physical ranges are in pages.
 *
 * Capabilities are at fixed indices of the server's table: see SLOT_*. Each memory range i with
 * kind BOOT_FREE stands as Memory at SLOT_MEMORY + i with all rights but RIGHT_IO, BOOT_DEVICE with
 * RIGHT_IO | RIGHT_WRITE, BOOT_INITRD with RIGHT_EXEC; the other kinds have no capability.
 */
#ifndef PAGODA_BOOT_H
#define PAGODA_BOOT_H

#include <stdint.h>

#define BOOT_MAGIC      0x61646f676170ULL /* "pagoda" */
#define BOOT_RANGES_MAX 48
#define BOOT_ARGS_BYTES 1024
#define BOOT_HARTS_MAX  64
#define BOOT_NODES_MAX  16 /* NUMA nodes are numbered below this, with gaps perhaps */

/* Fixed slots of the memory server's table. 0 stays empty. */
#define SLOT_TABLE     1 /* its own table */
#define SLOT_SPACE     2 /* its own space */
#define SLOT_THREAD    3 /* the first thread, on the boot hart */
#define SLOT_KERNEL    4
#define SLOT_ENDPOINT  5  /* an endpoint that the kernel made; the first thread is its worker */
#define SLOT_MEMORY    8  /* .. + BOOT_RANGES_MAX */
#define SLOT_INTERRUPT 64 /* + source number, 1..127 */
#define SLOT_FREE      256

enum boot_range_kind {
    BOOT_FREE,     /* given to the server */
    BOOT_KERNEL,   /* kernel image, its tables, and the server's own image: stays */
    BOOT_INITRD,   /* the archive; mapped read-only in the linear map */
    BOOT_DTB,      /* the device tree; mapped read-only in the linear map */
    BOOT_RESERVED, /* firmware, and what the device tree keeps for others */
    BOOT_DEVICE
};

/* Of BOOT_RESERVED: nobody may map it. Of BOOT_FREE: lent, for pages that can be moved away. */
#define BOOT_RANGE_NOMAP       0x1
#define BOOT_RANGE_REUSABLE    0x2
#define BOOT_RANGE_CMA         0x4 /* contiguous memory is allocated of it */
#define BOOT_RANGE_CMA_DEFAULT 0x8
/* Of BOOT_FREE: part of the server's image, which it must unmap before it uses the memory. */
#define BOOT_RANGE_STARTUP 0x10

struct boot_range {
    uint64_t first_page;
    uint64_t pages;
    uint32_t kind;
    uint16_t node;
    uint16_t flags; /* BOOT_RANGE_* */
};

struct boot_info {
    uint64_t magic;
    uint32_t size_bytes;  /* of this structure */
    uint32_t levels;      /* 3, 4 or 5 */
    uint64_t linear_base; /* virtual address of physical address 0 in the server's linear map */
    uint64_t user_end;    /* first address above user space */
    uint64_t timebase_hz;
    uint32_t harts; /* running, numbered 0..harts-1 */
    uint32_t boot_hart;
    uint32_t ranges;
    uint32_t features;                   /* BOOT_HAS_* */
    uint64_t initrd_start, initrd_bytes; /* physical */
    uint64_t dtb_start, dtb_bytes;       /* physical */
    uint32_t table_entries;              /* size of the server's capability table */
    uint32_t asid_bits;
    uint64_t kernel_text_bytes;
    uint64_t rng_seed;
    uint64_t hart_machine_id[BOOT_HARTS_MAX]; /* as the device tree names them */
    struct boot_range range[BOOT_RANGES_MAX];
    char args[BOOT_ARGS_BYTES]; /* the kernel command line, NUL-terminated */
};

#define BOOT_HAS_SVNAPOT 0x01
#define BOOT_HAS_SVPBMT  0x02
#define BOOT_HAS_SVINVAL 0x04
#define BOOT_HAS_SSTC    0x08
#define BOOT_HAS_ZICBOZ  0x10
#define BOOT_HAS_SVADU   0x20 /* accessed and dirty set by hardware */
#define BOOT_HAS_FP      0x40

#endif

/*
 * Calls that the memory server answers beyond Linux's: foreign calls with numbers from 1024, which
 * every thread's route takes to its pager. Errors are Linux's errno values, negated.
 *
 * "privileged": only for the process personality; others get -EPERM. An mm is an address space with
 * its mappings; mms and threads are named by small positive numbers that the server gives.
 */
#ifndef PAGODA_MM_H
#define PAGODA_MM_H

#include <stdint.h>
#include <pagoda/call.h>

/* privileged: mm_create(slot) -> mm. An empty address space; a Space capability with RIGHT_COPY is
 * put into the caller's table at `slot`. */
#define MM_CREATE 1024
/* privileged: mm_exec(mm, struct mm_exec *) -> 0. Load an ELF image into an empty mm. On error the
 * mm stays empty. -ENOEXEC for a malformed image. */
#define MM_EXEC 1025
/* privileged: mm_release(mm) -> 0. No thread may be left in it (-EBUSY). -EAGAIN: a part of it
 * was released, or it is in use for the moment; call again. */
#define MM_RELEASE 1026
/* privileged: mm_thread_create(mm, struct mm_thread *) -> thread. It does not run yet. */
#define MM_THREAD_CREATE 1027
/* privileged: mm_thread_start(thread) */
#define MM_THREAD_START 1028
/* privileged: mm_thread_destroy(thread, struct mm_thread_use *): also one that waits for the
 * caller's answer. It tells what the thread had used, unless that is NULL. */
#define MM_THREAD_DESTROY 1029
/* privileged: mm_thread_regs(thread, struct user_regs *, write): of a thread that waits. */
#define MM_THREAD_REGS 1030
/* privileged: mm_thread_move(thread, mm): execve in a waiting thread. */
#define MM_THREAD_MOVE 1031
/* privileged: mm_thread_hart(thread, hart): affinity of a stopped or waiting thread. */
#define MM_THREAD_HART 1032
/* privileged: mm_fault_in(mm, address, bytes, write) -> 0 or -EFAULT: as if each page was touched.
 */
#define MM_FAULT_IN 1033
/* privileged: mm_word_key(mm, address, struct mm_word_key *) -> 0: what names the word there for
 * all who share it. -EFAULT if nothing is mapped. */
#define MM_WORD_KEY 1050
/* privileged: mm_word_swap(mm, address, old, new) -> the value of the word, which becomes `new` if
 * it was `old`, in one step for all who see it. -EFAULT. */
#define MM_WORD_SWAP 1051
/* privileged: mm_access(mm, address, other, at, bytes, write) -> bytes: moved between the memory of
 * mm at `address` and that of `other` (0: the caller's) at `at`, whatever rights the mappings of mm
 * give; never more than MM_ACCESS_CALL_BYTES, fewer where there is nothing of the kind. -EIO if
 * there is none at all, -EFAULT for memory of `other`. */
#define MM_ACCESS 1052
/* privileged: mm_device_grant(mm, slot, address, bytes) -> 0: a Memory capability of those
 * registers, whole pages of one device, comes to `slot` of the native table of mm's process; for
 * mm_device_map(). -EPERM if they are not to be had, -EBUSY while a
 * program has one of that device, -EEXIST, -EINVAL. */
#define MM_DEVICE_GRANT 1053
/* privileged: mm_oom(mm) -> its oom_score, as /proc/PID has it. mm_oom(0) -> the mm whose processes
 * should end so that others have memory, which is what a fault with SIGKILL says in `code`; 0:
 * there is none. */
#define MM_OOM 1049
/* privileged: mm_tune(enum mm_tune, value) -> the value in use afterwards. ~0: only tell. -EINVAL
 * for a value that cannot be. */
#define MM_TUNE 1054
/* mm_report(kind, id, buffer, bytes, offset) -> bytes of text from `offset`; 0 at the end. id: an
 * mm or thread number as the kind needs; 0: the caller's own mm. */
#define MM_REPORT 1034
/* mm_check() -> 0, or how many things the recount of everything found wrong (each is logged). */
#define MM_CHECK 1035
/* privileged: mm_map_file(struct mm_map_file *) -> address: mmap of a file for a waiting client. */
#define MM_MAP_FILE 1036
/* privileged: mm_thread_stop(thread): it keeps its state and can be started again. */
#define MM_THREAD_STOP 1037
/* privileged: mm_fork(mm, slot) -> mm: a copy as fork(2) makes it, its Space capability as of
 * mm_create at `slot`. -ENOMEM: nothing was made. */
#define MM_FORK 1038

/* privileged: mm_thread_use(thread, struct mm_thread_use *) -> 0. */
#define MM_THREAD_USE 1044

/* privileged: mm_limit(mm, enum mm_limit, value) -> 0. */
#define MM_LIMIT 1039

/* privileged: mm_compact(op, value) -> 0; MM_COMPACT_BEGIN and _GO_ON: 1 if more is to be done. */
#define MM_COMPACT 1057
/* privileged: mm_contig(pages, align) -> 0: contiguous memory at a multiple of `align` pages can be
 * had; it was allocated and given back. -ENOMEM if not, -EINVAL for impossible numbers. */
#define MM_CONTIG 1058
/* privileged: mm_cma(area, pages, align order, first): memory of a CMA area (~0: the default one).
 * first = 0: allocate -> number of the first page, -ENOMEM. Else release what was allocated there
 * -> 0, -EINVAL. */
#define MM_CMA 1059

/* privileged: mm_page_node(mm, address) -> the memory node of the page there. -ENOENT: none is
 * there; -EFAULT: nothing is mapped, or the zero page. */
#define MM_PAGE_NODE 1048

/* privileged: mm_advise(mm, address, bytes, advice) -> 0: madvise(2) for another address space, or
 * with advice that not everybody may give. */
#define MM_ADVISE 1055

/* mm_huge_pool(pages) -> how many there are then: the pool of 2 MiB pages for MAP_HUGETLB grows as
 * far as there is memory, or shrinks by pages that are neither in use nor promised. ~0: only tell.
 * Privileged. */
#define MM_HUGE_POOL 1056

/*
 * Native programs: any process may ask for kernel objects of its own, charged to it.
 * mm_native_enable(entries) -> 0: the calling thread gets a capability table of its own with
 * NATIVE_TABLE, NATIVE_SPACE (RIGHT_COPY) and NATIVE_THREAD (no rights) in it.
 */
#define MM_NATIVE_ENABLE 1040
/* mm_native_create(type, slot, parameter) -> 0. CAP_MEMORY: parameter = 2 MiB blocks, naturally
 * aligned, all rights, data class. CAP_TABLE: parameter = pages. CAP_THREAD: a new thread object
 * without route. CAP_SPACE, CAP_ENDPOINT, CAP_NOTIFICATION: 0. CAP_KERNEL: counters only. */
#define MM_NATIVE_CREATE 1041
/* mm_native_thread(slot, struct mm_thread *) -> thread: a thread in the caller's mm and table,
 * with the caller's routes; its capability with RIGHT_CONTROL at `slot`: the server answers its
 * faults, so where it lives is not the program's to change. */
#define MM_NATIVE_THREAD 1042

/* mm_device_map(slot, prot) -> address: the registers that the Memory capability at `slot` of the
 * caller's table stands for are mapped, all of them, with the memory type that they need. A
 * device's capability only (-EACCES), and writable only if it is. A child does not inherit the
 * mapping. */
#define MM_DEVICE_MAP 1043

/*
 * Objects: memory with a size and contents that several can map: memfd, files of /tmp and /dev/shm,
 * SysV segments. Privileged, all of them: the personality names objects by handles, small positive
 * numbers, and says what descriptors stand for them. -EBADF for a handle that is not in use.
 * mm_object_create(struct mm_object *) -> handle. It reads as zeros. -ENFILE without handles. */
#define MM_OBJECT_CREATE 1060
/* mm_object_release(handle, until_unused): the handle goes; what is mapped stays mapped.
 * until_unused: it goes with the last mapping. */
#define MM_OBJECT_RELEASE 1061
/* mm_object_read(handle, offset, mm, address, bytes) -> bytes copied to the memory of mm (0: the
 * caller's own); fewer at the end of the object, and never more than MM_OBJECT_CALL_BYTES. */
#define MM_OBJECT_READ 1062
/* mm_object_write(handle, offset, mm, address, bytes) -> bytes; the object grows. */
#define MM_OBJECT_WRITE 1063
/* mm_object_resize(handle, bytes): what is behind the new end is unmapped everywhere and freed. */
#define MM_OBJECT_RESIZE 1064
/* mm_object_allocate(handle, offset, bytes, mode): enum mm_allocate. */
#define MM_OBJECT_ALLOCATE 1065
/* mm_object_seal(handle, seals) -> all its seals (F_SEAL_*), those included. */
#define MM_OBJECT_SEAL 1066
/* mm_object_stat(handle, struct mm_object_stat *) */
#define MM_OBJECT_STAT 1067
/* mm_object_seek(handle, offset, data) -> the next offset with data, or without; -ENXIO. */
#define MM_OBJECT_SEEK 1068
/* mm_object_detach(mm, address) -> handle, 0 if it has none: shmdt. The mapping of a segment that
 * began at `address`, as far as it is still there, goes. -EINVAL: there is none. */
#define MM_OBJECT_DETACH 1069

#define MM_ACCESS_CALL_BYTES (64UL << 10)
#define MM_OBJECT_CALL_BYTES (1UL << 20)
#define MM_OBJECT_NAME_BYTES 96

enum mm_allocate {
    MM_ALLOCATE_GROW, /* have pages for the range; the object is at least as long */
    MM_ALLOCATE_KEEP, /* the same, but its size stays */
    MM_ALLOCATE_PUNCH /* the range reads as zeros, its whole pages are freed */
};

struct mm_object {
    uint64_t bytes;
    uint64_t id;      /* inode number shown in maps; 0: any */
    uint64_t name;    /* shown in maps: address of MM_OBJECT_NAME_BYTES in the caller, with a NUL */
    uint64_t segment; /* bool: mm_object_detach() is for it */
    uint64_t huge;    /* enum mm_huge */
};

/* Is it of 2 MiB pages of the pool? Then sizes are multiples of that, and what it is mapped for is
 * promised to it, or all of it when it is made (-ENOMEM). */
enum mm_huge { MM_HUGE_NONE, MM_HUGE_PAGES, MM_HUGE_PROMISED };

struct mm_word_key {
    uint64_t object; /* the shared object that it is in; 0: it is private to the mm */
    uint64_t offset; /* there, in bytes; the address if it is private */
};

struct mm_object_stat {
    uint64_t bytes;
    uint64_t pages;    /* of 4 KiB, that it has */
    uint64_t mappings; /* VMAs of it */
    uint64_t seals;
};

enum mm_tune {
    MM_TUNE_OVERCOMMIT,       /* vm.overcommit_memory: 0, 1, 2 */
    MM_TUNE_OVERCOMMIT_RATIO, /* vm.overcommit_ratio: percent */
    MM_TUNE_MAP_COUNT,        /* vm.max_map_count, up to MM_MAP_COUNT_MAX */
    MM_TUNE_MIN_FREE,         /* vm.min_free_kbytes; 0: as computed */
    MM_TUNE_HUGE,             /* transparent_hugepage/enabled: 0 always, 1 madvise, 2 never */
    MM_TUNE_HUGE_DEFRAG,      /* defrag: 0 always, 1 defer, 2 defer+madvise, 3 madvise, 4 never */
    MM_TUNE_HUGE_ZERO,        /* use_zero_page: 0, 1 */
    MM_TUNE_DROP_CACHES, /* a step of vm.drop_caches, 1..4 -> how much it freed: 0 at the end */
    MM_TUNE_FRESH,       /* 1: free memory is put in one order, for benchmarks (fresh.h) */
};
#define MM_MAP_COUNT_MAX 65530

enum mm_compact_op {
    MM_COMPACT_BEGIN,        /* the compaction of all memory: a first step, */
    MM_COMPACT_GO_ON,        /* and one more */
    MM_COMPACT_PROACTIVENESS /* value: vm.compaction_proactiveness, 0..100 */
};

/* The ioctl on /dev/mem by which a native program asks the personality for mm_device_grant(). */
#define MM_DEVICE_GRANT_IOCTL 0x40185001
struct mm_device_grant {
    uint64_t address; /* physical */
    uint64_t bytes;
    uint64_t slot; /* of the caller's table */
};

#define NATIVE_TABLE  1
#define NATIVE_SPACE  2
#define NATIVE_THREAD 3
#define NATIVE_FREE   8

/* What mm_limit() sets, in bytes unless it says otherwise; ~0: no limit. A new mm has none but the
 * stack's, of 8 MiB. */
enum mm_limit {
    MM_LIMIT_AS,         /* RLIMIT_AS: all that is mapped */
    MM_LIMIT_DATA,       /* RLIMIT_DATA: private writable mappings, and brk with the data segment */
    MM_LIMIT_STACK,      /* RLIMIT_STACK: how far the stack grows */
    MM_LIMIT_MEMLOCK,    /* RLIMIT_MEMLOCK */
    MM_LIMIT_LOCK_FREE,  /* not 0: it need not respect the last one (CAP_IPC_LOCK) */
    MM_LIMIT_OOM_ADJUST, /* no limit, but kept like one: oom_score_adj, in two's complement; 0 */
    MM_LIMITS
};

enum mm_report_kind {
    MM_REPORT_MAPS,     /* /proc/PID/maps of mm id */
    MM_REPORT_STATM,    /* /proc/PID/statm of mm id */
    MM_REPORT_CAPS,     /* the capability table of mm id's process; of the server itself for id 1 */
    MM_REPORT_MEMINFO,  /* /proc/meminfo */
    MM_REPORT_STAT,     /* all counters, kernel's and server's: "name value description" lines */
    MM_REPORT_FAULTS,   /* the last faults, oldest first */
    MM_REPORT_CMDLINE,  /* the kernel command line */
    MM_REPORT_THREAD,   /* one line about thread id: state, hart, faults minor/major */
    MM_REPORT_VMSTAT,   /* /proc/vmstat */
    MM_REPORT_MEMBLOCK, /* memory and reserved regions, as Linux's debug/memblock */
    MM_REPORT_BUDDYINFO,    /* /proc/buddyinfo */
    MM_REPORT_PAGETYPEINFO, /* /proc/pagetypeinfo */
    MM_REPORT_ZONEINFO,     /* /proc/zoneinfo */
    MM_REPORT_SLABINFO,     /* /proc/slabinfo */
    MM_REPORT_LEAK_MARK,    /* sets the leak finder's mark */
    MM_REPORT_LEAKS,        /* objects in use from after the mark, by cache and place */
    MM_REPORT_LEAK_SCAN,    /* looks for objects that nothing refers to */
    MM_REPORT_VMALLOCINFO,  /* /proc/vmallocinfo: regions of the server's own space */
    MM_REPORT_SMAPS,        /* /proc/PID/smaps of mm id */
    MM_REPORT_SMAPS_ROLLUP, /* all of them in one */
    MM_REPORT_STATUS,       /* the lines on memory of its status */
    MM_REPORT_PAGEMAP,      /* its pagemap: binary, 8 bytes a page */
    MM_REPORT_MEMMAP,       /* all memory by 2 MiB blocks: see docs/memory-server.md */
    MM_REPORT_MEMMAP_BLOCK, /* block number id, page by page */
    MM_REPORT_CMA,          /* CMA areas */
    MM_REPORT_IOMEM,        /* /proc/iomem: memory, and registers that programs may have */
    MM_REPORT_NUMA_MAPS,    /* /proc/PID/numa_maps of mm id */
    MM_REPORT_KINDS
};

/* Strings are copied from the caller: argc + envc NUL-terminated strings, one after the other. */
struct mm_exec {
    uint64_t file_object; /* handle of the image; 0: a byte range of the initrd archive, this: */
    uint64_t file_start;
    uint64_t file_bytes;
    uint64_t strings; /* address in the caller */
    uint64_t strings_bytes;
    uint32_t argc;
    uint32_t envc;
    uint64_t name;             /* id of the file, shown in maps: address of a NUL-terminated path */
    uint64_t entry;            /* out: where the thread starts */
    uint64_t sp;               /* out: its first stack pointer */
    uint64_t interpreter_name; /* the dynamic loader that the image names: address of a */
                               /* NUL-terminated path; 0: it names none */
    uint64_t interpreter_object; /* and as above */
    uint64_t interpreter_start;
    uint64_t interpreter_bytes;
    uint64_t fixed; /* bool: nothing is placed at random (ADDR_NO_RANDOMIZE) */
};

struct mm_thread {
    uint64_t badge;    /* how the personality knows it */
    uint64_t hart;     /* where it runs */
    uint64_t priority; /* 1..MM_PRIORITY_MAX */
    uint64_t slot; /* of the caller's table, where it gets the Thread with RIGHT_CONTROL; 0: not */
    uint64_t like; /* a thread that waits, whose floating-point registers it gets; 0: none */
    struct user_regs regs;
};

/* What a thread has used: its faults, and the pages of the mm that it is in, now and at most. */
struct mm_thread_use {
    uint64_t minor_faults, major_faults;
    uint64_t resident, resident_peak;
};

struct mm_map_file {
    uint64_t mm;
    uint64_t address;
    uint64_t bytes;
    uint64_t prot;
    uint64_t flags;
    uint64_t file_start; /* in the initrd archive */
    uint64_t file_bytes;
    uint64_t offset;  /* in the file */
    uint64_t name;    /* address of a NUL-terminated path in the caller */
    uint64_t object;  /* handle; then file_* and name are not looked at. 0: a file of the archive */
    uint64_t nowrite; /* bool: shared, it may never become writable: the descriptor is read-only */
    uint64_t device;  /* bool: registers of a device, whose physical address is `offset`; no
                         other field on files is looked at */
};

/* Priorities: clients below the personality, the personality below the memory server. */
#define MM_PRIORITY_CLIENT      8
#define MM_PRIORITY_MAX         15
#define MM_PRIORITY_PERSONALITY 24
#define MM_PRIORITY_SERVER      31

/*
 * The personality's own start: one process, its image /sbin/linux in the initrd, with one worker
 * per hart. The memory server gives it these capabilities and this page of numbers.
 */
#define LINUX_SLOT_TABLE          1 /* its own table */
#define LINUX_SLOT_SPACE          2 /* its own space, RIGHT_COPY */
#define LINUX_SLOT_ENDPOINT       3 /* its endpoint, all rights; every client's personality route */
#define LINUX_SLOT_KERNEL         4 /* log, power, counters */
#define LINUX_SLOT_UART_MEMORY    5 /* mapped at LINUX_UART_ADDRESS */
#define LINUX_SLOT_UART_INTERRUPT 6
#define LINUX_SLOT_NOTIFICATION   7  /* bound to the worker on hart 0 */
#define LINUX_SLOT_WORKER         16 /* + hart: Thread, all rights, not yet bound */
#define LINUX_SLOT_FREE           128
#define LINUX_TABLE_PAGES         24

#define LINUX_UART_ADDRESS   0x30000000UL
#define LINUX_INITRD_ADDRESS 0x2000000000UL /* the archive, mapped read-only */
#define LINUX_START_ADDRESS  0x2f000000UL   /* struct linux_start, one page, read-only */

struct linux_start {
    uint64_t initrd_bytes;
    uint64_t harts;
    uint64_t timebase_hz;
    uint64_t uart_bytes; /* 0: no UART was found */
    uint64_t uart_interrupt;
    uint64_t memory_bytes;
    uint64_t rng_seed;
    uint64_t real_ns; /* of the clock of day, since 1970; 0: there is none */
    char args[1024];
};

#endif

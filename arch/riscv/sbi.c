/* Calls to the firmware: see sbi.h. */
#include "arch/riscv/sbi.h"
#include "kernel/assert.h"
#include "kernel/types.h"

#include <stdio.h>

#define EXTENSION_BASE   0x10u
#define EXTENSION_TIME   0x54494d45u
#define EXTENSION_IPI    0x735049u
#define EXTENSION_RFENCE 0x52464e43u
#define EXTENSION_HSM    0x48534du
#define EXTENSION_SRST   0x53525354u
#define EXTENSION_DBCN   0x4442434eu
#define LEGACY_PUTCHAR   1u
#define LEGACY_SHUTDOWN  8u

enum {
    BASE_SPEC_VERSION = 0,
    BASE_IMPLEMENTATION = 1,
    BASE_IMPLEMENTATION_VERSION = 2,
    BASE_PROBE = 3
};
enum { RFENCE_CODE = 0, RFENCE_RANGE = 1, RFENCE_RANGE_ASID = 2 };
enum { DBCN_WRITE_BYTE = 2 };

struct sbi_result {
    long error;
    uint64_t value;
};

static bool has_srst, has_dbcn;
static uint64_t spec_version, implementation, implementation_version;

static struct sbi_result sbi_call(uint64_t extension, uint64_t function, uint64_t arg0,
                                  uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a3 __asm__("a3") = arg3;
    register uint64_t a4 __asm__("a4") = arg4;
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return (struct sbi_result){.error = (long)a0, .value = a1};
}

BOOT_ONLY static bool probe(uint64_t extension)
{
    struct sbi_result r = sbi_call(EXTENSION_BASE, BASE_PROBE, extension, 0, 0, 0, 0);
    return r.error == 0 && r.value != 0;
}

BOOT_ONLY bool sbi_init(const char **missing)
{
    static const struct {
        uint32_t extension;
        const char *name;
    } needed[] = {
        {EXTENSION_TIME, "TIME"},
        {EXTENSION_IPI, "IPI"},
        {EXTENSION_RFENCE, "RFENCE"},
        {EXTENSION_HSM, "HSM"},
    };
    spec_version = sbi_call(EXTENSION_BASE, BASE_SPEC_VERSION, 0, 0, 0, 0, 0).value;
    implementation = sbi_call(EXTENSION_BASE, BASE_IMPLEMENTATION, 0, 0, 0, 0, 0).value;
    implementation_version =
        sbi_call(EXTENSION_BASE, BASE_IMPLEMENTATION_VERSION, 0, 0, 0, 0, 0).value;
    has_srst = probe(EXTENSION_SRST);
    has_dbcn = probe(EXTENSION_DBCN);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (!probe(needed[i].extension)) {
            *missing = needed[i].name;
            return false;
        }
    }
    return true;
}

BOOT_ONLY void sbi_describe(char *text, size_t bytes)
{
    snprintf(text, bytes, "SBI %u.%u, firmware %u version %u.%u%s",
             (unsigned)(spec_version >> 24 & 0x7f), (unsigned)(spec_version & 0xffffff),
             (unsigned)implementation, (unsigned)(implementation_version >> 16),
             (unsigned)(implementation_version & 0xffff), has_dbcn ? ", DBCN" : "");
}

void sbi_console_write(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (has_dbcn)
            sbi_call(EXTENSION_DBCN, DBCN_WRITE_BYTE, (uint8_t)text[i], 0, 0, 0, 0);
        else
            sbi_call(LEGACY_PUTCHAR, 0, (uint8_t)text[i], 0, 0, 0, 0);
    }
}

void sbi_timer_set(uint64_t deadline)
{
    sbi_call(EXTENSION_TIME, 0, deadline, 0, 0, 0, 0);
}

void sbi_interrupt(uint64_t mask, uint64_t base)
{
    struct sbi_result r = sbi_call(EXTENSION_IPI, 0, mask, base, 0, 0, 0);
    kassert(r.error == 0);
}

void sbi_fence_code(uint64_t mask, uint64_t base)
{
    struct sbi_result r = sbi_call(EXTENSION_RFENCE, RFENCE_CODE, mask, base, 0, 0, 0);
    kassert(r.error == 0);
}

void sbi_fence_range(uint64_t mask, uint64_t base, uint64_t start, uint64_t bytes)
{
    struct sbi_result r = sbi_call(EXTENSION_RFENCE, RFENCE_RANGE, mask, base, start, bytes, 0);
    kassert(r.error == 0);
}

void sbi_fence_range_asid(uint64_t mask, uint64_t base, uint64_t start, uint64_t bytes,
                          uint64_t asid)
{
    struct sbi_result r =
        sbi_call(EXTENSION_RFENCE, RFENCE_RANGE_ASID, mask, base, start, bytes, asid);
    kassert(r.error == 0);
}

bool sbi_hart_start(uint64_t machine_id, uint64_t physical_entry, uint64_t opaque)
{
    return sbi_call(EXTENSION_HSM, 0, machine_id, physical_entry, opaque, 0, 0).error == 0;
}

void sbi_power_off(bool failure)
{
    if (has_srst)
        sbi_call(EXTENSION_SRST, 0, 0, failure, 0, 0, 0);
    sbi_call(LEGACY_SHUTDOWN, 0, 0, 0, 0, 0, 0);
}

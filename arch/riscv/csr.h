/* Control and status registers by number, so that every assembler knows them. */
#ifndef ARCH_RISCV_CSR_H
#define ARCH_RISCV_CSR_H

#define CSR_SSTATUS    0x100
#define CSR_SIE        0x104
#define CSR_STVEC      0x105
#define CSR_SCOUNTEREN 0x106
#define CSR_SENVCFG    0x10a
#define CSR_SSCRATCH   0x140
#define CSR_SEPC       0x141
#define CSR_SCAUSE     0x142
#define CSR_STVAL      0x143
#define CSR_SIP        0x144
#define CSR_STIMECMP   0x14d
#define CSR_SATP       0x180
#define CSR_TIME       0xc01
#define CSR_INSTRET    0xc02

#define SSTATUS_SIE        (1UL << 1)
#define SSTATUS_SPIE       (1UL << 5)
#define SSTATUS_SPP        (1UL << 8)
#define SSTATUS_FS         (3UL << 13)
#define SSTATUS_FS_INITIAL (1UL << 13)
#define SSTATUS_FS_CLEAN   (2UL << 13)
#define SSTATUS_VS         (3UL << 9)
#define SSTATUS_SUM        (1UL << 18)
#define SSTATUS_MXR        (1UL << 19)

#define INTERRUPT_SOFTWARE (1UL << 1) /* bits of sie and sip */
#define INTERRUPT_TIMER    (1UL << 5)
#define INTERRUPT_EXTERNAL (1UL << 9)

#define SENVCFG_CBZE (1UL << 7) /* user mode may use cbo.zero */

#define SATP_MODE_SHIFT 60
#define SATP_MODE_SV39  8UL /* Sv48 is 9, Sv57 is 10 */
#define SATP_ASID_SHIFT 44
#define SATP_ASID_MASK  0xffffUL
#define SATP_PPN_MASK   ((1UL << 44) - 1)

#ifndef __ASSEMBLER__
#include <stdint.h>

#define CSR_TEXT(n) #n
#define csr_read(number)                                                               \
    ({                                                                                 \
        uint64_t csr_value;                                                            \
        __asm__ volatile("csrr %0, " CSR_TEXT(number) : "=r"(csr_value) : : "memory"); \
        csr_value;                                                                     \
    })
#define csr_write(number, value) \
    __asm__ volatile("csrw " CSR_TEXT(number) ", %0" : : "rK"((uint64_t)(value)) : "memory")
#define csr_set(number, bits) \
    __asm__ volatile("csrs " CSR_TEXT(number) ", %0" : : "rK"((uint64_t)(bits)) : "memory")
#define csr_clear(number, bits) \
    __asm__ volatile("csrc " CSR_TEXT(number) ", %0" : : "rK"((uint64_t)(bits)) : "memory")
#endif

#endif

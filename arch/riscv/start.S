/*
 * The first instructions of the boot hart and of every other hart, and the vector that is in force
 * until a hart has set up its own.
 *
 * The firmware enters with address translation off, so the code before the jump to the link address
 * runs at its physical address: it is position-independent (lla), and takes no absolute address but
 * those it loads as data.
 *
 * Early tables: one level-2 table serves as the root of Sv39 and, below them, of Sv48 and Sv57: it
 * maps the lowest 256 GiB onto themselves and, at the link address, the gigabyte of the image. All of
 * that goes away with the final tables.
 */
#include "arch/riscv/csr.h"

        .option norelax

#define LEAF_RWX_AD 0xcf /* V R W X A D */
#define ENTRY_V     1

        .section .text.start, "ax"

/*
 * a0 = hart id, a1 = physical address of the device tree.
 *
 * Only the boot hart belongs here. Some firmware (OpenSBI 1.1) can send a hart that is being started
 * to the entry of before; it hands itself back, and is started again (kernel/boot.c).
 */
        .globl  start
start:
        csrw    CSR_SIE, zero
        lla     t0, boot_hart_came
        li      t1, 1
        amoswap.w t1, t1, (t0)
        beqz    t1, 1f
        li      a7, 0x48534d    /* SBI hart state management: stop */
        li      a6, 1
        ecall
2:      wfi
        j       2b
        .pushsection .data
        .balign 4
boot_hart_came:
        .word   0               /* in .data: .bss is cleared after this was read */
        .popsection
1:
        mv      s0, a0
        mv      s1, a1
        lla     t0, image_bss_start
        lla     t1, image_bss_end
1:      sd      zero, 0(t0)
        addi    t0, t0, 8
        bltu    t0, t1, 1b

        /* 256 gigapages onto themselves */
        lla     t0, boot_table_sv39
        li      t1, LEAF_RWX_AD
        li      t2, 1 << 28
        li      t3, 256 * 8
        add     t3, t3, t0
1:      sd      t1, 0(t0)
        add     t1, t1, t2
        addi    t0, t0, 8
        bltu    t0, t3, 1b
        /* The gigabyte of the image at index 510, the one at the link address. */
        lla     t0, boot_table_sv39
        ld      t1, 2 * 8(t0)
        li      t2, 510 * 8
        add     t2, t2, t0
        sd      t1, 0(t2)
        /* Sv48 and Sv57: first and last entry of each root */
        srli    t1, t0, 2
        ori     t1, t1, ENTRY_V
        lla     t0, boot_table_sv48
        call    first_and_last
        srli    t1, t0, 2
        ori     t1, t1, ENTRY_V
        lla     t0, boot_table_sv57
        call    first_and_last

        lla     t0, boot_table_sv39
        srli    t0, t0, 12
        li      t1, SATP_MODE_SV39 << SATP_MODE_SHIFT
        or      t0, t0, t1
        sfence.vma
        csrw    CSR_SATP, t0
        sfence.vma
        lla     t0, start_high_address
        ld      t0, 0(t0)
        jr      t0

/* t0 = root table, t1 = entry */
first_and_last:
        sd      t1, 0(t0)
        li      t2, 511 * 8
        add     t2, t2, t0
        sd      t1, 0(t2)
        ret

start_high:
        lla     t0, early_trap
        csrw    CSR_STVEC, t0
        csrw    CSR_SSCRATCH, zero
        lla     sp, boot_stack_top
        li      tp, 0
        li      s11, 0
        mv      a0, s0
        mv      a1, s1
        call    riscv_start

/* Every other hart: a0 = hart id, a1 = top of its stack in the linear map, where its struct hart is
 * stored. The final tables do not map physical addresses, so the fetch after the satp write faults
 * and goes on at the vector, which is the link address of the same place. */
        .globl  start_secondary
        .balign 4
start_secondary:
        csrw    CSR_SIE, zero
        lla     t0, riscv_kernel_satp
        ld      t0, 0(t0)
        lla     t1, secondary_high_address
        ld      t1, 0(t1)
        csrw    CSR_STVEC, t1
        sfence.vma
        csrw    CSR_SATP, t0
        .balign 4
secondary_high:
        sfence.vma
        lla     t0, early_trap
        csrw    CSR_STVEC, t0
        csrw    CSR_SSCRATCH, zero
        mv      sp, a1
        ld      tp, 0(sp)
        mv      a0, tp
        call    kernel_hart_main

/* A trap before the hart's own vector is set: a bug, or a device tree that lies about memory. */
        .balign 4
early_trap:
        lla     sp, boot_stack_top
        csrr    a0, CSR_SCAUSE
        csrr    a1, CSR_SEPC
        csrr    a2, CSR_STVAL
        call    riscv_early_trap

/* bool riscv_probe_store(volatile uint64_t *at, uint64_t value): false if the store traps */
        .globl  riscv_probe_store
riscv_probe_store:
        csrr    t0, CSR_STVEC
        lla     t1, probe_trapped
        csrw    CSR_STVEC, t1
        sd      a1, 0(a0)
        li      a0, 1
        csrw    CSR_STVEC, t0
        ret
        .balign 4
probe_trapped:
        li      t1, SSTATUS_SPP /* this trap is not returned from: the next sret goes to user mode */
        csrc    CSR_SSTATUS, t1
        li      a0, 0
        csrw    CSR_STVEC, t0
        ret

/* void riscv_on_stack(void *top, void (*function)(void)): go on there, for good */
        .globl  riscv_on_stack
riscv_on_stack:
        mv      sp, a0
        ld      tp, 0(sp)
        jalr    a1

        .balign 8
start_high_address:
        .dword  start_high
secondary_high_address:
        .dword  secondary_high

        .section .bss.boot_tables, "aw", @nobits
        .balign 4096
        .globl  boot_table_sv39, boot_table_sv48, boot_table_sv57
boot_table_sv39:
        .space  4096
boot_table_sv48:
        .space  4096
boot_table_sv57:
        .space  4096

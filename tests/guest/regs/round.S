/*
 * void regs_round(unsigned kind)
 *
 * Loads x1..x31 (sp, gp and tp too) from regs_in, enters the kernel in the way that `kind` says,
 * and stores x1..x31 to regs_out. Nothing but the entry itself happens while the registers hold
 * the test's values; x31 waits in ft0 while its register is needed as a pointer.
 *
 *   0  load from the address in t0        3  loop t0 times (to be preempted)
 *   1  store to the address in t0         4  jump to the address in t0, which returns through t1
 *   2  ecall with a0-a7 as loaded
 */
    .option norelax
    .bss
    .balign 8
saved_sp: .space 8

    .text
    .globl regs_round
    .type regs_round, @function
regs_round:
    addi sp, sp, -128
    sd ra, 0(sp)
    sd gp, 8(sp)
    sd tp, 16(sp)
    sd s0, 24(sp)
    sd s1, 32(sp)
    sd s2, 40(sp)
    sd s3, 48(sp)
    sd s4, 56(sp)
    sd s5, 64(sp)
    sd s6, 72(sp)
    sd s7, 80(sp)
    sd s8, 88(sp)
    sd s9, 96(sp)
    sd s10, 104(sp)
    sd s11, 112(sp)
    la t0, saved_sp
    sd sp, 0(t0)
    slli a0, a0, 2
    la t1, entries
    add t1, t1, a0
    jr t1
    .option push
    .option norvc
entries:
    j by_load
    j by_store
    j by_ecall
    j by_loop
    j by_jump
    .option pop

.macro load_all
    la x31, regs_in
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, 8*\n(x31)
    .endr
.endm

by_load:
    load_all
    ld zero, 0(t0)
    j done
by_store:
    load_all
    sd zero, 0(t0)
    j done
by_ecall:
    load_all
    ecall
    j done
by_loop:
    load_all
1:  addi t0, t0, -1
    bnez t0, 1b
    j done
by_jump:
    /* the page at t0 holds `jr t1`; t1 must be here */
    la x31, regs_in
    la t1, done
    sd t1, 8*6(x31)
    load_all
    jr t0
done:
    fmv.d.x ft0, x31
    la x31, regs_out
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    sd x\n, 8*\n(x31)
    .endr
    fmv.x.d x30, ft0
    sd x30, 8*31(x31)

    la t0, saved_sp
    ld sp, 0(t0)
    ld ra, 0(sp)
    ld gp, 8(sp)
    ld tp, 16(sp)
    ld s0, 24(sp)
    ld s1, 32(sp)
    ld s2, 40(sp)
    ld s3, 48(sp)
    ld s4, 56(sp)
    ld s5, 64(sp)
    ld s6, 72(sp)
    ld s7, 80(sp)
    ld s8, 88(sp)
    ld s9, 96(sp)
    ld s10, 104(sp)
    ld s11, 112(sp)
    addi sp, sp, 128
    ret
    .size regs_round, . - regs_round
    .section .note.GNU-stack, "", @progbits

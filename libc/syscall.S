/*
 * The two places where a program enters the kernel: pg_syscall and pg_clone.
 */

/* long pg_syscall(long nr, a0, a1, a2, a3, a4, a5) */
    .section .text.pg_syscall, "ax", @progbits
    .globl pg_syscall
    .type pg_syscall, @function
pg_syscall:
    mv a7, a0
    mv a0, a1
    mv a1, a2
    mv a2, a3
    mv a3, a4
    mv a4, a5
    mv a5, a6
    ecall
    ret
    .size pg_syscall, . - pg_syscall

/*
 * long pg_clone(flags, stack_end, parent_tid, tls, child_tid, fn, arg)
 * The child finds fn and arg at the top of its new stack; it has no caller to return to.
 */
    .section .text.pg_clone, "ax", @progbits
    .globl pg_clone
    .type pg_clone, @function
pg_clone:
    addi a1, a1, -16
    sd a5, 0(a1)
    sd a6, 8(a1)
    li a7, 220
    ecall
    beqz a0, 1f
    ret
1:
    ld t0, 0(sp)
    ld a0, 8(sp)
    addi sp, sp, 16
    li ra, 0
    li s0, 0
    jalr t0
    li a7, 93
    ecall
    ebreak
    .size pg_clone, . - pg_clone

    .section .note.GNU-stack, "", @progbits

/*
 * Program entry. The kernel enters with sp at the argument block:
 *   argc, argv[0..argc-1], NULL, envp[...], NULL, (type, value) pairs, AT_NULL.
 * Nothing else is promised: gp and tp are set here and in start.c.
 */
    .section .text._start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined ra
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    mv a0, sp
    andi sp, sp, -16
    li ra, 0
    li s0, 0
    call pg_start
    ebreak
    .cfi_endproc
    .size _start, . - _start

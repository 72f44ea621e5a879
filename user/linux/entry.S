/*
 * Where the kernel enters a worker: 16 bytes for each kind of entry (enum enter_kind), and the calls
 * that end a worker's turn. sp and tp are as bound; the arguments are where C wants them; gp is the
 * client's and is set here. There is nothing to return to.
 */
#include <pagoda/call.h>
#include <pagoda/kept.inc>

    /* For the trampoline at the end, which is entered by programs. */
    .attribute arch, "rv64i2p0_m2p0_a2p0_f2p0_d2p0_c2p0"

    .section .text.worker, "ax", @progbits
    .option norvc

    .macro enter name
    .balign 16
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    j \name
    .endm

    .balign 16
    .globl worker_entry
    .type worker_entry, @function
worker_entry:
    enter worker_fault
    enter worker_call
    enter worker_message
    enter worker_signal
    enter worker_park /* idle entries are not asked for */
    .balign 16
    .size worker_entry, . - worker_entry

/* worker_reply_park(), and the client's turn is over. */
    .globl worker_reply_last
    .type worker_reply_last, @function
worker_reply_last:
    li a7, CALL_REPLY_LAST
    ecall
    j worker_park
    .size worker_reply_last, . - worker_reply_last

/* Answer the client and park. Coming back means that the client is gone or was stopped meanwhile. */
    .globl worker_reply_park
    .type worker_reply_park, @function
worker_reply_park:
    li a7, CALL_REPLY_PARK
    ecall
    .size worker_reply_park, . - worker_reply_park
    /* falls through */

    .globl worker_park
    .type worker_park, @function
worker_park:
    li a0, 0
    li a7, CALL_PARK
    ecall
    /* Refused: a client waits whose right to answer was not kept. */
    j worker_park_refused
    .size worker_park, . - worker_park

/* long kcall_call(endpoint): keeps what C expects to be kept around a call that keeps nothing. */
    .globl kcall_call
    .type kcall_call, @function
kcall_call:
    kept_save
    li a7, CALL_CALL
    ecall
    kept_restore
    ret
    .size kcall_call, . - kcall_call

/* worker_push(push, badge), worker_pop(space, address, badge): coming back is a refusal. */
    .globl worker_push
    .type worker_push, @function
worker_push:
    addi sp, sp, -16
    sd a1, 0(sp)
    ld a1, 8(a0)
    ld a2, 16(a0)
    ld a3, 24(a0)
    ld a4, 32(a0)
    ld s0, 40(a0)
    ld s1, 48(a0)
    ld s2, 56(a0)
    ld s3, 64(a0)
    ld s4, 72(a0)
    ld s5, 80(a0)
    ld s6, 88(a0)
    ld s7, 96(a0)
    ld s8, 104(a0)
    li s9, 0
    li s10, 0
    li s11, 0
    ld a0, 0(a0)
    li a7, CALL_REPLY_PUSH
    ecall
    ld a0, 0(sp)
    j worker_straight_refused
    .size worker_push, . - worker_push

    .globl worker_pop
    .type worker_pop, @function
worker_pop:
    addi sp, sp, -16
    sd a2, 0(sp)
    li a7, CALL_REPLY_POP
    ecall
    ld a0, 0(sp)
    j worker_straight_refused
    .size worker_pop, . - worker_pop

/*
 * The page that is mapped into every process that handles signals: where a handler is called from.
 * Entered in user mode with sp = struct linux_sigframe, of which only context.regs is written, and
 * s0..s8 = struct trampoline_registers. The rest of the frame is written here, by the program's own
 * rights; so are the floating-point registers saved and restored, because those that the
 * personality can reach are the integer ones. At the end all that the return needs beside the
 * registers is handed over in a0..a5. The page is mapped from this program's own file.
 */
#define FRAME_CONTEXT 128
#define FRAME_STACK   (FRAME_CONTEXT + 16)
#define FRAME_MASK    (FRAME_CONTEXT + 40)
#define FRAME_F       560 /* offset of context.fp.d.f */
#define FRAME_FCSR    816
#define FRAME_END     1080 /* the last word: no further records of state follow */

/* This program has no floating point of its own, and so no mnemonics for it. */
    .macro fp_store register offset /* fsd register, offset(sp) */
    .4byte ((\offset) >> 5) << 25 | (\register) << 20 | 2 << 15 | 3 << 12 | ((\offset) & 31) << 7 | 0x27
    .endm
    .macro fp_load register offset /* fld register, offset(sp) */
    .4byte (\offset) << 20 | 2 << 15 | 3 << 12 | (\register) << 7 | 0x07
    .endm
#define FCSR_TO_T1   .4byte 0x00302373 /* frcsr t1 */
#define FCSR_FROM_T1 .4byte 0x00331073 /* fscsr t1 */

    .section .text.trampoline, "ax", @progbits
    .balign 4096
    .globl signal_trampoline
    .type signal_trampoline, @function
signal_trampoline:
    sd s0, 0(sp)
    sd s1, 8(sp)
    sd s2, 16(sp)
    sd s3, 24(sp)
    .irp n, 4,5,6,7,8,9,10,11,12,13,14,15
    sd zero, 8 * \n(sp)
    .endr
    sd zero, FRAME_CONTEXT(sp)
    sd zero, FRAME_CONTEXT + 8(sp)
    sd s6, FRAME_STACK(sp)
    sd s7, FRAME_STACK + 8(sp)
    sd s8, FRAME_STACK + 16(sp)
    sd s5, FRAME_MASK(sp)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fp_store \n, FRAME_F + 8 * \n
    .endr
    FCSR_TO_T1
    sd t1, FRAME_FCSR(sp)
    sd zero, FRAME_END(sp)
    sext.w a0, s0
    mv a1, sp
    addi a2, sp, FRAME_CONTEXT
    jalr s4
    .globl signal_return
signal_return:
    lw t1, FRAME_FCSR(sp)
    FCSR_FROM_T1
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    fp_load \n, FRAME_F + 8 * \n
    .endr
    mv a0, sp
    ld a1, FRAME_MASK(sp)
    ld a2, FRAME_STACK(sp)
    ld a3, FRAME_STACK + 8(sp)
    ld a4, FRAME_STACK + 16(sp)
    li a5, 0x50414753 /* SIGRETURN_LOADED */
    li a7, 139 /* rt_sigreturn */
    ecall
    ebreak
    .balign 4096
    .size signal_trampoline, . - signal_trampoline

    .section .note.GNU-stack, "", @progbits

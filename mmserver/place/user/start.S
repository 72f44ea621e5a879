/*
 * Entry points of the server in user mode, and how a worker's turn ends.
 *
 * The kernel enters a worker at worker_entry + 16 * kind (enum enter_kind) with sp at the top of its
 * stack and tp at its struct worker. Nothing needs to be saved: the worker was parked in a call. gp
 * is the client's and is not used.
 */
#include <pagoda/call.h>
#include <pagoda/kept.inc>
#include "mmserver/server/server.h"

    .section .text.start, "ax", @progbits
    .globl _start
    .type _start, @function
_start:
    /* a0: struct boot_info */
    la      sp, boot_stack_top
    li      tp, 0
    call    server_main
1:  j       1b
    .size _start, . - _start

    .option push
    .option norvc
/* The entries of a worker: who gets a fault, and how a turn ends. */
.macro ENTRIES name, fault, end
    .balign 16
    .globl \name
    .type \name, @function
\name:
    /* fault: a0..a6 as fault_enter wants them, the worker as its eighth argument */
    mv      a7, tp
    call    \fault
    j       \end
    .balign 16
    /* call: a0..a7 as server_call wants them, the worker as its ninth */
    addi    sp, sp, -16
    sd      tp, 0(sp)
    j       \name\()_call
    .balign 16
    /* message: nobody is given the right to send one */
    j       enter_refuse
    .balign 16
    /* signal: another hart has set a flag of this worker */
    mv      a0, tp
    j       enter_signal
    .balign 16
    /* idle */
    mv      a0, tp
    j       enter_idle
    .balign 16
\name\()_call:
    call    server_call
    j       \end
    .size \name, . - \name
.endm
    ENTRIES worker_entry, fault_enter, answer
    /* apart.c: instead of the first, if the boot arguments ask for it */
    ENTRIES worker_entry_apart, fault_enter, answer_apart
    ENTRIES worker_entry_plain, fault_enter_apart, answer_apart
    .option pop

answer_apart:
    mv      a2, tp
    call    apart_answer

/* a0, a1: struct answer. Its kind is in the upper half of a1, 0: fault_reply. */
answer:
    srli    s0, a1, 32
    bnez    s0, answer_other
    fence   rw, w
/* struct answer place_fault_answer(entry, slot), place_replace_answer(entry, slot, old): jumped to
 * from the end of fault_enter(), which has put a fence behind all that it wrote */
    .globl place_fault_answer, place_replace_answer
    .type place_fault_answer, @function
    .type place_replace_answer, @function
place_fault_answer:
place_replace_answer:
    sd      zero, WORKER_SERVING(tp)
    li      a7, CALL_FAULT_REPLY
    ecall
    /* a0: -ERR_x */
    mv      a1, a0
    mv      a0, tp
    call    fault_reply_failed
    j       answer

answer_other:
    fence   rw, w
    sd      zero, WORKER_SERVING(tp)
    sd      s0, WORKER_ANSWERED(tp)
    slli    a1, a1, 32
    srli    a1, a1, 32
    li      t0, ANSWER_KIND_BATCH
    beq     s0, t0, answer_batch
    li      t0, ANSWER_KIND_REPLY
    li      a7, CALL_REPLY_PARK
    beq     s0, t0, 1f
    li      t0, ANSWER_KIND_CALL
    beq     s0, t0, answer_call
    li      t0, ANSWER_KIND_FORWARD
    li      a7, CALL_FORWARD_PARK
    beq     s0, t0, 1f
    li      a7, CALL_PARK
1:  ecall
    mv      a2, a0
    ld      a1, WORKER_ANSWERED(tp)
    mv      a0, tp
    call    server_answer_refused
    j       answer

/* struct answer place_batch_answer(space, count): the same for a batch. */
    .globl place_batch_answer
    .type place_batch_answer, @function
place_batch_answer:
    sd      zero, WORKER_SERVING(tp)
answer_batch:
    li      a7, CALL_REPLY_BATCH
    ecall
    /* a0: operations performed or -ERR_x, a1: why it stopped */
    mv      a2, a1
    mv      a1, a0
    mv      a0, tp
    call    batch_reply_failed
    j       answer

answer_call:
    /* reply_batch(space, operations, value) */
    mv      a2, a0
    mv      a0, a1
    lwu     a1, WORKER_BATCH_OPS(tp)
    li      a7, CALL_REPLY_BATCH
    ecall
    mv      a2, a1
    mv      a1, a0
    mv      a0, tp
    call    server_batch_refused
    j       answer

enter_idle:
    call    server_idle
    j       answer

enter_signal:
    call    server_signal
    j       answer

enter_refuse:
    li      a0, -ERR_CALL_VALUE
    li      a7, CALL_REPLY_PARK
    ecall
1:  li      a0, 0
    li      a7, CALL_PARK
    ecall
    j       1b

/* long place_call_switching(number, a0, a1, a2): a call that preserves only sp, tp and gp. */
    .globl place_call_switching
    .type place_call_switching, @function
place_call_switching:
    kept_save
    mv      a7, a0
    mv      a0, a1
    mv      a1, a2
    mv      a2, a3
    ecall
    kept_restore
    ret
    .size place_call_switching, . - place_call_switching

    .section .bss.boot_stack, "aw", @nobits
    .balign 16
    .space 16384
boot_stack_top:

/*
 * Workers and callers that are nothing but the calls measured.
 *
 * A worker table has an entry every 16 bytes: fault, call, message, signal, idle. What a worker does
 * not serve it parks from.
 */
#include <pagoda/call.h>
#include <pagoda/kept.inc>
#include "user/bench/native/common.h"

        .text

.macro PARK_ENTRY
        .balign 16
        li      a0, 0
        li      a7, CALL_PARK
        ecall
        ebreak
.endm

/* Answers every message with the same words. */
        .globl  bench_echo_entry
        .balign 16
bench_echo_entry:
        PARK_ENTRY
        PARK_ENTRY
        .balign 16
        li      a0, 0
        li      a7, CALL_REPLY_PARK
        ecall
        ebreak
        PARK_ENTRY
        PARK_ENTRY

/* Answers every fault with the next page of its row. tp: struct page_giver. */
        .globl  bench_map_entry
        .balign 16
bench_map_entry:
        j       give_page
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
give_page:
        ld      a0, 0(tp)
        ld      t0, 16(tp)
        ld      a1, 8(tp)
        add     t0, t0, a0
        sd      t0, 0(tp)
        li      a7, CALL_FAULT_REPLY
        ecall
refused:
        sd      a0, 24(tp)
        li      a0, SLOT_KEPT
        li      a7, CALL_REPLY_KEEP
        ecall
        li      a0, 0
        li      a7, CALL_PARK
        ecall
        ebreak

/* Answers faults with nothing, and the last one with a page. */
        .globl  bench_empty_entry
        .balign 16
bench_empty_entry:
        j       give_nothing
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
give_nothing:
        rdinstret t0
        ld      t1, 32(tp)
        ld      t2, 40(tp)
        sd      t0, 0(t1)
        addi    t1, t1, 8
        sd      t1, 32(tp)
        bgtu    t1, t2, give_page
        li      a0, 0
        li      a7, CALL_REPLY_PARK
        ecall
        j       refused

/* Answers every fault by a batch on SLOT_SPACE. tp: the number of operations. */
        .globl  bench_reply_entry
        .balign 16
bench_reply_entry:
        j       give_batch
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
        PARK_ENTRY
give_batch:
        li      a0, SLOT_SPACE
        ld      a1, 0(tp)
        li      a7, CALL_REPLY_BATCH
        ecall
        li      a0, SLOT_KEPT
        li      a7, CALL_REPLY_KEEP
        ecall
        li      a0, 0
        li      a7, CALL_PARK
        ecall
        ebreak

/* A thread: waits for SLOT_PING, signals SLOT_PONG, for ever. */
        .globl  bench_pong
bench_pong:
        li      a0, SLOT_PING
        li      a7, CALL_WAIT
        ecall
        li      a0, SLOT_PONG
        li      a1, 1
        li      a7, CALL_SIGNAL
        ecall
        j       bench_pong

/* bench_ipc_raw(endpoint, word): the words go in s2..s7 and come back. */
        .globl  bench_ipc_raw
bench_ipc_raw:
        kept_save
        sd      a1, 112(sp)
        ld      s2, 0(a1)
        ld      s3, 8(a1)
        ld      s4, 16(a1)
        ld      s5, 24(a1)
        ld      s6, 32(a1)
        ld      s7, 40(a1)
        li      a7, CALL_CALL
        rdinstret t0
        sd      t0, 104(sp)
        ecall
        rdinstret t1
        ld      t0, 104(sp)
        ld      a1, 112(sp)
        sub     t1, t1, t0
        sd      s2, 0(a1)
        sd      s3, 8(a1)
        sd      s4, 16(a1)
        sd      s5, 24(a1)
        sd      s6, 32(a1)
        sd      s7, 40(a1)
        kept_restore
        bnez    a0, 1f
        mv      a0, t1
1:      ret                             /* an error is negative */

/* bench_notify_raw(): signal SLOT_PING, wait for SLOT_PONG. */
        .globl  bench_notify_raw
bench_notify_raw:
        kept_save
        li      a0, SLOT_PING
        li      a1, 1
        li      a7, CALL_SIGNAL
        rdinstret t0
        sd      t0, 104(sp)
        ecall
        li      a0, SLOT_PONG
        li      a7, CALL_WAIT
        ecall
        rdinstret t1
        ld      t0, 104(sp)
        sub     t1, t1, t0
        kept_restore
        bnez    a0, 1f
        mv      a0, t1
1:      ret

        .section .note.GNU-stack, "", @progbits

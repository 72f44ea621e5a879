/* The call that does nothing, and copying and deleting a capability. */
#include "user/bench/native/common.h"

#define REPEAT 512U

void rows_cap(void)
{
    struct bench_row null_row, copy_row, delete_row;

    bench_open(&null_row, "null_call", BENCH_BY_OTHER, 1, REPEAT);
    bench_open(&copy_row, "cap_copy", BENCH_BY_OTHER, 1, REPEAT);
    bench_open(&delete_row, "cap_delete", BENCH_BY_OTHER, 1, REPEAT);
    for (unsigned i = 0; i < REPEAT; i++) {
        native_must("null", bench_call(&null_row, CALL_NULL, 0, 0, 0, 0, 0, 0));
        native_must("cap_copy", bench_call(&copy_row, CALL_CAP_COPY, SLOT_DONE, SELF_TABLE,
                                           SLOT_COPY, RIGHT_SIGNAL, 0, 0));
        native_must("cap_delete",
                    bench_call(&delete_row, CALL_CAP_DELETE, SELF_TABLE, SLOT_COPY, 0, 0, 0, 0));
    }
    bench_close(&null_row);
    bench_close(&copy_row);
    bench_close(&delete_row);
}

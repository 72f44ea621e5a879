/* Kernel calls, events and accesses from arbitrary bytes: see tests/host/support/kernel_steps.h. */
#include "kernel_steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kernel_steps(data, size);
    return 0;
}

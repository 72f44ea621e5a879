/* What programs ask about the machine itself: its extensions. */
#include "user/linux/calls.h"

#include "user/linux/process.h"
#include "user/linux/space.h"

/* ---- riscv_hwprobe ---- */

#define KEY_VENDOR         0
#define KEY_ARCHITECTURE   1
#define KEY_IMPLEMENTATION 2
#define KEY_BASE           3
#define KEY_EXTENSIONS     4
#define KEY_MISALIGNED     5
#define BASE_IMA           1UL
#define EXTENSION_FD       (1UL << 0)
#define EXTENSION_C        (1UL << 1)
#define PAIRS_MAX          1024

struct pair {
    int64_t key;
    uint64_t value;
};

/* Our programs are built for rv64imafdc, so there is that on every hart; nothing more is known. */
static void answer(struct pair *pair)
{
    switch (pair->key) {
    case KEY_VENDOR:
    case KEY_ARCHITECTURE:
    case KEY_IMPLEMENTATION:
    case KEY_MISALIGNED:
        pair->value = 0; /* unknown */
        break;
    case KEY_BASE:
        pair->value = BASE_IMA;
        break;
    case KEY_EXTENSIONS:
        pair->value = EXTENSION_FD | EXTENSION_C;
        break;
    default:
        pair->key = -1;
        pair->value = 0;
    }
}

/* Of all harts, which are alike: whatever subset is asked for must only have one in it. */
long linux_riscv_hwprobe(struct thread *t, const uint64_t *a)
{
    uint64_t harts = 0, bytes = a[2] < sizeof(harts) ? a[2] : sizeof(harts);
    struct pair pair;

    if (a[4] || a[1] > PAIRS_MAX || (!a[2]) != (!a[3]))
        return -LINUX_EINVAL;
    if (a[3] && copy_in(t->process->space, &harts, a[3], bytes))
        return -LINUX_EFAULT;
    if (a[3] && !(harts & threads_all_harts()))
        return -LINUX_EINVAL;
    for (uint64_t i = 0; i < a[1]; i++) {
        if (copy_in(t->process->space, &pair, a[0] + i * sizeof(pair), sizeof(pair)))
            return -LINUX_EFAULT;
        answer(&pair);
        if (copy_out(t->process->space, a[0] + i * sizeof(pair), &pair, sizeof(pair)))
            return -LINUX_EFAULT;
    }
    return 0;
}

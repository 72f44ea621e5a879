/*
 * The one place where kernel error numbers become errno.
 *
 * The kernel answers with Linux's numbers. The C library was compiled with newlib's, which agree
 * up to 34 and differ above (ENOSYS is 38 there and 88 here), and its strerror and its own errors
 * use those. So numbers are translated once, here, and `errno == ENOSYS` and strerror both hold.
 */
#define __LINUX_ERRNO_EXTENSIONS__
#include <errno.h>

#include "pg.h"

#define LINUX_ERRNO_SAME_MAX 34
#define LINUX_ERRNO_MAX      4095

/* Indexed by Linux's number; 0: errno.h has no name for it. */
static const unsigned char from_linux[] = {
    [35] = EDEADLK,         [36] = ENAMETOOLONG,  [37] = ENOLCK,       [38] = ENOSYS,
    [39] = ENOTEMPTY,       [40] = ELOOP,         [42] = ENOMSG,       [43] = EIDRM,
    [44] = ECHRNG,          [45] = EL2NSYNC,      [46] = EL3HLT,       [47] = EL3RST,
    [48] = ELNRNG,          [49] = EUNATCH,       [50] = ENOCSI,       [51] = EL2HLT,
    [52] = EBADE,           [53] = EBADR,         [54] = EXFULL,       [55] = ENOANO,
    [56] = EBADRQC,         [57] = EBADSLT,       [59] = EBFONT,       [60] = ENOSTR,
    [61] = ENODATA,         [62] = ETIME,         [63] = ENOSR,        [64] = ENONET,
    [65] = ENOPKG,          [66] = EREMOTE,       [67] = ENOLINK,      [68] = EADV,
    [69] = ESRMNT,          [70] = ECOMM,         [71] = EPROTO,       [72] = EMULTIHOP,
    [73] = EDOTDOT,         [74] = EBADMSG,       [75] = EOVERFLOW,    [76] = ENOTUNIQ,
    [77] = EBADFD,          [78] = EREMCHG,       [79] = ELIBACC,      [80] = ELIBBAD,
    [81] = ELIBSCN,         [82] = ELIBMAX,       [83] = ELIBEXEC,     [84] = EILSEQ,
    [86] = ESTRPIPE,        [87] = EUSERS,        [88] = ENOTSOCK,     [89] = EDESTADDRREQ,
    [90] = EMSGSIZE,        [91] = EPROTOTYPE,    [92] = ENOPROTOOPT,  [93] = EPROTONOSUPPORT,
    [94] = ESOCKTNOSUPPORT, [95] = EOPNOTSUPP,    [96] = EPFNOSUPPORT, [97] = EAFNOSUPPORT,
    [98] = EADDRINUSE,      [99] = EADDRNOTAVAIL, [100] = ENETDOWN,    [101] = ENETUNREACH,
    [102] = ENETRESET,      [103] = ECONNABORTED, [104] = ECONNRESET,  [105] = ENOBUFS,
    [106] = EISCONN,        [107] = ENOTCONN,     [108] = ESHUTDOWN,   [109] = ETOOMANYREFS,
    [110] = ETIMEDOUT,      [111] = ECONNREFUSED, [112] = EHOSTDOWN,   [113] = EHOSTUNREACH,
    [114] = EALREADY,       [115] = EINPROGRESS,  [116] = ESTALE,      [122] = EDQUOT,
    [123] = ENOMEDIUM,      [125] = ECANCELED,    [130] = EOWNERDEAD,  [131] = ENOTRECOVERABLE,
};

int pg_errno_from_linux(int linux_errno)
{
    if (linux_errno <= LINUX_ERRNO_SAME_MAX)
        return linux_errno;
    if (linux_errno < (int)sizeof(from_linux) && from_linux[linux_errno] != 0)
        return from_linux[linux_errno];
    return __ELASTERROR + linux_errno;
}

long pg_ret(long raw)
{
    if ((unsigned long)raw < -(unsigned long)LINUX_ERRNO_MAX)
        return raw;
    errno = pg_errno_from_linux((int)-raw);
    return -1;
}

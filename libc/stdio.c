/*
 * The standard streams, and fopen with Linux's open flags (the C library's passes its own).
 *
 * stdin and stdout are buffered, stdout up to the end of a line; stderr up to the end of a line
 * too, so that a message leaves in one write. A destructor flushes what is left at exit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio-bufio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE 1024

static char in_buffer[BUFFER_SIZE], out_buffer[BUFFER_SIZE], err_buffer[BUFFER_SIZE];

static struct __file_bufio in_file =
    FDEV_SETUP_BUFIO(0, in_buffer, BUFFER_SIZE, read, write, lseek, close, __SRD, 0);
static struct __file_bufio out_file =
    FDEV_SETUP_BUFIO(1, out_buffer, BUFFER_SIZE, read, write, lseek, close, __SWR, __BLBF);
static struct __file_bufio err_file =
    FDEV_SETUP_BUFIO(2, err_buffer, BUFFER_SIZE, read, write, lseek, close, __SWR, __BLBF);

FILE *const stdin = &in_file.xfile.cfile.file;
FILE *const stdout = &out_file.xfile.cfile.file;
FILE *const stderr = &err_file.xfile.cfile.file;

__attribute__((constructor)) static void stdio_start(void)
{
    __bufio_lock_init(stdin);
    __bufio_lock_init(stdout);
    __bufio_lock_init(stderr);
}

__attribute__((destructor)) static void stdio_end(void)
{
    fflush(stdout);
    fflush(stderr);
}

/* The open flags of an fopen mode, or -1 when it is none. */
static int mode_flags(const char *mode)
{
    int flags;

    switch (mode[0]) {
    case 'r':
        flags = O_RDONLY;
        break;
    case 'w':
        flags = O_WRONLY | O_CREAT | O_TRUNC;
        break;
    case 'a':
        flags = O_WRONLY | O_CREAT | O_APPEND;
        break;
    default:
        return -1;
    }
    if (strchr(mode, '+') != NULL)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    if (strchr(mode, 'e') != NULL)
        flags |= O_CLOEXEC;
    return flags;
}

FILE *fopen(const char *path, const char *mode)
{
    int flags = mode_flags(mode);

    if (flags < 0) {
        errno = EINVAL;
        return NULL;
    }
    int fd = open(path, flags, 0666);
    if (fd < 0)
        return NULL;
    FILE *file = fdopen(fd, mode);
    if (file == NULL)
        close(fd);
    return file;
}

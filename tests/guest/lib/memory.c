/* What the tests about memory share: mapping, comparing, reading /proc. */
#include "ktap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t ktap_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ul);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ul;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebul;
    return z ^ (z >> 31);
}

void *ktap_map(size_t length, int prot)
{
    void *start = mmap(NULL, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (start != MAP_FAILED)
        return start;
    ktap_fail(__FILE__, __LINE__, "mmap of %zu bytes: %s", length, strerror(errno));
    return NULL;
}

bool ktap_all_bytes(const void *start, size_t length, uint8_t value)
{
    const uint8_t *bytes = start;

    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

/* The whole file as a string that the caller frees; NULL when it cannot be read. */
static char *read_file(const char *path)
{
    size_t used = 0, size = 16384;
    char *text = malloc(size);
    int fd = open(path, O_RDONLY);
    ssize_t got = -1;

    while (fd >= 0 && text != NULL && (got = read(fd, text + used, size - used - 1)) > 0) {
        used += (size_t)got;
        if (used == size - 1)
            break;
    }
    if (fd >= 0)
        close(fd);
    if (got < 0) {
        free(text);
        return NULL;
    }
    text[used] = '\0';
    return text;
}

int ktap_vmas(const void *start, const void *end, struct ktap_vma *out, int max)
{
    char *text = read_file("/proc/self/maps"), *line = text;
    int count = 0;

    if (text == NULL) {
        ktap_fail(__FILE__, __LINE__, "/proc/self/maps: %s", strerror(errno));
        return -1;
    }
    while (*line != '\0' && count < max) {
        char *next;
        struct ktap_vma *vma = &out[count];
        vma->start = strtoul(line, &next, 16);
        vma->end = strtoul(next + 1, &next, 16);
        memcpy(vma->prot, next + 1, 4);
        vma->prot[4] = '\0';
        count += vma->start < (uintptr_t)end && vma->end > (uintptr_t)start;
        line = strchr(next, '\n');
        if (line == NULL)
            break;
        line++;
    }
    free(text);
    return count;
}

long ktap_proc_number(const char *path, const char *name)
{
    char *text = read_file(path);
    char *at = text != NULL ? strstr(text, name) : NULL;
    long value = at != NULL ? strtol(at + strlen(name) + 1, NULL, 10) : -1;

    free(text);
    return value;
}

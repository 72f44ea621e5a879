/* ELF executables for riscv64: see elf.h. Fields are read with memcpy, as files need no alignment.
 */
#include "lib/elf.h"

#include <string.h>

#define ELF_FILE_HEADER_BYTES 64u
#define EM_RISCV              243u

enum { ET_EXEC = 2, ET_DYN = 3 };
enum { PT_LOAD = 1, PT_INTERP = 3, PT_TLS = 7, PT_GNU_STACK = 0x6474e551 };

struct file_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_offset, section_offset;
    uint32_t flags;
    uint16_t header_bytes, program_entry_bytes, program_count;
    uint16_t section_entry_bytes, section_count, section_names;
};

struct program_header {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};

_Static_assert(sizeof(struct file_header) == ELF_FILE_HEADER_BYTES, "ELF64 file header");
_Static_assert(sizeof(struct program_header) == ELF_HEADER_BYTES, "ELF64 program header");

static struct program_header read_program_header(const struct elf_image *image, unsigned i)
{
    struct program_header h;
    memcpy(&h, image->file + image->header_offset + (size_t)i * ELF_HEADER_BYTES, sizeof h);
    return h;
}

static void segment_from(struct elf_segment *s, const struct program_header *h)
{
    s->address = h->address;
    s->memory_bytes = h->memory_bytes;
    s->file_offset = h->offset;
    s->file_bytes = h->file_bytes;
    s->align = h->align;
    s->flags = h->flags;
}

static int check_file_header(struct elf_image *image, const struct file_header *h)
{
    enum { CLASS_64 = 2, DATA_LSB = 1, VERSION_CURRENT = 1 };
    if (memcmp(h->ident, "\177ELF", 4) != 0)
        return ELF_MAGIC;
    if (h->ident[4] != CLASS_64 || h->ident[5] != DATA_LSB || h->ident[6] != VERSION_CURRENT ||
        h->version != VERSION_CURRENT || h->machine != EM_RISCV)
        return ELF_MACHINE;
    if (h->type != ET_EXEC && h->type != ET_DYN)
        return ELF_TYPE;
    if (h->program_entry_bytes != ELF_HEADER_BYTES || h->program_count == 0 ||
        h->program_count > ELF_SEGMENTS_MAX || h->program_offset > image->head_bytes ||
        (uint64_t)h->program_count * ELF_HEADER_BYTES > image->head_bytes - h->program_offset)
        return ELF_HEADERS;
    image->entry = h->entry;
    image->dynamic = h->type == ET_DYN;
    image->header_offset = h->program_offset;
    image->header_count = h->program_count;
    return ELF_OK;
}

/* What holds for PT_LOAD and PT_TLS: contents inside the file, no wrap, sane alignment. */
static int check_contents(const struct elf_image *image, const struct program_header *h)
{
    uint64_t end;
    if (h->file_bytes > h->memory_bytes || h->offset > image->file_bytes ||
        h->file_bytes > image->file_bytes - h->offset ||
        __builtin_add_overflow(h->address, h->memory_bytes, &end))
        return ELF_SEGMENT;
    if (h->align > 1 && (h->align & (h->align - 1)) != 0)
        return ELF_ALIGN;
    return ELF_OK;
}

static int check_load(struct elf_image *image, const struct program_header *h, bool *entry_found)
{
    if ((h->address - h->offset) % ELF_PAGE_BYTES != 0)
        return ELF_ALIGN;
    if (h->memory_bytes == 0)
        return ELF_OK;
    if (image->end != 0 && h->address < image->end)
        return ELF_ORDER;
    if (image->end == 0)
        image->start = h->address;
    image->end = h->address + h->memory_bytes;
    if ((h->flags & ELF_FLAG_X) && image->entry >= h->address && image->entry < image->end)
        *entry_found = true;
    uint64_t headers_bytes = (uint64_t)image->header_count * ELF_HEADER_BYTES;
    if (image->header_offset >= h->offset && headers_bytes <= h->file_bytes &&
        image->header_offset - h->offset <= h->file_bytes - headers_bytes)
        image->header_address = h->address + (image->header_offset - h->offset);
    return ELF_OK;
}

/* The first one counts. */
static int check_interpreter(struct elf_image *image, const struct program_header *h)
{
    if (image->interpreter_bytes != 0)
        return ELF_OK;
    if (h->file_bytes < 2 || h->file_bytes > ELF_PATH_MAX || h->offset > image->head_bytes ||
        h->file_bytes > image->head_bytes - h->offset ||
        image->file[h->offset + h->file_bytes - 1] != 0)
        return ELF_INTERPRETER;
    image->interpreter_offset = h->offset;
    image->interpreter_bytes = h->file_bytes;
    return ELF_OK;
}

static int check_program_header(struct elf_image *image, const struct program_header *h,
                                bool *entry_found)
{
    int error = ELF_OK;
    switch (h->type) {
    case PT_LOAD:
        error = check_contents(image, h);
        return error ? error : check_load(image, h, entry_found);
    case PT_TLS:
        return check_contents(image, h);
    case PT_INTERP:
        return check_interpreter(image, h);
    case PT_GNU_STACK:
        image->has_stack_flags = true;
        image->stack_exec = h->flags & ELF_FLAG_X;
        return ELF_OK;
    default:
        return ELF_OK;
    }
}

int elf_open(struct elf_image *image, const void *file, size_t file_bytes)
{
    return elf_open_head(image, file, file_bytes, file_bytes);
}

int elf_open_head(struct elf_image *image, const void *head, size_t head_bytes, uint64_t file_bytes)
{
    struct file_header header;
    memset(image, 0, sizeof *image);
    image->file = head;
    image->file_bytes = file_bytes;
    image->head_bytes = head_bytes < file_bytes ? head_bytes : file_bytes;
    if (image->head_bytes < sizeof header)
        return ELF_SHORT;
    memcpy(&header, head, sizeof header);
    int error = check_file_header(image, &header);
    bool entry_found = false;
    for (unsigned i = 0; !error && i < image->header_count; i++) {
        struct program_header h = read_program_header(image, i);
        error = check_program_header(image, &h, &entry_found);
    }
    if (error)
        return error;
    if (image->end == 0)
        return ELF_EMPTY;
    return entry_found ? ELF_OK : ELF_ENTRY;
}

const char *elf_error_text(int error)
{
    static const char *const text[] = {
        [ELF_OK] = "no error",
        [ELF_SHORT] = "the file is shorter than an ELF header",
        [ELF_MAGIC] = "the file is no ELF file",
        [ELF_MACHINE] = "the file is not for 64-bit RISC-V",
        [ELF_TYPE] = "the file is no executable",
        [ELF_HEADERS] = "the program headers are malformed",
        [ELF_INTERPRETER] = "the name of the dynamic loader is malformed",
        [ELF_SEGMENT] = "a segment lies outside the file or the address range",
        [ELF_ALIGN] = "a segment is not aligned",
        [ELF_ORDER] = "segments overlap or are not sorted",
        [ELF_EMPTY] = "there is nothing to load",
        [ELF_ENTRY] = "the entry point is in no executable segment",
    };
    return (unsigned)error < sizeof text / sizeof *text ? text[error] : "unknown error";
}

bool elf_next_load(const struct elf_image *image, unsigned *index, struct elf_segment *segment)
{
    while (*index < image->header_count) {
        struct program_header h = read_program_header(image, (*index)++);
        if (h.type == PT_LOAD && h.memory_bytes != 0) {
            segment_from(segment, &h);
            return true;
        }
    }
    return false;
}

bool elf_tls(const struct elf_image *image, struct elf_segment *segment)
{
    for (unsigned i = 0; i < image->header_count; i++) {
        struct program_header h = read_program_header(image, i);
        if (h.type == PT_TLS) {
            segment_from(segment, &h);
            return true;
        }
    }
    return false;
}

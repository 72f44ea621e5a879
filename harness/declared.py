"""The names of the test cases that a program declares, read from its ELF file.

The test macros put each case's name, NUL-terminated, into the section `.ktap_cases`. So the cases
are known without running anything, and one that a run does not report is missed.
"""

from __future__ import annotations

import struct
from pathlib import Path

SECTION = ".ktap_cases"

_ELF_MAGIC = b"\x7fELF"
_CLASS_64 = 2
_LITTLE_ENDIAN = 1
_SECTION_HEADER = struct.Struct("<IIQQQQIIQQ")


class ElfError(ValueError):
    """The file is no ELF file that can be read here."""


def section(data: bytes, wanted: str) -> bytes | None:
    """The contents of the first section of that name, None if there is none."""
    if data[:4] != _ELF_MAGIC or len(data) < 64:
        raise ElfError("no ELF file")
    if data[4] != _CLASS_64 or data[5] != _LITTLE_ENDIAN:
        raise ElfError("no 64-bit little-endian ELF file")
    (table_offset,) = struct.unpack_from("<Q", data, 40)
    entry_bytes, count, names_index = struct.unpack_from("<HHH", data, 58)
    if count == 0:
        return None
    if entry_bytes != _SECTION_HEADER.size or names_index >= count:
        raise ElfError("malformed section header table")
    if table_offset + count * entry_bytes > len(data):
        raise ElfError("section header table beyond the end of the file")
    headers = [
        _SECTION_HEADER.unpack_from(data, table_offset + i * entry_bytes) for i in range(count)
    ]

    def contents(header: tuple[int, ...]) -> bytes:
        offset, size = header[4], header[5]
        if offset + size > len(data):
            raise ElfError("section beyond the end of the file")
        return data[offset : offset + size]

    names = contents(headers[names_index])
    for header in headers:
        name = names[header[0] :].split(b"\0", 1)[0].decode(errors="replace")
        if name == wanted:
            return contents(header)
    return None


def cases(program: Path) -> list[str]:
    """The declared names in the order of declaration. Linkers pad with NULs; those are skipped."""
    try:
        data = section(program.read_bytes(), SECTION)
    except ElfError as error:
        raise ElfError(f"{program}: {error}") from None
    if data is None:
        return []
    names = [name.decode(errors="replace") for name in data.split(b"\0") if name]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ElfError(f"{program}: case '{sorted(repeated)[0]}' is declared twice")
    return names

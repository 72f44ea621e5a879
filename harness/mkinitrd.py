"""Writes the initrd: a cpio archive of the "newc" kind, the same bytes for the same files.

Owners are 0, times are 0, entries are sorted and inode numbers count up, so two builds of the same
sources give the same archive.

usage: mkinitrd.py -o OUT [--root DIR] [path/in/archive=file]...
"""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterable
from pathlib import Path

MAGIC = "070701"
TRAILER = "TRAILER!!!"
ALIGNMENT_BYTES = 4
ARCHIVE_BLOCK_BYTES = 512
HEADER_BYTES = 110


def _rounded(size: int) -> int:
    return size + -size % ALIGNMENT_BYTES


def _padded(data: bytes, alignment_bytes: int) -> bytes:
    return data + b"\0" * (-len(data) % alignment_bytes)


def entry(path: str, inode: int, mode: int, data: bytes) -> bytes:
    """One archive member: header, name and contents, each padded to four bytes."""
    links = 2 if stat.S_ISDIR(mode) else 1
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
    header = MAGIC + "".join(f"{field:08x}" for field in fields)
    return _padded(header.encode() + name, ALIGNMENT_BYTES) + _padded(data, ALIGNMENT_BYTES)


def archive(files: dict[str, tuple[int, bytes]]) -> bytes:
    """The whole archive. `files` maps a path without leading slash to (mode, contents); the
    directories above each path are added."""
    members = dict(files)
    for path in files:
        for parent in list(Path(path).parents)[:-1]:
            members.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
    result = bytearray()
    for inode, (path, (mode, data)) in enumerate(sorted(members.items()), start=1):
        result += entry(path, inode, mode, data)
    result += entry(TRAILER, 0, 0, b"")
    return _padded(bytes(result), ARCHIVE_BLOCK_BYTES)


def read_archive(data: bytes) -> dict[str, tuple[int, bytes]]:
    """What `archive` was given: for a well-formed archive only."""
    files: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_bytes = fields[1], fields[6], fields[11]
        name = data[at + HEADER_BYTES : at + HEADER_BYTES + name_bytes - 1].decode()
        if name == TRAILER:
            return files
        at += _rounded(HEADER_BYTES + name_bytes)
        files[name] = (mode, data[at : at + size])
        at += _rounded(size)


def read_tree(root: Path) -> Iterable[tuple[str, tuple[int, bytes]]]:
    """The files, directories and symbolic links under `root`."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            yield name, (stat.S_IFLNK | 0o777, os.readlink(path).encode())
        elif path.is_dir():
            yield name, (stat.S_IFDIR | 0o755, b"")
        elif path.is_file():
            executable = path.stat().st_mode & stat.S_IXUSR
            yield name, (stat.S_IFREG | (0o755 if executable else 0o644), path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description="write a reproducible newc archive")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--root", type=Path, help="a directory whose contents go in as they are")
    parser.add_argument("members", nargs="*", metavar="path=file")
    arguments = parser.parse_args()

    files: dict[str, tuple[int, bytes]] = {}
    if arguments.root:
        files.update(read_tree(arguments.root))
    for member in arguments.members:
        name, separator, source = member.partition("=")
        if not separator or not name or name.startswith("/"):
            parser.error(f"'{member}' is not path=file with a relative path")
        if name in files:
            parser.error(f"'{name}' is given twice")
        files[name] = (stat.S_IFREG | 0o755, Path(source).read_bytes())

    scratch = arguments.output.with_name(arguments.output.name + ".new")
    scratch.write_bytes(archive(files))
    scratch.replace(arguments.output)


if __name__ == "__main__":
    main()

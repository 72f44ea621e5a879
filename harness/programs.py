"""Programs that are none of ours: Debian 13's, in an initrd beside ours.

`make` fetches the packages once into the build directory. The initrd takes from them the programs of
the packages that are named here, and whatever those lead to: the targets of links, dynamic loaders,
shared libraries by their DT_NEEDED entries, Python's modules. Nothing else of the packages that they
formally depend on comes along (stress-ng's would bring a shader compiler).
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import debian, declared, mkinitrd

#: what is fetched, and whose programs are taken
PACKAGES = (
    "bash-static",
    "busybox-static",
    "coreutils",
    "dash",
    "lua5.4",
    "python3-minimal",
    "redis-server",
    "redis-tools",
    "sqlite3",
    "stress-ng",
)
#: directories that programs read without naming them in their ELF headers
TREES = ("usr/lib/python3*",)
_PROGRAM_DIRECTORIES = ("usr/bin", "usr/sbin")
_LIBRARY_DIRECTORIES = ("usr/lib/riscv64-linux-gnu", "usr/lib")
#: tools that the scripts use and no package here has
_BUSYBOX_TOOLS = ("awk", "cmp", "diff", "find", "free", "grep", "gzip", "ps", "sed", "tar", "vi", "xargs")
#: a system with a merged /usr has these links; /bin and /sbin are ours
_LINKS = {
    **{f"usr/bin/{name}": "busybox" for name in _BUSYBOX_TOOLS},
    "lib": "usr/lib",
    "bin/sh": "../usr/bin/dash",
    "bin/bash": "../usr/bin/bash-static",
    "bin/dash": "../usr/bin/dash",
    "usr/bin/bash": "bash-static",
    "etc/mtab": "../proc/self/mounts",
}
#: where the scripts of tests/programs are in the initrd, and what they share
SCRIPTS = "programs"
SHARED = f"{SCRIPTS}/lib"
#: what user/bench/programs.c runs, and where it finds it
WORKLOADS = Path(__file__).with_name("workloads")
#: what `make run SHELL_PROGRAM=NAME` offers
SHELLS = {
    "busybox": "/usr/bin/busybox sh",
    "bash": "/usr/bin/bash-static",
    "dash": "/usr/bin/dash",
}
_DT_NEEDED = 1
_DYNAMIC_ENTRY = struct.Struct("<QQ")


def fetch(build_dir: Path) -> Path:
    """The directory with the unpacked packages; fetched if it is not there for this list."""
    directory = build_dir.resolve() / "programs"
    root, stamp = directory / "root", directory / "packages"
    wanted = "\n".join(PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return root
    shutil.rmtree(root, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    apt = debian.Apt(directory)
    needed = apt.with_needed(PACKAGES)
    print(f"harness: downloading {len(needed)} Debian packages (about 75 MB)", file=sys.stderr, flush=True)
    named = [package for package in needed if package.split("=")[0] in PACKAGES]
    apt.unpack(named, directory / "named")
    names = sorted(str(path.relative_to(directory / "named")) for path in (directory / "named").rglob("*"))
    (directory / "names").write_text("\n".join(names))
    shutil.rmtree(directory / "named")
    apt.unpack(needed, root)
    stamp.write_text(wanted)
    return root


class _Collection:
    """The files of an unpacked tree that some of them lead to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, tuple[int, bytes]] = {}

    def add(self, name: str) -> None:
        path = self.root / name
        if name in self.files or path.is_dir() and not path.is_symlink():
            return
        if path.is_symlink():
            target = os.readlink(path)
            self.files[name] = (stat.S_IFLNK | 0o777, target.encode())
            self.add(os.path.normpath(target.lstrip("/") if target[0] == "/" else f"{Path(name).parent}/{target}"))
        elif path.is_file():
            executable = path.stat().st_mode & stat.S_IXUSR
            data = path.read_bytes()
            self.files[name] = (stat.S_IFREG | (0o755 if executable else 0o644), data)
            for library in _needed(data):
                self._add_library(library)

    def _add_library(self, library: str) -> None:
        """By its name, or by its path as on a system with a merged /usr."""
        directories = ("usr",) if library.startswith("/") else _LIBRARY_DIRECTORIES
        for directory in directories:
            name = f"{directory}/{library.lstrip('/')}"
            if (self.root / name).is_symlink() or (self.root / name).exists():
                self.add(name)
                return


def _needed(data: bytes) -> Iterator[str]:
    """The dynamic loader and the shared libraries that an ELF file names; none for another."""
    try:
        dynamic = declared.section(data, ".dynamic")
        names = declared.section(data, ".dynstr")
        interpreter = declared.section(data, ".interp")
    except declared.ElfError:
        return
    if interpreter:
        yield interpreter.rstrip(b"\0").decode()
    if dynamic and names:
        for tag, value in _DYNAMIC_ENTRY.iter_unpack(dynamic):
            if tag == _DT_NEEDED:
                yield names[value:].split(b"\0", 1)[0].decode()


def _programs(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if str(Path(name).parent) in _PROGRAM_DIRECTORIES)


def scripts(tests_dir: Path) -> dict[str, Path]:
    """The scripts of tests/programs by their names without suffix."""
    return {path.stem: path for path in sorted((tests_dir / "programs").iterdir()) if path.is_file()}


def initrd(build_dir: Path, tests_dir: Path) -> Path:
    """Our initrd with the programs and the scripts of tests/programs in it; written if it changes."""
    root = fetch(build_dir)
    collection = _Collection(root)
    for name in _programs((root.parent / "names").read_text().splitlines()):
        collection.add(name)
    for pattern in TREES:
        for path in root.glob(f"{pattern}/**/*"):
            collection.add(str(path.relative_to(root)))
    files = mkinitrd.read_archive((build_dir / "initrd.cpio").read_bytes())
    files.update(collection.files)
    for name, target in _LINKS.items():
        files[name] = (stat.S_IFLNK | 0o777, target.encode())
    for name, path in scripts(tests_dir).items():
        files[f"{SCRIPTS}/{name}"] = (stat.S_IFREG | 0o755, path.read_bytes())
    for path in sorted((tests_dir / SHARED).iterdir()):
        files[f"{SHARED}/{path.name}"] = (stat.S_IFREG | 0o644, path.read_bytes())
    for path in sorted(WORKLOADS.iterdir()):
        files[f"{WORKLOADS.name}/{path.name}"] = (stat.S_IFREG | 0o755, path.read_bytes())
    whole = mkinitrd.archive(files)
    image = build_dir / "programs" / "initrd.cpio"
    if not image.exists() or image.read_bytes() != whole:
        scratch = image.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(whole)
        scratch.replace(image)
    return image

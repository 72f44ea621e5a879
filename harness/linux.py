"""The oracle: Debian 13's riscv64 Linux kernel under the same QEMU, with our initrd as its root.

Its first process is our own init, which uses nothing but Linux's system calls.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from harness import debian, mkinitrd, process, qemu

META_PACKAGE = "linux-image-riscv64"
#: Linux halts instead of powering off with a status, so its results alone tell
_WORDS = ("console=ttyS0", "quiet", "panic=-1", "norandmaps")


def kernel(build_dir: Path) -> Path:
    """The kernel image; fetched if it is not there yet."""
    directory = build_dir.resolve() / "linux"
    image = directory / "vmlinux"
    if image.exists():
        return image
    apt = debian.Apt(directory)
    packages = [name for name in apt.depends(META_PACKAGE) if name.startswith("linux-image-")]
    if not packages:
        raise debian.Unobtainable(f"{META_PACKAGE} depends on no kernel package")
    print(f"harness: downloading {packages[0]} (about 110 MB)", file=sys.stderr, flush=True)
    unpacked = directory / "unpacked"
    apt.unpack(packages[:1], unpacked)
    next(unpacked.glob("boot/vmlinu?-*")).replace(image)
    shutil.rmtree(unpacked)
    return image


def initramfs(initrd: Path, directory: Path) -> Path:
    """Our initrd with an /init in front of it (Linux reads archives one after the other)."""
    path = directory / f"initramfs-{initrd.stem}.cpio"
    whole = initrd.read_bytes()
    files = {
        "init": mkinitrd.read_archive(whole)["bin/init"],
        "dev": (stat.S_IFDIR | 0o755, b""),
        "proc": (stat.S_IFDIR | 0o755, b""),
        "sys": (stat.S_IFDIR | 0o755, b""),
        "tmp": (stat.S_IFDIR | 0o1777, b""),
    }
    # Machines start at the same time, in threads of one process.
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as scratch:
        scratch.write(mkinitrd.archive(files) + whole)
    os.replace(scratch.name, path)
    return path


def command_line(machine: qemu.Machine, build_dir: Path) -> list[str]:
    """The QEMU command that boots Linux on `machine`, whose paging mode and pager do not matter
    (Sv57 as Linux chooses) unless `words` say no4lvl or no5lvl."""
    command = qemu.command_line(machine, build_dir, interactive=False)
    command[command.index("-kernel") + 1] = str(kernel(build_dir))
    if "-initrd" in command:
        at = command.index("-initrd") + 1
        command[at] = str(initramfs(Path(command[at]), build_dir / "linux"))
    command[command.index("-append") + 1] = " ".join((*_WORDS, *machine.words))
    return command


def batch(
    machine: qemu.Machine,
    build_dir: Path,
    *,
    total_s: float,
    idle_s: float = 120.0,
    log: Path | None = None,
) -> process.Result:
    """Boots Linux, and waits until init has it restart, which ends QEMU."""
    return process.run(command_line(machine, build_dir), total_s=total_s, idle_s=idle_s, log=log)

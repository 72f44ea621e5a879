"""The oracle: Debian 13's riscv64 Linux kernel under the same QEMU, with our initrd as its root.

The kernel comes from Debian's package archive, from whichever mirror this system's apt uses, checked
by Debian's signature, into the build directory; it is never part of the repository. Its first
process is our own init, which uses nothing but Linux's system calls.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

from harness import mkinitrd, process, qemu

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
META_PACKAGE = "linux-image-riscv64"
#: Linux halts instead of powering off with a status, so its results alone tell
_WORDS = ("console=ttyS0", "quiet", "panic=-1", "norandmaps")


class Unobtainable(Exception):
    """The kernel cannot be had; the text says at which step and why."""


def _output(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise Unobtainable(f"{' '.join(command[:1] + command[-2:])}: {last}")
    return result.stdout


def _mirror() -> str:
    """The Debian mirror that this system's apt is set up with."""
    form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    for line in _output(["apt-get", "indextargets", "--format", form]).splitlines():
        origin, label, address = line.split("|", 2)
        if origin == label == "Debian":
            return address
    raise Unobtainable("apt knows no Debian mirror; run `apt-get update` first")


def _apt_options(directory: Path) -> list[str]:
    """An apt of our own, for riscv64, that leaves the system's alone."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    (directory / "state/status").touch()
    sources = directory / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {SUITE} main\n")
    options = {
        "APT::Architecture": "riscv64",
        "APT::Architectures": "riscv64",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::State": directory / "state",
        "Dir::State::status": directory / "state/status",
        "Dir::Cache": directory / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def _download(directory: Path) -> Path:
    options = _apt_options(directory)
    _output(["apt-get", *options, "-q", "update"])
    for line in _output(["apt-cache", *options, "depends", META_PACKAGE]).splitlines():
        relation, _, package = line.strip().partition(" ")
        if relation == "Depends:" and package.startswith("linux-image-"):
            break
    else:
        raise Unobtainable(f"{META_PACKAGE} depends on no kernel package")
    print(f"harness: downloading {package} (about 110 MB)", file=sys.stderr, flush=True)
    subprocess.run(
        ["apt-get", *options, "-q", "download", package],
        cwd=directory,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return next(directory.glob(f"{package}_*.deb"))


def kernel(build_dir: Path) -> Path:
    """The kernel image; fetched if it is not there yet."""
    directory = build_dir.resolve() / "linux"
    image = directory / "vmlinux"
    if image.exists():
        return image
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if not shutil.which(program):
            raise Unobtainable(f"{program} is not installed")
    directory.mkdir(parents=True, exist_ok=True)
    package = _download(directory)
    unpacked = directory / "unpacked"
    _output(["dpkg-deb", "-x", str(package), str(unpacked)])
    next(unpacked.glob("boot/vmlinu?-*")).replace(image)
    shutil.rmtree(unpacked)
    package.unlink()
    return image


def initramfs(build_dir: Path) -> Path:
    """Our initrd with an /init in front of it (Linux reads archives one after the other)."""
    path = build_dir / "linux" / "initramfs.cpio"
    files = {
        "init": (stat.S_IFREG | 0o755, (build_dir / "user" / "init").read_bytes()),
        "dev": (stat.S_IFDIR | 0o755, b""),
        "proc": (stat.S_IFDIR | 0o755, b""),
        "tmp": (stat.S_IFDIR | 0o1777, b""),
    }
    path.write_bytes(mkinitrd.archive(files) + (build_dir / "initrd.cpio").read_bytes())
    return path


def command_line(machine: qemu.Machine, build_dir: Path) -> list[str]:
    """The QEMU command that boots Linux on `machine`, whose paging mode and pager do not matter
    (Sv57 as Linux chooses) unless `words` say no4lvl or no5lvl."""
    command = qemu.command_line(machine, build_dir, interactive=False)
    command[command.index("-kernel") + 1] = str(kernel(build_dir))
    if "-initrd" in command:
        command[command.index("-initrd") + 1] = str(initramfs(build_dir))
    command[command.index("-append") + 1] = " ".join((*_WORDS, *machine.words))
    return command


def batch(machine: qemu.Machine, build_dir: Path, *, total_s: float, log: Path | None = None) -> process.Result:
    """Boots Linux, and waits until init has it restart, which ends QEMU."""
    return process.run(command_line(machine, build_dir), total_s=total_s, idle_s=120.0, log=log)

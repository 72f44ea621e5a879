"""What figures were measured with: versions, and one name for all that was booted."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from harness import qemu


def _first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["?"])[0]


def images(build_dir: Path) -> str:
    """Another name as soon as a byte of kernel or initrd is another."""
    digest = hashlib.sha256()
    for name in ("kernel.elf", "initrd.cpio"):
        digest.update((build_dir / name).read_bytes())
    return digest.hexdigest()[:16]


def versions(build_dir: Path) -> dict[str, str]:
    return {
        "qemu": _first_line(qemu.QEMU, "--version"),
        "compiler": _first_line("riscv64-unknown-elf-gcc", "--version"),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
        "images": images(build_dir),
    }

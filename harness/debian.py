"""Debian 13's packages for riscv64: an apt of our own beside the system's.

They come from Debian's package archive, from whichever mirror this system's apt uses, checked by
Debian's signature, into the build directory; nothing of them is ever part of the repository.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SUITE = "trixie"
ARCHITECTURE = "riscv64"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unobtainable(Exception):
    """A package cannot be had; the text says at which step and why."""


def _output(command: list[str], cwd: Path | None = None) -> str:
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
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


class Apt:
    """An apt with its state in `directory`, which leaves the system's alone. As far as it knows
    nothing is installed, so it finds everything that a package needs."""

    def __init__(self, directory: Path) -> None:
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if not shutil.which(program):
                raise Unobtainable(f"{program} is not installed")
        self.directory = directory.resolve()
        for part in ("state/lists/partial", "cache/archives/partial"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "state/status").touch()
        sources = self.directory / "sources.list"
        sources.write_text(f"deb [signed-by={KEYRING}] {_mirror()} {SUITE} main\n")
        options = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
            "Dir::State": self.directory / "state",
            "Dir::State::status": self.directory / "state/status",
            "Dir::Cache": self.directory / "cache",
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "/dev/null",
        }
        self._options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        _output(["apt-get", *self._options, "-q", "update"])

    def depends(self, package: str) -> list[str]:
        """What a package depends on directly."""
        found = []
        for line in _output(["apt-cache", *self._options, "depends", package]).splitlines():
            relation, _, name = line.strip().partition(" ")
            if relation == "Depends:":
                found.append(name)
        return found

    def with_needed(self, packages: Sequence[str]) -> list[str]:
        """The packages and all that they need, each as NAME=VERSION."""
        command = ["apt-get", *self._options, "-q", "-s", "install", *packages]
        found = []
        for line in _output(command).splitlines():
            words = line.split()
            if words[:1] == ["Inst"]:
                found.append(f"{words[1]}={words[2].lstrip('(')}")
        return found

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Downloads packages and unpacks their files below `root`, without what they need."""
        archives = self.directory / "archives"
        shutil.rmtree(archives, ignore_errors=True)
        archives.mkdir()
        _output(["apt-get", *self._options, "-q", "download", *packages], cwd=archives)
        for archive in sorted(archives.glob("*.deb")):
            _output(["dpkg-deb", "-x", str(archive), str(root)])
        shutil.rmtree(archives)

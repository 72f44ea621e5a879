"""The guest tests, on Pagoda in every configuration and on Linux.

Items are named `guest[PAGING-PAGER-HARTS].PROGRAM.CASE` and `linux[qemu-user].PROGRAM.CASE` (with
--linux, which `make test-linux` gives, also `linux[kernel-HARTS].PROGRAM.CASE`), so that `pytest -k cow`, `-k "sv48 and kernel"` and the like select what they seem to.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness import jobs, qemu

TESTS = Path(__file__).resolve().parent
HARTS = (1, 4)
TURNS = (25, 40)
# What fills all memory takes a third of a boot: not every one needs as much as the first.
MEMORY = {"sv39": "1G", "sv48": "512M", "sv57": "512M"}


def _build_dir(config: pytest.Config) -> Path:
    return TESTS.parent / str(config.getoption("--build-dir"))


def guest(config: pytest.Config) -> list[jobs.Job]:
    machines = [
        qemu.Machine(
            paging, pager, harts, memory=MEMORY[paging], icount=bool(config.getoption("--icount"))
        )
        for paging, pager, harts in itertools.product(qemu.PAGING_MODES, qemu.PAGERS, HARTS)
    ]
    # and with all private memory in runs of 64 KiB
    machines.append(
        qemu.Machine(harts=4, memory="512M", cpu_flags=("svnapot=true",), words=("mthp=always",))
    )
    return jobs.guest_jobs(TESTS, _build_dir(config), machines, int(config.getoption("--seed")))


def interleaved(config: pytest.Config) -> list[jobs.Job]:
    """Threads of one space on four harts, whose instructions are interleaved in a way that repeats:
    what one of these finds, it finds each time."""
    machines = [
        qemu.Machine(pager=pager, harts=4, memory="512M", turn=turn)
        for pager, turn in itertools.product(qemu.PAGERS, TURNS)
    ]
    seed = int(config.getoption("--seed"))
    return jobs.guest_jobs(TESTS, _build_dir(config), machines, seed, ("threads",))


def linux(config: pytest.Config) -> list[jobs.Job]:
    seed = int(config.getoption("--seed"))
    found = jobs.linux_jobs(TESTS, _build_dir(config), seed)
    if config.getoption("--linux"):
        for harts in HARTS:
            machine = qemu.Machine(harts=harts, memory="2G")
            found += jobs.kernel_jobs(TESTS, _build_dir(config), machine, seed)
    return found


guest.gives_ktap_items = True  # type: ignore[attr-defined]
interleaved.gives_ktap_items = True  # type: ignore[attr-defined]
linux.gives_ktap_items = True  # type: ignore[attr-defined]

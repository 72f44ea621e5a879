"""Programs that are none of ours, here and on Linux: `make test-programs`.

Items are named `programs[PAGING-PAGER-HARTS].SCRIPT`, for the scripts of tests/programs.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness import jobs, program_job, qemu

TESTS = Path(__file__).resolve().parent
HARTS = (1, 4)


def programs(config: pytest.Config) -> list[jobs.Job]:
    if not config.getoption("--programs"):
        return []
    machines = [
        qemu.Machine(pager=pager, harts=harts)
        for pager, harts in itertools.product(qemu.PAGERS, HARTS)
    ]
    build_dir = TESTS.parent / str(config.getoption("--build-dir"))
    return program_job.program_jobs(TESTS, build_dir, machines, int(config.getoption("--seed")))


programs.gives_ktap_items = True  # type: ignore[attr-defined]

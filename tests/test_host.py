"""The host tests: the portable kernel and the memory manager's core on the simulated machine, with
sanitizers, and a short run of each fuzz target.

Items are named `host.PROGRAM.CASE` and `fuzz.TARGET.whole_run`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import jobs

TESTS = Path(__file__).resolve().parent


def host(config: pytest.Config) -> list[jobs.Job]:
    build_dir = TESTS.parent / str(config.getoption("--build-dir"))
    return jobs.host_jobs(TESTS, build_dir, int(config.getoption("--seed")))


def fuzz(config: pytest.Config) -> list[jobs.Job]:
    build_dir = TESTS.parent / str(config.getoption("--build-dir"))
    return jobs.fuzz_jobs(TESTS, build_dir, int(config.getoption("--seed")))


host.gives_ktap_items = True  # type: ignore[attr-defined]
fuzz.gives_ktap_items = True  # type: ignore[attr-defined]

"""The host tests: the portable kernel and the memory manager's core on the simulated machine, with
sanitizers, and a short run of each fuzz target.

Items are named `host.PROGRAM.CASE`, `host-runs.PROGRAM.CASE` and `fuzz.TARGET.whole_run`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import jobs

TESTS = Path(__file__).resolve().parent


def host(config: pytest.Config) -> list[jobs.Job]:
    build_dir = TESTS.parent / str(config.getoption("--build-dir"))
    return jobs.host_jobs(TESTS, build_dir, int(config.getoption("--seed")))


#: whose worlds are also run with all private memory in runs of 64 KiB
WITH_RUNS = ("test_core_failures", "test_core_fork", "test_core_huge", "test_core_rmap")


def host_with_runs(config: pytest.Config) -> list[jobs.Job]:
    return [
        replace(
            job,
            name=job.name.replace("host.", "host-runs.", 1),
            variables=(("PAGODA_RUNS", "1"),),
        )
        for job in host(config)
        if isinstance(job, jobs.HostJob) and job.program.name in WITH_RUNS
    ]


def fuzz(config: pytest.Config) -> list[jobs.Job]:
    build_dir = TESTS.parent / str(config.getoption("--build-dir"))
    return jobs.fuzz_jobs(TESTS, build_dir, int(config.getoption("--seed")))


host.gives_ktap_items = True  # type: ignore[attr-defined]
host_with_runs.gives_ktap_items = True  # type: ignore[attr-defined]
fuzz.gives_ktap_items = True  # type: ignore[attr-defined]

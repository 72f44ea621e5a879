"""Random memory calls on Pagoda and on a real Linux (tests/diff), which must not differ.

With --linux only, which `make test-linux` gives. Without a Linux to compare with there is nothing
to look at.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import differ, qemu

STEPS = 2500

#: features and first seed of each set of runs; 4 runs of each
SETS = [("", 1), ("", 5), ("f", 1), ("fto", 1), ("fto", 5)]
RUNS = 4


@pytest.mark.parametrize("features,first_seed", SETS)
def test_linux_does_the_same(
    request: pytest.FixtureRequest, features: str, first_seed: int
) -> None:
    if not request.config.getoption("--linux"):
        pytest.skip("only with --linux")
    root = Path(__file__).resolve().parent.parent
    build_dir = root / str(request.config.getoption("--build-dir"))
    runs = [differ.Run(first_seed + number, STEPS, features) for number in range(RUNS)]
    machine = qemu.Machine()
    findings = differ.compare(
        runs,
        differ.on_pagoda(machine, build_dir),
        differ.on_linux(machine, build_dir),
        build_dir / "differ",
    )
    assert not findings, "\n".join(str(finding) for finding in findings)

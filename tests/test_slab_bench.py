"""The object caches take no more instructions per allocate/free pair than mimalloc: general sizes on
random sizes and lives, the server's own caches on what the server asked of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import slab_bench

ROOT = Path(__file__).resolve().parent.parent


def test_pairs_cost_no_more_than_mimalloc(pytestconfig: pytest.Config) -> None:
    build_dir = ROOT / str(pytestconfig.getoption("--build-dir"))
    counts = slab_bench.run(build_dir / "bench" / "slab")
    said = slab_bench.table(counts)
    assert counts["mix"]["kmalloc"] <= counts["mix"]["mimalloc"], said
    assert counts["server"]["slab"] <= counts["server"]["mimalloc"], said

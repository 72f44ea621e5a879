"""The page allocator on the machine: what it costs, what it takes for itself, what it says of zones."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import boot, qemu

BOOT_S = 60.0
GIB_PAGES = 1 << 18


def run(build_dir: Path, machine: qemu.Machine) -> str:
    result = boot.batch(machine, build_dir, total_s=BOOT_S)
    assert not result.problems and result.status == 0, result.text
    return result.text


def field(text: str, name: str) -> int:
    """The sum of a field of /proc/zoneinfo over all zones."""
    return sum(map(int, re.findall(rf"^\s+{name}\s+(\d+)\s*$", text, re.M)))


def test_cost(build_dir: Path) -> None:
    """Pairs through a hart's list are cheap; no pair depends on the size of memory, and none on the
    size of the chunk by more than the steps of its order."""
    words = ("norandmaps bench=pages",)
    machine = qemu.Machine(paging="sv48", icount=True, seed=1, words=words)
    text = run(build_dir, machine)
    lines = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("BENCH {")]
    cost = {row["op"]: row["median"] for row in lines}
    sizes = ("128MiB", "1GiB", "16GiB", "128GiB", "1TiB")
    for size in sizes:
        assert cost[f"pages_user_pair_{size}"] <= 60, cost
        assert cost[f"pages_server_pair_{size}"] <= 120, cost
        assert cost[f"pages_buddy_pair_{size}"] <= 1000, cost
    for order in range(11):
        assert cost[f"pages_order_{order}_pair"] <= 600, cost
    assert cost["pages_bulk_alloc_1024_per_page"] <= 8, cost
    assert cost["pages_bulk_free_1024_per_page"] <= 16, cost


def test_footprint(build_dir: Path) -> None:
    """Descriptors, maps, text and data of the server take at most 1 % of a 1 GiB machine."""
    text = run(build_dir, qemu.Machine(memory="1G", words=('run="stat descriptor; zoneinfo"',)))
    match = re.search(r"pages_descriptors +(\d+)", text)
    assert match, text
    sizes = subprocess.run(
        ["riscv64-unknown-elf-size", str(build_dir / "mmserver.elf")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()[1]
    server_bytes = sum(map(int, sizes.split()[:3]))
    own = int(match[1]) * 4096 + server_bytes
    print(f"{own} bytes, {own / (GIB_PAGES * 4096):.2%} of 1 GiB")
    assert own <= GIB_PAGES * 4096 // 100
    assert field(text, "present") == GIB_PAGES


@pytest.mark.parametrize("pager", ["user", "kernel"])
def test_zones(build_dir: Path, pager: str) -> None:
    """Two nodes, a zone for movable pages: reports agree with one another, the recount with both."""
    words = ('movablecore=1G run="touch-pages 2000; mmcheck; zoneinfo; buddyinfo; pagetypeinfo"',)
    machine = qemu.Machine(
        paging="sv48", pager=pager, harts=4, memory="6G", numa_nodes=2, words=words
    )
    text = run(build_dir, machine)
    assert "\nok\n" in text
    assert field(text, "present") == 6 * GIB_PAGES
    assert 0 < field(text, "managed") < 6 * GIB_PAGES
    zones = re.findall(r"^Node (\d), zone +(\w+) +((?:\d+ +){10}\d+) *$", text, re.M)
    assert {(node, zone) for node, zone, _ in zones} == {
        ("0", "DMA32"),
        ("0", "Normal"),
        ("1", "Normal"),
        ("1", "Movable"),
    }, text
    free = sum(int(n) << o for *_, row in zones for o, n in enumerate(row.split()))
    managed = field(text, "managed")
    assert managed * 98 // 100 < free < managed


def test_memory_runs_out(build_dir: Path) -> None:
    """A program that takes all of it is killed, with a report; then all is there again, whichever
    hart's lists it was in."""
    words = ('run="touch-pages 100000; mmcheck; free"',)
    text = run(build_dir, qemu.Machine(harts=4, memory="128M", words=words))
    assert "out of memory" in text and "found no page: order 0" in text, text
    anonymous = re.search(r"anonymous: (\d+) kB", text)
    total = re.search(r"(\d+) +\d+ +(\d+) +\d+ +\d+ *$", text, re.M)
    assert anonymous and total and "\nok\n" in text, text
    assert int(anonymous[1]) > int(total[1]) * 85 // 100, text
    assert int(total[2]) > int(total[1]) * 95 // 100, text

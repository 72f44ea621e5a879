"""Instructions per allocate/free pair of the object caches, against malloc and mimalloc.

Runs the program of tests/bench/slab.c under callgrind, which counts exactly, and takes off what
the replay of a trace costs by itself.

    python3 -m harness.slab_bench build/bench/slab
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

_DUMP = re.compile(r"desc: Trigger: Client Request: slab-bench (\w+) (\w+) (\d+)\n.*?totals: (\d+)", re.S)

Counts = dict[str, dict[str, float]]


def run(program: Path) -> Counts:
    """Instructions per pair by trace and allocator."""
    pairs: dict[str, int] = {}
    total: dict[tuple[str, str], int] = {}
    with tempfile.TemporaryDirectory() as where:
        command = ["valgrind", "--tool=callgrind", "--collect-atstart=no",
                   f"--callgrind-out-file={where}/out", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise RuntimeError(f"the bench failed:\n{done.stdout}{done.stderr}")
        for dump in Path(where).iterdir():
            for trace, who, count, instructions in _DUMP.findall(dump.read_text()):
                pairs[trace] = int(count)
                total[trace, who] = int(instructions)
    counts: Counts = {}
    for (trace, who), instructions in sorted(total.items()):
        if who != "nothing":
            own = instructions - total[trace, "nothing"]
            counts.setdefault(trace, {})[who] = own / pairs[trace]
    return counts


def table(counts: Counts) -> str:
    names = ("slab", "kmalloc", "mimalloc", "malloc")
    lines = ["instructions per pair" + "".join(f"{name:>10}" for name in names)]
    for trace, of in counts.items():
        cells = (f"{of[name]:10.1f}" if name in of else f"{'-':>10}" for name in names)
        lines.append(f"{trace:21}" + "".join(cells))
    return "\n".join(lines)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python3 -m harness.slab_bench PROGRAM", file=sys.stderr)
        return 2
    print(table(run(Path(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A second run of the comparison gives the same figures: `make compare` compares with the run before, if that was of
the same images, and names every figure that differs. `--again` makes the second run at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Data = dict[str, Any]

#: what is measured; commands, versions and texts are not
MEASURED = ("rows", "programs", "harts", "sizes", "distribution", "traces")
#: columns that are recorded and not measured
_RECORDED = ("lean", "sel4")
#: what names an element of a list, where its place does not
_NAMES = ("op", "name", "what", "column", "pager", "harts")


def _figures(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for name, below in value.items():
            if name not in _RECORDED:
                yield from _figures(below, (*path, str(name)))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            names = [str(below[name]) for name in _NAMES if name in below] if isinstance(below, dict) else []
            yield from _figures(below, (*path, " ".join(names) or str(number)))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield " / ".join(path), float(value)


def figures(data: Data) -> dict[str, float]:
    """Every measured number by what it is of."""
    return dict(found for part in MEASURED if part in data for found in _figures(data[part], (part,)))


def compared(before: Data, now: Data) -> Data | None:
    """How many figures both runs have, and those that differ, the largest difference first; None: other images."""
    name = now["conditions"].get("images")
    if not name or before.get("conditions", {}).get("images") != name:
        return None
    was, found = figures(before), figures(now)
    differ = [[what, was[what], is_now] for what, is_now in found.items() if what in was and was[what] != is_now]
    differ.sort(key=lambda entry: -abs(entry[2] / entry[1] - 1) if entry[1] else -1.0)
    return {"figures": len(was.keys() & found.keys()), "differ": differ}


def before(path: Path) -> Data:
    """The results of the run before; empty if there is none that can be read."""
    try:
        data: Data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data


def told(again: Data | None) -> str:
    """A sentence for the page and the terminal."""
    if again is None:
        return "These figures were not yet compared with those of a second run (make compare AGAIN=1)."
    if not again["differ"]:
        return f"Run twice: all {again['figures']:,} figures are the same in both runs."
    of_linux = sum("linux" in entry[0] for entry in again["differ"])
    return (
        f"Run twice: of {again['figures']:,} figures {len(again['differ']):,} differ, {of_linux:,} of them Linux's; "
        "results.json names them under “again”."
    )

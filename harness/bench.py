"""Benchmarks: boots each configuration with exact instruction counting, collects the lines
`BENCH {json}` that the guest prints, writes results.json and a table beside the anchors.

A guest line has the fields op, unit, min, median, mean, n and events; the harness adds pager, mode
and harts, which it knows for certain. The anchors are what Linux and seL4 need for the same
operation, with their conditions, in anchors.json beside this file.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import boot, conditions, jobs, qemu

#: what `make bench` runs; add a line to measure another configuration
CONFIGURATIONS: tuple[qemu.Machine, ...] = tuple(
    qemu.Machine(paging, pager, harts=1, icount=True, seed=1, words=("bench=all",))
    for paging in ("sv39",)
    for pager in qemu.PAGERS
) + tuple(
    # all private memory in runs of 64 KiB: programs that find that so print other rows
    qemu.Machine(
        pager=pager,
        icount=True,
        seed=1,
        cpu_flags=("svnapot=true",),
        words=("bench=mthp,fork", "thp=never", "mthp=always"),
    )
    for pager in qemu.PAGERS
) + tuple(
    qemu.Machine(pager=pager, harts=4, icount=True, seed=1, words=("bench=threads",)) for pager in qemu.PAGERS
)

#: medians that `make test` compares with; `make bench-accept` writes them
FIGURES = Path(__file__).parent / "figures.json"

#: what a median may move by: each benchmark finds the same free memory (decision 142), so it is the code that moved it
BY_CODE = 0.01
#: several harts meet otherwise after any change, and each meeting costs
BY_MEETING = 0.05

EVENTS = ("traps", "satp", "fences_local", "fences_remote")

_LINE = re.compile(r"BENCH (\{.*\})\s*$")
_NUMBERS = ("min", "median", "mean", "n")
_TOTAL_S = 600.0
_IDLE_S = 120.0

Row = dict[str, Any]


class BenchError(Exception):
    """A benchmark boot failed, or printed what is no result."""


def _checked(row: object, text: str) -> Row:
    if not isinstance(row, dict):
        raise BenchError(f"no JSON object: {text}")
    for name in ("op", "unit"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise BenchError(f"'{name}' is missing or no text: {text}")
    for name in _NUMBERS:
        if not isinstance(row.get(name), (int, float)) or isinstance(row[name], bool):
            raise BenchError(f"'{name}' is missing or no number: {text}")
    if row["n"] < 1 or not 0 <= row["min"] <= row["median"]:
        raise BenchError(f"numbers contradict each other: {text}")
    events = row.get("events")
    if not isinstance(events, dict) or not set(EVENTS) <= set(events):
        raise BenchError(f"'events' must have {', '.join(EVENTS)}: {text}")
    return row


def parse(text: str, machine: qemu.Machine) -> list[Row]:
    """The result rows of a boot's serial output, in the format of results.json."""
    rows: list[Row] = []
    for line in text.splitlines():
        match = _LINE.search(line)
        if not match:
            continue
        try:
            row = _checked(json.loads(match[1]), line)
        except json.JSONDecodeError as error:
            raise BenchError(f"{error}: {line}") from None
        rows.append(
            {
                "op": row["op"],
                "pager": machine.pager,
                "mode": machine.paging,
                "harts": machine.harts,
                **{name: row[name] for name in ("unit", *_NUMBERS, "events")},
                "per": row.get("per", 1),
            }
        )
    names = [row["op"] for row in rows]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BenchError(f"operation '{repeated[0]}' is reported twice")
    return rows


def figures(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """What is compared between runs: medians, which do not see where a refill falls."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        name = f"{row['mode']}-{row['pager']}-{row['harts']}"
        found.setdefault(name, {})[row["op"]] = row["median"]
    return found


def moved(rows: Iterable[Row], accepted: dict[str, dict[str, float]]) -> list[str]:
    """Every operation whose median differs from the accepted one by more than BY_CODE (BY_MEETING of several
    harts) and half an instruction, and those that came or went."""
    found = []
    for name, now in figures(rows).items():
        then, allowed = accepted.get(name, {}), BY_CODE if name.endswith("-1") else BY_MEETING
        for op in sorted(now.keys() | then.keys()):
            if op not in now or op not in then:
                found.append(f"{name}: {op} is {'new' if op in now else 'gone'}")
            elif abs(now[op] - then[op]) > max(allowed * then[op], 0.5):
                change = 100 * (now[op] / then[op] - 1) if then[op] else 100.0
                found.append(f"{name}: {op} was {then[op]:g}, is {now[op]:g} ({change:+.1f} %)")
    return found


def accepted_figures() -> dict[str, dict[str, float]] | None:
    """The figures in the repository; None before any were accepted."""
    if not FIGURES.exists():
        return None
    accepted: dict[str, dict[str, float]] = json.loads(FIGURES.read_text())
    return accepted


def accept(rows: Iterable[Row]) -> None:
    FIGURES.write_text(json.dumps(figures(rows), indent=1, sort_keys=True) + "\n")
    print(f"accepted: {FIGURES}; commit it with the reason why figures moved")


def measure(build_dir: Path, machines: Iterable[qemu.Machine] = CONFIGURATIONS) -> list[Row]:
    with ThreadPoolExecutor(jobs.default_parallel()) as pool:
        return [
            row for rows in pool.map(lambda m: _boot(m, build_dir, 0), machines) for row in rows
        ]


def _boot(machine: qemu.Machine, build_dir: Path, run: int) -> list[Row]:
    log = build_dir / "bench" / f"{machine.name}.{run}.log"
    result = boot.batch(machine, build_dir, total_s=_TOTAL_S, idle_s=_IDLE_S, log=log)
    problems = list(result.problems)
    if result.status:
        problems.append(f"exit status {result.status}")
    if problems:
        tail = "\n".join(result.text.splitlines()[-40:])
        raise BenchError(
            f"{machine.name}: {'; '.join(problems)}\n{tail}\n{result.shell_command}"
        )
    rows = parse(result.text, machine)
    if not rows:
        raise BenchError(f"{machine.name}: no BENCH line; log in {log}")
    print(f"bench: {machine.name}: {len(rows)} rows, {result.seconds:.1f} s", file=sys.stderr)
    return rows


def differences(first: list[Row], second: list[Row]) -> list[str]:
    """What differs between two runs that should be equal to the instruction."""
    by_op = {row["op"]: row for row in second}
    found = [f"{row['op']} only in the first run" for row in first if row["op"] not in by_op]
    first_ops = {row["op"] for row in first}
    found += [f"{op} only in the second run" for op in by_op if op not in first_ops]
    for row in first:
        other = by_op.get(row["op"], row)
        found += [
            f"{row['op']}: {name} is {row[name]}, then {other[name]}"
            for name in row
            if row[name] != other[name]
        ]
    return found


def load_anchors() -> dict[str, Any]:
    anchors: dict[str, Any] = json.loads((Path(__file__).parent / "anchors.json").read_text())
    return anchors


def linux_best(anchors: dict[str, Any], op: str) -> float | None:
    """The lower mean of the two uniprocessor kernels, or the lowest where there is neither."""
    figures: dict[str, list[float]] = anchors["linux"].get(op, {})
    lean = {kernel: figure for kernel, figure in figures.items() if kernel in ("6.1", "6.12")}
    means = [figure[1] for figure in (lean or figures).values()]
    return min(means) if means else None


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:,.1f}"


def over_ceiling(rows: Iterable[Row], anchors: dict[str, Any]) -> list[str]:
    """The operations whose mean is above the ceiling set for them (Sv39, one hart, user pager)."""
    ceilings: dict[str, float] = anchors["ceilings"]
    return [
        f"{row['op']}: mean {_cell(row['mean'])}, ceiling {ceilings[row['op']]}"
        for row in rows
        if (row["pager"], row["mode"], row["harts"]) == ("user", "sv39", 1)
        and row["op"] in ceilings
        and row["mean"] > ceilings[row["op"]]
    ]


def _table(title: str, rows: list[Row], anchors: dict[str, Any]) -> list[str]:
    by_op: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_op.setdefault(row["op"], {})[row["pager"]] = row
    width = max(len(op) for op in by_op)
    head = ("user", "median", "kernel", "median", "ceiling", "Linux", "seL4")
    heading = f"  {'operation':{width}}" + "".join(f" {name:>10}" for name in head)
    lines = [title, heading + "  events"]
    for op, by_pager in by_op.items():
        cells = []
        for pager in qemu.PAGERS:
            row = by_pager.get(pager)
            cells += [_cell(row["mean"] if row else None), _cell(row["median"] if row else None)]
        cells.append(_cell(anchors["ceilings"].get(op)))
        cells.append(_cell(linux_best(anchors, op)))
        cells.append(_cell(anchors["sel4"].get(op)))
        events = (by_pager.get("user") or next(iter(by_pager.values())))["events"]
        seen = " ".join(f"{name}={_cell(events[name])}" for name in EVENTS if events[name])
        lines.append(f"  {op:{width}}" + "".join(f" {cell:>10}" for cell in cells) + f"  {seen}")
    return lines


def report(rows: list[Row], anchors: dict[str, Any]) -> str:
    """The readable table: one part per mode and number of harts."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["mode"], row["harts"], row["unit"]), []).append(row)
    lines: list[str] = []
    for (mode, harts, unit), group in groups.items():
        title = f"{mode}, {harts} hart{'s' if harts > 1 else ''}, {unit}: mean, median"
        lines += _table(title, group, anchors) + [""]
    lines.append("Linux: lower mean of 6.1 and 6.12. The anchors' conditions: harness/anchors.json")
    return "\n".join(lines)


def run(
    build_dir: Path,
    *,
    machines: Iterable[qemu.Machine] = CONFIGURATIONS,
    verify: bool = False,
    enforce_ceilings: bool = False,
) -> int:
    """Runs the benchmarks, twice with `verify`; returns an exit status."""
    machines = list(machines)
    runs = [(machine, number) for machine in machines for number in range(2 if verify else 1)]
    failed = False
    rows: list[Row] = []
    with ThreadPoolExecutor(jobs.default_parallel()) as pool:
        futures = {
            (machine.name, number): pool.submit(_boot, machine, build_dir, number)
            for machine, number in runs
        }
        for machine in machines:
            try:
                found = futures[machine.name, 0].result()
                changes = differences(found, futures[machine.name, 1].result()) if verify else []
            except BenchError as error:
                print(f"bench: {error}", file=sys.stderr)
                failed = True
                continue
            rows += found
            for change in changes:
                print(f"bench: {machine.name}: two runs differ: {change}", file=sys.stderr)
                failed = True
    return _write(build_dir, machines, rows, enforce_ceilings=enforce_ceilings) or int(failed)


def _write_conditions(build_dir: Path, machines: list[qemu.Machine]) -> None:
    """Beside the results: versions, and the command of each configuration."""
    found = {
        **conditions.versions(build_dir),
        "commands": {
            machine.name: shlex.join(qemu.command_line(machine, build_dir, interactive=False)) for machine in machines
        },
    }
    (build_dir / "bench" / "conditions.json").write_text(json.dumps(found, indent=1) + "\n")


def _write(build_dir: Path, machines: list[qemu.Machine], rows: list[Row], *, enforce_ceilings: bool) -> int:
    if not rows:
        return 1
    anchors = load_anchors()
    results = build_dir / "bench" / "results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    text = ",\n".join(" " + json.dumps(row) for row in rows)
    results.write_text(f"[\n{text}\n]\n")
    _write_conditions(build_dir, machines)
    print(report(rows, anchors))
    print(f"results in {results}; beside them commands and versions: conditions.json")
    over = over_ceiling(rows, anchors)
    for line in over:
        print(f"bench: over its ceiling: {line}", file=sys.stderr)
    return 1 if over and enforce_ceilings else 0

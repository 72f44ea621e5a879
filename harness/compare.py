"""`make compare`: what it costs, and what it buys, to move the pager out of the kernel.

Boots every column (a placement or variant of Pagoda, Linux) with exact instruction counting, runs
the same benchmark programs, traces single faults, and writes build/compare: results.json,
results.csv, pictures, index.html (compare_page.py), and docs/comparison.md. Recorded figures of
seL4 and of lean Linux builds come from anchors.json.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import bench, boot, compare_page, debian, jobs, linux, qemu, trace

#: Linux counts by its clock (user/bench/lib/bench.c); huge pages as in Pagoda, on request
LINUX_WORDS = ("bench_count=clock", "transparent_hugepage=madvise")
#: the operations of the classic pager interface that userfaultfd can do, and what it does them by
USERFAULTFD = {
    "anon_write_touch": "uffd_missing_roundtrip_thread_COPY",
    "anon_read_touch_zeropage": "uffd_missing_roundtrip_thread_ZEROPAGE",
}
SIZES = ("1G", "4G", "16G")
#: what is measured at each memory size
SIZE_OPS = ("anon_write_touch", "anon_read_touch_zeropage", "anon_write_touch_needs_new_pt")


@dataclass(frozen=True)
class Column:
    """One system, or one variant of it."""

    key: str
    title: str
    what: str
    pager: str = "user"
    words: tuple[str, ...] = ()
    on_linux: bool = False


COLUMNS = (
    Column("user", "user pager", "Pagoda as it is: the memory server is a program"),
    Column(
        "kernel", "kernel pager", "the same memory server linked into the kernel", pager="kernel"
    ),
    Column(
        "plain",
        "plain messages",
        "user pager; faults are queued messages, a map call and then a reply; no straight path",
        words=("messages=plain",),
    ),
    Column(
        "single",
        "no batches",
        "user pager; one kernel call per page changed",
        words=("batches=off",),
    ),
    Column(
        "alone",
        "no fault-around",
        "user pager; one page per file fault",
        words=("faultaround=4096",),
    ),
    Column(
        "cold",
        "nothing zeroed ahead",
        "user pager; no page is cleared while idle",
        words=("zeroahead=0",),
    ),
    Column(
        "linux",
        "Linux, Debian 13",
        "the kernel package as it comes, same QEMU, same programs",
        on_linux=True,
    ),
)


class CompareError(Exception):
    """A column could not be measured."""


@dataclass
class Measured:
    """What one boot gave."""

    rows: dict[str, bench.Row]
    text: str
    command: str


def policy_column(name: str) -> Column:
    return Column(
        "policy", f"policy {name}", f"user pager with policy={name}", words=(f"policy={name}",)
    )


def _machine(column: Column, programs: str, memory: str = "1G") -> qemu.Machine:
    words = (f"bench={programs}", *column.words, *(LINUX_WORDS if column.on_linux else ()))
    return qemu.Machine(pager=column.pager, memory=memory, icount=True, seed=1, words=words)


def measure(column: Column, build_dir: Path, programs: str = "all", memory: str = "1G") -> Measured:
    """Boots `column` and runs these benchmark programs."""
    machine = _machine(column, programs, memory)
    log = build_dir / "compare" / f"{column.key}-{programs}-{memory}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if column.on_linux:
        result = linux.batch(machine, build_dir, total_s=600, log=log)
        problems = [result.stopped] if result.stopped else []
        command = " ".join(result.command)
    else:
        booted = boot.batch(machine, build_dir, total_s=600, idle_s=120, log=log)
        problems = list(booted.problems) + (
            [f"exit status {booted.status}"] if booted.status else []
        )
        result, command = booted, booted.shell_command
    rows = {row["op"]: row for row in bench.parse(result.text, machine)}
    if problems or not rows:
        raise CompareError(
            f"{column.title}: {'; '.join(problems) or 'no rows'}; log in {log}\n{command}"
        )
    return Measured(rows, result.text, command)


def _distribution(text: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r"^DIST (\{.*\})\s*$", text, re.M)]


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["?"])[0]


def _progress(begun: float, done: int, total: int, what: str) -> None:
    print(
        f"compare: [{done}/{total}] {time.monotonic() - begun:4.0f} s  {what}",
        file=sys.stderr,
        flush=True,
    )


class Results:
    """Everything that was measured, and recorded figures beside it."""

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.measured: dict[str, Measured] = {}
        self.sizes: dict[str, dict[str, float]] = {}
        self.traces: list[trace.Trace] = []
        self.missing: dict[str, str] = {}
        self.anchors = bench.load_anchors()

    def value(self, column: str, op: str) -> float | None:
        if column == "uffd":
            op = USERFAULTFD.get(op, op)
            column = "linux"
        if column == "lean":
            return bench.linux_best(self.anchors, op)
        if column == "sel4":
            figure = self.anchors["sel4"].get(op)
            return float(figure) if figure is not None else None
        measured = self.measured.get(column)
        row = measured.rows.get(op) if measured else None
        if row is None:
            return None
        # without fault-around the fault brings one page, not the sixteen that the row divides by
        pages = 16 if column == "alone" and "_faultaround_" in op and op.endswith("per_page") else 1
        return float(row["mean"]) * pages

    def as_json(self) -> dict[str, Any]:
        keys = [column.key for column in self.columns]
        ops = list(self.measured["user"].rows)
        ops += [
            op for op in self.measured.get("linux", self.measured["user"]).rows if op not in ops
        ]
        rows = []
        for op in ops:
            values = {key: self.value(key, op) for key in (*keys, "uffd", "lean", "sel4")}
            if op not in USERFAULTFD:
                del values["uffd"]
            events = {
                key: self.measured[key].rows[op]["events"]
                for key in keys
                if key != "linux" and key in self.measured and op in self.measured[key].rows
            }
            kept = {key: value for key, value in values.items() if value is not None}
            rows.append({"op": op, "values": kept, "events": events})
        columns = [{"key": c.key, "title": c.title, "what": c.what} for c in self.columns]
        columns += [
            {
                "key": "uffd",
                "title": "Linux userfaultfd",
                "what": "Debian 13; a second thread resolves the fault",
            },
            {
                "key": "lean",
                "title": "Linux, lean",
                "what": "recorded; lower of 6.1 and 6.12, allnoconfig, one processor",
            },
            {
                "key": "sel4",
                "title": "seL4",
                "what": "recorded; 16.0.0-dev, fast path on, minimal pager",
            },
        ]
        return {
            "conditions": {
                **self.anchors["conditions"],
                "unit": self.anchors["unit"],
                "qemu": _version(qemu.QEMU, "--version"),
                "compiler": _version("riscv64-unknown-elf-gcc", "--version"),
                "commit": _version("git", "describe", "--always", "--dirty"),
            },
            "commands": {key: measured.command for key, measured in self.measured.items()},
            "columns": columns,
            "rows": rows,
            "sizes": self.sizes,
            "distribution": {
                key: _distribution(self.measured[key].text) for key in (
                    "user", "kernel"
                ) if key in self.measured
            },
            "traces": [found.as_json() for found in self.traces],
            "missing": self.missing,
        }


def gather(build_dir: Path, columns: list[Column]) -> Results:
    """Boots everything; what cannot be had is named in `missing`, unless it is Pagoda's own."""
    results = Results(columns)
    user = columns[0]
    work: dict[str, Any] = {f"column {c.title}": (measure, c, build_dir) for c in columns}
    for size in SIZES:
        work[f"memory {size}"] = (measure, user, build_dir, "anon", size)
    for pager in qemu.PAGERS:
        work[f"traces, {pager} pager"] = (trace.run, build_dir, qemu.Machine(pager=pager))
    begun = time.monotonic()
    with ThreadPoolExecutor(jobs.default_parallel()) as pool:
        futures = {pool.submit(call[0], *call[1:]): name for name, call in work.items()}
        found = {}
        for number, future in enumerate(as_completed(futures), 1):
            name = futures[future]
            try:
                found[name] = future.result()
                _progress(begun, number, len(work), name)
            except debian.Unobtainable as error:
                results.missing[name] = str(error)
                _progress(begun, number, len(work), f"{name}: left out: {error}")
    for column in columns:
        if f"column {column.title}" in found:
            results.measured[column.key] = found[f"column {column.title}"]
    for size in SIZES:
        rows = found[f"memory {size}"].rows
        results.sizes[size] = {op: rows[op]["mean"] for op in SIZE_OPS}
    for pager in qemu.PAGERS:
        results.traces += found[f"traces, {pager} pager"]
    return results


def _write_csv(path: Path, data: dict[str, Any]) -> None:
    keys = [column["key"] for column in data["columns"]]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["operation", *keys])
        for row in data["rows"]:
            writer.writerow([row["op"], *(row["values"].get(key, "") for key in keys)])


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def table(data: dict[str, Any]) -> str:
    columns = data["columns"]
    width = max(len(row["op"]) for row in data["rows"])
    head = [
        f"  {'operation':{width}}" + "".join(f" {c['key']:>9}" for c in columns) + "   u/k  u/lean"
    ]
    for row in data["rows"]:
        v = row["values"]
        cells = "".join(f" {_cell(v.get(c['key'])):>9}" for c in columns)
        ratios = "".join(
            f" {v['user'] / v[other]:6.2f}" if v.get("user") and v.get(other) else "      -" for other in ("kernel", "lean")
        )
        head.append(f"  {row['op']:{width}}{cells}{ratios}")
    return "\n".join(head)


def run(build_dir: Path, policy: str = "", docs: Path | None = Path("docs/comparison.md")) -> int:
    """Measures, writes, prints; an exit status."""
    columns = [*COLUMNS, *([policy_column(policy)] if policy else [])]
    try:
        data = gather(build_dir, columns).as_json()
    except (CompareError, trace.TraceError, bench.BenchError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    directory = build_dir / "compare"
    (directory / "results.json").write_text(json.dumps(data, indent=1) + "\n")
    _write_csv(directory / "results.csv", data)
    (directory / "index.html").write_text(compare_page.html(data))
    for name, picture in compare_page.pictures(data).items():
        (directory / f"{name}.svg").write_text(picture)
    if docs and not policy:
        docs.write_text(compare_page.markdown(data))
    print(table(data))
    print(f"the page: {directory / 'index.html'}; beside it results.json, results.csv and pictures")
    return 0

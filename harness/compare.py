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
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from harness import bench, compare_again, compare_page, conditions, debian, jobs, linux, plugins, programs, qemu, trace
from harness.compare_measure import (
    COLUMNS,
    COUNTED,
    HARTS,
    HARTS_PROGRAM,
    TESTS,
    Column,
    CompareError,
    Measured,
    on_harts,
    operations,
    policy_column,
    whole_programs,
)
from harness.events import COUNTS, WAITING

#: the operations of the classic pager interface that userfaultfd can do, and what it does them by
USERFAULTFD = {
    "anon_write_touch": "uffd_missing_roundtrip_thread_COPY",
    "anon_read_touch_zeropage": "uffd_missing_roundtrip_thread_ZEROPAGE",
}
#: what is shown by number of harts
HARTS_ROWS = {
    "fault": "threads_{harts}_write_fault_total_all_harts_per_fault",
    "fault, own VMA": "threads_{harts}_own_vma_write_fault_total_all_harts_per_fault",
    "program": f"program_{HARTS_PROGRAM}",
}
#: what events cost on hardware, with sources
COSTS = Path(__file__).with_name("hardware_costs.json")
#: makes a PNG of a picture
TO_PNG = ("rsvg-convert", "--zoom=2", "--background-color=white")
#: takes the README's picture of the page
BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1180,1650",
)  # fmt: skip
SIZES = ("1G", "4G", "16G")
#: of the figures that differ between two runs, the terminal shows so many
SHOWN_DIFFERENT = 40
#: what is measured at each memory size
SIZE_OPS = ("anon_write_touch", "anon_read_touch_zeropage", "anon_write_touch_needs_new_pt")
#: the table that grows in the terminal: a line for each column as soon as it is measured
HEADLINES = {
    "first write": "anon_write_touch",
    "zero page": "anon_read_touch_zeropage",
    "copy on write": "cow_break_copy_parent",
    "mmap, munmap": "mmap_munmap_1p_untouched",
    "fork, a page": "fork_exit_wait_slope_16_to_64MiB_per_page",
}


def _distribution(text: str) -> list[dict[str, Any]]:
    return [json.loads(found) for found in re.findall(r"^DIST (\{.*\})\s*$", text, re.M)]


def _progress(begun: float, done: int, total: int, what: str) -> None:
    print(
        f"compare: [{done}/{total}] {time.monotonic() - begun:4.0f} s  {what}",
        file=sys.stderr,
        flush=True,
    )


def headline(title: str, measured: Measured | None = None) -> str:
    """A line of the growing table; its head without figures."""
    rows = measured.rows if measured else {}
    cells = [_cell(float(rows[op]["mean"]) if op in rows else None) if measured else name for name, op in HEADLINES.items()]
    return f"  {title:20}" + "".join(f" {cell:>13}" for cell in cells)


class Results:
    """Everything that was measured, and recorded figures beside it."""

    def __init__(self, build_dir: Path, columns: list[Column]) -> None:
        self.build_dir = build_dir
        self.columns = columns
        self.measured: dict[str, Measured] = {}
        self.programs: dict[str, Measured] = {}
        self.harts: dict[tuple[str, int], Measured] = {}
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

    def _row(self, op: str, keys: list[str]) -> dict[str, Any]:
        values = {key: self.value(key, op) for key in (*keys, "uffd", "lean", "sel4")}
        if op not in USERFAULTFD:
            del values["uffd"]
        row: dict[str, Any] = {
            "op": op,
            "values": {key: value for key, value in values.items() if value is not None},
            "events": {},
            "phases": {},
            "functions": {},
        }
        for key in COUNTED:
            measured = self.measured.get(key)
            profile = measured.profiles.get(op) if measured else None
            if measured is None or profile is None or not profile.windows:
                continue
            divisor = measured.rows[op]["n"] * measured.rows[op]["per"]
            row["events"][key] = profile.events_per(divisor)
            if key != "linux":
                row["phases"][key] = profile.phases_per(divisor)
                row["functions"][key] = profile.functions_per(divisor)
        return row

    def _programs(self) -> list[dict[str, Any]]:
        """By program: in each column all that is executed from its start to its end."""
        names = [op for op in self.programs["user"].rows] if "user" in self.programs else []
        return [
            {
                "name": name.removeprefix("program_"),
                "columns": {
                    key: {
                        "events": measured.profiles[name].events_per(1),
                        "phases": measured.profiles[name].phases_per(1),
                    }
                    for key, measured in self.programs.items()
                    if name in measured.profiles
                },
            }
            for name in names
        ]

    def _one_hart(self) -> dict[tuple[str, int], Measured]:
        """What is shown by number of harts was measured on one hart with everything else."""
        found = {}
        for key in COUNTED:
            parts = [part for part in (self.measured.get(key), self.programs.get(key)) if part]
            if parts:
                found[key, 1] = Measured(
                    rows={op: row for part in parts for op, row in part.rows.items()},
                    text="",
                    command="",
                    profiles={op: profile for part in parts for op, profile in part.profiles.items()},
                )
        return found

    def _harts(self) -> list[dict[str, Any]]:
        """Totals over all harts, waiting included; and what of it is taking locks, where that can be told."""
        found = []
        for (key, harts), measured in sorted({**self._one_hart(), **self.harts}.items()):
            for what, op in HARTS_ROWS.items():
                op = op.format(harts=harts)
                profile, row = measured.profiles.get(op), measured.rows.get(op)
                if profile is None or row is None:
                    continue
                divisor = row["n"] * row["per"]
                phases = profile.phases_per(divisor)
                found.append(
                    {
                        "what": what,
                        "column": key,
                        "harts": harts,
                        "instructions": round(sum(phases.values()), 1),
                        "locks": phases.get(WAITING),
                        "events": profile.events_per(divisor),
                    }
                )
        return found

    def as_json(self) -> dict[str, Any]:
        keys = [column.key for column in self.columns]
        ops = list(self.measured["user"].rows)
        ops += [
            op for op in self.measured.get("linux", self.measured["user"]).rows if op not in ops
        ]
        rows = [self._row(op, keys) for op in ops]
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
                **conditions.versions(self.build_dir),
            },
            "commands": {
                **{key: measured.command for key, measured in self.measured.items()},
                **{f"{key}, programs": measured.command for key, measured in self.programs.items()},
                **{f"{key}, {n} harts": measured.command for (key, n), measured in self.harts.items()},
                **{f"trace, {pager} pager": trace.command(self.build_dir, qemu.Machine(pager=pager)) for pager in qemu.PAGERS},
            },
            "columns": columns,
            "rows": rows,
            "programs": self._programs(),
            "harts": self._harts(),
            "costs": json.loads(COSTS.read_text()),
            "sizes": self.sizes,
            "distribution": {
                key: _distribution(self.measured[key].text) for key in (
                    "user", "kernel"
                ) if key in self.measured
            },
            "traces": [found.as_json() for found in self.traces],
            "missing": self.missing,
        }


def _fetch(build_dir: Path, missing: dict[str, str]) -> tuple[bool, bool]:
    """Debian's kernel and Debian's programs, before any two boots want them at once: are they there?"""
    have = []
    for name, fetch in (
        ("Linux", lambda: linux.kernel(build_dir)),
        ("whole programs", lambda: programs.initrd(build_dir, TESTS)),
    ):
        try:
            fetch()
            have.append(True)
        except debian.Unobtainable as error:
            missing[name] = str(error)
            have.append(False)
    return have[0], have[1]


#: what is measured and where it goes: ("column", key), ("programs", key), ("harts", key, n), ...
_Work = dict[tuple[Any, ...], Any]


def _work(build_dir: Path, columns: list[Column], have_programs: bool) -> _Work:
    """Calls, the long ones first: so that two at a time end together."""
    counted = [column for column in reversed(columns) if column.key in COUNTED]
    work: _Work = {}
    if have_programs:
        for column in counted:
            work["programs", column.key] = (whole_programs, column, build_dir)
    for column in counted:
        work["column", column.key] = (operations, column, build_dir)
    if have_programs:
        for column in counted:
            for harts in reversed(HARTS):
                work["harts", column.key, harts] = (on_harts, column, build_dir, harts)
    for column in columns:
        work["column", column.key] = (operations, column, build_dir)
    for size in SIZES:
        work["memory", size] = (operations, columns[0], build_dir, "anon", size)
    for pager in qemu.PAGERS:
        work["traces", pager] = (trace.run, build_dir, qemu.Machine(pager=pager))
    return work


def gather(build_dir: Path, columns: list[Column]) -> Results:
    """Boots everything. Without a column there is no comparison; else what cannot be had is named in `missing`."""
    results = Results(build_dir, columns)
    for plugin in ("events", "trace"):
        plugins.build(build_dir, plugin)
    have_linux, have_programs = _fetch(build_dir, results.missing)
    if not have_linux:
        columns = [column for column in columns if not column.on_linux]
    work = _work(build_dir, columns, have_programs)
    titles = {column.key: column.title for column in columns}
    begun = time.monotonic()
    print(headline("instructions"), file=sys.stderr, flush=True)
    with ThreadPoolExecutor(jobs.default_parallel()) as pool:
        futures = {pool.submit(call[0], *call[1:]): key for key, call in work.items()}
        found = {}
        for number, future in enumerate(as_completed(futures), 1):
            key = futures[future]
            name = " ".join(map(str, key))
            try:
                found[key] = future.result()
            except CompareError as error:
                if key[0] in ("column", "memory"):
                    raise
                results.missing[name] = str(error)
                name += f": left out: {error}"
            _progress(begun, number, len(work), name)
            if key[0] == "column":
                print(headline(titles[key[1]], found[key]), file=sys.stderr, flush=True)
    for (kind, *key), what in found.items():
        if kind == "column":
            results.measured[key[0]] = what
        elif kind == "programs":
            results.programs[key[0]] = what
        elif kind == "harts":
            results.harts[key[0], key[1]] = what
        elif kind == "memory":
            results.sizes[key[0]] = {op: what.rows[op]["mean"] for op in SIZE_OPS}
    for pager in qemu.PAGERS:
        results.traces += found["traces", pager]
    results.sizes = {size: results.sizes[size] for size in SIZES}
    results.measured = {c.key: results.measured[c.key] for c in columns}
    results.programs = {c.key: results.programs[c.key] for c in columns if c.key in results.programs}
    return results


def _write_csv(path: Path, data: dict[str, Any]) -> None:
    keys = [column["key"] for column in data["columns"]]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["operation", *keys])
        for row in data["rows"]:
            writer.writerow([row["op"], *(row["values"].get(key, "") for key in keys)])


def _write_events_csv(path: Path, data: dict[str, Any]) -> None:
    """Operations and whole programs."""
    counted = [(row["op"], row["events"]) for row in data["rows"]] + [
        (f"program {program['name']}", {key: column["events"] for key, column in program["columns"].items()})
        for program in data["programs"]
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["operation", "column", *COUNTS])
        for name, by_column in counted:
            for key, events in by_column.items():
                writer.writerow([name, key, *(events[count] for count in COUNTS)])


def _write_pictures(directory: Path, data: dict[str, Any]) -> None:
    """As SVG, and as PNG where there is the tool for it (packages-compare.txt)."""
    for name, picture in compare_page.pictures(data).items():
        path = directory / f"{name}.svg"
        path.write_text(picture)
        if shutil.which(TO_PNG[0]):
            subprocess.run([*TO_PNG, "-o", str(path.with_suffix(".png")), str(path)], check=True)


def _screenshot(page: Path, picture: Path) -> None:
    """The README's picture of the page, where there is a browser that takes one."""
    if not shutil.which(BROWSER[0]):
        return
    command = [*BROWSER, f"--screenshot={picture.resolve()}", page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    if done.returncode:
        print(f"compare: no picture of the page: {BROWSER[0]} ended with {done.returncode}", file=sys.stderr)


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


def _write(directory: Path, data: dict[str, Any], docs: Path | None) -> None:
    """All that is made of the results."""
    (directory / "results.json").write_text(json.dumps(data, indent=1) + "\n")
    _write_csv(directory / "results.csv", data)
    _write_events_csv(directory / "events.csv", data)
    (directory / "index.html").write_text(compare_page.html(data))
    _write_pictures(directory, data)
    if docs:
        docs.write_text(compare_page.markdown(data))
        _screenshot(directory / "index.html", docs.parent / "pictures" / "comparison.png")


def run(build_dir: Path, policy: str = "", docs: Path | None = Path("docs/comparison.md"), again: bool = False) -> int:
    """Measures, twice with `again`, writes, prints; an exit status. That figures differ between two runs is told
    and no failure: Linux's may."""
    columns = [*COLUMNS, *([policy_column(policy)] if policy else [])]
    directory = build_dir / "compare"
    before = compare_again.before(directory / "results.json")
    try:
        if again:
            before = gather(build_dir, columns).as_json()
        data = gather(build_dir, columns).as_json()
    except (CompareError, trace.TraceError, plugins.PluginError, bench.BenchError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    data["again"] = compare_again.compared(before, data)
    _write(directory, data, None if policy else docs)
    print(table(data))
    for name, why in data["missing"].items():
        print(f"compare: left out: {name}: {why}", file=sys.stderr)
    for what, was, now in (data["again"] or {"differ": []})["differ"][:SHOWN_DIFFERENT]:
        print(f"compare: {what} was {was:g}, is {now:g}", file=sys.stderr)
    print(f"compare: {compare_again.told(data['again'])}")
    print(f"the page: {directory / 'index.html'}; beside it results.json, results.csv and pictures")
    return 0

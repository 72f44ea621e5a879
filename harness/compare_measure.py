"""What `make compare` boots: the columns, and how each is measured.

A column is one system or one variant of it. Those in `COUNTED` run under the events plugin, which gives for
each row its events, cache misses and profile beside the instructions that the program itself counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import bench, boot, events, linux, plugins, programs, qemu

#: Linux counts by its clock (user/bench/lib/bench.c); huge pages as in Pagoda, on request
LINUX_WORDS = ("bench_count=clock", "transparent_hugepage=madvise")
#: columns that run under the plugin
COUNTED = ("user", "kernel", "linux")
#: beside one, on which everything else is measured
HARTS = (2, 4)
#: of programs, so that they fit beside their files
PROGRAMS_MEMORY = "1G"
#: the program that runs on several harts
HARTS_PROGRAM = "busybox"
TESTS = Path(__file__).resolve().parent.parent / "tests"


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


def policy_column(name: str) -> Column:
    return Column(
        "policy", f"policy {name}", f"user pager with policy={name}", words=(f"policy={name}",)
    )


class CompareError(Exception):
    """A column could not be measured."""


@dataclass
class Measured:
    """What one boot gave."""

    rows: dict[str, bench.Row]
    text: str
    command: str
    #: by row; empty without the plugin
    profiles: dict[str, events.Profile] = field(default_factory=dict)


def _boot(column: Column, build_dir: Path, machine: qemu.Machine, name: str, counted: bool) -> Measured:
    """Boots `machine`, whose benchmarks print rows, and collects them."""
    directory = build_dir / "compare"
    directory.mkdir(parents=True, exist_ok=True)
    log, written = directory / f"{name}.log", directory / f"{name}.events"
    if counted:
        machine = replace(
            machine, options=(*machine.options, *plugins.option(plugins.build(build_dir, "events"), f"out={written}"))
        )
    if column.on_linux:
        result = linux.batch(machine, build_dir, total_s=1200, idle_s=600, log=log)
        problems = [result.stopped] if result.stopped else []
        text, command = result.text, " ".join(result.command)
    else:
        booted = boot.batch(machine, build_dir, total_s=1200, idle_s=600, log=log)
        problems = list(booted.problems) + (
            [f"exit status {booted.status}"] if booted.status else []
        )
        text, command = booted.text, booted.shell_command
    rows = {row["op"]: row for row in bench.parse(text, machine)}
    if problems or not rows:
        raise CompareError(
            f"{column.title}: {'; '.join(problems) or 'no rows'}; log in {log}\n{command}"
        )
    measured = Measured(rows, text, command)
    if counted:
        measured.profiles = events.parse(written.read_text())
        written.unlink()
        fold = events.fold_linux if column.on_linux else events.Fold(build_dir)
        fold(list(measured.profiles.values()))
    return measured


def _machine(column: Column, benches: str, memory: str = "1G") -> qemu.Machine:
    words = (f"bench={benches}", *column.words, *(LINUX_WORDS if column.on_linux else ()))
    return qemu.Machine(pager=column.pager, memory=memory, icount=True, seed=1, words=words)


def operations(column: Column, build_dir: Path, benches: str = "all", memory: str = "1G") -> Measured:
    """Every operation, or those of some benchmark programs."""
    counted = column.key in COUNTED and benches == "all"
    return _boot(column, build_dir, _machine(column, benches, memory), f"{column.key}-{benches}-{memory}", counted)


def whole_programs(column: Column, build_dir: Path) -> Measured:
    """The workloads (harness/workloads), with Debian's programs."""
    machine = replace(
        _machine(column, "programs", PROGRAMS_MEMORY), initrd=programs.initrd(build_dir, TESTS)
    )
    return _boot(column, build_dir, machine, f"{column.key}-programs", counted=True)


def on_harts(column: Column, build_dir: Path, harts: int) -> Measured:
    """Faults of as many threads as harts, and one program."""
    machine = _machine(column, "threads,programs", PROGRAMS_MEMORY)
    machine = replace(
        machine,
        harts=harts,
        initrd=programs.initrd(build_dir, TESTS),
        words=(*machine.words, f"workload={HARTS_PROGRAM}"),
    )
    return _boot(column, build_dir, machine, f"{column.key}-harts-{harts}", counted=True)

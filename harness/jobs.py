"""Test jobs: one run of something that reports many cases.

A job knows its cases before it runs (`declared.cases`), runs once for all that were asked of it,
and gives an `Outcome`: what was reported, and what was wrong with the run as a whole. `judge` then
tells the fate of one case. The kinds:

    GuestJob   one boot of Pagoda with all selected test programs
    LinuxJob   the same program under Linux (qemu-user): the oracle for the system-call ABI
    HostJob    a host test program
    FuzzJob    a few thousand runs of a fuzz target
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import boot, declared, ktap, linux, process, qemu

#: cases with this prefix test what only Pagoda has; they skip themselves elsewhere
PAGODA_ONLY = "pagoda_"
QEMU_USER = "qemu-riscv64"
#: the case of each job that stands for the run as a whole
WHOLE = "whole_run"

_HOST_TOTAL_S = 600.0
_HOST_IDLE_S = 300.0
_FUZZ_RUNS = 3000
_LOG_TAIL_LINES = 60

_BOOT_S = 60
_LONG_S = {
    "host.test_kernel_explore": 200,
    "host.test_kernel_calls": 40,
    "host.test_kernel_life": 30,
    "host.test_kernel_space_random": 20,
    "fuzz.fuzz_kernel_calls": 20,
    "fuzz.fuzz_pages": 15,
}

_SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:color=never",
    "UBSAN_OPTIONS": "print_stacktrace=1:color=never",
}


class CaseFailed(Exception):
    """The case failed; the text says all there is to say."""


class CaseSkipped(Exception):
    """The case says that it does not apply here, and why."""


class CaseKnownToFail(Exception):
    """The case failed, and is marked as known to."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    cases: dict[str, ktap.Case]
    #: what was wrong with the run itself: crash, hang, missing plan, undeclared cases, status
    problems: list[str]
    log: str
    command: str
    seconds: float

    @property
    def context(self) -> str:
        """The end of the log and the command, for a failure's report."""
        tail = self.log.splitlines()[-_LOG_TAIL_LINES:]
        return "\n".join(["--- end of the log ---", *tail, "--- command ---", self.command])


def judge(outcome: Outcome, name: str, *, selected: Collection[str]) -> None:
    """Returns if case `name` passed, raises one of the exceptions above if not.

    A case that was not reported fails with the run's problems. So does a reported one when the
    case `WHOLE`, which otherwise stands for them, is not among those selected."""
    because = "; ".join(outcome.problems)
    if name == WHOLE:
        if outcome.problems:
            raise CaseFailed(f"{because}\n{outcome.context}")
        return
    case = outcome.cases.get(name)
    if case is None:
        raise CaseFailed(f"not reported: {because or 'the run is complete'}\n{outcome.context}")
    details = "\n".join(case.diagnostics[-_LOG_TAIL_LINES:])
    if case.status is ktap.Status.FAILED:
        raise CaseFailed(f"reported as failed {case.reason}\n{details}\n{outcome.context}")
    if because and WHOLE not in selected:
        raise CaseFailed(f"the run failed: {because}\n{outcome.context}")
    if case.status is ktap.Status.SKIPPED:
        raise CaseSkipped(case.reason or "no reason given")
    if case.status is ktap.Status.KNOWN_FAILURE:
        raise CaseKnownToFail(case.reason or "no reason given")


def _any_failed(cases: dict[str, ktap.Case]) -> bool:
    return any(case.status is ktap.Status.FAILED for case in cases.values())


def _status_problems(cases: dict[str, ktap.Case], status: int | None) -> list[str]:
    """The exit status must say the same as the results: 0 if all is well, else 1."""
    expected = 1 if _any_failed(cases) else 0
    if status is None or status == expected:
        return []
    how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    return [f"{how} where the results say {expected}"]


def _undeclared(cases: Collection[str], known: Collection[str]) -> list[str]:
    return [f"case '{name}' is reported but not declared" for name in cases if name not in known]


@dataclass(frozen=True)
class Job:
    """Base of the kinds. `names` are the cases in order, without `WHOLE`."""

    #: what the job's items begin with, e.g. `guest[sv39-user-1]`
    name: str
    build_dir: Path
    names: tuple[str, ...] = field(repr=False)
    seed: int = 1

    @property
    def long(self) -> int:
        """How long it takes, roughly, in seconds of an idle machine. Long ones begin first, so that
        not one of them runs alone in the end."""
        return _LONG_S.get(self.name, 1)

    def run(self, selected: Collection[str]) -> Outcome:
        """Runs what is needed for the selected cases (more may be run). Blocks; never raises for
        what the tested program does."""
        raise NotImplementedError

    @property
    def log_path(self) -> Path:
        return self.build_dir / "test" / "logs" / f"{self.name}.log"


@dataclass(frozen=True)
class GuestJob(Job):
    machine: qemu.Machine = field(default_factory=qemu.Machine)
    #: its cases are those of all programs there are
    complete: bool = True

    @property
    def long(self) -> int:
        return _BOOT_S if self.complete else _BOOT_S // 4

    def run(self, selected: Collection[str]) -> Outcome:
        wanted = self._programs(selected)
        tests = "test=all" if self.complete and wanted == self._programs(()) else f"test={','.join(wanted)}"
        machine = replace(
            self.machine,
            seed=self.seed,
            words=(*self.machine.words, tests, f"seed={self.seed}"),
        )
        result = boot.batch(machine, self.build_dir, log=self.log_path)
        return self.evaluate(result)

    def _programs(self, selected: Collection[str]) -> list[str]:
        """The programs of the selected cases; of all cases if none is."""
        names = [name for name in selected if name != WHOLE] or self.names
        return sorted({name.split(".")[0] for name in names})

    def evaluate(self, result: boot.Boot) -> Outcome:
        """What a boot says about the cases."""
        stream = ktap.parse(result.text)
        self._name_open_block(stream)
        cases = ktap.cases(stream)
        problems = result.problems + list(stream.all_errors) + _undeclared(cases, self.names)
        problems += _status_problems(cases, result.status)
        return Outcome(cases, problems, result.text, result.shell_command, result.seconds)

    def _name_open_block(self, stream: ktap.Block) -> None:
        """A block gets its name from the result that closes it. One that was cut short belongs to
        the first program not yet reported that has these cases."""
        block = stream.open_child
        if block is None or block.name:
            return
        reported = {test.name for test in stream.tests}
        begun = {test.name for test in block.tests}
        for program in sorted({name.split(".")[0] for name in self.names} - reported):
            if all(f"{program}.{case}" in self.names for case in begun):
                block.name = program
                return


def _evaluate_program(result: process.Result, names: Collection[str]) -> Outcome:
    stream = ktap.parse(result.text)
    cases = ktap.cases(stream)
    problems = [result.stopped] if result.stopped else []
    problems += list(stream.all_errors) + _undeclared(cases, names)
    problems += _status_problems(cases, result.status)
    return Outcome(cases, problems, result.text, shlex.join(result.command), result.seconds)


@dataclass(frozen=True)
class LinuxJob(Job):
    """Cases that only Pagoda has are not among its names, but must report that they skip."""

    program: Path = Path()
    pagoda_only: tuple[str, ...] = ()

    def run(self, selected: Collection[str]) -> Outcome:
        result = process.run(
            [QEMU_USER, str(self.program)],
            total_s=_HOST_TOTAL_S,
            idle_s=_HOST_IDLE_S,
            log=self.log_path,
            # Programs that start programs do so through the emulator.
            environment={
                "KTAP_SEED": str(self.seed),
                "PG_EMULATOR": shutil.which(QEMU_USER) or QEMU_USER,
            },
        )
        outcome = _evaluate_program(result, (*self.names, *self.pagoda_only))
        problems = [
            f"case '{name}' must be skipped on Linux"
            for name in self.pagoda_only
            if name not in outcome.cases or outcome.cases[name].status is not ktap.Status.SKIPPED
        ]
        return replace(outcome, problems=outcome.problems + problems)


@dataclass(frozen=True)
class KernelJob(GuestJob):
    """One boot of Linux with all selected test programs. Its exit status says nothing."""

    pagoda_only: tuple[str, ...] = ()

    def run(self, selected: Collection[str]) -> Outcome:
        wanted = ",".join(self._programs(selected))
        machine = replace(
            self.machine, seed=self.seed, words=(*self.machine.words, f"test={wanted}", f"seed={self.seed}")
        )
        result = linux.batch(machine, self.build_dir, total_s=_HOST_TOTAL_S, log=self.log_path)
        # The firmware and the kernel speak first, on the same line.
        begin = result.text.find("KTAP version")
        stream = ktap.parse(result.text[max(begin, 0) :])
        self._name_open_block(stream)
        cases = ktap.cases(stream)
        problems = [result.stopped] if result.stopped else []
        problems += list(stream.all_errors) + _undeclared(cases, (*self.names, *self.pagoda_only))
        return Outcome(cases, problems, result.text, shlex.join(result.command), result.seconds)


@dataclass(frozen=True)
class HostJob(Job):
    program: Path = Path()
    #: of the environment, beside those of the sanitizers
    variables: tuple[tuple[str, str], ...] = ()

    def run(self, selected: Collection[str]) -> Outcome:
        wanted = [name for name in self.names if name in selected]
        filters = [] if len(wanted) == len(self.names) else wanted
        result = process.run(
            [str(self.program), "--seed", str(self.seed), *filters],
            total_s=_HOST_TOTAL_S,
            idle_s=_HOST_IDLE_S,
            log=self.log_path,
            environment={**_SANITIZERS, **dict(self.variables)},
        )
        return _evaluate_program(result, self.names)


@dataclass(frozen=True)
class FuzzJob(Job):
    """A fuzz target has one case, the whole run."""

    program: Path = Path()

    def run(self, selected: Collection[str]) -> Outcome:
        artifacts = self.log_path.parent / f"{self.name}-"
        artifacts.parent.mkdir(parents=True, exist_ok=True)
        command = [str(self.program), f"-runs={_FUZZ_RUNS}", f"-seed={self.seed}"]
        command += ["-timeout=20", "-max_total_time=120", f"-artifact_prefix={artifacts}"]
        result = process.run(
            command, total_s=300, idle_s=200, log=self.log_path, environment=_SANITIZERS
        )
        problems = [result.stopped] if result.stopped else []
        if result.status:
            problems.append(f"exit status {result.status}: a finding, see the log")
        return Outcome({}, problems, result.text, shlex.join(result.command), result.seconds)


class NotBuilt(Exception):
    """A program whose source exists has not been built."""


def program_names(source_dir: Path) -> list[str]:
    """The programs that a source directory defines, by the Makefile's rule: NAME.c or NAME/*.c,
    `lib` and `support` being shared code."""
    names = {path.stem for path in source_dir.glob("*.c")}
    names |= {path.parent.name for path in source_dir.glob("*/*.c")}
    return sorted(names - {"lib", "support"})


def _built(source_dir: Path, output_dir: Path) -> list[Path]:
    programs = [output_dir / name for name in program_names(source_dir)]
    missing = [str(program) for program in programs if not program.exists()]
    if missing:
        raise NotBuilt(f"not built: {', '.join(missing)}; `make test` builds them")
    return programs


def guest_jobs(
    tests_dir: Path,
    build_dir: Path,
    machines: list[qemu.Machine],
    seed: int,
    only: Collection[str] = (),
) -> list[Job]:
    """One boot per machine, with the cases of all guest test programs, or of these only."""
    programs = _built(tests_dir / "guest", build_dir / "guest")
    programs = [path for path in programs if not only or path.name in only]
    names = tuple(f"{path.name}.{case}" for path in programs for case in declared.cases(path))
    return [
        GuestJob(f"guest[{machine.name}]", build_dir, names, seed, machine, not only)
        for machine in (machines if programs else [])
    ]


def linux_jobs(tests_dir: Path, build_dir: Path, seed: int) -> list[Job]:
    """One run under Linux per guest test program."""
    jobs: list[Job] = []
    for program in _built(tests_dir / "guest", build_dir / "guest"):
        cases = declared.cases(program)
        names = tuple(name for name in cases if not name.startswith(PAGODA_ONLY))
        pagoda_only = tuple(name for name in cases if name.startswith(PAGODA_ONLY))
        name = f"linux[qemu-user].{program.name}"
        jobs.append(LinuxJob(name, build_dir, names, seed, program, pagoda_only))
    return jobs


def kernel_jobs(tests_dir: Path, build_dir: Path, machine: qemu.Machine, seed: int) -> list[Job]:
    """One boot of Linux with the guest test programs that have a case for it."""
    names: list[str] = []
    pagoda_only: list[str] = []
    for program in _built(tests_dir / "guest", build_dir / "guest"):
        for case in declared.cases(program):
            chosen = pagoda_only if case.startswith(PAGODA_ONLY) else names
            chosen.append(f"{program.name}.{case}")
    name = f"linux[kernel-{machine.harts}]"
    return [KernelJob(name, build_dir, tuple(names), seed, machine, pagoda_only=tuple(pagoda_only))]


def host_jobs(tests_dir: Path, build_dir: Path, seed: int) -> list[Job]:
    return [
        HostJob(f"host.{program.name}", build_dir, tuple(declared.cases(program)), seed, program)
        for program in _built(tests_dir / "host", build_dir / "host")
    ]


def fuzz_jobs(tests_dir: Path, build_dir: Path, seed: int) -> list[Job]:
    return [
        FuzzJob(f"fuzz.{program.name}", build_dir, (), seed, program)
        for program in _built(tests_dir / "fuzz", build_dir / "fuzz")
    ]


def default_parallel() -> int:
    """Boots at a time: two; more gain nothing, since a machine uses more than one host core."""
    return min(2, os.cpu_count() or 1)

"""The job of `make test-programs`: scripts for programs that are none of ours, here and on Linux.

A script of tests/programs is a case. It passes if it ends with status 0 and prints what it prints
under Linux, where it is run first, once: its output is kept until it or a program changes.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import boot, jobs, ktap, linux, mkinitrd, programs, qemu

MEMORY = "2G"
TOTAL_S = 1800.0
IDLE_S = 400.0
#: begins with a script's name, ends with how it ended
_BLOCK = re.compile(r"^# program (\S+) begins\n(.*?)^# program \1 ended: ([^\n]*)$", re.S | re.M)
_BEGUN = re.compile(r"^# program (\S+) begins$", re.M)
_EXIT_0 = "exit 0"
#: what init runs after the scripts where it is there: the recount of everything
CHECK = "mmcheck"


@dataclass(frozen=True)
class Run:
    """What a script printed, and how it ended."""

    text: str
    end: str


def parse(text: str) -> dict[str, Run]:
    return {name: Run(body, end) for name, body, end in _BLOCK.findall(text)}


def _keys(initrd: Path, names: Collection[str]) -> dict[str, str]:
    """Of what each script's output under Linux depends on: the programs, and itself."""
    files = mkinitrd.read_archive(initrd.read_bytes())
    common = hashlib.sha256()
    for name, (mode, data) in sorted(files.items()):
        if name.startswith(("usr/", f"{programs.SHARED}/")):
            common.update(f"{name} {mode} {len(data)}\n".encode() + data)
    keys = {}
    for name in names:
        sha = common.copy()
        sha.update(files[f"{programs.SCRIPTS}/{name}"][1])
        keys[name] = sha.hexdigest()
    return keys


class Reference:
    """Linux's output of the scripts: each is run once, and kept beside the initrd."""

    def __init__(self, build_dir: Path, initrd: Path, seed: int) -> None:
        self.build_dir = build_dir
        self.initrd = initrd
        self.seed = seed
        self._lock = threading.Lock()

    def runs(self, names: Collection[str]) -> dict[str, Run]:
        """Those of these scripts, as far as they came to their ends."""
        with self._lock:
            kept = self.initrd.with_name("linux.json")
            keys = _keys(self.initrd, names)
            content = json.loads(kept.read_text()) if kept.exists() else {}
            known = [name for name in names if content.get(name, [""])[0] == keys[name]]
            if missing := [name for name in names if name not in known]:
                for name, run in self._boot(missing).items():
                    content[name] = [keys[name], run.text, run.end]
                    known.append(name)
                kept.write_text(json.dumps(content))
            return {name: Run(*content[name][1:]) for name in known}

    def _boot(self, names: list[str]) -> dict[str, Run]:
        machine = qemu.Machine(
            harts=2,
            memory=MEMORY,
            initrd=self.initrd,
            seed=self.seed,
            words=(f"program={','.join(names)}",),
        )
        log = self.build_dir / "test" / "logs" / "programs[linux].log"
        return parse(
            linux.batch(machine, self.build_dir, total_s=TOTAL_S, idle_s=IDLE_S, log=log).text
        )


def _difference(expected: Run, got: Run) -> list[str]:
    lines = difflib.unified_diff(
        expected.text.splitlines(), got.text.splitlines(), "Linux", "Pagoda", lineterm="", n=2
    )
    return list(lines)


def _failed(why: str, details: list[str]) -> ktap.Case:
    return ktap.Case(ktap.Status.FAILED, why, tuple(details))


def _judged(name: str, expected: Run | None, got: Run) -> ktap.Case:
    if expected is None or expected.end != _EXIT_0:
        end = expected.end if expected else "not run"
        return _failed(f"under Linux: {end}", expected.text.splitlines() if expected else [])
    if got.end != _EXIT_0:
        return _failed(got.end, got.text.splitlines())
    difference = _difference(expected, got)
    if difference:
        return _failed("prints what it does not print under Linux", difference)
    return ktap.Case(ktap.Status.PASSED)


@dataclass(frozen=True)
class ProgramJob(jobs.Job):
    machine: qemu.Machine = field(default_factory=qemu.Machine)
    reference: Reference | None = None

    def run(self, selected: Collection[str]) -> jobs.Outcome:
        assert self.reference is not None
        wanted = [name for name in self.names if name in selected] or list(self.names)
        expected = self.reference.runs(wanted)
        machine = replace(
            self.machine, seed=self.seed, words=(*self.machine.words, f"program={','.join(wanted)}")
        )
        result = boot.batch(
            machine, self.build_dir, total_s=TOTAL_S, idle_s=IDLE_S, log=self.log_path
        )
        got = parse(result.text)
        check = got.pop(CHECK, None)
        cases = {name: _judged(name, expected.get(name), run) for name, run in got.items()}
        problems = list(result.problems)
        if begun := [name for name in _BEGUN.findall(result.text) if name not in got and name != CHECK]:
            problems.append(f"{', '.join(begun)} did not end")
        if check is None or check.end != _EXIT_0:
            problems.append(f"{CHECK}: {check.text if check else 'did not run'}")
        return jobs.Outcome(cases, problems, result.text, result.shell_command, result.seconds)


def program_jobs(
    tests_dir: Path, build_dir: Path, machines: list[qemu.Machine], seed: int
) -> list[jobs.Job]:
    """One boot per machine with all scripts of tests/programs."""
    initrd = programs.initrd(build_dir, tests_dir)
    reference = Reference(build_dir, initrd, seed)
    names = tuple(programs.scripts(tests_dir))
    return [
        ProgramJob(
            f"programs[{machine.name}]",
            build_dir,
            names,
            seed,
            replace(machine, memory=MEMORY, initrd=initrd),
            reference,
        )
        for machine in machines
    ]

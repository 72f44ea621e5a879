"""Differential testing: the random programs of tests/diff on Pagoda and on Linux, line by line.

A program prints a hash of what it did every few steps. Where two hashes differ, it is run again on
both for the lines of that window, and the first line that differs is the finding. If the window is
equal then, one of the systems did not do the same twice: its hash says which, and all logs are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness import boot, linux, qemu

#: steps between two hashes, as the program has it
WINDOW = 64
TOTAL_S = 900.0
#: small pages only, no randomness, no second processor to make faults race; norandmaps is given to Linux anyway
LINUX_WORDS = ("transparent_hugepage=never",)
PAGODA_WORDS = ("thp=never", "norandmaps")
#: a line of the other system where there is none
NOTHING = "(nothing)"

_HASH = re.compile(r"^hash (\d+) ([0-9a-f]{16})$")
_BEGIN = "# mmdiff "
_DONE = "mmdiff done "


class Broken(Exception):
    """A run did not end; the text is the end of its log."""


@dataclass(frozen=True)
class Run:
    """One program run: what chooses it."""

    seed: int
    steps: int
    features: str

    def command(self, window: tuple[int, int] | None = None) -> str:
        words = ["/diff/mmdiff", str(self.seed), str(self.steps), self.features or "-"]
        return " ".join(words + [str(step) for step in window or ()])


@dataclass(frozen=True)
class Finding:
    """The first line of a window that differs, and those before it."""

    run: Run
    here: str
    there: str
    before: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.run.command()}: the systems differ", *(f"    {b}" for b in self.before)]
        return "\n".join([*lines, f"    Pagoda: {self.here}", f"    Linux:  {self.there}"])


@dataclass(frozen=True)
class Unsteady:
    """The systems differed once, and not when they were run again."""

    run: Run
    window: tuple[int, int]
    #: the systems whose second run was not their first
    changed: tuple[str, ...]
    logs: Path

    def __str__(self) -> str:
        who = " and ".join(self.changed) or "neither (is a line missing?)"
        return (
            f"{self.run.command()}: differed in steps {self.window[0]}..{self.window[1]}, but not when run again\n"
            f"    not the same twice: {who}; logs in {self.logs}"
        )


Boot = Callable[[list[str]], str]


def on_pagoda(machine: qemu.Machine, build_dir: Path) -> Boot:
    def run(commands: list[str]) -> str:
        line = f'run="{"; ".join(commands)}"'
        words = (*machine.words, *PAGODA_WORDS, line)
        result = boot.batch(replace(machine, words=words), build_dir, total_s=TOTAL_S)
        if result.problems:
            raise Broken("\n".join([*result.problems, result.text[-4000:]]))
        return result.text

    return run


def on_linux(machine: qemu.Machine, build_dir: Path) -> Boot:
    """With the same hardware; `machine.words` are Pagoda's."""

    def run(commands: list[str]) -> str:
        line = f'run="{"; ".join(commands)}"'
        result = linux.batch(
            replace(machine, words=(*LINUX_WORDS, line)), build_dir, total_s=TOTAL_S
        )
        if result.stopped:
            raise Broken(f"Linux: {result.stopped}\n{result.text[-4000:]}")
        return result.text

    return run


def _parts(text: str) -> list[list[str]]:
    """The lines of each program run, without what the systems say at start and end."""
    parts: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith(_BEGIN):
            parts.append([])
        elif parts and (not parts[-1] or not parts[-1][-1].startswith(_DONE)):
            parts[-1].append(line)
    return parts


def _different_window(here: list[str], there: list[str]) -> tuple[int, int] | None:
    last = 0
    for mine, other in zip(here, there):
        match = _HASH.match(mine)
        step = int(match[1]) if match else last + WINDOW
        if mine != other:
            return last + 1, step
        last = step
    return None if len(here) == len(there) else (last + 1, last + WINDOW)


def _first_difference(run: Run, here: list[str], there: list[str]) -> Finding | None:
    for index in range(max(len(here), len(there))):
        mine = here[index] if index < len(here) else NOTHING
        other = there[index] if index < len(there) else NOTHING
        if mine != other:
            return Finding(run, mine, other, tuple(here[max(0, index - 25) : index]))
    return None


def _hashes(part: list[str]) -> list[str]:
    return [line for line in part if _HASH.match(line) or line.startswith(_DONE)]


def _keep(logs: Path, texts: dict[str, str]) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (logs / f"{name}.log").write_text(text)


def compare(runs: list[Run], here: Boot, there: Boot, logs: Path) -> list[Finding | Unsteady]:
    """All runs in one boot of each system; a second boot of each for those that differ, whose logs are kept."""
    commands = [run.command() for run in runs]
    windows: list[tuple[int, tuple[int, int]]] = []
    texts = {"pagoda-1": here(commands), "linux-1": there(commands)}
    first = _parts(texts["pagoda-1"]), _parts(texts["linux-1"])
    for parts in first:
        parts += [[]] * (len(runs) - len(parts))
    for index in range(len(runs)):
        window = _different_window(first[0][index], first[1][index])
        if window:
            windows.append((index, window))
    if not windows:
        return []
    commands = [runs[index].command(window) for index, window in windows]
    texts |= {"pagoda-2": here(commands), "linux-2": there(commands)}
    _keep(logs, texts)
    second = _parts(texts["pagoda-2"]), _parts(texts["linux-2"])
    findings: list[Finding | Unsteady] = []
    for (index, window), mine, other in zip(windows, *second, strict=True):
        changed = tuple(
            name
            for name, before, now in (
                ("Pagoda", first[0][index], mine),
                ("Linux", first[1][index], other),
            )
            if _hashes(before) != _hashes(now)
        )
        findings.append(
            _first_difference(runs[index], mine, other)
            or Unsteady(runs[index], window, changed, logs)
        )
    return findings

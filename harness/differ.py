"""Differential testing: the random programs of tests/diff on Pagoda and on Linux, line by line.

A program prints a hash of what it did every few steps. Where two hashes differ, it is run again on
both for the lines of that window, and the first line that differs is the finding.
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
#: small pages only, no randomness, no second processor to make faults race
LINUX_WORDS = ("transparent_hugepage=never",)

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
    run: Run
    here: str
    there: str
    before: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.run.command()}: the systems differ", *(f"    {b}" for b in self.before)]
        return "\n".join([*lines, f"    Pagoda: {self.here}", f"    Linux:  {self.there}"])


Boot = Callable[[list[str]], str]


def on_pagoda(machine: qemu.Machine, build_dir: Path) -> Boot:
    def run(commands: list[str]) -> str:
        line = f'run="{"; ".join(commands)}"'
        result = boot.batch(replace(machine, words=(line,)), build_dir, total_s=TOTAL_S)
        if result.problems:
            raise Broken("\n".join([*result.problems, result.text[-4000:]]))
        return result.text

    return run


def on_linux(build_dir: Path) -> Boot:
    def run(commands: list[str]) -> str:
        line = f'run="{"; ".join(commands)}"'
        machine = qemu.Machine(words=(*LINUX_WORDS, line))
        result = linux.batch(machine, build_dir, total_s=TOTAL_S)
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


def _first_difference(run: Run, here: list[str], there: list[str]) -> Finding:
    for index, mine in enumerate(here):
        other = there[index] if index < len(there) else "(nothing)"
        if mine != other:
            return Finding(run, mine, other, tuple(here[max(0, index - 25) : index]))
    return Finding(run, "(nothing)", there[len(here)] if len(there) > len(here) else "?", ())


def compare(runs: list[Run], here: Boot, there: Boot) -> list[Finding]:
    """All runs in one boot of each system; a second boot of each for those that differ."""
    commands = [run.command() for run in runs]
    windows: list[tuple[Run, tuple[int, int]]] = []
    mine, other = _parts(here(commands)), _parts(there(commands))
    for index, run in enumerate(runs):
        a = mine[index] if index < len(mine) else []
        b = other[index] if index < len(other) else []
        window = _different_window(a, b)
        if window:
            windows.append((run, window))
    if not windows:
        return []
    commands = [run.command(window) for run, window in windows]
    mine, other = _parts(here(commands)), _parts(there(commands))
    return [
        _first_difference(run, a, b) for (run, _), a, b in zip(windows, mine, other, strict=True)
    ]

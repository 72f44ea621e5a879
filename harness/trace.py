"""Exact traces of single faults: every instruction, folded by phase and by function, with the events
and the cache lines of memory that it touches.

QEMU writes the trace by a plugin (trace_plugin.c). Who runs at a low address, the memory
server or the program, is told by comparing the instruction with the images.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import boot, plugins, qemu
from harness.symbols import Image

LINE_BYTES = 64

#: numbers of traces of one kind are so far apart (user/bench/trace.c)
KINDS = 16

_CSR_SATP = 0x180


class TraceError(Exception):
    """The trace is not what it should be."""


@dataclass
class Trace:
    """One fault or call."""

    name: str
    pager: str
    instructions: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    #: phase, then functions from the outermost to the innermost
    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "pager": self.pager,
            "instructions": self.instructions,
            "phases": dict(self.phases),
            "stacks": [[*stack, count] for stack, count in sorted(self.stacks.items())],
            "events": dict(self.events),
        }


def _written(build_dir: Path, machine: qemu.Machine) -> Path:
    return build_dir / "compare" / f"trace-{machine.pager}.txt"


def _traced(build_dir: Path, machine: qemu.Machine) -> qemu.Machine:
    return replace(
        machine,
        icount=True,
        seed=1,
        words=(*machine.words, "bench=trace"),
        options=plugins.option(plugins.build(build_dir, "trace"), f"out={_written(build_dir, machine)}"),
    )


def command(build_dir: Path, machine: qemu.Machine) -> str:
    """What QEMU is called by."""
    return shlex.join(qemu.command_line(_traced(build_dir, machine), build_dir, interactive=False))


def _boot(build_dir: Path, machine: qemu.Machine) -> tuple[dict[int, str], str]:
    """What the kinds of traces are, and the plugin's text."""
    out = _written(build_dir, machine)
    out.parent.mkdir(parents=True, exist_ok=True)
    result = boot.batch(_traced(build_dir, machine), build_dir, total_s=600, idle_s=600)
    names = {
        int(n): name.strip() for n, name in re.findall(r"^TRACE (\d+) (.*)$", result.text, re.M)
    }
    if result.problems or result.status or not names:
        raise TraceError(f"{'; '.join(result.problems) or 'no trace'}\n{result.text[-2000:]}\n{result.shell_command}")
    text = out.read_text()
    out.unlink()
    return names, text


def _steps(text: str) -> Iterator[tuple[int, int, int, list[int]]]:
    """(trace, address, code, lines touched) of each instruction."""
    number, step = -1, None
    for line in text.splitlines():
        kind, *words = line.split()
        if kind == "m":
            if step:
                step[3].append(int(words[0], 16) // LINE_BYTES)
            continue
        if step:
            yield step
        step = None
        if kind == "t":
            number = int(words[0])
        else:
            step = (number, int(words[0], 16), int(words[1], 16), [])
    if step:
        yield step


def _event(code: int) -> str | None:
    """The event that a privileged instruction is."""
    if code & 0x7F != 0x73:
        return None
    if code in (0x10200073,):
        return "traps"  # each ends with an sret
    if code >> 25 == 0x09:
        return "fences"
    return "satp" if code >> 20 == _CSR_SATP and code >> 12 & 7 else None


def _middle(traces: list[Trace]) -> Trace:
    """The one of middle length: it has met no refill of a list."""
    return sorted(traces, key=lambda trace: trace.instructions)[len(traces) // 2]


def run(build_dir: Path, machine: qemu.Machine) -> list[Trace]:
    """The traces of all kinds on this machine, one of each."""
    names, text = _boot(build_dir, machine)
    kernel = Image(build_dir / "kernel.elf")
    low = [Image(build_dir / "mmserver.elf"), Image(build_dir / "bench-bin" / "trace")]
    steps = list(_steps(text))
    wanted: dict[int, set[int]] = {id(image): set() for image in (kernel, *low)}
    images: list[Image] = []
    last = low[1]
    for _, address, code, _ in steps:
        if address >> 40:
            image = kernel
        elif address >> 24:
            image = kernel if kernel.has(address, code) else last
        else:
            found = [candidate for candidate in low if candidate.has(address, code)]
            if not found:
                raise TraceError(f"no image has {code:x} at {address:x}")
            image = last = last if last in found else found[0]
        images.append(image)
        wanted[id(image)].add(address)
    for image in (kernel, *low):
        image.load(wanted[id(image)])

    numbers = {number for number, *_ in steps}
    traces = {number: Trace(names[number % KINDS], machine.pager) for number in numbers}
    lines: dict[int, set[tuple[str, int]]] = {number: set() for number in numbers}
    for (number, address, code, touched), image in zip(steps, images, strict=True):
        trace, functions = traces[number], image.functions(address)
        phase = image.phase(address)
        if image is low[1]:
            phase, functions = "program", ("the access or call",)
        trace.instructions += 1
        trace.phases[phase] += 1
        trace.stacks[phase, *functions] += 1
        event = _event(code)
        if event:
            trace.events[event] += 1
        lines[number] |= {("data", line) for line in touched}
        lines[number].add(("code", (hash(image.path) << 40) + address // LINE_BYTES))
    for number, seen in lines.items():
        for kind in ("data", "code"):
            traces[number].events[f"{kind} lines"] = sum(1 for what, _ in seen if what == kind)
    return [_middle([traces[number] for number in numbers if number % KINDS == kind]) for kind in sorted(names)]

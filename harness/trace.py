"""Exact traces of single faults: every instruction, folded by phase and by function, with the events
and the cache lines of memory that it touches.

QEMU writes the trace by a plugin (trace_plugin.c, built here with the host's compiler); symbols and
inlined functions come from the images' debugging information. Who runs at a low address, the memory
server or the program, is told by comparing the instruction with the images.
"""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import boot, qemu

SOURCE = Path(__file__).with_name("trace_plugin.c")
PREFIX = "riscv64-unknown-elf-"
LINE_BYTES = 64

#: phases in the order of a fault's way, and the functions that belong to them: the innermost
#: function of an instruction that matches decides
PHASES: tuple[tuple[str, str], ...] = (
    ("program", r"main|bench_|anonymous|copies|files|calls|write_to|read_from"),
    ("server: look-up and decision", r"worker_entry|place_\w+"),
    ("trap entry", r"trap_entry|user_ecall|foreign_ecall|native_\w+"),
    (
        "delivery",
        r"\w*deliver\w*|pager_(fault_)?enter|pager_foreign|call_pager|event_\w+|worker_\w+",
    ),
    ("address-space switch", r"enter_\w+|space_activate|sched_\w+|space_switch\w*"),
    ("clearing the page", r"page_clear\w*|clear_\w+|memset"),
    ("copying the page", r"page_copy\w*|memcpy"),
    (
        "allocation",
        r"page_alloc\w*|pages?_\w*alloc\w*|page_free\w*|hot_\w+|list_(fill|take|drain)|buddy_\w+|zone\w*_\w+|"
        r"slab_\w+|kmalloc\w*|account|stock_\w+|magazine\w*|page_take|page_check\w*",
    ),
    (
        "reverse map",
        r"rmap_\w+|anon_\w+|interval_\w+|object_page_\w+|around_take|cow_displace|page_is_exclusive",
    ),
    (
        "entry write",
        r"arch_slot_\w+|slot_swap|slot_load|map_one|replace_one|protect_one|fill_\w+|grow|batch_(map|unmap|replace|"
        r"protect|table)\w*|map_list\w*|list_\w+|run_\w+",
    ),
    ("fence", r"gather_\w+|arch_fence\w*|fence_\w+|\w*_fence|asid_\w+"),
    (
        "reply: decode and check",
        r"fault_reply|reply_\w+|answer_(fault|value)|block_\w+|covered|straight\w*|batch_\w+|pager_reply\w*|"
        r"pager_fault_reply|cap_\w+|space_\w+|kernel_(call|lock|unlock)|call_\w+|native_call|fault_slot|map_for|"
        r"client_leaf\w*|hart_\w+|switching|answer_locked|go_on|pager_go_on|plain_cap|arch_count_up|table_given",
    ),
    ("return", r"resume_\w+"),
    (
        "server: look-up and decision",
        r"worker_entry\w*|fault_\w+|vma_\w+|pt_\w+|mm_\w+|client_\w+|answer\w*|place_\w+|op_\w+|ops_\w+|object_\w+|"
        r"around_\w+|map_\w+|server_\w+|zap_\w+|limit_\w+|huge_\w+|\w+",
    ),
)
_COMPILED = [(name, re.compile(rf"(?:{pattern})$")) for name, pattern in PHASES]

_CSR_SATP = 0x180
#: labels of the server's entry code, which run into each other
_SERVER_ENTRY = re.compile(
    r"worker_entry|_start$|answer|enter_(call|idle|signal|refuse)$|place_fault_answer$"
)


class TraceError(Exception):
    """The plugin cannot be built, or the trace is not what it should be."""


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


class Image:
    """Instructions of an ELF file by address, and the functions that they stand in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from(
            "<HH", data, 54
        )
        self._segments = []
        for at in range(offset, offset + size * count, size):
            kind, _, start, address, _, length = struct.unpack_from("<IIQQQQ", data, at)
            if kind == 1:
                self._segments.append((address, data[start : start + length]))
        self._functions: dict[int, tuple[str, ...]] = {}

    def has(self, address: int, code: int) -> bool:
        wide = code & 3 == 3
        raw = code.to_bytes(4, "little")[: 4 if wide else 2]
        return any(
            start <= address < start + len(text) and text[address - start :][: len(raw)] == raw
            for start, text in self._segments
        )

    def load(self, addresses: set[int]) -> None:
        """Looks all these up at once: outermost function first."""
        ordered = sorted(addresses)
        if not ordered:
            return
        output = subprocess.run(
            [PREFIX + "addr2line", "-a", "-f", "-i", "-e", str(self.path)],
            input="\n".join(hex(address) for address in ordered),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        starts = [i for i, line in enumerate(output) if line.startswith("0x")]
        for start, stop in zip(starts, [*starts[1:], len(output)], strict=True):
            names = [name for name in output[start + 1 : stop : 2] if name != "??"]
            self._functions[int(output[start], 16)] = tuple(reversed(names)) or ("?",)
        self._label(ordered)

    def _label(self, ordered: list[int]) -> None:
        """Assembly has no functions in its debugging information: the symbol table has its labels."""
        missing = [a for a in ordered if self._functions.get(a, ("?",)) == ("?",)]
        if not missing:
            return
        lines = subprocess.run(
            [PREFIX + "nm", "-n", str(self.path)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        symbols = [
            (int(p[0], 16), p[2]) for p in map(str.split, lines) if len(p) == 3 and p[1] in "tT"
        ]
        symbols = [(a, n) for a, n in symbols if not n.startswith((".", "$", "image_", "__"))]
        at = 0
        for address in missing:
            while at + 1 < len(symbols) and symbols[at + 1][0] <= address:
                at += 1
            name = symbols[at][1]
            self._functions[address] = ("worker_entry" if _SERVER_ENTRY.match(name) else name,)

    def functions(self, address: int) -> tuple[str, ...]:
        return self._functions[address]


def build_plugin(build_dir: Path) -> Path:
    plugin = build_dir / "trace_plugin.so"
    if plugin.exists() and plugin.stat().st_mtime > SOURCE.stat().st_mtime:
        return plugin
    command = [
        "cc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(plugin),
        str(SOURCE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TraceError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return plugin


def _boot(build_dir: Path, machine: qemu.Machine) -> tuple[dict[int, str], str]:
    """What the traces are, and the plugin's text."""
    out = build_dir / "compare" / f"trace-{machine.pager}.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    plugin = build_plugin(build_dir)
    traced = qemu.Machine(
        paging=machine.paging,
        pager=machine.pager,
        icount=True,
        seed=1,
        words=(*machine.words, "bench=trace"),
        options=("-plugin", f"{plugin},out={out}"),
    )
    result = boot.batch(traced, build_dir, total_s=300)
    names = {
        int(n): name.strip() for n, name in re.findall(r"^TRACE (\d+) (.*)$", result.text, re.M)
    }
    if result.problems or result.status or not names:
        raise TraceError(f"{'; '.join(result.problems) or 'no trace'}\n{result.text[-2000:]}\n{result.shell_command}")
    return names, out.read_text()


def _phase(functions: tuple[str, ...]) -> str:
    for function in reversed(functions):
        for name, pattern in _COMPILED[:-1]:
            if pattern.match(function):
                return name
    return PHASES[-1][0]


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


def run(build_dir: Path, machine: qemu.Machine) -> list[Trace]:
    """The traces of all kinds on this machine."""
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

    traces = {number: Trace(name, machine.pager) for number, name in names.items()}
    lines: dict[int, set[tuple[str, int]]] = {number: set() for number in names}
    for (number, address, code, touched), image in zip(steps, images, strict=True):
        trace, functions = traces[number], image.functions(address)
        phase = _phase(functions)
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
    return [traces[number] for number in sorted(traces)]

"""Whose an instruction is: the function it stands in, and the phase of a fault's way.

Symbols and inlined functions come from the images' debugging information; assembly has labels only.
"""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

PREFIX = "riscv64-unknown-elf-"

#: phases in the order of a fault's way, and the functions that belong to them: the innermost
#: function of an instruction that matches decides
PATTERNS: tuple[tuple[str, str], ...] = (
    ("program", r"main|bench_|anonymous|copies|files|calls|write_to|read_from"),
    ("server: look-up and decision", r"worker_entry|place_\w+"),
    ("waiting for a lock", r"linux_lock|arch_relax|nap|lock_take|leaf_lock|kernel_lock|crash_stop_here"),
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
        r"pager_fault_reply|cap_\w+|space_\w+|kernel_(call|unlock)|call_\w+|native_call|fault_slot|map_for|"
        r"client_leaf\w*|hart_\w+|switching|answer_locked|go_on|pager_go_on|plain_cap|arch_count_up|table_given",
    ),
    ("return", r"resume_\w+"),
)
_COMPILED = [(name, re.compile(rf"(?:{pattern})$")) for name, pattern in PATTERNS]
#: where no pattern says more, the source file does
_BY_FILE = (
    ("server: look-up and decision", "mmserver/"),
    ("process personality", "user/linux/"),
    ("kernel: other", ""),
)
#: all of them, in the order in which they are shown
PHASES = (*dict.fromkeys(name for name, _ in PATTERNS), "process personality", "kernel: other", "firmware")


#: labels of the server's entry code, which run into each other
_SERVER_ENTRY = re.compile(
    r"worker_entry|_start$|answer|enter_(call|idle|signal|refuse)$|place_fault_answer$"
)


def phase(functions: tuple[str, ...], file: str) -> str:
    """Of an instruction that stands in these functions, outermost first, the innermost in this file."""
    for function in reversed(functions):
        for name, pattern in _COMPILED:
            if pattern.match(function):
                return name
    return next(name for name, directory in _BY_FILE if directory in file)


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
        self._files: dict[int, str] = {}

    def has(self, address: int, code: int) -> bool:
        wide = code & 3 == 3
        raw = code.to_bytes(4, "little")[: 4 if wide else 2]
        return any(
            start <= address < start + len(text) and text[address - start :][: len(raw)] == raw
            for start, text in self._segments
        )

    def load(self, addresses: set[int]) -> None:
        """Looks all these up at once."""
        ordered = sorted(addresses - self._functions.keys())
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
            self._files[int(output[start], 16)] = output[start + 2].split(":")[0]
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
        """Outermost first; only of what was loaded."""
        return self._functions[address]

    def phase(self, address: int) -> str:
        return phase(self._functions[address], self._files.get(address, str(self.path)))

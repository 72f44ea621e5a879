"""Checks that nothing in a kernel image refers to what is given away when the boot is over.

usage: python3 -m harness.bootrefs readelf kernel.elf

The image is linked with its relocations kept. A stretch `*_boot .. *_pager` is used by the boot
only, `*_pager .. *_rest` by the boot and by the memory server in the kernel: see
arch/riscv/kernel.lds. A reference from anywhere else into one of them is an error, but for the few
in `ALLOWED`.
"""

from __future__ import annotations

import bisect
import re
import subprocess
import sys
from dataclasses import dataclass

PARTS = ("text", "rodata", "data", "bss")

#: function or object that refers -> what it may refer to, and why that is right
ALLOWED = {
    ("start", None): "the first instructions: they run before all",
    ("start_high", None): "the same",
    ("start_high_address", None): "the same",
    ("early_trap", None): "a trap before a hart has a vector of its own",
    ("kernel_hand_over", "pager_start"): "only with pager=kernel, when it is kept",
    ("server_main", "mmserver_start"): "the start itself, before it is given away",
    ("boot_only", None): "the table of what is given away",
    (None, "boot_stack_top"): "of a crash before the first hart is online",
    (None, "pager_enter"): "a hook: called only with pager=kernel",
    (None, "pager_fault_enter"): "a hook: called only with pager=kernel",
    (None, "pager_start"): "a hook: called only with pager=kernel",
}

_SYMBOL = re.compile(r"^ *\d+: ([0-9a-f]{16}) +\S+ (\S+) +\S+ +\S+ +(\S+) (\S+)$")
_RELOCATION = re.compile(
    r"^([0-9a-f]{16}) +[0-9a-f]{16} (R_RISCV_\w+) +([0-9a-f]{16}) (\S+)(?: ([+-]) ([0-9a-f]+))?$"
)


@dataclass
class Image:
    addresses: list[int]
    names: list[str]
    symbols: dict[str, int]
    relocations: list[tuple[int, int, str]]

    def name_at(self, address: int) -> str:
        at = bisect.bisect_right(self.addresses, address) - 1
        return self.names[at] if at >= 0 else "?"

    def owner(self, address: int) -> str:
        for part in PARTS:
            boot, pager, rest = (
                self.symbols.get(f"image_{part}_{end}", 0) for end in ("boot", "pager", "rest")
            )
            if boot <= address < pager:
                return "boot"
            if pager <= address < rest:
                return "pager"
        return "rest"


def parse(text: str) -> Image:
    symbols: dict[str, int] = {}
    sized: list[tuple[int, str]] = []
    relocations = []
    loaded = False
    for line in text.splitlines():
        if line.startswith("Relocation section"):
            loaded = not re.search(r"\.rela\.(debug|eh_frame)", line)
        elif (match := _SYMBOL.match(line)) and match[4]:
            symbols[match[4]] = int(match[1], 16)
            named = match[2] in ("FUNC", "OBJECT") or match[2] == "NOTYPE"
            if named and not match[4].startswith((".", "$", "image_")):
                sized.append((int(match[1], 16), match[4]))
        elif loaded and (match := _RELOCATION.match(line)):
            addend = int(match[6], 16) if match[6] else 0
            target = int(match[3], 16) + (-addend if match[5] == "-" else addend)
            relocations.append((int(match[1], 16), target, match[4]))
    sized.sort()
    return Image([a for a, _ in sized], [n for _, n in sized], symbols, relocations)


def violations(image: Image) -> list[str]:
    found = set()
    for source, target, symbol in image.relocations:
        to, of = image.owner(target), image.owner(source)
        if to == "rest" or of == "boot" or of == to or symbol.startswith("image_"):
            continue
        user, used = image.name_at(source), image.name_at(target)
        if ALLOWED.keys() & {(user, None), (None, used), (user, used)}:
            continue
        found.add(f"{user} refers to {used}, which is given away when the boot is over")
    return sorted(found)


def main() -> int:
    command = [sys.argv[1], "--wide", "--syms", "--relocs", sys.argv[2]]
    image = parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if len(image.relocations) < 100:
        print(f"{sys.argv[2]}: no relocations were kept", file=sys.stderr)
        return 1
    found = violations(image)
    for line in found:
        print(f"{sys.argv[2]}: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

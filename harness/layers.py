"""Checks that no include points up: what a directory may include is in `ALLOWED`.

usage: python3 -m harness.layers [root]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

#: directory -> what its sources may include, as path prefixes. The longest matching directory
#: counts. Includes in angle brackets other than <pagoda/...> are the C library's and not judged.
ALLOWED: dict[str, tuple[str, ...]] = {
    "abi": ("pagoda/",),
    "lib": ("pagoda/", "lib/"),
    "arch": ("pagoda/", "lib/", "arch/", "kernel/"),
    "kernel": ("pagoda/", "lib/", "arch/", "kernel/"),
    "mmserver/core": ("pagoda/", "lib/", "mmserver/core/"),
    # place_server.h is the interface of the placements to the server, not one of them
    "mmserver/server": (
        "pagoda/",
        "lib/",
        "mmserver/core/",
        "mmserver/server/",
        "mmserver/place/place_server.h",
    ),
    "mmserver/place/user": ("pagoda/", "lib/", "mmserver/"),
    "mmserver/place/kernel": ("pagoda/", "lib/", "mmserver/", "kernel/", "arch/"),
    "mmserver/place/host": ("pagoda/", "lib/", "mmserver/", "kernel/", "arch/"),
    "libc": ("pagoda/", "lib/", "libc/"),
    "user": ("pagoda/", "lib/", "libc/", "user/"),
    # the page allocator by itself: a placement in a program
    "user/bench/pages": ("pagoda/", "user/bench/", "mmserver/core/"),
    "tests/guest": ("pagoda/", "libc/", "tests/guest/"),
}

#: placements do not include one another
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "mmserver/place/user": ("mmserver/place/kernel/", "mmserver/place/host/"),
    "mmserver/place/kernel": ("mmserver/place/user/", "mmserver/place/host/"),
    "mmserver/place/host": ("mmserver/place/user/", "mmserver/place/kernel/"),
    "kernel": ("arch/riscv/", "arch/host/"),
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def _layer(path: str) -> str | None:
    fitting = [layer for layer in ALLOWED if path.startswith(layer + "/")]
    return max(fitting, key=len, default=None)


def violations(root: Path) -> list[str]:
    """One line per include that points up."""
    found: list[str] = []
    for source in sorted(root.rglob("*.[chS]")):
        path = source.relative_to(root).as_posix()
        layer = _layer(path)
        if layer is None:
            continue
        text = source.read_text(errors="replace")
        for match in _INCLUDE.finditer(text):
            target = match[2]
            local = "/" not in target
            if local or (match[1] == "<" and not target.startswith("pagoda/")):
                continue
            allowed = target.startswith(ALLOWED[layer])
            if not allowed or target.startswith(FORBIDDEN.get(layer, ("\0",))):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{path}:{line}: {layer}/ must not include {target}")
    return found


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(".")
    found = violations(root)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

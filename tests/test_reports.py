"""What the shell's commands say about memory: every line has its form, and totals agree.

The files of /proc are read by one `cat`, so that little changes between them: what moves meanwhile
between zones and harts' lists, and the pages of the text itself, is the tolerance.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import boot, qemu

TOTAL_S = 60.0
BLOCK_PAGES = 512
MOVED_PAGES = 600  # between zones and lists: idle harts zero pages ahead
OWN_PAGES = 128  # of the commands
FILES = ("buddyinfo", "pagetypeinfo", "zoneinfo", "meminfo", "pagoda/memmap", "slabinfo")
COMMANDS = ("slabinfo", "leaks", "leaks scan", "vmallocinfo", "memblock", "memmap | cat", "compact")


def sections(text: str) -> dict[str, str]:
    """What was printed behind each line `@@ name`."""
    parts = re.split(r"^@@ (.*)$", text.replace("\r", ""), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def shell(build_dir: Path, words: list[str], **machine: object) -> dict[str, str]:
    run = "; ".join(f"echo @@ {word.split(' |')[0]}; {word}" for word in words)
    result = boot.batch(
        qemu.Machine(words=(f'slab_debug=U run="{run}"',), **machine),  # type: ignore[arg-type]
        build_dir,
        total_s=TOTAL_S,
    )
    assert not result.problems and result.status == 0, result.text
    return sections(result.text)


def buddy_pages(text: str) -> int:
    lines = re.findall(r"^Node \d+, zone +\S+ +((?:\d+ +){11})$", text, re.M)
    assert lines, text
    return sum(int(n) << order for line in lines for order, n in enumerate(line.split()))


def typed_pages(text: str) -> int:
    lines = re.findall(r"^Node +\d+, zone +\S+, type +\S+ +((?:\d+ +){11})$", text, re.M)
    assert len(lines) % 6 == 0 and lines, text
    return sum(int(n) << order for line in lines for order, n in enumerate(line.split()))


def numbers(text: str, name: str) -> list[int]:
    return [int(n) for n in re.findall(rf"^\s*{name}:? +(\d+)", text, re.M)]


def meminfo(text: str, name: str) -> int:
    """In pages."""
    (kib,) = numbers(text, name)
    return kib // 4


LINE = re.compile(
    r"^ *([0-9a-f]+) (\d) +(\S+) +(\S+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(-|\d+)$", re.M
)


def memmap(text: str) -> list[tuple[str, ...]]:
    """Lines, each of which adds up to a block; in order, none twice."""
    lines = LINE.findall(text)
    blocks = [int(line[0], 16) for line in lines]
    assert blocks and blocks == sorted(set(blocks)), text
    for line in lines:
        assert sum(map(int, line[4:9])) == BLOCK_PAGES, line
        largest = -1 if line[9] == "-" else int(line[9])
        free = int(line[4])
        assert (free == 0) == (largest < 0) and 1 << min(max(largest, 0), 9) <= max(free, 1), line
    return lines


@pytest.mark.parametrize(
    ("pager", "harts", "memory"), [("user", 1, "256M"), ("user", 4, "1G"), ("kernel", 2, "512M")]
)
def test_totals_agree(build_dir: Path, pager: str, harts: int, memory: str) -> None:
    files = " ".join(f"/proc/{name}" for name in FILES)
    said = shell(
        build_dir, ["mmcheck", f"cat {files}", "mmcheck"], pager=pager, harts=harts, memory=memory
    )
    assert said["mmcheck"].strip() == "ok"
    text = said[f"cat {files}"]
    free, lists = meminfo(text, "MemFree"), sum(numbers(text, "count"))
    buddy = buddy_pages(text)
    assert abs(typed_pages(text) - buddy) <= MOVED_PAGES
    assert abs(sum(numbers(text, "nr_free_pages")) - buddy) <= MOVED_PAGES
    assert abs(buddy + lists - free) <= MOVED_PAGES
    assert sum(numbers(text, "managed")) == meminfo(text, "MemTotal")
    lines = memmap(text)
    assert abs(sum(int(n[4]) + int(n[5]) for n in lines) - free) <= OWN_PAGES
    assert sum(sum(map(int, n[4:8])) for n in lines) == meminfo(text, "MemTotal")
    movable = sum(int(n[6]) for n in lines)
    counted = sum(numbers(text, "nr_anon_pages")) + sum(numbers(text, "nr_file_pages"))
    assert abs(movable - counted) <= OWN_PAGES
    slabs = re.findall(r"^\S+ +\d+ +\d+ +\d+ +\d+ +(\d+) : .* : slabdata +\d+ +(\d+)", text, re.M)
    assert len(slabs) > 10
    slab_pages = sum(int(pages) * int(count) for pages, count in slabs)
    assert abs(slab_pages - meminfo(text, "Slab")) <= OWN_PAGES


FORMS = {
    "slabinfo": r"slabinfo - version: 2\.1|# name .*|\S+( +\d+){5} : tunables .* : slabdata.*",
    "leaks": r"# in use since mark \d+: .*| *\d+ +\d+ \S+ .*",
    "leaks scan": r"# objects that nothing refers to: .*|[0-9a-f]+ +\d+ .*",
    "vmallocinfo": r"0x[0-9a-f]{16}-0x[0-9a-f]{16} +\d+ .*",
    "memmap": r"Node \d+, zone \S+|[0-9a-f]{12} [.a-zA-Z ]+|each character: .*|small letters.*"
    r"|\d+ pages free, \d+ in use",
    "compact": r"(before:|after: ) \d+ pages free, \d+ of them in whole blocks of 2 MiB",
    "mmcheck": r"ok",
}


def test_every_line_has_its_form(build_dir: Path) -> None:
    said = shell(build_dir, [*COMMANDS, "mmcheck"], memory="256M", harts=2)
    assert "\ntotal: " in said["memblock"]  # more of it in test_memory.py
    for command, form in FORMS.items():
        lines = [line for line in said[command].splitlines() if line.strip()]
        assert lines, command
        for line in lines:
            assert re.fullmatch(form, line.rstrip()), f"{command}: {line!r}"


def test_leak_finder_is_the_personalitys(build_dir: Path) -> None:
    """A mark goes through /proc: what was in use before it is not shown behind it."""
    said = shell(build_dir, ["leaks", "leaks mark", "cat /proc/pagoda/leaks"], memory="256M")
    assert said["leaks mark"].strip() == "marked"
    first = re.search(r"since mark (\d+)", said["leaks"])
    second = re.search(r"since mark (\d+)", said["cat /proc/pagoda/leaks"])
    assert first and second and int(second[1]) == int(first[1]) + 1, said

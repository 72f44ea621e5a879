"""Where the instructions of one row of a benchmark go: by phase, by function, and, if asked, each of them.

A row is what `bench_open()` names; all its samples are added up, or one is picked. The events plugin
counts (events_plugin.c), so what is counted is what `make compare` counts.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import boot, events, plugins, qemu
from harness.symbols import PREFIX, Image

#: functions with less than so many instructions a sample are not shown
_LEAST = 0.5


class ProfileError(Exception):
    """There is no such row, or the boot failed."""


def _counted(build_dir: Path, machine: qemu.Machine, program: str, sample: int) -> dict[str, events.Profile]:
    out = build_dir / "bench" / f"profile-{machine.pager}.txt"
    out.parent.mkdir(parents=True, exist_ok=True)
    flag, plugin = plugins.option(plugins.build(build_dir, "events"), f"out={out}")
    machine = replace(
        machine,
        icount=True,
        seed=1,
        words=(*machine.words, f"bench={program}"),
        options=(*machine.options, flag, f"{plugin},sample={sample}"),
    )
    result = boot.batch(machine, build_dir, total_s=600, idle_s=600)
    if result.problems or result.status:
        raise ProfileError(f"{'; '.join(result.problems)}\n{result.text[-2000:]}\n{result.shell_command}")
    profiles = events.parse(out.read_text())
    out.unlink()
    return profiles


def _texts(image: Image) -> dict[int, str]:
    """Its instructions as text, by address."""
    listing = subprocess.run(
        [PREFIX + "objdump", "-d", "--no-show-raw-insn", str(image.path)], capture_output=True, text=True, check=True
    ).stdout
    return {int(at, 16): text for at, text in re.findall(r"^\s*([0-9a-f]+):\s+(.*)$", listing, re.M)}


def _code(owned: list[events.Owned], divisor: float) -> Iterator[str]:
    """Every instruction, with how often it is executed, in the order of addresses."""
    found: dict[Image, list[events.Executed]] = defaultdict(list)
    for executed, owner in owned:
        if owner:
            found[owner].append(executed)
    for image, there in found.items():
        texts, last = _texts(image), None
        for address, _, _, times in sorted(there):
            functions = image.functions(address)
            if functions != last:
                yield f"{'':10}{image.path.name}: {' > '.join(functions)}"
            last = functions
            yield f"{times / divisor:9.2f} {address:x}  {texts.get(address, '?')}"


def report(
    build_dir: Path, machine: qemu.Machine, program: str, row: str, *, sample: int = 0, code: bool = False
) -> Iterator[str]:
    """Lines about that row; `sample` 0: the mean of all of them."""
    profiles = _counted(build_dir, machine, program, sample)
    if row not in profiles:
        raise ProfileError(f"bench={program} has no row {row}; its rows: {', '.join(profiles)}")
    profile = profiles[row]
    if sample > profile.windows:
        raise ProfileError(f"{row} has {profile.windows} samples")
    fold = events.Fold(build_dir)
    owned = fold.owned(profile)
    fold([profile])
    divisor = 1.0 if sample else float(profile.windows)
    yield f"{row}, pager {machine.pager}, {f'sample {sample} of' if sample else 'mean of'} {profile.windows}"
    yield ", ".join(f"{count / divisor:g} {name}" for name, count in profile.counts.items())
    for phase, count in profile.phases.most_common():
        yield f"{count / divisor:9.1f}  {phase}"
    stacks: Counter[str] = Counter()
    for (address, _, _, times), owner in owned:
        stacks[" > ".join(owner.functions(address)) if owner else "program"] += times
    for stack, count in stacks.most_common():
        if count / divisor >= _LEAST:
            yield f"{count / divisor:9.1f}  {stack}"
    if code:
        yield from _code(owned, divisor)

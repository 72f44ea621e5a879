"""What every row of a benchmark run does to the machine: events, cache lines, misses of a modelled cache,
and where its instructions go by phase and by function.

QEMU counts by a plugin (events_plugin.c) between marks in the benchmarks, the same way on every system.
A page of code at a low address belongs to that image of ours which has all that was executed in it;
if none has, it belongs to a program.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness import plugins
from harness.symbols import Image

#: in the order of the plugin's `enum count`
COUNTS = (
    "instructions", "traps", "satp", "fences_local", "fences_remote", "firmware", "code_lines", "data_lines",
    "misses_l1i", "misses_l1d", "misses_l2",
)  # fmt: skip
#: the phase in which a hart spins for another one
WAITING = "waiting for a lock"
_FIRMWARE = range(0x80000000, 0x80200000)
#: functions with less than so many instructions an operation are not kept
_FUNCTION_LEAST = 0.5

#: (address, code, physical page) and how often it was executed
Executed = tuple[int, int, int, int]
#: and the image that it belongs to
Owned = tuple[Executed, Image | None]


@dataclass
class Profile:
    """Of one row: everything in its windows, not yet divided by anything."""

    name: str
    windows: int
    counts: dict[str, int]
    executed: list[Executed] = field(default_factory=list, repr=False)
    phases: Counter[str] = field(default_factory=Counter)
    #: phase and function
    functions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def events_per(self, divisor: float) -> dict[str, float]:
        return {name: round(count / divisor, 4) for name, count in self.counts.items()}

    def phases_per(self, divisor: float) -> dict[str, float]:
        return {name: round(count / divisor, 3) for name, count in self.phases.items()}

    def functions_per(self, divisor: float) -> dict[str, dict[str, float]]:
        """By phase and name."""
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for (phase, name), count in sorted(self.functions.items()):
            if count / divisor >= _FUNCTION_LEAST:
                found[phase][name] = round(count / divisor, 2)
        return dict(found)


def parse(text: str) -> dict[str, Profile]:
    """What the plugin wrote, by row."""
    found: dict[str, Profile] = {}
    profile = None
    for line in text.splitlines():
        kind, *words = line.split()
        if kind == "row":
            profile = found[words[0]] = Profile(words[0], int(words[1]), {})
        elif profile is None:
            raise plugins.PluginError(f"no row begins before: {line}")
        elif kind == "n":
            profile.counts = dict(zip(COUNTS, map(int, words), strict=True))
        elif kind == "x":
            address, code, page = (int(word, 16) for word in words[:3])
            profile.executed.append((address, code, page, int(words[3])))
        else:
            raise plugins.PluginError(f"not understood: {line}")
    return found


def _images_of_pages(profile: Profile, low: Iterable[Image]) -> dict[int, Image | None]:
    """By physical page of code at low addresses."""
    pages: dict[int, list[Executed]] = defaultdict(list)
    for executed in profile.executed:
        if executed[0] < 1 << 24:
            pages[executed[2]].append(executed)
    return {
        page: next((image for image in low if all(image.has(address, code) for address, code, *_ in there)), None)
        for page, there in pages.items()
    }


class Fold:
    """Folds profiles of Pagoda by phase and function."""

    def __init__(self, build_dir: Path) -> None:
        self._kernel = Image(build_dir / "kernel.elf")
        self._low = (Image(build_dir / "mmserver.elf"), Image(build_dir / "linux.elf"))

    def __call__(self, profiles: Iterable[Profile]) -> None:
        """All at once: looking functions up takes a process for each image."""
        owners = [(profile, self.owned(profile)) for profile in profiles]
        for image in (self._kernel, *self._low):
            image.load({e[0] for _, owned in owners for e, owner in owned if owner is image})
        for profile, owned in owners:
            for executed, owner in owned:
                self._add(profile, executed, owner)
            profile.executed = []

    def owned(self, profile: Profile) -> list[Owned]:
        low = _images_of_pages(profile, self._low)
        return [(e, self._kernel if e[0] >> 63 else low.get(e[2])) for e in profile.executed]

    def _add(self, profile: Profile, executed: Executed, owner: Image | None) -> None:
        address, times = executed[0], executed[3]
        if owner is None:
            phase = name = "firmware" if address in _FIRMWARE else "program"
        else:
            personality = owner is self._low[1]
            phase = owner.phase(address)
            if personality and phase != WAITING:
                phase = "process personality"
            name = owner.functions(address)[-1]
        profile.phases[phase] += times
        profile.functions[phase, name] += times


def fold_linux(profiles: Iterable[Profile]) -> None:
    """Linux's kernel has no symbols here: who executes is told by the address."""
    for profile in profiles:
        for address, _, _, times in profile.executed:
            who = "kernel" if address >> 63 else "firmware" if address in _FIRMWARE else "program"
            profile.phases[who] += times
        profile.executed = []

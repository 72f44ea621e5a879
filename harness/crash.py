"""Recognises the kernel's crash record in serial output."""

from __future__ import annotations

from dataclasses import dataclass

BEGIN = "==== PAGODA CRASH ===="
END = "==== END CRASH ===="


@dataclass(frozen=True)
class Crash:
    """The first crash record of a boot. One that was cut short is a crash all the same."""

    text: str
    complete: bool

    @property
    def summary(self) -> str:
        """The record's first line that says something."""
        for line in self.text.splitlines()[1:]:
            if line.strip() and END not in line:
                return line.strip()
        return "crash record without contents"


def find(text: str) -> Crash | None:
    """The first crash record in `text`, or None. The markers count anywhere in a line, since
    another hart's or a program's output may stand before them."""
    begin = text.find(BEGIN)
    if begin < 0:
        return None
    end = text.find(END, begin)
    if end < 0:
        return Crash(text[begin:], complete=False)
    return Crash(text[begin : end + len(END)], complete=True)

"""Boots the machine: in batch, with serial output collected, or interactively."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import crash, process, qemu

TOTAL_S = 600.0
IDLE_S = 90.0


@dataclass(frozen=True)
class Boot:
    """What a batch boot came to."""

    machine: qemu.Machine
    command: tuple[str, ...]
    text: str
    #: the status that the machine ended with; None if it had to be stopped
    status: int | None
    #: why it was stopped, empty if it powered off by itself
    stopped: str
    crash: crash.Crash | None
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What went wrong with the machine, apart from what its programs say."""
        found = []
        if self.crash:
            cut = "" if self.crash.complete else " (record cut short)"
            found.append(f"crash: {self.crash.summary}{cut}")
        if self.stopped:
            found.append(self.stopped)
        elif self.status is None and not self.crash:
            found.append("the machine closed its serial port but did not end")
        return found

    @property
    def shell_command(self) -> str:
        return shlex.join(self.command)


def batch(
    machine: qemu.Machine,
    build_dir: Path,
    *,
    total_s: float = TOTAL_S,
    idle_s: float = IDLE_S,
    log: Path | None = None,
) -> Boot:
    """Boots, waits for power-off, a crash record or a hang, and never longer than `total_s`."""
    command = qemu.command_line(machine, build_dir, interactive=False)
    end = crash.END.encode()
    result = process.run(
        command, total_s=total_s, idle_s=idle_s, log=log, is_over=lambda tail: end in tail
    )
    return Boot(
        machine,
        result.command,
        result.text,
        result.status,
        result.stopped,
        crash.find(result.text),
        result.seconds,
    )


class Console:
    """An interactive boot driven by pexpect. Use it in a `with` statement.

    with Console(machine, build_dir) as console:
        console.expect("pagoda# ")
        console.send_line("ps")
    """

    def __init__(self, machine: qemu.Machine, build_dir: Path, *, timeout_s: float = 30.0) -> None:
        self.command = qemu.command_line(machine, build_dir, interactive=True)
        self.timeout_s = timeout_s * process.time_scale()
        self._child: Any = None
        self._text = ""

    def __enter__(self) -> Console:
        import pexpect  # the one dependency beside the standard library, for this class alone

        self._child = pexpect.spawn(
            self.command[0],
            self.command[1:],
            timeout=self.timeout_s,
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(40, 120),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def expect(self, pattern: str) -> str:
        """Waits for a regular expression; returns what came before it. Fails with the output so
        far when the machine crashes, ends or stays silent."""
        import pexpect

        events = [pattern, crash.END, pexpect.EOF, pexpect.TIMEOUT]
        event = self._child.expect(events)
        before = str(self._child.before).replace("\r", "")
        self._text += before
        if event == 0:
            self._text += str(self._child.after).replace("\r", "")
            return before
        silence = f"{self.timeout_s:g} s of silence"
        reason = ("", "a crash record", "the end of the machine", silence)[event]
        raise AssertionError(f"waited for '{pattern}', got {reason}:\n{self._text[-4000:]}")

    def send_line(self, line: str) -> None:
        self._child.send(line + "\r")

    def send(self, keys: str) -> None:
        """Keys as they are, e.g. control characters."""
        self._child.send(keys)

    def wait_for_end(self) -> int | None:
        """Waits for power-off; returns the exit status."""
        import pexpect

        self._child.expect(pexpect.EOF)
        self._text += str(self._child.before).replace("\r", "")
        self._child.close()
        status: int | None = self._child.exitstatus
        return status

    @property
    def text(self) -> str:
        """All output up to the last expectation."""
        return self._text

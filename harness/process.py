"""Runs a program in batch: collects what it prints, and stops it when it hangs.

Two limits, both in seconds: `total_s` for the whole run, `idle_s` for silence. PAGODA_TIME_SCALE in
the environment multiplies both, for slow machines.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_READ_BYTES = 65536
#: how long a program may go on after it printed what `is_over` looks for
_GRACE_S = 2.0

_running: set[subprocess.Popen[bytes]] = set()
_running_lock = threading.Lock()


@dataclass(frozen=True)
class Result:
    command: tuple[str, ...]
    #: everything from stdout and stderr, carriage returns removed
    text: str
    #: exit status, negative for a signal, None if it had to be stopped
    status: int | None
    #: why it was stopped, empty if it ended by itself
    stopped: str
    seconds: float


def time_scale() -> float:
    return float(os.environ.get("PAGODA_TIME_SCALE", "1"))


def stop_all() -> None:
    """Kills what `run` has under way in any thread; for an interrupted session."""
    with _running_lock:
        for process in _running:
            process.kill()


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    with _running_lock:
        _running.add(process)
    try:
        yield process
    finally:
        with _running_lock:
            _running.discard(process)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _collect(
    process: subprocess.Popen[bytes],
    collected: bytearray,
    total_s: float,
    idle_s: float,
    is_over: Callable[[bytes], bool],
) -> tuple[bool, str]:
    """Reads until the end of the output; returns whether it came to it, and if not, why the program
    has to be stopped (empty when `is_over` said that nothing more is wanted)."""
    assert process.stdout is not None
    deadline = time.monotonic() + total_s
    over = False
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False, "" if over else f"time limit: not done after {total_s:g} s"
            if not selector.select(min(idle_s, left_s)):
                if left_s > idle_s and not over:
                    return False, f"hang: no output for {idle_s:g} s"
                continue
            data = os.read(process.stdout.fileno(), _READ_BYTES)
            if not data:
                return True, ""
            collected += data
            if not over and is_over(bytes(collected[-_READ_BYTES:])):
                over = True
                deadline = min(deadline, time.monotonic() + _GRACE_S)


def run(
    command: list[str],
    *,
    total_s: float,
    idle_s: float,
    log: Path | None = None,
    is_over: Callable[[bytes], bool] = lambda tail: False,
    environment: dict[str, str] | None = None,
) -> Result:
    """Runs `command` without input. `is_over` looks at the last output; once it says yes, the
    program gets a moment to end by itself. `log` receives the output."""
    begin = time.monotonic()
    collected = bytearray()
    scale = time_scale()
    with _started(command, environment or {}) as process:
        ended, stopped = _collect(process, collected, total_s * scale, idle_s * scale, is_over)
        status: int | None = None
        if ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(timeout=_GRACE_S)
    text = collected.decode(errors="replace").replace("\r", "")
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text)
    return Result(tuple(command), text, status, stopped, time.monotonic() - begin)

"""QEMU plugins of ours: C files beside this one, built with the host's compiler when they are needed."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from pathlib import Path

SOURCES = Path(__file__).parent

_building = threading.Lock()


class PluginError(Exception):
    """A plugin cannot be built, or did not write what it should."""


def build(build_dir: Path, name: str) -> Path:
    """The plugin of NAME_plugin.c, as a file that QEMU's -plugin takes."""
    with _building:
        return _build(build_dir, name)


def _build(build_dir: Path, name: str) -> Path:
    source, plugin = SOURCES / f"{name}_plugin.c", build_dir / f"{name}_plugin.so"
    newest = max(path.stat().st_mtime for path in (source, *SOURCES.glob("*.h")))
    if plugin.exists() and plugin.stat().st_mtime > newest:
        return plugin
    plugin.parent.mkdir(parents=True, exist_ok=True)
    scratch = plugin.with_suffix(f".{os.getpid()}")
    command = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(scratch), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PluginError(f"{shlex.join(command)}: {done.stderr.strip()}")
    scratch.replace(plugin)
    return plugin


def option(plugin: Path, argument: str) -> tuple[str, str]:
    """QEMU's options for it."""
    return "-plugin", f"{plugin},{argument}"

"""What tests put into scratch trees of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: the part of tests/host/support that depends on nothing else in the project
KTAP_FILES = ("ktap.c", "ktap.h", "picolibc.h")


def copy_ktap(tree: Path) -> None:
    """Gives `tree` the support that every host test needs."""
    support = tree / "tests/host/support"
    support.mkdir(parents=True)
    for name in KTAP_FILES:
        shutil.copy(ROOT / "tests/host/support" / name, support)

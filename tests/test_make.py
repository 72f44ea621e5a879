"""The build: what is built again and what is not, in a scratch tree; and the package check."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scratch import copy_ktap

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = '#include "ktap.h"\n#include "lib/number.h"\nKTAP_CASE(one) { EXPECT_EQ(number(), 1); }\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the build rules, one library source and one host test that uses it."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "mk", tmp_path / "mk")
    copy_ktap(tmp_path)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/number.h").write_text("int number(void);\n")
    (tmp_path / "lib/number.c").write_text(
        '#include "lib/number.h"\nint number(void) { return 1; }\n'
    )
    (tmp_path / "lib/other.c").write_text('#include "lib/number.h"\nint other;\n')
    (tmp_path / "tests/host/trial.c").write_text(PROGRAM)
    return tmp_path


def make(tree: Path, *arguments: str, fails: bool = False) -> str:
    """Runs make as from a shell of its own; returns its output."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    result = subprocess.run(
        ["make", "-j2", *arguments],
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stdout + result.stderr


def made(output: str) -> set[str]:
    """What make says that it compiled, archived or linked."""
    lines = [line.split() for line in output.splitlines() if line.startswith("  ")]
    return {f"{words[0]} {words[1]}" for words in lines}


def test_builds_again_only_what_changed(tree: Path) -> None:
    first = made(make(tree, "host-tests"))
    assert {"CC lib/number.c", "AR build/host/liblib.a", "LD build/host/trial"} <= first
    assert made(make(tree, "host-tests")) == set()

    (tree / "lib/number.h").write_text("int number(void);\n#define NUMBER 1\n")
    again = made(make(tree, "host-tests"))
    assert {"CC lib/number.c", "CC lib/other.c", "CC tests/host/trial.c"} <= again
    assert "CC tests/host/support/ktap.c" not in again

    assert "CC lib/number.c" in made(make(tree, "host-tests", "HOSTCC=gcc"))
    assert made(make(tree, "host-tests", "HOSTCC=gcc")) == set()

    (tree / "lib/other.c").unlink()
    assert "AR build/host/liblib.a" in made(make(tree, "host-tests", "HOSTCC=gcc"))
    assert "other" not in subprocess.run(
        ["ar", "t", "build/host/liblib.a"], cwd=tree, capture_output=True, text=True, check=True
    ).stdout

    subprocess.run([tree / "build/host/trial"], check=True, capture_output=True)


def test_header_that_is_gone_is_no_error(tree: Path) -> None:
    make(tree, "host-tests")
    (tree / "lib/number.h").rename(tree / "lib/count.h")
    for source in ("lib/number.c", "lib/other.c", "tests/host/trial.c"):
        path = tree / source
        path.write_text(path.read_text().replace("number.h", "count.h"))
    make(tree, "host-tests")


def test_help_is_the_default_and_lists_every_target(tree: Path) -> None:
    output = make(tree)
    for target in ("deps", "run", "test", "bench", "gdb", "check", "format", "size", "clean"):
        assert f"make {target} " in output


@pytest.mark.parametrize("option", ["PAGING=sv32", "PAGER=other", "CC=tcc", "PAGER="])
def test_impossible_options_are_refused(tree: Path, option: str) -> None:
    assert "must be one of" in make(tree, "help", option, fails=True)


# ---- packages ----

DPKG_QUERY = """#!/bin/sh
echo 'installed gcc'
echo 'not-installed clang'
exit 1
"""
RECORDER = """#!/bin/sh
echo "$(basename "$0") $*" >> "$RECORD"
"""


@pytest.fixture
def fake_system(tmp_path: Path) -> dict[str, str]:
    """An environment whose dpkg-query knows gcc alone and whose apt-get writes down its calls."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "sed", "grep", "id", "env", "basename"):
        (tools / name).symlink_to(str(shutil.which(name)))
    for name, text in (("dpkg-query", DPKG_QUERY), ("apt-get", RECORDER)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    return {"PATH": str(tools), "RECORD": str(tmp_path / "record")}


def deps(
    tmp_path: Path, packages: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "packages").write_text(packages)
    return subprocess.run(
        [ROOT / "mk/deps.sh", tmp_path / "packages"],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_deps_installs_only_what_is_missing(tmp_path: Path, fake_system: dict[str, str]) -> None:
    result = deps(tmp_path, "# why\ngcc\nclang # compiler\nlld\n", fake_system)
    assert result.returncode == 0, result.stderr
    calls = Path(fake_system["RECORD"]).read_text().splitlines()
    assert calls[0].startswith("apt-get update")
    assert calls[1].endswith("--no-install-recommends clang lld")


def test_deps_is_silent_when_all_is_there(tmp_path: Path, fake_system: dict[str, str]) -> None:
    result = deps(tmp_path, "gcc\n", fake_system)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    assert not Path(fake_system["RECORD"]).exists()


def test_deps_says_what_to_do_where_it_cannot_help(
    tmp_path: Path, fake_system: dict[str, str]
) -> None:
    (Path(fake_system["PATH"]) / "dpkg-query").unlink()
    result = deps(tmp_path, "gcc\nclang\n", fake_system)
    assert result.returncode == 1
    assert "packages needed: gcc clang" in result.stderr
    assert "SKIP_DEPS=1" in result.stderr
    assert deps(tmp_path, "gcc\n", {**fake_system, "SKIP_DEPS": "1"}).returncode == 0

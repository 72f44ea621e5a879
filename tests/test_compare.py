"""What `make compare` takes away by boot arguments, and its own machinery."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import boot, qemu

#: programs that map by single answers, by batches, by lists and by copies of tables
PROGRAMS = "test=anon,memfd,mprotect,munmap"


def _boot(build_dir: Path, words: str, harts: int = 1) -> boot.Boot:
    machine = qemu.Machine(harts=harts, words=tuple(words.split()))
    return boot.batch(machine, build_dir, total_s=120)


@pytest.mark.parametrize("harts", [1, 4])
@pytest.mark.parametrize(
    "words",
    [
        "messages=plain",
        "batches=off",
        "messages=plain batches=off zeroahead=0 faultaround=4096",
    ],
)
def test_a_variant_keeps_every_promise(build_dir: Path, words: str, harts: int) -> None:
    result = _boot(build_dir, f"{PROGRAMS} {words}", harts)
    assert not result.problems and result.status == 0, result.text
    assert "not ok" not in result.text and "ok 1 " in result.text, result.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("messages=often", "boot argument not understood: messages=often"),
        ("messages=plain pager=kernel", "messages=plain is for pager=user"),
        ("batches=", "batches=... is not understood: on or off"),
        ("batches=off pager=kernel", "batches=off are for pager=user"),
        ("zeroahead=257", "zeroahead=... is not understood: a number of pages, 0 to 256"),
        ("zeroahead=4k", "zeroahead=... is not understood"),
        ("faultaround=5000", "faultaround=... is not understood: a power of two"),
        ("faultaround=2097152", "faultaround=... is not understood"),
    ],
)
def test_a_bad_argument_is_named(build_dir: Path, words: str, said: str) -> None:
    result = _boot(build_dir, f"test=anon {words}")
    assert said in result.text and result.status, result.text
    assert "KTAP" not in result.text

"""What `make compare` takes away by boot arguments, and its own machinery."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import bench, boot, compare_page, compare_text, qemu

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
        "policy=adaptive",
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
        ("policy=wonderful", "policy=... is not understood: a name from the list"),
        ("faultaround=2097152", "faultaround=... is not understood"),
    ],
)
def test_a_bad_argument_is_named(build_dir: Path, words: str, said: str) -> None:
    result = _boot(build_dir, f"test=anon {words}")
    assert said in result.text and result.status, result.text
    assert "KTAP" not in result.text


# ---- figures ----


def _row(op: str, median: float) -> bench.Row:
    return {"op": op, "mode": "sv39", "pager": "user", "harts": 1, "median": median}


def test_what_moved_is_named() -> None:
    accepted = bench.figures(
        [_row("same", 100), _row("small", 10.0), _row("dearer", 100), _row("gone", 1)]
    )
    rows = [_row("same", 101), _row("small", 10.4), _row("dearer", 102), _row("new", 5)]
    assert bench.moved(rows, accepted) == [
        "sv39-user-1: dearer was 100, is 102 (+2.0 %)",
        "sv39-user-1: gone is gone",
        "sv39-user-1: new is new",
    ]


def test_no_figure_moved(build_dir: Path) -> None:
    """Counts are exact, so this is no timed test. What moved on purpose: make bench-accept."""
    accepted = bench.accepted_figures()
    if accepted is None:
        pytest.skip("no figures were accepted yet: make bench-accept")
    moved = bench.moved(bench.measure(build_dir), accepted)
    assert not moved, "\n".join(moved)


# ---- the page ----


def _data() -> compare_page.Data:
    values = {"user": 800.0, "kernel": 790.0, "linux": 4000.0, "lean": 1900.0, "uffd": 20000.0}
    user = {"traps": 2, "satp": 2, "fences_local": 0, "fences_remote": 0}
    kernel = {"traps": 1, "satp": 0, "fences_local": 0, "fences_remote": 0}
    events = {"user": user, "kernel": kernel}
    rows = [
        {"op": "anon_write_touch", "values": values, "events": events},
        {
            "op": "getpid",
            "values": {"user": 200.0, "kernel": 200.0, "lean": 100.0},
            "events": events,
        },
    ]
    trace = {"name": "a fault", "pager": "user", "instructions": 3, "phases": {"program": 3}}
    kind = {"kind": "first write", "bucket": 16, "costs": [[784, 10], [2000, 1]]}
    return {
        "columns": [{"key": key, "title": key, "what": "<what>"} for key in values],
        "rows": rows,
        "conditions": {"qemu": "x"},
        "commands": {"user": "qemu"},
        "sizes": {"1G": {"anon_write_touch": 800.0}},
        "distribution": {"user": [kind]},
        "traces": [{**trace, "stacks": [["program", "f", 3]], "events": {"traps": 2}}],
        "missing": {"column x": "why"},
    }


def test_the_page_stands_alone() -> None:
    page = compare_page.html(_data())
    assert "{{" not in page and "&lt;what&gt;" in page and "column x" in page
    assert "0.42" in page and "+10 instructions, 2 address-space switches more" in page
    assert "src=" not in page and 'href="http' not in page and "@import" not in page


def test_rows_above_linux_are_explained() -> None:
    data = _data()
    assert [op for op, _ in compare_text.above_linux(data["rows"])] == ["getpid"]
    assert "getpid" in compare_page.markdown(data).split("Above lean Linux")[1]

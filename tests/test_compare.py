"""What `make compare` takes away by boot arguments, and its own machinery."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from harness import bench, boot, compare, compare_again, compare_page, compare_text, events, plugins, profile, qemu

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


def _results(anon: float, lean: float = 1, images: str = "a") -> compare_again.Data:
    row = {"op": "anon", "values": {"user": anon, "linux": 2 * anon, "lean": lean}}
    return {"conditions": {"images": images}, "rows": [{"op": "same", "values": {"user": 7}}, row], "missing": {"x": "y"}}


def test_a_second_run_names_what_differs() -> None:
    first = _results(10)
    assert compare_again.compared({}, first) is None
    assert compare_again.compared(_results(10, images="b"), first) is None
    assert compare_again.compared(first, _results(10, lean=2)) == {"figures": 3, "differ": []}
    again = compare_again.compared(first, _results(11))
    assert again == {"figures": 3, "differ": [["rows / anon / values / user", 10, 11], ["rows / anon / values / linux", 20, 22]]}
    assert "3 figures 2 differ, 1 of them Linux's" in compare_again.told(again)
    assert "all 3 figures are the same" in compare_again.told({"figures": 3, "differ": []})


def _row(op: str, median: float) -> bench.Row:
    return {"op": op, "mode": "sv39", "pager": "user", "harts": 1, "median": median}


def test_what_moved_is_named() -> None:
    accepted = bench.figures(
        [_row("same", 100), _row("small", 10.0), _row("dearer", 100), _row("gone", 1)]
    )
    rows = [_row("same", 101), _row("small", 10.4), _row("dearer", 102), _row("new", 5)]
    four = [{**_row("met", median), "harts": 4} for median in (100, 104, 106)]
    accepted |= bench.figures(four[:1])
    assert not bench.moved(four[1:2], {"sv39-user-4": accepted["sv39-user-4"]})
    assert bench.moved([*rows, four[2]], accepted)[-1] == "sv39-user-4: met was 100, is 106 (+6.0 %)"
    rows.append(four[0])
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
    assert not moved, "\n".join(
        [
            f"{len(moved)} rows differ from harness/figures.json by more than they may:",
            *moved,
            "If that is meant: `make bench-accept`, and commit the file with the reason.",
        ]
    )


def test_harts_that_take_turns_repeat(build_dir: Path) -> None:
    """Four harts under -icount: what they print, counts of what they all execute, is the same again."""
    machine = qemu.Machine(pager="kernel", harts=4, icount=True, seed=1, words=("bench=threads",))
    first, second = (boot.batch(machine, build_dir, total_s=200) for _ in range(2))
    assert not first.problems and first.status == 0, first.text
    assert first.text == second.text
    rows = {row["op"]: row["mean"] for row in bench.parse(first.text, machine)}
    alone, four = (rows[f"threads_{n}_own_vma_write_fault_total_all_harts_per_fault"] for n in (1, 4))
    assert four < 1.1 * alone, "faults on different VMAs wait for each other"


# ---- the page ----


def _counts(**more: float) -> dict[str, float]:
    return {**dict.fromkeys(events.COUNTS, 0.0), **more}


def _data() -> compare_page.Data:
    values = {"user": 800.0, "kernel": 790.0, "linux": 4000.0, "lean": 1900.0, "uffd": 20000.0}
    counted = {
        "user": _counts(traps=2, satp=2),
        "kernel": _counts(traps=1),
        "linux": _counts(traps=1, misses_l1d=10),
    }
    phases = {
        "user": {"program": 15.0, "trap entry": 60.0, "delivery": 19.0, "return": 39.0},
        "kernel": {"program": 15.0, "trap entry": 45.0, "delivery": 24.0, "return": 39.0},
    }
    functions = {"user": {"delivery": {"deliver": 19.0}}, "kernel": {"delivery": {"pager_deliver": 24.0}}}
    profile = {"events": counted, "phases": phases, "functions": functions}
    column = {"events": counted["user"], "phases": {"program": 5e6, "server: look-up and decision": 1e6}}
    linux = {"events": counted["linux"], "phases": {"program": 5e6, "kernel": 4e6}}
    rows = [
        {"op": "anon_write_touch", "values": values, **profile},
        {"op": "getpid", "values": {"user": 200.0, "kernel": 200.0, "lean": 100.0}, **profile},
    ]
    trace = {"name": "a fault", "pager": "user", "instructions": 3, "phases": {"program": 3}}
    kind = {"kind": "first write", "place": "here", "bucket": 16, "costs": [[784, 10], [2000, 1]]}
    return {
        "columns": [{"key": key, "title": key, "what": "<what>"} for key in values],
        "rows": rows,
        "programs": [{"name": "sqlite", "columns": {"user": column, "linux": linux}}],
        "harts": [
            {
                "what": "fault, own VMA", "column": "user", "harts": n, "instructions": 800.0 + n, "locks": 9.0,
                "events": counted["user"],
            }
            for n in (1, 2)
        ],
        "costs": json.loads(compare.COSTS.read_text()),
        "conditions": {"qemu": "x"},
        "commands": {"user": "qemu"},
        "sizes": {"1G": {"anon_write_touch": 800.0}},
        "distribution": {"user": [kind]},
        "traces": [{**trace, "stacks": [["program", "f", 3]], "events": {"traps": 2}}],
        "missing": {"column x": "why"},
    }


def test_the_terminals_table_grows_by_columns() -> None:
    row = {"op": "anon_write_touch", "mean": 1234.5}
    head = compare.headline("instructions")
    line = compare.headline("user pager", compare.Measured(rows={"anon_write_touch": row}, text="", command=""))
    assert head.split()[:3] == ["instructions", "first", "write"] and len(head) == len(line)
    assert line.split() == ["user", "pager", "1,234", "-", "-", "-", "-"]
    assert set(compare.HEADLINES.values()) <= set(json.loads(bench.FIGURES.read_text())["sv39-user-1"])


def test_one_hart_is_measured_once(tmp_path: Path) -> None:
    """Rows by number of harts: those of one are what the column and the programs gave."""

    def measured(*ops: str, instructions: int) -> compare.Measured:
        profiles = {op: events.Profile(op, 1, _counts(), phases=Counter(program=instructions)) for op in ops}
        return compare.Measured({op: {"n": 1, "per": 10} for op in ops}, "", "", profiles)

    fault = "threads_{}_own_vma_write_fault_total_all_harts_per_fault"
    results = compare.Results(tmp_path, [])
    results.measured["user"] = measured("getpid", fault.format(1), instructions=8000)
    results.programs["user"] = measured("program_busybox", "program_redis", instructions=500)
    results.harts["user", 4] = measured(fault.format(4), "program_busybox", instructions=9000)
    found = [(row["what"], row["harts"], row["instructions"]) for row in results._harts()]
    assert found == [
        ("fault, own VMA", 1, 800),
        ("program", 1, 50),
        ("fault, own VMA", 4, 900),
        ("program", 4, 900),
    ]


def test_the_page_stands_alone() -> None:
    page = compare_page.html(_data())
    assert "{{" not in page and "&lt;what&gt;" in page and "column x" in page
    assert "0.42" in page and "sqlite, Debian" in page and "2 harts" in page
    assert "a VMA of its own<td>user<td>2<td>802<td>9.0" in page and "waiting for each other included" in page
    assert "src=" not in page and 'href="http' not in page and "@import" not in page


def test_a_difference_is_named_by_phase_and_function() -> None:
    reason = compare_text.reason(_data()["rows"][0])
    assert reason.startswith("+10. The user pager has more trap entry 15 (")
    assert "The kernel pager has more delivery 5.0 (" in reason and "return" not in reason


def test_events_cost_what_is_said() -> None:
    row = _data()["rows"][0]
    costs = [{"event": "traps", "cycles": 100}, {"event": "misses_l1", "cycles": 7}]
    assert compare_text.weighed(row, "user", costs) == 800 + 2 * 100
    assert compare_text.weighed(row, "linux", costs) == 4000 + 100 + 10 * 7
    assert compare_text.weighed(row, "lean", costs) is None


def test_hardware_costs_are_cited() -> None:
    costs = json.loads(compare.COSTS.read_text())["costs"]
    assert {cost["event"] for cost in costs} <= {*events.COUNTS, "misses_l1"}
    for cost in costs:
        assert 0 < cost["cycles"] < cost["most"] and cost["from"] and cost["source"] and cost["url"].startswith("https://")


def test_rows_above_linux_are_explained() -> None:
    data = _data()
    assert [op for op, _ in compare_text.above_linux(data["rows"])] == ["getpid"]
    assert "getpid" in compare_page.markdown(data).split("Above lean Linux")[1]


# ---- the plugins ----

_CACHE_TEST = r"""
#include <assert.h>
#include "cache_model.h"

int main(void)
{
    /* L1D_WAYS + 1 lines of one set: the oldest is gone from the first cache, not from the second. */
    for (unsigned i = 0; i <= L1D_WAYS; i++)
        assert(cache_access(0, i * L1D_SETS) == CACHE_MISS_L2);
    assert(cache_access(0, 1 * L1D_SETS) == CACHE_HIT);
    assert(cache_access(0, 0) == CACHE_MISS_L1);
    assert(cache_access(0, 1 * L1D_SETS) == CACHE_HIT && cache_access(0, 2 * L1D_SETS) == CACHE_MISS_L1);
    /* Another hart has its own first cache; code and data share the second. */
    assert(cache_access(1, 0) == CACHE_MISS_L1 && cache_fetch(0, 0) == CACHE_MISS_L1);
    for (unsigned i = 0; i <= L2_WAYS; i++)
        cache_fetch(2, 7 + i * L2_SETS);
    assert(cache_fetch(3, 7) == CACHE_MISS_L2 && cache_fetch(3, 7) == CACHE_HIT);
    return 0;
}
"""


def test_the_cache_model(tmp_path: Path) -> None:
    source, program = tmp_path / "cache.c", tmp_path / "cache"
    source.write_text(_CACHE_TEST)
    subprocess.run(["cc", "-Wall", "-Werror", f"-I{plugins.SOURCES}", "-o", program, source], check=True)
    subprocess.run([program], check=True)


def test_the_plugin_and_the_kernel_count_the_same(build_dir: Path, tmp_path: Path) -> None:
    """Traps, satp writes and fences of faults, by the plugin and by the kernel's own counters; and what the plugin has
    by phase adds up to what the program counted."""
    out = tmp_path / "events"
    machine = qemu.Machine(
        icount=True, seed=1, words=("bench=anon,cow",), options=plugins.option(plugins.build(build_dir, "events"), f"out={out}")
    )
    result = boot.batch(machine, build_dir, total_s=200)
    assert not result.problems and result.status == 0, result.text
    profiles = events.parse(out.read_text())
    events.Fold(build_dir)(list(profiles.values()))
    rows = bench.parse(result.text, machine)
    assert {row["op"] for row in rows} == profiles.keys()
    for row in rows:
        profile = profiles[row["op"]]
        found = profile.events_per(row["n"] * row["per"])
        for name in bench.EVENTS:
            assert found[name] == pytest.approx(row["events"][name], abs=0.06), (row["op"], name)
        if profile.windows == row["n"]:
            inside = sum(profile.phases.values()) / row["n"]
            assert row["mean"] < inside < row["mean"] + 30, row["op"]


def test_a_row_is_profiled(build_dir: Path) -> None:
    """All of its samples, and one: what is folded is what was counted."""
    for sample in (0, 3):
        lines = list(profile.report(build_dir, qemu.Machine(), "brk", "brk_grow_1p", sample=sample))
        total = float(lines[1].split()[0])
        shown = sum(float(line.split()[0]) for line in lines[2:])  # by phase, then by function
        assert 200 < total < 2000
        assert 1.95 * total < shown <= 2.001 * total
        assert any("trap_entry" in line for line in lines)


def test_a_row_that_is_not_there(build_dir: Path) -> None:
    with pytest.raises(profile.ProfileError, match="brk_grow_1p"):
        list(profile.report(build_dir, qemu.Machine(), "brk", "nothing"))

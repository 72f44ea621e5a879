"""The harness itself: that what is bad is seen to be bad.

Streams are judged as text; boots are real ones, of a kernel of a few instructions that prints what
a test wants and then powers off, hangs or stays silent.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scratch import copy_ktap

from harness import bench, boot, bootrefs, crash, declared, differ, jobs, ktap
from harness import layers, mkinitrd, process, qemu

ROOT = Path(__file__).resolve().parent.parent
CROSS_GCC = "riscv64-unknown-elf-gcc"


def errors(text: str) -> list[str]:
    return list(ktap.parse(text).all_errors)


def statuses(text: str) -> dict[str, ktap.Status]:
    return {name: case.status for name, case in ktap.cases(ktap.parse(text)).items()}


# ---- KTAP ----


def test_ktap_flat_stream() -> None:
    text = "firmware says hello\nKTAP version 1\n1..3\nok 1 - a\n# why\nnot ok 2 - b\nok 3 c\n"
    assert errors(text) == []
    assert statuses(text) == {
        "a": ktap.Status.PASSED,
        "b": ktap.Status.FAILED,
        "c": ktap.Status.PASSED,
    }
    assert ktap.cases(ktap.parse(text))["b"].diagnostics == ("# why",)


def test_ktap_nested_stream_with_noise() -> None:
    text = """KTAP version 1
1..2
kernel: hart 1 says something
    KTAP version 1
    1..2
    ok 1 - one
some output of a program
    ok 2 - two # SKIP needs two harts
ok 1 - first
    KTAP version 1
    1..1
    not ok 1 - three
not ok 2 - second
"""
    assert errors(text) == []
    assert statuses(text) == {
        "first.one": ktap.Status.PASSED,
        "first.two": ktap.Status.SKIPPED,
        "second.three": ktap.Status.FAILED,
    }
    assert ktap.cases(ktap.parse(text))["first.two"].reason == "needs two harts"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no KTAP header"),
        ("ok 1 - a\n", "no KTAP header"),
        ("KTAP version 1\nok 1 - a\n", "no plan"),
        ("KTAP version 1\n", "no plan"),
        ("KTAP version 2\n1..1\nok 1 a\n", "KTAP version 2 is not known"),
        ("KTAP version 1\n1..0\n", "plan of no tests and no reason to skip"),
        ("KTAP version 1\n1..2\nok 1 a\n", "1 of 2 planned results"),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "2 of 1 planned results"),
        ("KTAP version 1\n1..2\nok 1 a\nok 3 b\n", "result 'ok 3 b' has number 3, not 2"),
        ("KTAP version 1\n1..2\nok 1 a\nok 2 a\n", "name 'a' used twice"),
        ("KTAP version 1\n1..2\n1..2\nok 1 a\nok 2 b\n", "second plan 1..2 after 1..2"),
        ("KTAP version 1\n1..2\nok 1 a\nBail out! no memory\nok 2 b\n", "Bail out! no memory"),
        (
            "KTAP version 1\n1..1\nKTAP version 1\n1..1\nok 1 a\n",
            "a second KTAP header at the same or lower indentation",
        ),
        ("KTAP version 1\n1..1\n  ok 1 a\nok 1 a\n", "result 'ok 1 a' at indentation 2, not 0"),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 p\n",
            "in block 'p': 1 of 2 planned results",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: p\n  1..1\n  ok 1 a\n",
            "in block 'p': never closed by a result of its parent",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 p\n",
            "'p' is ok though a test in it failed",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\n# killed\nnot ok 1 p\n",
            "'p' failed after its tests passed: # killed",
        ),
        (
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n    KTAP version 1\n    1..1\n"
            "    ok 1 deep\nok 1 p\n",
            "closed by a result two levels up",
        ),
    ],
)
def test_ktap_errors(text: str, error: str) -> None:
    assert any(error in found for found in errors(text)), errors(text)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("ok 1 a # SKIP why", ktap.Status.SKIPPED),
        ("not ok 1 a # SKIP why", ktap.Status.FAILED),
        ("not ok 1 a # TODO later", ktap.Status.KNOWN_FAILURE),
        ("ok 1 a # TODO later", ktap.Status.FAILED),
        ("ok 1 a # TIMEOUT", ktap.Status.FAILED),
        ("not ok 1 a # ERROR why", ktap.Status.FAILED),
        ("ok 1 a # 17 cycles", ktap.Status.PASSED),
    ],
)
def test_ktap_directives(line: str, status: ktap.Status) -> None:
    found = list(statuses(f"KTAP version 1\n1..1\n{line}\n").values())
    assert found == [status]


def test_ktap_whole_block_skipped() -> None:
    assert errors("KTAP version 1\n1..0 # SKIP no such device\n") == []


# ---- crash records ----


def test_crash_record_is_found_with_its_summary() -> None:
    text = f"log\nhart 0: {crash.BEGIN}\n\nload fault at 0x10\npc 0x1\n{crash.END}\nmore"
    found = crash.find(text)
    assert found and found.complete
    assert found.summary == "load fault at 0x10"


def test_crash_record_cut_short_is_a_crash() -> None:
    found = crash.find(f"{crash.BEGIN}\nload fa")
    assert found and not found.complete


def test_no_crash_record() -> None:
    assert crash.find("all is well\n") is None


# ---- judging a boot ----

NAMES = ("cow.copy", "cow.reuse", "mmap.fixed")
GOOD = """KTAP version 1
1..2
    KTAP version 1
    1..2
    ok 1 - copy
    ok 2 - reuse
ok 1 - cow
    KTAP version 1
    1..1
    ok 1 - fixed
ok 2 - mmap
"""


def guest_outcome(text: str, *, status: int | None = 0, stopped: str = "") -> jobs.Outcome:
    machine = qemu.Machine()
    job = jobs.GuestJob("guest[x]", Path("."), NAMES, 1, machine)
    result = boot.Boot(machine, ("qemu",), text, status, stopped, crash.find(text), 1.0)
    return job.evaluate(result)


def failing(outcome: jobs.Outcome, selected: tuple[str, ...] = (*NAMES, jobs.WHOLE)) -> set[str]:
    found = set()
    for name in selected:
        try:
            jobs.judge(outcome, name, selected=selected)
        except jobs.CaseFailed:
            found.add(name)
    return found


def test_good_boot_passes() -> None:
    assert failing(guest_outcome(GOOD)) == set()


def test_failed_case_fails_alone() -> None:
    text = GOOD.replace("ok 2 - reuse", "not ok 2 - reuse").replace("ok 1 - cow", "not ok 1 - cow")
    assert failing(guest_outcome(text, status=1)) == {"cow.reuse"}


def test_status_that_contradicts_the_results_fails_the_run() -> None:
    assert failing(guest_outcome(GOOD, status=1)) == {jobs.WHOLE}
    assert failing(guest_outcome(GOOD, status=-6)) == {jobs.WHOLE}


def test_crash_fails_what_was_not_reported() -> None:
    begin = GOOD[: GOOD.index("    ok 2 - reuse")]
    outcome = guest_outcome(f"{begin}{crash.BEGIN}\npanic: why\n{crash.END}\n", status=None)
    assert failing(outcome) == {"cow.reuse", "mmap.fixed", jobs.WHOLE}
    with pytest.raises(jobs.CaseFailed, match="panic: why"):
        jobs.judge(outcome, "mmap.fixed", selected=NAMES)


def test_hang_fails_what_was_not_reported() -> None:
    begin = GOOD[: GOOD.index("    KTAP version 1\n    1..1")]
    outcome = guest_outcome(begin, status=None, stopped="hang: no output for 5 s")
    assert failing(outcome) == {"mmap.fixed", jobs.WHOLE}


def test_missing_plan_and_missing_case_fail() -> None:
    assert failing(guest_outcome(GOOD.replace("    1..2\n", ""))) == {jobs.WHOLE}
    shorter = GOOD.replace("    1..2\n", "    1..1\n").replace("    ok 2 - reuse\n", "")
    assert failing(guest_outcome(shorter)) == {"cow.reuse"}


def test_undeclared_case_fails_the_run() -> None:
    assert failing(guest_outcome(GOOD.replace("fixed", "unheard_of"))) == {"mmap.fixed", jobs.WHOLE}


def test_linux_knows_the_cases_that_it_skips(build_dir: Path) -> None:
    (ours,) = jobs.guest_jobs(ROOT / "tests", build_dir, [qemu.Machine()], 1)
    (job,) = jobs.kernel_jobs(ROOT / "tests", build_dir, qemu.Machine(), 1)
    assert job.pagoda_only and all(".pagoda_" in name for name in job.pagoda_only)
    assert sorted((*job.names, *job.pagoda_only)) == sorted(ours.names)


def test_problem_of_the_run_is_not_lost_when_few_cases_are_selected() -> None:
    outcome = guest_outcome(f"{GOOD}{crash.BEGIN}\npanic: at the end\n{crash.END}\n", status=1)
    assert failing(outcome) == {jobs.WHOLE}
    assert failing(outcome, selected=("cow.copy",)) == {"cow.copy"}


def test_skip_is_told_apart() -> None:
    outcome = guest_outcome(GOOD.replace("ok 1 - fixed", "ok 1 - fixed # SKIP not here"))
    with pytest.raises(jobs.CaseSkipped, match="not here"):
        jobs.judge(outcome, "mmap.fixed", selected=NAMES)


def test_failure_shows_log_and_command() -> None:
    outcome = guest_outcome("last words\n", status=None, stopped="hang: no output for 5 s")
    with pytest.raises(jobs.CaseFailed) as caught:
        jobs.judge(outcome, "cow.copy", selected=NAMES)
    assert "last words" in str(caught.value)
    assert "qemu" in str(caught.value)
    assert "hang" in str(caught.value)


# ---- processes ----


def python_process(code: str, **limits: float) -> process.Result:
    limits = {"total_s": 20, "idle_s": 20, **limits}
    return process.run([sys.executable, "-u", "-c", code], **limits)  # type: ignore[arg-type]


def test_process_output_and_status() -> None:
    result = python_process("import sys; print('a\\r'); print('b', file=sys.stderr); sys.exit(3)")
    assert (result.text, result.status, result.stopped) == ("a\nb\n", 3, "")


def test_process_silence_is_a_hang() -> None:
    result = python_process("import time; print('begun'); time.sleep(60)", idle_s=0.5)
    assert result.stopped.startswith("hang")
    assert (result.text, result.status) == ("begun\n", None)
    assert result.seconds < 10


def test_process_that_never_ends_is_stopped() -> None:
    code = "import time\nwhile True: print('x'); time.sleep(0.05)"
    result = python_process(code, total_s=0.7)
    assert result.stopped.startswith("time limit")


def test_process_killed_by_a_signal() -> None:
    result = python_process("import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    assert result.status == -6


# ---- real boots of a very small kernel ----

KERNEL = """
    .option norelax
    .globl _start
_start:
    lla a0, text
    li a1, 0x10000000
1:  lbu a2, 0(a0)
    beqz a2, 2f
    sb a2, 0(a1)
    addi a0, a0, 1
    j 1b
2:  {end}
text:
    .incbin "{text}"
    .byte 0
"""
POWER_OFF = "li a0, 0x100000; li a1, {word}; sw a1, 0(a0); 3: j 3b"
SILENCE = "3: wfi; j 3b"


SMALL_MACHINE = qemu.Machine(memory="128M")


def build_kernel(directory: Path, text: str, end: str) -> None:
    """Makes a kernel.elf that prints `text` and then does `end`."""
    (directory / "text").write_text(text)
    source = directory / "kernel.S"
    source.write_text(KERNEL.format(end=end, text=directory / "text"))
    command = [CROSS_GCC, "-march=rv64imac", "-mabi=lp64", "-nostdlib", "-static"]
    command += ["-Wl,-N,-Ttext=0x80200000", "-o", str(directory / "kernel.elf"), str(source)]
    subprocess.run(command, check=True, capture_output=True)


def boot_text(directory: Path, text: str, end: str, **limits: float) -> boot.Boot:
    build_kernel(directory, text, end)
    return boot.batch(SMALL_MACHINE, directory, **{"total_s": 30, **limits})


def test_boot_reports_the_machines_status(tmp_path: Path) -> None:
    good = boot_text(tmp_path, "hello\n", POWER_OFF.format(word=0x5555))
    assert (good.status, good.problems) == (0, [])
    assert "hello\n" in good.text
    bad = boot_text(tmp_path, "hello\n", POWER_OFF.format(word=0x3333 | 1 << 16))
    assert (bad.status, bad.problems) == (1, [])


def test_boot_sees_a_hang(tmp_path: Path) -> None:
    result = boot_text(tmp_path, "hello\n", SILENCE, idle_s=1.5)
    assert result.status is None
    assert result.problems == ["hang: no output for 1.5 s"]


def test_console_waits_for_what_comes(tmp_path: Path) -> None:
    build_kernel(tmp_path, "first\nsecond\n", POWER_OFF.format(word=0x3333 | 7 << 16))
    with boot.Console(SMALL_MACHINE, tmp_path) as console:
        console.expect("first")
        assert console.wait_for_end() == 7
        assert "second" in console.text


def test_console_tells_why_nothing_comes(tmp_path: Path) -> None:
    build_kernel(tmp_path, f"{crash.BEGIN}\n{crash.END}\n", SILENCE)
    with boot.Console(SMALL_MACHINE, tmp_path) as console:
        with pytest.raises(AssertionError, match="got a crash record"):
            console.expect("shell")
    build_kernel(tmp_path, "hello\n", SILENCE)
    with boot.Console(SMALL_MACHINE, tmp_path, timeout_s=1) as console:
        with pytest.raises(AssertionError, match="got 1 s of silence"):
            console.expect("shell")


def test_boot_ends_after_a_crash_record(tmp_path: Path) -> None:
    text = f"{crash.BEGIN}\npanic: on purpose\n{crash.END}\n"
    result = boot_text(tmp_path, text, SILENCE, idle_s=20)
    assert result.problems == ["crash: panic: on purpose"]
    assert result.seconds < 15


def test_boot_without_a_kernel_fails(tmp_path: Path) -> None:
    result = boot.batch(qemu.Machine(), tmp_path, total_s=20)
    assert result.status == 1
    assert "could not load kernel" in result.text


# ---- pytest items ----

TRIAL = """
#include "ktap.h"
#include <stdlib.h>
KTAP_CASE(cow_copies) { EXPECT(1); }
KTAP_CASE(cow_reuses) { EXPECT_EQ(1 + 1, 3); }
KTAP_CASE(needs_more) { KTAP_SKIP("one hart only"); }
KTAP_CASE(falls_over) { abort(); }
KTAP_CASE(follows_the_seed) { EXPECT_EQ(ktap_seed(), 5); }
"""


@pytest.fixture
def trial_tree(tmp_path: Path) -> Path:
    """A tree with one host test program, built, and this project's pytest glue."""
    (tmp_path / "harness").symlink_to(ROOT / "harness")
    copy_ktap(tmp_path)
    for name in ("conftest.py", "test_host.py", "pytest.ini"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests")
    support = tmp_path / "tests/host/support"
    (tmp_path / "tests/host/trial.c").write_text(TRIAL)
    (tmp_path / "build/host").mkdir(parents=True)
    command = ["gcc", "-std=gnu17", f"-I{support}", tmp_path / "tests/host/trial.c"]
    command += [*support.glob("*.c"), "-o", tmp_path / "build/host/trial"]
    subprocess.run(command, check=True)
    return tmp_path


def run_pytest(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "pytest", "tests", "-v", "--seed", "5", *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


def test_each_case_is_an_item(trial_tree: Path) -> None:
    result = run_pytest(trial_tree, "--junit-xml", "junit.xml")
    assert result.returncode == 1
    for line in (
        "host::trial::cow_copies PASSED",
        "host::trial::cow_reuses FAILED",
        "host::trial::needs_more SKIPPED",
        "host::trial::falls_over FAILED",
        "host::trial::follows_the_seed PASSED",
        "host::trial::whole_run PASSED",
    ):
        assert line in result.stdout, result.stdout
    assert "1 + 1 is 2 (0x2), expected 3" in result.stdout
    assert "killed by signal 6" in result.stdout
    assert "[1/1] host.trial: 5 cases" in result.stderr
    assert 'name="host.trial.cow_reuses"' in (trial_tree / "junit.xml").read_text()


def test_selection_by_name_runs_what_it_names(trial_tree: Path) -> None:
    result = run_pytest(trial_tree, "-k", "cow_copies")
    assert result.returncode == 0
    assert "1 passed, 5 deselected" in result.stdout
    assert "[1/1] host.trial: 1 cases" in result.stderr


def test_program_that_is_not_built_fails(trial_tree: Path) -> None:
    (trial_tree / "build/host/trial").unlink()
    result = run_pytest(trial_tree)
    assert result.returncode == 1
    assert "host::programs_are_built FAILED" in result.stdout


# ---- command lines ----


def test_command_line_of_a_deterministic_machine(tmp_path: Path) -> None:
    (tmp_path / "initrd.cpio").touch()
    machine = qemu.Machine("sv57", "kernel", 4, "512M", icount=True, seed=7, words=("test=all",))
    line = " ".join(qemu.command_line(machine, tmp_path, interactive=False))
    assert "-smp 4" in line and "-m 512M" in line and "-no-reboot" in line
    assert "-icount shift=0,sleep=off -rtc base=2025-01-01,clock=vm -plugin " in line
    assert f"turns_plugin.so,turn={qemu.TURN} -seed 7" in line
    assert "-singlestep" not in line
    assert f"-initrd {tmp_path / 'initrd.cpio'}" in line
    assert "-append paging=sv57 pager=kernel test=all" in line
    assert machine.name == "sv57-kernel-4"


def test_command_line_with_numa_nodes(tmp_path: Path) -> None:
    line = qemu.command_line(qemu.Machine(harts=4, numa_nodes=2), tmp_path, interactive=False)
    assert "node,nodeid=1,memdev=node1,cpus=2-3" in line
    assert "dist,src=0,dst=1,val=20" in line


@pytest.mark.parametrize(
    "arguments",
    [
        {"paging": "sv32"},
        {"pager": "none"},
        {"harts": 0},
        {"memory": "lots"},
        {"harts": 3, "numa_nodes": 2},
    ],
)
def test_impossible_machines_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        qemu.Machine(**arguments)  # type: ignore[arg-type]


# ---- declared cases ----


def test_declared_cases_of_an_elf_file(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(
        'static const char a[] __attribute__((section(".ktap_cases"), used)) = "first";\n'
        'static const char b[] __attribute__((section(".ktap_cases"), used)) = "second";\n'
    )
    subprocess.run([CROSS_GCC, "-c", "-o", tmp_path / "program.o", source], check=True)
    assert declared.cases(tmp_path / "program.o") == ["first", "second"]


def test_program_without_the_section_declares_nothing(tmp_path: Path) -> None:
    (tmp_path / "program.c").write_text("int x;\n")
    subprocess.run(
        [CROSS_GCC, "-c", "-o", tmp_path / "program.o", tmp_path / "program.c"], check=True
    )
    assert declared.cases(tmp_path / "program.o") == []


def test_what_is_no_elf_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"#!/bin/sh\n" * 20, b"\x7fELF\x02\x01" + b"\xff" * 100):
        (tmp_path / "program").write_bytes(data)
        with pytest.raises(declared.ElfError):
            declared.cases(tmp_path / "program")


# ---- initrd ----


def test_initrd_lists_sorted_members(tmp_path: Path) -> None:
    files = {"bin/sh": (0o100755, b"x" * 5000), "bin/a": (0o100755, b"yy"), "e": (0o100644, b"")}
    data = mkinitrd.archive(files)
    assert data == mkinitrd.archive(dict(reversed(files.items())))
    seen = []
    offset = 0
    while True:
        assert data[offset : offset + 6] == b"070701"
        fields = [
            int(data[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)
        ]
        size, name_bytes = fields[6], fields[11]
        begin = offset + 6 + 13 * 8
        name = data[begin : begin + name_bytes - 1].decode()
        seen.append(name)
        if name == mkinitrd.TRAILER:
            break
        assert fields[2] == fields[3] == fields[5] == 0  # uid, gid, mtime
        contents_at = (begin + name_bytes + 3) // 4 * 4
        if name in files:
            assert data[contents_at : contents_at + size] == files[name][1]
        offset = (contents_at + size + 3) // 4 * 4
    assert seen == ["bin", "bin/a", "bin/sh", "e", mkinitrd.TRAILER]


# ---- benchmarks ----

EVENTS = {"traps": 2, "satp": 0, "fences_local": 0, "fences_remote": 0}


def bench_line(**changes: object) -> str:
    row = {"op": "ipc_roundtrip", "unit": "instructions", "min": 99, "median": 99, "mean": 99.5}
    return "BENCH " + json.dumps({**row, "n": 1000, "events": EVENTS, **changes})


def test_bench_rows_know_their_machine() -> None:
    text = f"noise\n{bench_line()}\n{bench_line(op='other')}\n"
    rows = bench.parse(text, qemu.Machine("sv48", "kernel", 2))
    assert [row["op"] for row in rows] == ["ipc_roundtrip", "other"]
    assert (rows[0]["pager"], rows[0]["mode"], rows[0]["harts"]) == ("kernel", "sv48", 2)
    assert rows[0]["events"] == EVENTS


@pytest.mark.parametrize(
    "line",
    [
        "BENCH {not json}",
        bench_line(op=""),
        bench_line(mean="99"),
        bench_line(n=0),
        bench_line(min=200),
        bench_line(events={"traps": 1}),
        bench_line() + "\n" + bench_line(),
    ],
)
def test_bad_bench_lines_are_refused(line: str) -> None:
    with pytest.raises(bench.BenchError):
        bench.parse(line, qemu.Machine())


def test_bench_runs_that_differ_are_seen() -> None:
    first = bench.parse(bench_line(), qemu.Machine())
    assert bench.differences(first, first) == []
    second = bench.parse(bench_line(mean=99.6), qemu.Machine())
    assert bench.differences(first, second) == ["ipc_roundtrip: mean is 99.5, then 99.6"]
    assert bench.differences(first, []) == ["ipc_roundtrip only in the first run"]
    assert bench.differences([], first) == ["ipc_roundtrip only in the second run"]


def test_bench_table_stands_beside_the_anchors() -> None:
    rows = bench.parse(bench_line(op="anon_write_touch", mean=684), qemu.Machine())
    rows += bench.parse(bench_line(op="ipc_roundtrip", mean=151), qemu.Machine())
    rows += bench.parse(bench_line(op="ipc_roundtrip"), qemu.Machine(pager="kernel"))
    table = bench.report(rows, bench.load_anchors())
    assert "1,891" in table and "684" in table and "512" in table
    assert bench.over_ceiling(rows, bench.load_anchors()) == [
        "ipc_roundtrip: mean 151, ceiling 150"
    ]


# ---- layers ----


def test_includes_that_point_up_are_seen(tmp_path: Path) -> None:
    sources = {
        "kernel/a.c": '#include "kernel/a.h"\n#include <math.h>\n#include "mmserver/core/vma.h"\n',
        "mmserver/core/b.c": '# include "kernel/cap.h"\n#include <pagoda/call.h>\n',
        "mmserver/place/kernel/c.c": '#include "kernel/cap.h"\n#include "mmserver/core/vma.h"\n',
        "user/bin/d.c": '#include "arch/riscv/csr.h"\n#include <sys/mman.h>\n',
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert layers.violations(tmp_path) == [
        "kernel/a.c:3: kernel/ must not include mmserver/core/vma.h",
        "mmserver/core/b.c:1: mmserver/core/ must not include kernel/cap.h",
        "user/bin/d.c:1: user/ must not include arch/riscv/csr.h",
    ]


def test_no_include_points_up() -> None:
    assert layers.violations(ROOT) == []


# ---- references to what is given away after the boot ----

_BOOTREFS_SYMBOLS = "".join(
    f"     {n}: {0x1000 + 0x100 * n:016x}     0 NOTYPE  GLOBAL DEFAULT    1 image_{part}_{end}\n"
    for n, (part, end) in enumerate(
        (part, end) for part in bootrefs.PARTS for end in ("boot", "pager", "rest")
    )
) + "".join(
    f"    {90 + n}: {address:016x}    16 FUNC    GLOBAL DEFAULT    1 {name}\n"
    for n, (address, name) in enumerate(
        [(0x1010, "early"), (0x1110, "server"), (0x1210, "late"), (0x3000, "start")]
    )
)


@pytest.mark.parametrize(
    ("source", "target", "symbol", "violations"),
    [
        (0x1014, 0x1210, "late", 0),  # the boot may call anything
        (0x1014, 0x1110, "server", 0),
        (0x1114, 0x1210, "late", 0),
        (0x1214, 0x1010, "early", 1),  # but is called by nothing
        (0x1114, 0x1010, "early", 1),
        (0x1214, 0x1110, "server", 1),
        (0x1214, 0x1000, "image_text_boot", 0),
        (0x3004, 0x1010, "early", 0),  # the first instructions
    ],
)
def test_boot_references(source: int, target: int, symbol: str, violations: int) -> None:
    text = "Relocation section '.rela.text' at offset 0x0 contains 1 entry:\n"
    text += f"{source:016x}  0000000000000013 R_RISCV_CALL_PLT  {target - 4:016x} {symbol} + 4\n"
    assert len(bootrefs.violations(bootrefs.parse(_BOOTREFS_SYMBOLS + text))) == violations


# ---- differential runs ----


def _mmdiff(line: str, value: int) -> str:
    return f"noise\n# mmdiff 1 64 -\n{line}hash 64 {value:016x}\nmmdiff done {value:016x}\nnoise\n"


def _compared(here: list[str], there: list[str], logs: Path) -> list[differ.Finding | differ.Unsteady]:
    mine, other = iter(here), iter(there)
    return differ.compare(
        [differ.Run(1, 64, "")], lambda _: next(mine), lambda _: next(other), logs
    )


def test_differ_equal_runs_are_run_once(tmp_path: Path) -> None:
    assert _compared([_mmdiff("", 1)], [_mmdiff("", 1)], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_differ_finds_the_line(tmp_path: Path) -> None:
    mine, other = _mmdiff("7 read: 1\n", 1), _mmdiff("7 read: 2\n", 2)
    (finding,) = _compared([_mmdiff("", 1), mine], [_mmdiff("", 2), other], tmp_path)
    assert isinstance(finding, differ.Finding)
    assert (finding.here, finding.there) == ("7 read: 1", "7 read: 2")


def test_differ_says_which_system_is_unsteady(tmp_path: Path) -> None:
    again = _mmdiff("7 read: 1\n", 1)
    (finding,) = _compared([_mmdiff("", 3), again], [_mmdiff("", 1), again], tmp_path)
    assert isinstance(finding, differ.Unsteady)
    assert finding.changed == ("Pagoda",) and "steps 1..64" in str(finding)
    assert (tmp_path / "pagoda-1.log").read_text() == _mmdiff("", 3)
    assert (tmp_path / "linux-2.log").read_text() == again

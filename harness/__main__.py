"""The command line, `python3 -m harness COMMAND`: where `make run`, `bench` and `gdb` end."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from harness import bench, boot, compare, debian, differ, linux, plugins, profile, programs, qemu

TESTS = Path(__file__).resolve().parent.parent / "tests"


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paging", choices=qemu.PAGING_MODES, default="sv39")
    parser.add_argument("--pager", choices=qemu.PAGERS, default="user")
    parser.add_argument("--harts", type=int, default=1)
    parser.add_argument("--mem", default="1G", help="memory, like 512M or 1G")
    parser.add_argument("--cpu", default="", help="CPU properties, like svnapot=true,svinval=true")
    parser.add_argument("--numa", type=int, default=0, help="number of NUMA nodes")
    parser.add_argument("--icount", action="store_true", help="count instructions exactly")
    parser.add_argument("--seed", type=int, help="seed of the machine's randomness")
    parser.add_argument("--append", default="", help="further words of the kernel command line")
    parser.add_argument("--qemu", default="", help="further QEMU options")


def _machine(arguments: argparse.Namespace) -> qemu.Machine:
    return qemu.Machine(
        paging=arguments.paging,
        pager=arguments.pager,
        harts=arguments.harts,
        memory=arguments.mem,
        cpu_flags=tuple(flag for flag in arguments.cpu.split(",") if flag),
        icount=arguments.icount,
        seed=arguments.seed,
        numa_nodes=arguments.numa,
        words=tuple(arguments.append.split()),
        options=tuple(shlex.split(arguments.qemu)),
    )


def _replace_this_process(command: list[str]) -> int:
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"harness: {command[0]}: {error.strerror}", file=sys.stderr)
    return 127


def _with_shell(machine: qemu.Machine, shell: str, build_dir: Path) -> qemu.Machine:
    """Debian's programs in the initrd, and one of its shells at the console."""
    word = f'shell="{programs.SHELLS[shell]}"'
    initrd = programs.initrd(build_dir, TESTS)
    return replace(machine, initrd=initrd, words=(*machine.words, word))


def _run(arguments: argparse.Namespace) -> int:
    machine = _machine(arguments)
    if arguments.shell:
        try:
            machine = _with_shell(machine, arguments.shell, arguments.build_dir)
        except debian.Unobtainable as error:
            print(f"harness: no {arguments.shell}: {error}", file=sys.stderr)
            return 1
    command = qemu.command_line(machine, arguments.build_dir, interactive=True)
    print("Leave with `poweroff` in the shell, or with Ctrl-A X; Ctrl-A C is QEMU's monitor.")
    return _replace_this_process(command)


def _gdb(arguments: argparse.Namespace) -> int:
    log = arguments.build_dir / "gdb-serial.log"
    command = qemu.command_line(_machine(arguments), arguments.build_dir, interactive=False)
    command[command.index("stdio")] = f"file:{log}"
    command += ["-S", "-gdb", "stdio"]
    print(f"The machine's serial output goes to {log}.")
    gdb = ["gdb-multiarch", "-q", "-ex", "set architecture riscv:rv64"]
    gdb += ["-ex", f"target remote | exec {shlex.join(command)}"]
    return _replace_this_process([*gdb, str(arguments.build_dir / "kernel.elf")])


def _command(arguments: argparse.Namespace) -> int:
    machine = _machine(arguments)
    command = qemu.command_line(machine, arguments.build_dir, interactive=arguments.interactive)
    print(shlex.join(command))
    return 0


def _batch(arguments: argparse.Namespace) -> int:
    result = boot.batch(
        _machine(arguments), arguments.build_dir, total_s=arguments.total, idle_s=arguments.idle
    )
    print(result.text, end="")
    for problem in result.problems:
        print(f"harness: {problem}", file=sys.stderr)
    status = result.status if result.status is not None else "none"
    print(f"harness: exit status {status}, {result.seconds:.1f} s", file=sys.stderr)
    return 1 if result.problems else (result.status or 0)


def _bench(arguments: argparse.Namespace) -> int:
    return bench.run(
        arguments.build_dir, verify=arguments.verify, enforce_ceilings=arguments.enforce_ceilings
    )


def _bench_accept(arguments: argparse.Namespace) -> int:
    rows = bench.measure(arguments.build_dir)
    for line in bench.moved(rows, bench.accepted_figures() or {}):
        print(line)
    bench.accept(rows)
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    try:
        for line in profile.report(
            arguments.build_dir,
            _machine(arguments),
            arguments.program,
            arguments.row,
            sample=arguments.sample,
            code=arguments.code,
        ):
            print(line)
    except (profile.ProfileError, plugins.PluginError) as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    return compare.run(arguments.build_dir, arguments.policy, again=arguments.again)


def _fetch_linux(arguments: argparse.Namespace) -> int:
    try:
        linux.kernel(arguments.build_dir)
    except debian.Unobtainable as error:
        print(f"harness: no Linux kernel to compare with: {error}", file=sys.stderr)
        return 1
    return 0


def _differ(arguments: argparse.Namespace) -> int:
    runs = [
        differ.Run(arguments.first_seed + number, arguments.steps, arguments.features)
        for number in range(arguments.runs)
    ]
    machine, build_dir = _machine(arguments), arguments.build_dir
    try:
        findings = differ.compare(
            runs,
            differ.on_pagoda(machine, build_dir),
            differ.on_linux(machine, build_dir),
            build_dir / "differ",
        )
    except (differ.Broken, debian.Unobtainable) as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    for finding in findings:
        print(finding)
    print(f"{len(runs)} runs of {arguments.steps} steps, {len(findings)} with a difference")
    return 1 if findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m harness", description="boots Pagoda")
    parser.add_argument("--build-dir", type=Path, default=Path("build"))
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="boot to the shell on this terminal")
    run.add_argument("--shell", choices=programs.SHELLS, help="a shell of Debian's instead of ours")
    run.set_defaults(function=_run)
    gdb = commands.add_parser("gdb", help="boot under gdb")
    gdb.set_defaults(function=_gdb)
    command = commands.add_parser("command", help="print the QEMU command line")
    command.add_argument("--interactive", action="store_true")
    command.set_defaults(function=_command)
    batch = commands.add_parser(
        "batch", help="boot without input, print the serial output (try --append test=all)"
    )
    batch.add_argument("--total", type=float, default=boot.TOTAL_S, help="time limit in seconds")
    batch.add_argument("--idle", type=float, default=boot.IDLE_S, help="longest silence in seconds")
    batch.set_defaults(function=_batch)
    differential = commands.add_parser("differ", help="random memory calls here and on Linux")
    differential.add_argument("--first-seed", type=int, default=1)
    differential.add_argument("--runs", type=int, default=4)
    differential.add_argument("--steps", type=int, default=2000)
    differential.add_argument("--features", default="", help="letters, see tests/diff/mmdiff.c")
    differential.set_defaults(function=_differ)
    profiling = commands.add_parser("profile", help="where a row of a benchmark spends its instructions")
    profiling.add_argument("program", help="of user/bench, like anon")
    profiling.add_argument("row", help="like anon_write_touch")
    profiling.add_argument("--sample", type=int, default=0, help="that one alone, counted from 1; 0: all")
    profiling.add_argument("--code", action="store_true", help="each instruction too")
    profiling.set_defaults(function=_profile)
    for subparser in (run, gdb, command, batch, differential, profiling):
        _add_machine(subparser)

    fetch = commands.add_parser("fetch-linux", help="download the Linux kernel to compare with")
    fetch.set_defaults(function=_fetch_linux)
    accepting = commands.add_parser("bench-accept", help="make today's figures those to compare with")
    accepting.set_defaults(function=_bench_accept)
    comparison = commands.add_parser("compare", help="user pager, kernel pager, Linux: a page")
    comparison.add_argument("--policy", default="", help="one more column, booted with policy=NAME")
    comparison.add_argument("--again", action="store_true", help="measure twice, and tell what differs")
    comparison.set_defaults(function=_compare)
    benchmarks = commands.add_parser("bench", help="count instructions per operation")
    benchmarks.add_argument("--verify", action="store_true", help="run twice, fail on a difference")
    benchmarks.add_argument("--enforce-ceilings", action="store_true", help="fail above a ceiling")
    benchmarks.set_defaults(function=_bench)
    return parser


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    try:
        status: int = arguments.function(arguments)
    except ValueError as error:
        parser.error(str(error))
    return status


if __name__ == "__main__":
    sys.exit(main())

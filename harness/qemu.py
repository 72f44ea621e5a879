"""The machine: what is booted, and the QEMU command line for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness import plugins

QEMU = "qemu-system-riscv64"
PAGING_MODES = ("sv39", "sv48", "sv57")
PAGERS = ("user", "kernel")
#: instructions that a hart executes on the average before the next one's turn, where they are counted
TURN = 100

_UNIT_BYTES = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_size(text: str) -> int:
    """Bytes of a size as QEMU's -m takes it: `1G`, `512M`, or a bare number of MiB."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text.upper())
    if not match:
        raise ValueError(f"'{text}' is no memory size; write it like 512M or 1G")
    return int(match[1]) * _UNIT_BYTES[match[2]]


@dataclass(frozen=True)
class Machine:
    """One configuration of hardware and boot arguments."""

    paging: str = "sv39"
    pager: str = "user"
    harts: int = 1
    memory: str = "1G"
    #: QEMU properties of the CPU, e.g. ("svnapot=true", "svinval=true")
    cpu_flags: tuple[str, ...] = ()
    #: count instructions exactly and run all harts in turn, TURN each (harness/turns_plugin.c): output repeats to the bit
    icount: bool = False
    #: the same with turns of that many instructions on the average, which end anywhere: which hart meets which is another
    #: with each number, and the same each time
    turn: int = 0
    #: seeds QEMU's randomness (the device tree's rng-seed); None leaves it random
    seed: int | None = None
    #: number of NUMA nodes, memory and harts divided evenly; 0 for a machine without any
    numa_nodes: int = 0
    #: another initrd than the build's
    initrd: Path | None = None
    #: further words of the kernel command line
    words: tuple[str, ...] = ()
    #: further QEMU options
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.paging not in PAGING_MODES:
            raise ValueError(f"paging '{self.paging}' is none of {', '.join(PAGING_MODES)}")
        if self.pager not in PAGERS:
            raise ValueError(f"pager '{self.pager}' is none of {', '.join(PAGERS)}")
        if self.harts < 1:
            raise ValueError(f"a machine with {self.harts} harts cannot run")
        if self.numa_nodes and self.harts % self.numa_nodes:
            raise ValueError(f"{self.harts} harts do not fill {self.numa_nodes} nodes evenly")
        parse_size(self.memory)

    @property
    def name(self) -> str:
        """Short and unique within a matrix: `sv39-user-1`, `sv39-user-1-svnapot`."""
        flags = [f"-{flag.partition('=')[0]}" for flag in self.cpu_flags]
        flags += [f"-turn{self.turn}"] if self.turn else []
        return f"{self.paging}-{self.pager}-{self.harts}" + "".join(flags)

    @property
    def kernel_command_line(self) -> str:
        return " ".join((f"paging={self.paging}", f"pager={self.pager}", *self.words))


def _numa_arguments(machine: Machine) -> list[str]:
    nodes = machine.numa_nodes
    node_bytes = parse_size(machine.memory) // nodes
    node_harts = machine.harts // nodes
    arguments: list[str] = []
    for node in range(nodes):
        first = node * node_harts
        arguments += ["-object", f"memory-backend-ram,id=node{node},size={node_bytes}"]
        arguments += [
            "-numa",
            f"node,nodeid={node},memdev=node{node},cpus={first}-{first + node_harts - 1}",
        ]
    for source in range(nodes):
        for target in range(source + 1, nodes):
            arguments += ["-numa", f"dist,src={source},dst={target},val=20"]
    return arguments


def command_line(machine: Machine, build_dir: Path, *, interactive: bool) -> list[str]:
    """The QEMU command that boots `machine` with the images of `build_dir`.

    Batch machines have their serial port on stdout and no monitor; interactive ones share the
    terminal between serial port and monitor (Ctrl-A X leaves, Ctrl-A C changes over).
    """
    command = [QEMU, "-machine", "virt", "-cpu", ",".join(("rv64", *machine.cpu_flags))]
    command += ["-m", machine.memory, "-smp", str(machine.harts), "-no-reboot"]
    if interactive:
        command += ["-nographic"]
    else:
        command += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    if machine.numa_nodes:
        command += _numa_arguments(machine)
    if machine.icount or machine.turn:
        command += ["-icount", "shift=0,sleep=off", "-rtc", "base=2025-01-01,clock=vm"]
        if machine.harts > 1:
            command += plugins.option(plugins.build(build_dir, "turns"), f"turn={machine.turn or TURN}")
        if machine.turn:
            command += ["-singlestep"]  # else they end where a block of code does
    if machine.seed is not None:
        command += ["-seed", str(machine.seed)]
    command += ["-kernel", str(build_dir / "kernel.elf")]
    initrd = machine.initrd or build_dir / "initrd.cpio"
    if initrd.exists():
        command += ["-initrd", str(initrd)]
    command += ["-append", machine.kernel_command_line]
    return command + list(machine.options)

"""Machines with much and little memory and several NUMA nodes; device trees with something wrong.

A tree is QEMU's own (dumpdtb), changed as text. So that firmware and QEMU do not stumble over it
first, it is loaded beside the kernel, together with a few instructions that enter the kernel with
its address (`wrap`): the firmware sees QEMU's tree, the kernel sees ours.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import boot, process, qemu

CROSS = "riscv64-unknown-elf-"
TREE_AT = 0x87000000
LINE = "pagoda: cannot start: "
FIRMWARE = "fw { reg = <0 0x80000000 0 0x80000>; };"
BOOT_S = 30.0


def report(text: str) -> dict[str, int]:
    """The account that `memblock` and the recount print."""
    match = re.search(
        r"total: (\d+) pages present = (\d+) free \+ (\d+) reusable"
        r" \+ (\d+) reserved \+ (\d+) nomap",
        text,
    )
    assert match, text
    names = ("present", "free", "reusable", "reserved", "nomap")
    return dict(zip(names, map(int, match.groups()), strict=True))


def assert_sound(text: str) -> dict[str, int]:
    account = report(text)
    assert account["present"] == sum(account.values()) - account["present"], text
    assert "ok" in text.splitlines()[text[: text.rindex("total:")].count("\n") + 1 :], text
    return account


# ---- machines ----

RUN = ('run="memblock; cat /proc/pagoda/check"',)


def nodes_seen(text: str) -> set[str]:
    """NUMA nodes in the list of memory."""
    lines = text.split("\nreserved")[0].split("memory\n")[1].splitlines()
    return {line.split()[2] for line in lines if line.strip()}


@pytest.mark.parametrize(
    ("memory", "nodes", "harts", "pager", "paging"),
    [
        ("128M", 0, 1, "user", "sv39"),
        ("128M", 1, 4, "kernel", "sv39"),
        ("2G", 2, 4, "user", "sv48"),
        ("2G", 0, 1, "kernel", "sv57"),
        ("16G", 2, 8, "kernel", "sv39"),
        ("16G", 0, 8, "user", "sv39"),
    ],
)
def test_machine(
    build_dir: Path, memory: str, nodes: int, harts: int, pager: str, paging: str
) -> None:
    """QEMU's own nodes: two at most, because its interrupt controller refuses four."""
    machine = qemu.Machine(
        paging=paging, pager=pager, harts=harts, memory=memory, numa_nodes=nodes, words=RUN
    )
    result = boot.batch(machine, build_dir, total_s=BOOT_S)
    assert not result.problems and result.status == 0, result.text
    account = assert_sound(result.text)
    assert account["present"] << 12 == qemu.parse_size(memory)
    assert nodes_seen(result.text) == {str(n) for n in range(max(nodes, 1))}, result.text


def instructions(build_dir: Path, memory: str) -> int:
    """Instructions from power-on, the firmware's included, to the shell's first program."""
    words = ('norandmaps run="faults 1"',)
    machine = qemu.Machine(memory=memory, icount=True, seed=1, words=words)
    result = boot.batch(machine, build_dir, total_s=BOOT_S)
    match = re.search(r"^(\d+) hart 0 thread", result.text, re.M)
    assert match and result.status == 0, result.text
    return int(match[1])


def test_boot_does_not_grow_with_memory(build_dir: Path) -> None:
    """Of some 5 million instructions that are not the firmware's, 16 times the memory adds a few:
    a linear map, one counter for each 2 MiB, not a descriptor for each page."""
    growth = instructions(build_dir, "16G") - instructions(build_dir, "1G")
    assert 0 < growth < 2_000_000, growth


# ---- device trees ----


@dataclass(frozen=True)
class Trees:
    """QEMU's tree as text, and where to build changed ones."""

    machine: qemu.Machine
    build_dir: Path
    where: Path
    text: str

    def blob(self, text: str) -> bytes:
        done = subprocess.run(
            ["dtc", "-q", "-f", "-I", "dts", "-O", "dtb", "-p", "4096"],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        assert done.stdout, done.stderr.decode()
        return done.stdout

    def wrap(self, blob: bytes) -> Path:
        """An image that enters the kernel with that tree."""
        (self.where / "tree").write_bytes(blob)
        source = self.where / "wrap.S"
        source.write_text(
            f"""
            .globl _start
_start:     li a1, {TREE_AT}
            li t0, 0x80200000
            jr t0
            .section .kernel, "a"
            .incbin "{self.where}/kernel.bin"
            .section .tree, "a"
            .incbin "{self.where}/tree"
            """
        )
        kernel, elf = self.where / "kernel.bin", self.where / "wrap.elf"
        if not kernel.exists():
            image = self.build_dir / "kernel.elf"
            subprocess.run([f"{CROSS}objcopy", "-O", "binary", image, kernel], check=True)
        subprocess.run(
            [f"{CROSS}gcc", "-nostdlib", "-mcmodel=medany", "-o", elf, source]
            + ["-Wl,-n,-Ttext=0x80100000,--section-start=.kernel=0x80200000"]
            + [f"-Wl,--section-start=.tree={TREE_AT:#x}"],
            check=True,
        )
        return elf

    def boot(self, blob: bytes) -> tuple[str, int | None]:
        """Serial output from the kernel's first line on, and the status."""
        command = qemu.command_line(self.machine, self.build_dir, interactive=False)
        command[command.index("-kernel") + 1] = str(self.wrap(blob))
        result = process.run(command, total_s=BOOT_S, idle_s=BOOT_S)
        assert not result.stopped, result.text
        return result.text[result.text.find("pagoda: ") :], result.status


def make_trees(machine: qemu.Machine, build_dir: Path, where: Path) -> Trees:
    bare = Trees(machine, build_dir, where, "")
    command = qemu.command_line(machine, build_dir, interactive=False)
    command[command.index("virt")] = f"virt,dumpdtb={where}/qemu.dtb"
    command[command.index("-kernel") + 1] = str(bare.wrap(b""))  # the initrd goes by its place
    subprocess.run(command, check=True, capture_output=True)
    text = subprocess.run(
        ["dtc", "-q", "-I", "dtb", "-O", "dts", where / "qemu.dtb"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # What the firmware would add to the tree that it hands on.
    return replace(bare, text=with_reserved(text, FIRMWARE))


@pytest.fixture(scope="module")
def trees(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trees:
    root = Path(__file__).resolve().parent.parent
    build_dir = root / str(request.config.getoption("--build-dir"))
    machine = qemu.Machine(memory="512M", words=RUN)
    return make_trees(machine, build_dir, tmp_path_factory.mktemp("trees"))


def with_reserved(text: str, children: str) -> str:
    """The tree with these children of /reserved-memory too."""
    if "reserved-memory {" in text:
        return text.replace("ranges; fw {", f"ranges; {children} fw {{", 1)
    node = f"reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; {children} }};"
    return text.replace("\tmemory@", f"\t{node}\n\n\tmemory@", 1)


def memory_is(reg: str) -> Callable[[str], str]:
    pattern = re.compile(r"(memory@80000000 \{.*?reg = )<.*?>", re.S)
    return lambda text: pattern.sub(rf"\1<{reg}>", text)


def memory_too(reg: str, more: str = "") -> Callable[[str], str]:
    node = f'memory@1 {{ device_type = "memory"; reg = <{reg}>; {more} }};'
    return lambda text: text.replace("\tmemory@", f"\t{node}\n\n\tmemory@", 1)


def reserved(children: str) -> Callable[[str], str]:
    return lambda text: with_reserved(text, children)


REAL = "0 0x80000000 0 0x20000000"

WORKING: dict[str, tuple[Callable[[str], str], str]] = {
    "as_it_is": (lambda text: text, ""),
    "overlapping": (memory_too("0 0x90000000 0 0x1000000"), "overlaps other memory"),
    "of_no_size": (memory_too("0 0xc0000000 0 0"), "memory of no size"),
    "wrapping": (memory_too("0xffffffff 0xfffff000 0 0x2000"), "beyond the address space"),
    "absurd_beside_real": (memory_too("0 0xc0000000 0x80000000 0"), "than can be addressed"),
    "more_than_there_is": (memory_is("0 0x80000000 0x10 0"), "no memory answers at 0xa0000000"),
    "node_too_high": (memory_too("0 0xc0000000 0 0x1000", "numa-node-id = <99>;"), "NUMA node"),
    "kernel_is_reserved": (
        reserved("r { reg = <0 0x80200000 0 0x100000>; };"),
        "the kernel image lies in reserved memory",
    ),
    "no_room_to_place": (reserved("r { size = <1 0>; };"), "there is no room for it"),
    "neither_reg_nor_size": (reserved("r { };"), "neither reg nor a size"),
    "cyclic_phandles": (
        lambda text: text.replace("cpus {", "cpus { interrupt-parent = <119>; phandle = <119>;", 1),
        "",
    ),
    "missing_phandle": (
        lambda text: text.replace("\tchosen {", "\tchosen { interrupt-parent = <0x7777>;", 1),
        "",
    ),
    "hundreds_of_parts": (
        memory_is(
            "0 0x80000000 0 0x10000000 "
            + " ".join(f"0 {0x90000000 + i * 0x40000} 0 {0x1000 * (i % 9 + 1)}" for i in range(300))
        ),
        "memory has too many separate parts",
    ),
}


@pytest.mark.parametrize("case", WORKING)
def test_tree_that_works(trees: Trees, case: str) -> None:
    change, warning = WORKING[case]
    text, status = trees.boot(trees.blob(change(trees.text)))
    assert status == 0, text
    assert_sound(text)
    begin = r"^pagoda: (?:device tree|memory has|no memory|the kernel image).*$"
    warnings = re.findall(begin, text, re.M)
    assert len(warnings) == (1 if warning else 0) and all(warning in w for w in warnings), text


# Here what tells the machine's exit status is not found in the tree; the firmware's power-off has
# none.
BLIND = 0
WITHOUT_STATUS = ("address_cells_0", "size_cells_3", "too_deep")

FAILING: dict[str, tuple[Callable[[str], str], str]] = {
    "no_memory": (
        lambda text: text.replace('device_type = "memory"', 'device_type = "other"'),
        "the device tree has no memory",
    ),
    "absurd_size": (memory_is("0 0x80000000 0x80000000 0"), "more memory than can be addressed"),
    "address_cells_0": (
        lambda text: text.replace("#address-cells = <0x02>", "#address-cells = <0>", 1),
        "#address-cells and #size-cells must be 1 or 2",
    ),
    "size_cells_3": (
        lambda text: text.replace("#size-cells = <0x02>", "#size-cells = <3>", 1),
        "#address-cells and #size-cells must be 1 or 2",
    ),
    "memory_elsewhere": (memory_is("0 0x90000000 0 0x1000000"), "the kernel image lies outside"),
    "kernel_not_to_be_mapped": (
        reserved("r { no-map; reg = <0 0x80200000 0 0x1000>; };"),
        "the kernel image lies in memory that is reserved and not to be mapped",
    ),
    "initrd_not_to_be_mapped": (
        reserved("r { no-map; reg = <0 0x88000000 0 0x1000000>; };"),
        "the initrd lies in memory that is reserved and not to be mapped",
    ),
    "reserved_without_ranges": (
        lambda text: text.replace("ranges; fw {", "fw {", 1),
        "/reserved-memory has no ranges",
    ),
    "too_deep": (
        lambda text: text.replace("\tmemory@", "n {" * 40 + "};" * 40 + "\n\tmemory@", 1),
        "nested too deep",
    ),
    "too_little": (memory_is("0 0x80000000 0 0x400000"), "outside memory"),
}


def assert_one_line(text: str, status: int | None, why: str, wanted: int = 1) -> None:
    assert status == wanted, text
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith(LINE) and why in lines[0], text


@pytest.mark.parametrize("case", FAILING)
def test_tree_that_fails(trees: Trees, case: str) -> None:
    change, why = FAILING[case]
    text, status = trees.boot(trees.blob(change(trees.text)))
    assert_one_line(text, status, why, BLIND if case in WITHOUT_STATUS else 1)


def test_tree_cut_off(trees: Trees) -> None:
    blob = trees.blob(trees.text)
    text, status = trees.boot(blob[: len(blob) // 3] + bytes(len(blob)))
    assert_one_line(text, status, "malformed", BLIND)


def test_tree_of_other_magic(trees: Trees) -> None:
    text, status = trees.boot(b"\0" + trees.blob(trees.text)[1:])
    assert_one_line(text, status, "there is no device tree", BLIND)


def test_tree_longer_than_allowed(trees: Trees) -> None:
    blob = trees.blob(trees.text)
    text, status = trees.boot(blob[:4] + struct.pack(">I", 0x7FFFFFFF) + blob[8:])
    assert_one_line(text, status, "cut off", BLIND)


def test_tree_with_endless_strings(trees: Trees) -> None:
    blob = bytearray(trees.blob(trees.text))
    start, size = struct.unpack_from(">I", blob, 12)[0], struct.unpack_from(">I", blob, 32)[0]
    blob[start : start + size] = b"x" * size
    text, status = trees.boot(bytes(blob))
    assert_one_line(text, status, "a name in the device tree is malformed", BLIND)


def test_reserved_memory_of_all_kinds(trees: Trees) -> None:
    """Nothing of what is reserved is given out; what is lent is shown; requests are placed."""
    children = """
        secret { no-map; reg = <0 0x90000000 0 0x200000>; };
        frame { reg = <0 0x91000000 0 0x100000>; };
        pool { reusable; compatible = "shared-dma-pool"; size = <0 0x1000000>;
               alignment = <0 0x400000>; alloc-ranges = <0 0x94000000 0 0x8000000>;
               linux,cma-default; };
        lent { reusable; reg = <0 0x9c000000 0 0x400000>; };
    """
    text, status = trees.boot(trees.blob(with_reserved(trees.text, children)))
    assert status == 0, text
    account = assert_sound(text)
    assert account["nomap"] == 0x200 and account["reusable"] == 0x1400, text
    for line in (
        "0x0000000090000000..0x00000000901fffff    0 NOMAP",
        "0x0000000091000000..0x00000000910fffff    0 NONE",
        "0x0000000094000000..0x0000000094ffffff    0 REUSABLE|CMA|CMA_DEFAULT",
        "0x000000009c000000..0x000000009c3fffff    0 REUSABLE",
    ):
        assert line in text, text


CMA_RUN = (
    'run="cat /proc/meminfo; echo alloc 3000 > /proc/pagoda/cma; cat /proc/pagoda/cma'
    "; cat /proc/meminfo; echo free 94000 1 > /proc/pagoda/cma; echo free 94000 3000 > "
    '/proc/pagoda/cma; cat /proc/pagoda/cma; cat /proc/meminfo; cat /proc/pagoda/check"',
)


def test_cma_pool_is_lent_and_taken_back(
    build_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine = qemu.Machine(memory="512M", words=CMA_RUN)
    own = make_trees(machine, build_dir, tmp_path_factory.mktemp("cma"))
    pool = """
        pool { reusable; compatible = "shared-dma-pool"; reg = <0 0x94000000 0 0x1000000>;
               linux,cma-default; };
    """
    text, status = own.boot(own.blob(with_reserved(own.text, pool)))
    assert status == 0, text
    assert re.findall(r"^CmaTotal: +(\d+)", text, re.M) == ["16384"] * 3, text
    assert re.findall(r"^CmaFree: +(\d+)", text, re.M) == ["16384", "4384", "16384"], text
    assert re.findall(r"^area 0: .*$", text, re.M) == [
        "area 0: first 94000 pages 4096 used 3000 allocated 1 failed 0 released 0 shared default",
        "area 0: first 94000 pages 4096 used 0 allocated 1 failed 0 released 1 shared default",
    ], text
    assert "\nok\n" in text.replace("\r", ""), text


def four_nodes(text: str, memory_bytes: int) -> str:
    """The memory node in four, far from one another by different degrees, two harts at each."""
    part = memory_bytes // 4
    memory = ""
    for n in (3, 1, 2, 0):
        start = 0x80000000 + n * part
        cells = " ".join(str(c) for v in (start, part) for c in (v >> 32, v & 0xFFFFFFFF))
        memory += f'memory@{n} {{ device_type = "memory"; numa-node-id = <{n}>; '
        memory += f"reg = <{cells}>; }};\n"
    far = " ".join(f"{a} {b} {10 + 5 * abs(a - b)}" for a in range(4) for b in range(4))
    memory += 'distance-map { compatible = "numa-distance-map-v1"; distance-matrix = <'
    text = re.sub(r"\tmemory@80000000 \{.*?\};", f"{memory}{far}>; }};", text, flags=re.S)
    return re.sub(
        r"cpu@(\d+) \{", lambda m: f"{m[0]} numa-node-id = <{int(m[1]) // 2}>;", text
    )


@pytest.mark.parametrize(("memory", "pager"), [("512M", "kernel"), ("16G", "user")])
def test_four_nodes(build_dir: Path, tmp_path: Path, memory: str, pager: str) -> None:
    machine = qemu.Machine(pager=pager, harts=8, memory=memory, words=RUN)
    many = make_trees(machine, build_dir, tmp_path)
    text, status = many.boot(many.blob(four_nodes(many.text, qemu.parse_size(memory))))
    assert status == 0 and ", 4 nodes" in text, text
    assert_sound(text)
    assert nodes_seen(text) == {"0", "1", "2", "3"}, text
    # The hart that boots is number 0, whichever it is: so which two a node has is not said.
    lines = re.findall(r"^node (\d): harts \d \d, distances (.*)$", text, re.M)
    assert [line[1].split() for line in lines] == [
        [str(10 + 5 * abs(a - b)) for b in range(4)] for a in range(4)
    ], text

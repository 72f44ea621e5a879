"""What the comparison says about operations: groups, and why a row is dearer here or there.

A reason for user ÷ kernel is measured: every instruction of both was counted by phase and function
(harness/events.py), and what differs is named. Why a row is above Linux is knowledge, and stands here by
operation, with the phases that its instructions go to. A row above Linux without an entry says so on the page.
"""

from __future__ import annotations

import re
from typing import Any

Row = dict[str, Any]

#: group -> heading, introduction; in the order of the page
GROUPS: dict[str, tuple[str, str]] = {
    "faults": ("Faults", "One access to a page that is not there, from the access to the instruction behind it."),
    "sharing": ("Copy-on-write and fork", "Writes to pages shared by a fork, and the fork itself."),
    "maps": ("Mappings", "Calls that make, unmake and move mappings."),
    "rights": ("Protection and advice", "Calls that change what a mapping allows, or give its pages back."),
    "programs": (
        "Memory management in programs",
        "A program as its own pager: by signals, and the primitives of Appel and Li (1991). Signals belong to the process "
        "personality, which is one more program.",
    ),
    "scaling": ("Many mappings, many threads", "The same operations in processes with 1 to 60,000 VMAs, and by several threads."),
    "kernel": ("The kernel's own operations", "Messages, capabilities and batches; here the yardstick is seL4."),
    "other": (
        "Outside memory management",
        "Calls of the process personality, which is a program too. They are not this comparison's subject but show what a system "
        "of programs costs.",
    ),
}
#: groups that count in the headline
SHOWN = ("faults", "sharing", "maps", "rights", "scaling")

_GROUP = (
    ("hidden", r"pages_|uffd_|write_touch_after_mprotect|threads_\d_write_fault_disjoint$|.*madv_random"),
    ("faults", r"anon_|tmpfs_|ramfs_|shared_anon|shm_touch|thp_(write|read)|hugetlb|mthp"),
    ("sharing", r"cow_|fork_"),
    ("scaling", r"vmas_|threads_"),
    ("programs", r"appel_|sigsegv_"),
    ("rights", r"mprotect|madv|mincore|mlock"),
    ("maps", r"mmap|munmap|mremap|brk|shmat|shmdt|thp_munmap"),
    (
        "kernel",
        r"ipc_|notify|null_call|cap_|fault_|map_|unmap_|protect_|clear_bits|move_|copy_",
    ),
)

#: what operations' names are made of
NAME_TEXT = {
    "anon_write_touch": "first write to a page of private anonymous memory; anon_read_touch_zeropage: first read, which maps the shared page of zeros",
    "…_needs_new_pt": "the same where the table of entries (512 pages) is missing too",
    "…_prezeroed": "the page was cleared while the hart was idle",
    "tmpfs_…, ramfs_…": "pages of memory files; …_faultaround: one fault maps the 16 pages around it; private_cow: a private mapping's page is copied",
    "thp_…, hugetlb_…": "huge pages of 2 MiB",
    "cow_break_copy": "first write after a fork, page shared; …_reuse_last_owner: the other side is gone; measured in parent or child",
    "fork_exit_wait_NMiB": "fork, end of the child, wait, with N MiB touched; slope: what one more page adds",
    "…_1p_…, …_256p_…": "one call on 1 or 256 pages; …_touched: pages that are in use; …_per_page: divided by the pages",
    "mmap_1p_fixed_merge, …_hole_split": "what happens to neighbouring mappings",
    "vmas_N_…": "in a process with N mappings (VMAs)",
    "threads_N_…": "N threads of a process",
    "appel_…": "what user-level memory managers need (Appel and Li): trap, protect one page, protect many, unprotect, tell dirty pages",
    "sigsegv_pager_…": "a signal handler that maps or unprotects the page",
    "uffd_…": "Linux's userfaultfd: a second thread resolves the fault",
    "ipc_roundtrip": "a message to another program and its answer",
    "map_1p, unmap_1p": "one kernel call that maps or unmaps one page; map_batch_…: 64 pages in one call",
    "cap_copy": "a copy of a capability, here with fewer rights too, which seL4 calls minting and needs 905 for",
}
#: what the phases of a fault or call are
PHASE_TEXT = {
    "trap entry": "from the exception until the kernel knows what it is; registers are saved",
    "waiting for a lock": "taking locks; with several harts also spinning for one",
    "delivery": "who answers is found, and the event handed over",
    "address-space switch": "the server's or program's page tables are loaded",
    "server: look-up and decision": "the memory server: which mapping, which page, which right",
    "allocation": "free pages, tables and objects are taken or given back",
    "reverse map": "who maps a page is written down",
    "reply: decode and check": "the kernel checks each request against capabilities",
    "entry write": "page-table entries are read and written",
    "fence": "translations of the processor are thrown away",
    "return": "registers are loaded, the program goes on",
    "process personality": "the program that answers calls that are not about memory",
}

_ABOVE_LINUX = (
    (
        r"mprotect|vmas_\d+_mprotect|appel_(prot1|unprot)",
        "VMAs are cut or joined in the server and the page is changed by a batch of its own; set-up, checks and fence of that batch "
        "serve one page only.",
    ),
    (r"vmas_1_munmap_all", "One sample: the last mapping of its region takes the tables with it."),
    (r"vmas_.*write_fault", "Each fault is in another VMA and another leaf table, so nothing that the straight path remembers holds."),
    (r"appel_|sigsegv_", "The signal is made by the personality, a third program: two more address-space switches each way."),
    (r"getp?pid|ecall_enosys", "Linux answers where it was entered; here the call goes to the personality, a program, and back."),
    (r"pipe_|futex_|sched_", "Each call is a visit to the personality, a program; two of them make a round trip."),
    (r"shm", "A segment's call goes to the personality first, which then asks the memory server."),
    (r"fork_", "A process is a program's object here: the personality and the memory server each make their part by messages."),
    (r"mremap|brk|mmap_touch|munmap_1p_touched", "The page leaves by a batch of its own: set-up and fence serve one page only."),
)


def group_of(op: str) -> str:
    for group, pattern in _GROUP:
        if re.match(pattern, op):
            return group
    return "other"


def _above(op: str) -> str:
    for pattern, why in _ABOVE_LINUX:
        if re.match(pattern, op):
            return why
    return "not explained yet"


def above_linux(rows: list[Row]) -> list[tuple[str, str]]:
    """Operations that need more than lean Linux does, and why."""
    found = []
    for row in rows:
        values = row["values"]
        if group_of(row["op"]) != "hidden" and values.get("lean") and values.get("user", 0) > 1.005 * values["lean"]:
            found.append((row["op"], _above(row["op"])))
    return found


#: a difference is named if it is at least so large: as a part of all differences, and 2 instructions or a part of the whole
_NAMED_PART, _NAMED_LEAST, _NAMED_OF_ALL = 0.08, 2.0, 0.005
#: a function is named if it makes up this part of its phase's difference
_FUNCTION_PART = 0.4


def amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def phase_differences(row: Row) -> dict[str, float]:
    """Instructions that the user pager has more, by phase; the benchmark itself left out."""
    phases = row["phases"]
    if not {"user", "kernel"} <= phases.keys():
        return {}
    user, kernel = phases["user"], phases["kernel"]
    names = dict.fromkeys([*user, *kernel])
    return {name: user.get(name, 0) - kernel.get(name, 0) for name in names if name != "program"}


def _function_of(row: Row, phase: str, difference: float) -> str:
    """The function that makes most of a phase's difference; the kernel pager's pager_X stands for X."""
    found: dict[str, float] = {}
    shown: dict[str, str] = {}
    for placement, sign in (("user", 1), ("kernel", -1)):
        for name, count in row["functions"].get(placement, {}).get(phase, {}).items():
            plain = name.removeprefix("pager_")
            found[plain] = found.get(plain, 0) + sign * count
            if sign * difference > 0 or plain not in shown:
                shown[plain] = name
    if not found:
        return ""
    plain = max(found, key=lambda name: found[name] * (1 if difference > 0 else -1))
    return shown[plain] if found[plain] / difference >= _FUNCTION_PART else ""


def _knowledge(row: Row, phase: str) -> str:
    """Why the user pager has more of this phase, where the phase's name does not say it."""
    entries = row["events"]["user"]["traps"] - row["events"]["kernel"]["traps"]
    if phase == "trap entry" and entries > 1.5:
        return f"{entries:,.0f} entries more: its calls of the kernel"
    if phase == "trap entry" and entries > 0.5:
        return "its answer is a second entry"
    if phase == "address-space switch":
        return "to the server and back"
    return ""


def _side(row: Row, differences: dict[str, float], user: bool) -> str:
    """What one placement has more: phases with amounts and reasons."""
    least = max(
        min(_NAMED_LEAST, _NAMED_OF_ALL * row["values"]["user"]), _NAMED_PART * sum(map(abs, differences.values()))
    )
    parts = []
    for phase, more in sorted(differences.items(), key=lambda item: -abs(item[1])):
        if (more > 0) != user or abs(more) < least:
            continue
        why = _knowledge(row, phase) if user else ""
        why = why or _function_of(row, phase, more)
        parts.append(f"{phase} {amount(abs(more))}" + (f" ({why})" if why else ""))
    return ", ".join(parts)


def _placement(row: Row) -> str:
    """Why the two placements differ."""
    values = row["values"]
    if not {"user", "kernel"} <= values.keys():
        return ""
    more = values["user"] - values["kernel"]
    differences = phase_differences(row)
    sides = {who: _side(row, differences, who == "user") for who in ("user", "kernel")}
    if abs(more) <= 0.005 * values["kernel"] + 0.5 and not any(sides.values()):
        return "The same: it does not come to the pager." if _pagerless(row) else "The same within half a percent."
    text = f"{'+' if more >= 0 else '−'}{amount(abs(more))}."
    for who, side in sides.items():
        if side:
            text += f" The {who} pager has more {side}."
    return text if differences else text + " Calculated from other rows."


def _pagerless(row: Row) -> bool:
    """No instruction of it is the memory server's."""
    phases = row["phases"].get("user", {})
    return bool(phases) and phases.get("server: look-up and decision", 0) < 1


def _goes_to(row: Row) -> str:
    """The phases that most of its instructions belong to."""
    phases = {k: v for k, v in row["phases"].get("user", {}).items() if k != "program"}
    most = sorted(phases.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{name} {amount(count)}" for name, count in most)


def reason(row: Row) -> str:
    """One or two sentences for a row of the page."""
    values = row["values"]
    parts = [_placement(row)]
    if values.get("lean") and values.get("user", 0) > 1.005 * values["lean"]:
        parts.append("Above Linux: " + _above(row["op"]))
        if goes := _goes_to(row):
            parts.append(f"It goes to: {goes}.")
    return " ".join(part for part in parts if part)


# ---- events with costs ----


def misses_l1(events: dict[str, float]) -> float:
    return events["misses_l1i"] + events["misses_l1d"]


def weighed(row: Row, key: str, costs: list[dict[str, Any]]) -> float | None:
    """Instructions, and for each event what hardware makes it cost beyond them."""
    value, events = row["values"].get(key), row["events"].get(key)
    if value is None or events is None:
        return None
    counts = {**events, "misses_l1": misses_l1(events)}
    return float(value) + sum(float(cost["cycles"]) * counts[cost["event"]] for cost in costs)


# ---- whole programs ----


def program_reason(program: dict[str, Any]) -> str:
    """Where a program's instructions differ between Pagoda and Debian's Linux."""
    columns = program["columns"]
    if "linux" not in columns:
        return ""
    user, linux = columns["user"]["phases"], columns["linux"]["phases"]
    own, theirs = user.get("program", 0), linux.get("program", 0)
    system = sum(user.values()) - own
    other = sum(linux.values()) - theirs
    parts = sorted(((n, c) for n, c in user.items() if n != "program"), key=lambda item: -item[1])[:3]
    goes = ", ".join(f"{name} {count / 1e6:,.1f}" for name, count in parts)
    return (
        f"The program itself executes {own / 1e6:,.0f} million (on Linux {theirs / 1e6:,.0f}); the system around it "
        f"{system / 1e6:,.0f} where Linux's kernel has {other / 1e6:,.0f}, above all: {goes}."
    )

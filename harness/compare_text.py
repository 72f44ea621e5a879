"""What the comparison says about operations: groups, and why a row is dearer here or there.

A reason for user ÷ kernel is made from the counted events; why a row is above Linux is knowledge,
and stands here by operation. A row above Linux without an entry says so on the page.
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

_ABOVE_LINUX = (
    (
        r"cow_break_reuse",
        "Linux sets one bit. Here the entry is replaced under a lock of its leaf table by an answer that the kernel checks again, "
        "and the hart's translation is fenced.",
    ),
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


def _placement(row: Row) -> str:
    """Why the two placements differ."""
    values, events = row["values"], row["events"]
    if not {"user", "kernel"} <= values.keys() or not {"user", "kernel"} <= events.keys():
        return ""
    user, kernel = events["user"], events["kernel"]
    more = values["user"] - values["kernel"]
    switches = user["satp"] - kernel["satp"]
    if abs(more) <= 0.005 * values["kernel"] + 0.5 and switches < 0.5:
        return "The same within half a percent."
    text = f"{more:+,.0f} instructions" if abs(more) >= 10 else f"{more:+.1f} instructions"
    if switches >= 0.5:
        text += f", {switches:.0f} address-space switches more"
    if more < -0.005 * values["kernel"]:
        return text + ": the kernel pager answers through the general call interface where the user one has a straight path."
    return text + "."


def reason(row: Row) -> str:
    """One or two sentences for a row of the page."""
    values = row["values"]
    parts = [_placement(row)]
    if values.get("lean") and values.get("user", 0) > 1.005 * values["lean"]:
        parts.append("Above Linux: " + _above(row["op"]))
    return " ".join(part for part in parts if part)

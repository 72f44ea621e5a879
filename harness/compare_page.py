"""The comparison as a page, as pictures and as docs/comparison.md: what compare.py measured, told.

The page is one file: pictures are SVG made here, the raw data stands in it, nothing is loaded. The
template with style and script is compare_page.html.
"""

from __future__ import annotations

import html as escape
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness import compare_svg as svg
from harness import compare_again, compare_text
from harness.compare_svg import number
from harness.compare_text import GROUPS, SHOWN, above_linux, group_of, misses_l1, program_reason, reason, weighed

Data = dict[str, Any]

TEMPLATE = Path(__file__).with_name("compare_page.html")
#: columns whose events are counted, and their names where there is little room
COUNTED = {"user": "user", "kernel": "kernel", "linux": "Debian"}
#: operations whose events and weighed costs are shown together
EVENT_OPS = (
    "anon_write_touch", "anon_write_touch_prezeroed", "anon_read_touch_zeropage", "cow_break_copy_parent",
    "tmpfs_read_fault_faultaround", "mmap_munmap_1p_untouched", "munmap_256p_touched_per_page", "mprotect_1p_RW_to_R",
    "fork_exit_wait_16MiB", "vmas_10000_random_write_fault", "getpid", "sigsegv_pager_page_absent",
)  # fmt: skip
EVENTS = {
    "traps": "traps", "satp": "satp writes", "fences_local": "fences", "fences_remote": "remote fences",
    "code_lines": "lines of code", "data_lines": "lines of data", "misses_l1i": "L1 misses, code",
    "misses_l1d": "L1 misses, data", "misses_l2": "L2 misses",
}  # fmt: skip


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _divide(values: dict[str, float], above: str, below: str) -> float | None:
    return values[above] / values[below] if values.get(above) and values.get(below) else None


def _mean(ratios: Iterable[float]) -> float:
    found = list(ratios)
    return math.exp(sum(map(math.log, found)) / len(found)) if found else math.nan


# ---- what is said ----


def _by_op(data: Data) -> dict[str, dict[str, float]]:
    return {row["op"]: row["values"] for row in data["rows"]}


def _titles(data: Data) -> dict[str, str]:
    return {column["key"]: column["title"] for column in data["columns"]}


def _sentences(data: Data) -> tuple[str, list[tuple[str, str]]]:
    """The answer in a sentence, and figures to stand below it."""
    rows = [row for row in data["rows"] if group_of(row["op"]) in SHOWN]
    kernel = [r for row in rows if (r := _divide(row["values"], "user", "kernel"))]
    lean = [r for row in rows if (r := _divide(row["values"], "user", "lean"))]
    debian = [r for row in rows if (r := _divide(row["values"], "user", "linux"))]
    values = _by_op(data)["anon_write_touch"]
    uffd = _divide(values, "uffd", "user")
    answer = (
        f"As a program, the pager needs {_mean(kernel):.2f} times the instructions that it needs inside the kernel, "
        f"and {_mean(lean):.2f} times those of a lean Linux."
    )
    cards = [
        (
            f"{_mean(kernel):.2f}",
            f"user ÷ kernel pager, geometric mean of {len(kernel)} operations",
        ),
        (f"{_mean(lean):.2f}", f"user pager ÷ lean Linux, in the kernel; mean of {len(lean)}"),
        (f"{sum(r < 1 for r in lean)} of {len(lean)}", "operations below lean Linux"),
    ]
    if debian:
        cards.append(
            (f"{_mean(debian):.2f}", f"user pager ÷ Debian 13's kernel; mean of {len(debian)}")
        )
    heavy = [pair for row in rows for pair in [_weighed_ratios(data, row)]]
    if over_kernel := [pair[0] for pair in heavy if pair[0]]:
        over_linux = [pair[1] for pair in heavy if pair[1]]
        text = f"user ÷ kernel pager with events at published costs of hardware, a what-if; {_mean(over_linux):.2f} of Debian's kernel"
        cards.append((f"{_mean(over_kernel):.2f}", text))
    if uffd:
        cards.append((f"{uffd:.0f}×", "what a first write costs with Linux's own user-mode pager, userfaultfd"))
    return answer, cards


def _ratio_cell(ratio: float | None) -> str:
    if ratio is None:
        return "<td class=ratio></td>"
    place = 50 + 25 * max(-2.0, min(2.0, math.log2(ratio)))
    side = "good" if ratio < 0.995 else "bad" if ratio > 1.005 else "same"
    left, width = (place, 50 - place) if place < 50 else (50, place - 50)
    return (
        f'<td class="ratio {side}"><span class=bar><i style="left:{left:.1f}%;width:{width:.1f}%"></i></span>'
        f"<b>{_ratio(ratio)}</b></td>"
    )


def _rows(data: Data, group: str) -> str:
    out = []
    for index, row in enumerate(data["rows"]):
        if group_of(row["op"]) != group:
            continue
        v = row["values"]
        cells = "".join(f"<td>{number(v.get(key))}</td>" for key in ("user", "kernel"))
        cells += _ratio_cell(_divide(v, "user", "kernel"))
        cells += f"<td>{number(v.get('lean'))}</td>" + _ratio_cell(_divide(v, "user", "lean"))
        cells += "".join(f"<td>{number(v.get(key))}</td>" for key in ("linux", "sel4"))
        cells += "".join(f"<td>{_ratio(ratio)}</td>" for ratio in _weighed_ratios(data, row))
        out.append(
            f'<tr data-row="{index}"><th>{row["op"]}</th>{cells}</tr>'
            f'<tr class=why><td colspan=11>{escape.escape(reason(row))}</td></tr>'
        )
    return "".join(out)


def _weighed_ratios(data: Data, row: Data) -> list[float | None]:
    """User ÷ kernel pager and user pager ÷ Debian's Linux, events at their costs on hardware."""
    costs = {key: weighed(row, key, data["costs"]["costs"]) for key in COUNTED}
    user = costs["user"]
    return [user / other if user and other else None for other in (costs["kernel"], costs["linux"])]


def _big_table(data: Data) -> str:
    head = (
        "<tr><th>operation<th>user<br>pager<th>kernel<br>pager<th>user ÷ kernel<th>Linux<br>lean<th>user ÷ lean"
        "<th>Linux<br>Debian<th>seL4<th>weighed,<br>÷ kernel<th>weighed,<br>÷ Debian</tr>"
    )
    parts = []
    for group, (title, text) in GROUPS.items():
        rows = _rows(data, group)
        if rows:
            parts.append(f"<h3>{title}</h3><p>{text}</p><div class=wide><table class=ops>{head}{rows}</table></div>")
    return "".join(parts)


VARIANT_OPS = (
    "anon_write_touch", "anon_write_touch_prezeroed", "anon_read_touch_zeropage", "cow_break_copy_parent",
    "tmpfs_read_fault_faultaround_per_page", "fork_exit_wait_16MiB", "munmap_256p_touched_per_page",
    "mprotect_256p_RW_to_R_per_page", "mmap_MAP_POPULATE_256p_per_page", "ipc_roundtrip",
)  # fmt: skip


def _variants(data: Data) -> str:
    """What each piece buys: user pager without it, divided by the user pager with it."""
    keys = [key for key in ("plain", "single", "alone", "cold", "policy") if key in _titles(data)]
    titles, by_op = _titles(data), _by_op(data)
    head = "<tr><th>operation<th>user pager" + "".join(
        f"<th>{titles[key]}" for key in keys
    ) + "</tr>"
    body = []
    for op in VARIANT_OPS:
        v = by_op.get(op, {})
        cells = ""
        for key in keys:
            ratio = _divide(v, key, "user")
            strong = "bad" if ratio and ratio > 1.05 else "good" if ratio and ratio < 0.95 else "same"
            cells += f'<td class="{strong}">{number(v.get(key))} <small>×{_ratio(ratio)}</small></td>'
        body.append(f"<tr><th>{op}</th><td>{number(v.get('user'))}</td>{cells}</tr>")
    return f"<div class=wide><table class=ops>{head}{''.join(body)}</table></div>"


def _hero(data: Data) -> str:
    v, titles = _by_op(data)["anon_write_touch"], _titles(data)
    order = ("user", "kernel", "plain", "lean", "linux", "uffd", "policy")
    rows = [(key, titles[key], v[key]) for key in order if key in v]
    return svg.bars("Instructions of a first write to a fresh page, all of it: fault, page cleared and mapped, return", rows)


def _seen(what: str) -> str:
    """What to see in a picture, under it."""
    return f"<p>{escape.escape(what)}</p>"


def _scaling(data: Data) -> str:
    by_op, counts = _by_op(data), ("1", "100", "1000", "10000", "60000")

    def over(suffix: str, key: str) -> list[float | None]:
        return [by_op.get(f"vmas_{n}_{suffix}", {}).get(key) for n in counts]

    parts = []
    for suffix, title, seen in (
        ("random_write_fault", "a write fault, by number of VMAs", "The VMA is found in a tree: ten times as many are three or four steps more."),
        ("mmap_1p_fixed", "mmap of a page, by number of VMAs", "The program names the place: only its neighbours have to be found."),
        ("munmap_1p", "munmap of a page, by number of VMAs", "The VMA goes with its page; its neighbours are known without a search."),
    ):
        series = [
            (key, _titles(data)[key], over(suffix, key)) for key in ("user", "kernel", "lean")
        ]
        parts.append(svg.lines(f"Instructions of {title}", list(counts), series) + _seen(seen))
    sizes = list(data["sizes"])
    series = [
        (key, label, [data["sizes"][size].get(op) for size in sizes])
        for key, label, op in zip(
            ("kernel", "user", "lean"),
            ("first write", "first read", "and a table"),
            ("anon_write_touch", "anon_read_touch_zeropage", "anon_write_touch_needs_new_pt"),
            strict=True,
        )
    ]
    seen = "Nothing on the way of a fault grows with the memory of the machine. The user pager; colours are of operations here."
    parts.append(svg.lines("Instructions of a fault, by size of memory", sizes, series) + _seen(seen))
    parts += _harts(data)
    return '<div class="grid">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def _harts(data: Data) -> list[str]:
    """Charts over the number of harts."""
    counts = sorted({found["harts"] for found in data["harts"]})
    parts = []
    for what, unit, title, seen in (
        (
            "fault, own VMA", 1.0, "Instructions of a write fault, as many threads as harts",
            "A line that rises would say that harts wait for each other; each thread has a VMA of its own.",
        ),
        (
            "program", 1e6, "Millions of instructions of the shell that forks",
            "The same work: what is more on several harts is waiting, and telling other harts.",
        ),
    ):  # fmt: skip
        by = {(f["column"], f["harts"]): f["instructions"] / unit for f in data["harts"] if f["what"] == what}
        keys = [key for key in COUNTED if any(column == key for column, _ in by)]
        if keys:
            series = [(key, _titles(data)[key], [by.get((key, n)) for n in counts]) for key in keys]
            parts.append(svg.lines(title, [f"{n} hart{'s' if n > 1 else ''}" for n in counts], series) + _seen(seen))
    return parts


HARTS_HEAD = ("what", "system", "harts", "instructions", "of it taking locks", "fences", "remote fences", "L1 misses")
HARTS_WHAT = {
    "fault": "a write fault, all threads in one VMA",
    "fault, own VMA": "a write fault, each thread in a VMA of its own",
    "program": "the shell that forks, in thousands",
}


def _harts_rows(data: Data) -> list[list[str]]:
    rows = []
    for what, text in HARTS_WHAT.items():
        unit = 1e3 if what == "program" else 1
        for found in (found for key in COUNTED for found in data["harts"] if (found["what"], found["column"]) == (what, key)):
            e = {name: count / unit for name, count in found["events"].items()}
            locks = found["locks"]
            rows.append(
                [
                    text, _titles(data)[found["column"]], str(found["harts"]), number(found["instructions"] / unit),
                    "–" if locks is None else number(locks / unit), _short(e["fences_local"]), _short(e["fences_remote"]),
                    _short(misses_l1(e)),
                ]
            )  # fmt: skip
    return rows


def _harts_table(data: Data) -> str:
    if not data["harts"]:
        return ""
    head = "<tr>" + "".join(f"<th>{title}" for title in HARTS_HEAD) + "</tr>"
    body = "".join("<tr><th>" + "<td>".join(row) + "</tr>" for row in _harts_rows(data))
    return f"<div class=wide><table class=ops>{head}{body}</table></div>"


def _short(value: float) -> str:
    """Two digits or so."""
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}" if value >= 0.005 else "0"


def _by_system(values: dict[str, float]) -> str:
    """One cell: user / kernel / Debian."""
    return " / ".join(_short(values[key]) if key in values else "–" for key in COUNTED)


def _events(data: Data) -> str:
    """Events of chosen operations, on all systems that were counted."""
    head = "<tr><th>operation" + "".join(f"<th>{title}" for title in EVENTS.values()) + "</tr>"
    by_op = {row["op"]: row for row in data["rows"]}
    body = []
    for op in EVENT_OPS:
        events = by_op.get(op, {}).get("events", {})
        if events:
            cells = "".join(f"<td>{_by_system({k: e[name] for k, e in events.items()})}</td>" for name in EVENTS)
            body.append(f"<tr><th>{op}</th>{cells}</tr>")
    return f"<div class=wide><table class='ops tight'>{head}{''.join(body)}</table></div>"


def _program_parts(column: Data) -> tuple[float, float]:
    """Millions of instructions: of the program itself, of the system around it."""
    own = column["phases"].get("program", 0)
    return own / 1e6, (sum(column["phases"].values()) - own) / 1e6


def _weighed_program(data: Data, column: Data) -> float:
    events = column["events"]
    counts = {**events, "misses_l1": misses_l1(events)}
    costs = data["costs"]["costs"]
    return float(sum(column["phases"].values()) + sum(cost["cycles"] * counts[cost["event"]] for cost in costs))


PROGRAM_HEAD = (
    "program", "system", "millions", "of it the system", "traps", "satp writes", "fences", "L1 misses, thousands",
    "L2 misses, thousands", "weighed, ÷ user pager",
)  # fmt: skip


def _program_rows(data: Data) -> list[list[str]]:
    rows = []
    for program in data["programs"]:
        user = _weighed_program(data, program["columns"]["user"])
        for key, column in program["columns"].items():
            own, system = _program_parts(column)
            e = column["events"]
            rows.append(
                [
                    program["name"], _titles(data)[key], f"{own + system:,.1f}", f"{system:,.1f}", f"{e['traps']:,.0f}",
                    f"{e['satp']:,.0f}", f"{e['fences_local'] + e['fences_remote']:,.0f}", f"{misses_l1(e) / 1e3:,.0f}",
                    f"{e['misses_l2'] / 1e3:,.0f}", f"{_weighed_program(data, column) / user:.2f}",
                ]
            )  # fmt: skip
    return rows


def _program_bars(data: Data) -> list[tuple[str, str, float, float]]:
    return [
        (key, f"{program['name']}, {COUNTED[key]}", *_program_parts(column))
        for program in data["programs"]
        for key, column in program["columns"].items()
    ]


def _programs(data: Data) -> str:
    """Whole programs: bars, table, and why."""
    if not data["programs"]:
        return "<p>Debian's programs could not be had.</p>"
    head = "<tr>" + "".join(f"<th>{title}" for title in PROGRAM_HEAD) + "</tr>"
    body = "".join("<tr><th>" + "<td>".join(row) + "</tr>" for row in _program_rows(data))
    why = "".join(
        f"<li><b>{program['name']}</b>: {escape.escape(program_reason(program))}" for program in data["programs"]
    )
    return f"{svg.split_bars(_program_bars(data))}<div class=wide><table class=ops>{head}{body}</table></div><ul>{why}</ul>"


def _glossary(words: dict[str, str]) -> str:
    return "".join(f"<dt>{escape.escape(word)}<dd>{escape.escape(text)}" for word, text in words.items())


def _costs(data: Data) -> str:
    """Where the sliders begin, and why there."""
    return "".join(
        f"<dt>{escape.escape(cost['label'])}: {cost['cycles']} cycles<dd>{escape.escape(cost['from'])} "
        f"<i>{escape.escape(cost['source'])}</i>, {escape.escape(cost['url'])}"
        for cost in data["costs"]["costs"]
    )


def _tail(data: Data) -> str:
    """The tail in words: how many, and how dear, by where the fault was."""
    out = []
    for kind in dict.fromkeys(found["kind"] for found in data["distribution"].get("user", [])):
        places = [found for found in data["distribution"]["user"] if found["kind"] == kind]
        total = sum(times for place in places for _, times in place["costs"])
        parts = []
        for place in places:
            count = sum(times for _, times in place["costs"])
            if count:
                mean = sum((cost + place["bucket"] / 2) * times for cost, times in place["costs"]) / count
                parts.append(f"{place['place']}: {100 * count / total:.1f} %, mean {mean:,.0f}")
        dearest = max((cost for place in places for cost, _ in place["costs"]), default=0)
        out.append(f"<li><b>{escape.escape(kind)}</b>, {total:,} faults: {'; '.join(parts)}; dearest {dearest:,}.")
    return "".join(out)


def pictures(data: Data) -> dict[str, str]:
    """The pictures by themselves."""
    found: dict[str, Callable[[], str]] = {
        "first-write": lambda: _hero(data),
        "phases": lambda: svg.phases(data),
        **({"programs": lambda: svg.split_bars(_program_bars(data))} if data["programs"] else {}),
        "distribution": lambda: svg.distribution(data["distribution"].get("user", [])),
    }
    return {name: make() for name, make in found.items()}


def html(data: Data) -> str:
    answer, cards = _sentences(data)
    conditions = "".join(
        f"<dt>{escape.escape(k)}<dd>{escape.escape(str(v))}" for k, v in data["conditions"].items()
    )
    commands = "".join(f"<dt>{escape.escape(k)}<dd><code>{escape.escape(v)}</code>" for k, v in data["commands"].items())
    parts = {
        "ANSWER": escape.escape(answer),
        "CARDS": "".join(f"<div class=card><b>{a}</b><span>{escape.escape(b)}</span></div>" for a, b in cards),
        "HERO": _hero(data),
        "TABLE": _big_table(data),
        "VARIANTS": _variants(data),
        "PHASES": svg.phases(data),
        "DISTRIBUTION": svg.distribution(data["distribution"].get("user", [])),
        "SCALING": _scaling(data),
        "HARTS": _harts_table(data),
        "HARTS_TEXT": escape.escape(HARTS_TEXT),
        "EVENTS": _events(data),
        "PROGRAMS": _programs(data),
        "COSTS": _costs(data),
        "COSTS_WHAT": escape.escape(data["costs"]["what"]),
        "TAIL": _tail(data),
        "PHASE_TEXT": _glossary(compare_text.PHASE_TEXT),
        "NAME_TEXT": _glossary(compare_text.NAME_TEXT),
        "EVENT_OPS": json.dumps(EVENT_OPS),
        "COLUMNS": "".join(f"<dt>{escape.escape(c['title'])}<dd>{escape.escape(c['what'])}" for c in data["columns"]),
        "CONDITIONS": conditions,
        "AGAIN": escape.escape(compare_again.told(data.get("again"))),
        "COMMANDS": commands,
        "MISSING": "".join(f"<p class=bad>Left out: {escape.escape(k)}: {escape.escape(v)}</p>" for k, v in data["missing"].items()),
        "DATA": json.dumps(data).replace("</", "<\\/"),
        "PHASE_COLOURS": json.dumps(svg.PHASE_COLOUR),
    }
    return re.sub(r"\{\{([A-Z_]+)\}\}", lambda match: parts[match[1]], TEMPLATE.read_text())


def _markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def _markdown_programs(data: Data) -> list[str]:
    if not data["programs"]:
        return []
    why = [f"* {program['name']}: {program_reason(program)}" for program in data["programs"]]
    text = "Debian's programs, the same files on all systems (`harness/workloads`), from start to end, one hart."
    return ["## Whole programs", "", text, "", *_markdown_table(PROGRAM_HEAD, _program_rows(data)), *why, ""]


#: what stands with the rows over several harts, on the page too
HARTS_TEXT = (
    "Each figure is of all harts together, waiting for each other included: if one lock served them in turn, it would grow "
    "with their number. The harts run in turns of a hundred instructions on the average, which no clock ends, so these figures "
    "repeat exactly too. Linux's kernel has no symbols here, so what it spends for locks cannot be told."
)


def _markdown_harts(data: Data) -> list[str]:
    if not data["harts"]:
        return []
    return ["## Several harts", "", HARTS_TEXT, "", *_markdown_table(HARTS_HEAD, _harts_rows(data))]


def _markdown_events(data: Data) -> list[str]:
    """Events and what they are taken to cost."""
    rows = []
    for row in data["rows"]:
        if row["op"] in EVENT_OPS and row["events"]:
            cells = [_by_system({k: e[name] for k, e in row["events"].items()}) for name in EVENTS]
            rows.append([f"`{row['op']}`", *cells])
    costs = [
        [c["label"], str(c["cycles"]), f"{c['from']} {c['source']}, {c['url']}"] for c in data["costs"]["costs"]
    ]
    return [
        "## Events at their costs on hardware",
        "",
        f"{data['costs']['what']} For each: user pager / kernel pager / Debian's Linux. Lines are of 64 bytes; misses are those of a",
        "model of the caches of SiFive's FU740 (32 KiB for code, 32 KiB for data, 2 MiB behind them; `harness/cache_model.h`).",
        "",
        *_markdown_table(["operation", *EVENTS.values()], rows),
        *_markdown_table(["event", "cycles", "where from"], costs),
    ]


def markdown(data: Data) -> str:
    """docs/comparison.md."""
    answer, cards = _sentences(data)
    out = [
        "# Comparison",
        "",
        "Made by `make compare`; do not edit. The page with pictures, traces and what-ifs is `build/compare/index.html`.",
        "",
        f"**{answer}**",
        "",
        *(f"* {a}: {b}" for a, b in cards),
        "",
        "## How to read it",
        "",
        "Figures are instructions per operation (per page where the name says so), counted exactly under `-icount shift=0`:",
        "user, kernel and firmware together, no time. Instructions flatter whoever switches much and touches much memory; so",
        "“weighed” adds what events cost on hardware ([below](#events-at-their-costs-on-hardware)): a what-if, which the page",
        "lets you set as you like: two entries and two address-space switches of some 300 cycles each are what the user pager",
        "pays there for being a program, where by instructions it pays nearly nothing.",
        "",
        compare_again.told(data.get("again")),
        "",
        *(f"* **{column['title']}**: {column['what']}" for column in data["columns"]),
        "",
    ]
    out += ["What the names mean:", ""] + [f"* `{name}`: {text}" for name, text in compare_text.NAME_TEXT.items()] + [""]
    for group, (title, text) in GROUPS.items():
        rows = [row for row in data["rows"] if group_of(row["op"]) == group]
        if not rows:
            continue
        out += [
            f"## {title}",
            "",
            text,
            "",
            "| operation | user | kernel | u÷k | Linux lean | u÷lean | Debian | seL4 | weighed u÷k | weighed u÷Debian | why |",
        ]
        out.append("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")
        for row in rows:
            v = row["values"]
            cells = [number(v.get("user")), number(v.get("kernel")), _ratio(_divide(v, "user", "kernel")),
                     number(v.get("lean")), _ratio(_divide(v, "user", "lean")), number(
                         v.get("linux")
                     ),
                     number(v.get("sel4")), *map(_ratio, _weighed_ratios(data, row)), reason(row)]  # fmt: skip
            out.append(f"| `{row['op']}` | " + " | ".join(cells) + " |")
        out.append("")
    out += _markdown_programs(data) + _markdown_harts(data) + _markdown_events(data)
    above = above_linux(data["rows"])
    out += ["## Above lean Linux", ""] + [f"* `{op}`: {why}" for op, why in above] + [""]
    return "\n".join(out)

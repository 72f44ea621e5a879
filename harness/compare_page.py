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

from harness import trace
from harness.compare_text import GROUPS, SHOWN, above_linux, group_of, reason

Data = dict[str, Any]

TEMPLATE = Path(__file__).with_name("compare_page.html")

COLOURS = {
    "user": "#1b6ca8",
    "kernel": "#e08e0b",
    "plain": "#7aa6c9",
    "single": "#9dbdd6",
    "alone": "#b4cbdd",
    "cold": "#c8d8e4",
    "policy": "#2a9d8f",
    "linux": "#8c8c8c",
    "uffd": "#b03a2e",
    "lean": "#4d4d4d",
    "sel4": "#7d3c98",
}
PHASE_COLOURS = (
    "#bdbdbd", "#d95f02", "#e6ab02", "#a6761d", "#9ecae1", "#6baed6", "#1b9e77", "#66a61e", "#e7298a",
    "#e41a1c", "#7570b3", "#666666", "#1f78b4",
)  # fmt: skip

PHASE_NAMES = list(dict.fromkeys(name for name, _ in trace.PHASES))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _divide(values: dict[str, float], above: str, below: str) -> float | None:
    return values[above] / values[below] if values.get(above) and values.get(below) else None


def _mean(ratios: Iterable[float]) -> float:
    found = list(ratios)
    return math.exp(sum(map(math.log, found)) / len(found)) if found else math.nan


# ---- SVG ----


def _svg(width: float, height: float, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="system-ui,sans-serif" font-size="13">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape.escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    inner = f"<title>{escape.escape(title)}</title>" if title else ""
    return f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0):.2f}" height="{height}" fill="{colour}">{inner}</rect>'


def bars(rows: list[tuple[str, str, float]]) -> str:
    """Horizontal bars from zero: (key of the colour, label, value)."""
    width, left, step = 860, 230, 26
    longest = max(value for _, _, value in rows)
    parts = []
    for i, (key, label, value) in enumerate(rows):
        y, length = i * step, value / longest * (width - left - 80)
        parts.append(_text(left - 8, y + 17, label, 'text-anchor="end" fill="currentColor"'))
        parts.append(_rect(left, y + 4, length, 18, COLOURS[key], f"{label}: {_number(value)}"))
        parts.append(_text(left + length + 6, y + 17, _number(value), 'fill="currentColor"'))
    return _svg(width, len(rows) * step + 4, parts)


def _legend(names: list[tuple[str, str]], width: float, y: float) -> tuple[list[str], float]:
    parts, x = [], 0.0
    for name, colour in names:
        if x + 24 + 7.2 * len(name) > width:
            x, y = 0.0, y + 20
        parts.append(_rect(x, y, 12, 12, colour))
        parts.append(_text(x + 17, y + 11, name, 'fill="currentColor"'))
        x += 34 + 7.2 * len(name)
    return parts, y + 26


def phases(data: Data) -> str:
    """Stacked bars: where the instructions of each traced operation go, user above kernel."""
    width, left = 980.0, 60.0
    longest = max((found["instructions"] for found in data["traces"]), default=1)
    colour = dict(zip(PHASE_NAMES, PHASE_COLOURS, strict=True))
    used = [n for n in PHASE_NAMES if any(n in found["phases"] for found in data["traces"])]
    parts, y = _legend([(name, colour[name]) for name in used], width, 0)
    for name in dict.fromkeys(found["name"] for found in data["traces"]):
        parts.append(_text(0, y + 14, name, 'fill="currentColor" font-weight="600"'))
        y += 20
        for found in data["traces"]:
            if found["name"] != name:
                continue
            parts.append(
                _text(left - 8, y + 15, found["pager"], 'text-anchor="end" fill="currentColor"')
            )
            x = left
            for phase in used:
                count = found["phases"].get(phase, 0)
                length = count / longest * (width - left - 70)
                if count:
                    parts.append(
                        _rect(x, y, length, 20, colour[phase], f"{phase}: {count} instructions")
                    )
                x += length
            parts.append(
                _text(x + 6, y + 15, _number(found["instructions"]), 'fill="currentColor"')
            )
            y += 24
        y += 8
    return _svg(width, y, parts)


def distribution(kinds: list[Data]) -> str:
    """Histogram with logarithmic counts: one band for each kind of fault."""
    width, left, band = 980.0, 230.0, 74.0
    top = max((cost for kind in kinds for cost, _ in kind["costs"]), default=1)
    most = max((times for kind in kinds for _, times in kind["costs"]), default=1)

    def at(cost: float) -> float:
        return left + (math.log(max(cost, 128)) - math.log(128)) / (math.log(top * 1.2) - math.log(128)) * (
            width - left - 20
        )

    parts = []
    for i, kind in enumerate(kinds):
        base = (i + 1) * band - 8
        total = sum(times for _, times in kind["costs"])
        mean = sum(cost * times for cost, times in kind["costs"]) / max(total, 1)
        parts.append(_text(0, base - 28, kind["kind"], 'fill="currentColor" font-weight="600"'))
        parts.append(_text(0, base - 12, f"{total:,} faults, mean {mean:,.0f}", 'fill="currentColor" opacity=".7"'))
        for cost, times in kind["costs"]:
            height = 4 + (band - 22) * math.log(times + 1) / math.log(most + 1)
            title = f"{cost} to {cost + kind['bucket'] - 1} instructions: {times:,} times"
            parts.append(
                _rect(at(cost), base - height, 5, round(height, 1), PHASE_COLOURS[i + 4], title)
            )
        parts.append(f'<line x1="{left}" x2="{width}" y1="{base}" y2="{base}" stroke="currentColor" opacity=".3"/>')
    for cost in (128, 256, 512, 1024, 2048, 4096, 8192):
        if cost < top * 1.2:
            parts.append(_text(at(cost), len(kinds) * band + 12, f"{cost:,}", 'text-anchor="middle" fill="currentColor"'))
    return _svg(width, len(kinds) * band + 20, parts)


def lines(title: str, xs: list[str], series: list[tuple[str, str, list[float | None]]]) -> str:
    """A small chart of means over ordered, evenly spaced conditions."""
    width, height, left, bottom = 470.0, 240.0, 56.0, 40.0
    top = max((y for _, _, ys in series for y in ys if y is not None), default=1) * 1.15
    step = (width - left - 110) / max(len(xs) - 1, 1)
    parts = [_text(left, 16, title, 'font-weight="600" fill="currentColor"')]
    for part in range(5):
        y = height - bottom - part / 4 * (height - bottom - 30)
        parts.append(f'<line x1="{left}" x2="{width - 100}" y1="{y:.0f}" y2="{y:.0f}" stroke="currentColor" opacity=".15"/>')
        parts.append(_text(left - 6, y + 4, _number(top * part / 4), 'text-anchor="end" fill="currentColor" font-size="11"'))
    for i, label in enumerate(xs):
        parts.append(_text(left + i * step, height - 20, label, 'text-anchor="middle" fill="currentColor" font-size="11"'))
    for key, label, ys in series:
        points = [(left + i * step, height - bottom - y / top * (height - bottom - 30)) for i, y in enumerate(ys) if y is not None]
        if not points:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{COLOURS[key]}" stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[key]}"/>' for x, y in points
        ]
        drop = 15 if key == "kernel" and len(series) > 1 and series[0][0] == "user" else 4
        parts.append(_text(points[-1][0] + 8, points[-1][1] + drop, label, f'fill="{COLOURS[key]}" font-size="11"'))
    return _svg(width, height, parts)


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
    for number, row in enumerate(data["rows"]):
        if group_of(row["op"]) != group:
            continue
        v = row["values"]
        cells = "".join(f"<td>{_number(v.get(key))}</td>" for key in ("user", "kernel"))
        cells += _ratio_cell(_divide(v, "user", "kernel"))
        cells += f"<td>{_number(v.get('lean'))}</td>" + _ratio_cell(_divide(v, "user", "lean"))
        cells += "".join(f"<td>{_number(v.get(key))}</td>" for key in ("linux", "sel4"))
        out.append(f'<tr data-row="{number}"><th>{row["op"]}</th>{cells}<td class=why>{escape.escape(reason(row))}</td></tr>')
    return "".join(out)


def _big_table(data: Data) -> str:
    head = (
        "<tr><th>operation<th>user<br>pager<th>kernel<br>pager<th>user ÷ kernel<th>Linux<br>lean<th>user ÷ lean"
        "<th>Linux<br>Debian<th>seL4<th class=why>why</tr>"
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
            cells += f'<td class="{strong}">{_number(v.get(key))} <small>×{_ratio(ratio)}</small></td>'
        body.append(f"<tr><th>{op}</th><td>{_number(v.get('user'))}</td>{cells}</tr>")
    return f"<div class=wide><table class=ops>{head}{''.join(body)}</table></div>"


def _hero(data: Data) -> str:
    v, titles = _by_op(data)["anon_write_touch"], _titles(data)
    order = ("user", "kernel", "plain", "lean", "linux", "uffd", "policy")
    rows = [(key, titles[key], v[key]) for key in order if key in v]
    return bars(rows)


def _scaling(data: Data) -> str:
    by_op, counts = _by_op(data), ("1", "100", "1000", "10000", "60000")

    def over(suffix: str, key: str) -> list[float | None]:
        return [by_op.get(f"vmas_{n}_{suffix}", {}).get(key) for n in counts]

    parts = []
    for suffix, title in (
        ("random_write_fault", "write fault, by number of VMAs"),
        ("mmap_1p_fixed", "mmap of a page, by number of VMAs"),
        ("munmap_1p", "munmap of a page, by number of VMAs"),
    ):
        series = [
            (key, _titles(data)[key], over(suffix, key)) for key in ("user", "kernel", "lean")
        ]
        parts.append(lines(title, list(counts), series))
    sizes = list(data["sizes"])
    ops = ("anon_write_touch", "anon_read_touch_zeropage", "anon_write_touch_needs_new_pt")
    series = [
        (key, label, [data["sizes"][size].get(op) for size in sizes])
        for key, label, op in zip(
            ("kernel", "user", "lean"),
            ("first write", "first read", "and a table"),
            ops,
            strict=True,
        )
    ]
    parts.append(lines("faults, by size of memory", sizes, series))
    return '<div class="grid">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def pictures(data: Data) -> dict[str, str]:
    """The pictures by themselves."""
    found: dict[str, Callable[[], str]] = {
        "first-write": lambda: _hero(data),
        "phases": lambda: phases(data),
        "distribution": lambda: distribution(data["distribution"].get("user", [])),
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
        "PHASES": phases(data),
        "DISTRIBUTION": distribution(data["distribution"].get("user", [])),
        "SCALING": _scaling(data),
        "COLUMNS": "".join(f"<dt>{escape.escape(c['title'])}<dd>{escape.escape(c['what'])}" for c in data["columns"]),
        "CONDITIONS": conditions,
        "COMMANDS": commands,
        "MISSING": "".join(f"<p class=bad>Left out: {escape.escape(k)}: {escape.escape(v)}</p>" for k, v in data["missing"].items()),
        "DATA": json.dumps(data).replace("</", "<\\/"),
        "PHASE_COLOURS": json.dumps(dict(zip(PHASE_NAMES, PHASE_COLOURS, strict=True))),
    }
    return re.sub(r"\{\{([A-Z_]+)\}\}", lambda match: parts[match[1]], TEMPLATE.read_text())


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
        "user, kernel and firmware together, no time. Instructions flatter whoever switches much and touches much memory; the",
        "page weighs traps, address-space switches and fences by figures of your choice.",
        "",
        *(f"* **{column['title']}**: {column['what']}" for column in data["columns"]),
        "",
    ]
    for group, (title, text) in GROUPS.items():
        rows = [row for row in data["rows"] if group_of(row["op"]) == group]
        if not rows:
            continue
        out += [
            f"## {title}",
            "",
            text,
            "",
            "| operation | user | kernel | u÷k | Linux lean | u÷lean | Debian | seL4 | why |",
        ]
        out.append("|---|--:|--:|--:|--:|--:|--:|--:|---|")
        for row in rows:
            v = row["values"]
            cells = [_number(v.get("user")), _number(v.get("kernel")), _ratio(_divide(v, "user", "kernel")),
                     _number(v.get("lean")), _ratio(_divide(v, "user", "lean")), _number(
                         v.get("linux")
                     ),
                     _number(v.get("sel4")), reason(row)]  # fmt: skip
            out.append(f"| `{row['op']}` | " + " | ".join(cells) + " |")
        out.append("")
    above = above_linux(data["rows"])
    out += ["## Above lean Linux", ""] + [f"* `{op}`: {why}" for op, why in above] + [""]
    return "\n".join(out)

"""The pictures of the comparison: SVG, made here."""

from __future__ import annotations

import html as escape
import math
from typing import Any

from harness import symbols

Data = dict[str, Any]

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
    "#e41a1c", "#7570b3", "#666666", "#1f78b4", "#b15928", "#cab2d6", "#fdbf6f", "#8dd3c7",
)  # fmt: skip

PHASE_COLOUR = dict(zip(symbols.PHASES, PHASE_COLOURS, strict=True))
PLACE_COLOURS = ("#1b9e77", "#7570b3", "#d95f02")


TITLE = 'font-weight="600" fill="currentColor"'


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


#: a picture's title stands above it, says what is shown and its unit
_TITLE_HEIGHT = 26


def _svg(width: float, height: float, parts: list[str], title: str) -> str:
    inside = "".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height + _TITLE_HEIGHT:.0f}" '
        f'font-family="system-ui,sans-serif" font-size="13">{_text(0, 15, title, TITLE)}'
        f'<g transform="translate(0 {_TITLE_HEIGHT})">{inside}</g></svg>'
    )


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape.escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    inner = f"<title>{escape.escape(title)}</title>" if title else ""
    return f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width, 0):.2f}" height="{height}" fill="{colour}">{inner}</rect>'


def bars(title: str, rows: list[tuple[str, str, float]]) -> str:
    """Horizontal bars from zero: (key of the colour, label, value)."""
    width, left, step = 860, 230, 26
    longest = max(value for _, _, value in rows)
    parts = []
    for i, (key, label, value) in enumerate(rows):
        y, length = i * step, value / longest * (width - left - 80)
        parts.append(_text(left - 8, y + 17, label, 'text-anchor="end" fill="currentColor"'))
        parts.append(_rect(left, y + 4, length, 18, COLOURS[key], f"{label}: {number(value)}"))
        parts.append(_text(left + length + 6, y + 17, number(value), 'fill="currentColor"'))
    return _svg(width, len(rows) * step + 4, parts, title)


def split_bars(rows: list[tuple[str, str, float, float]]) -> str:
    """Horizontal bars of two parts, the program's own (pale) and the system's: (key of the colour, label, parts)."""
    width, left, step = 860, 230, 26
    longest = max(own + system for *_, own, system in rows)
    parts = []
    for i, (key, label, own, system) in enumerate(rows):
        y, scale = i * step, (width - left - 190) / longest
        parts.append(_text(left - 8, y + 17, label, 'text-anchor="end" fill="currentColor"'))
        parts.append(_rect(left, y + 4, own * scale, 18, "#cfd6dc", f"{label}, the program itself: {number(own)} million"))
        parts.append(_rect(left + own * scale, y + 4, system * scale, 18, COLOURS[key], f"{label}, system: {number(system)} million"))
        text = f"{number(own + system)} million, {number(system)} the system"
        parts.append(_text(left + (own + system) * scale + 6, y + 17, text, 'fill="currentColor" font-size="12"'))
    return _svg(width, len(rows) * step + 4, parts, "Millions of instructions; pale: of the program itself, coloured: of the system around it")


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
    colour = PHASE_COLOUR
    used = [n for n in symbols.PHASES if any(n in found["phases"] for found in data["traces"])]
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
                _text(x + 6, y + 15, number(found["instructions"]), 'fill="currentColor"')
            )
            y += 24
        y += 8
    return _svg(width, y, parts, "Instructions of one fault or call by phase; the user pager above, the kernel pager below")


def distribution(found: list[Data]) -> str:
    """Histogram with logarithmic counts: one band for each kind of fault, coloured by where the fault was."""
    width, left, band = 980.0, 230.0, 74.0
    top = max((cost for part in found for cost, _ in part["costs"]), default=1)
    most = max((times for part in found for _, times in part["costs"]), default=1)

    def at(cost: float) -> float:
        return left + (math.log(max(cost, 128)) - math.log(128)) / (math.log(top * 1.2) - math.log(128)) * (
            width - left - 20
        )

    places = list(dict.fromkeys(part["place"] for part in found))
    parts, y = _legend(list(zip(places, PLACE_COLOURS, strict=False)), width, 0)
    kinds = list(dict.fromkeys(part["kind"] for part in found))
    for i, kind in enumerate(kinds):
        base = y + (i + 1) * band - 8
        own = [part for part in found if part["kind"] == kind]
        total = sum(times for part in own for _, times in part["costs"])
        mean = sum(cost * times for part in own for cost, times in part["costs"]) / max(total, 1)
        parts.append(_text(0, base - 28, kind, 'fill="currentColor" font-weight="600"'))
        parts.append(_text(0, base - 12, f"{total:,} faults, mean {mean:,.0f}", 'fill="currentColor" opacity=".7"'))
        for part in sorted(own, key=lambda part: -sum(times for _, times in part["costs"])):
            for cost, times in part["costs"]:
                height = 4 + (band - 22) * math.log(times + 1) / math.log(most + 1)
                title = f"{cost} to {cost + part['bucket'] - 1} instructions, {part['place']}: {times:,} times"
                colour = PLACE_COLOURS[places.index(part["place"])]
                parts.append(_rect(at(cost), base - height, 5, round(height, 1), colour, title))
        parts.append(f'<line x1="{left}" x2="{width}" y1="{base}" y2="{base}" stroke="currentColor" opacity=".3"/>')
    bottom = y + len(kinds) * band
    for cost in (128, 256, 512, 1024, 2048, 4096, 8192):
        if cost < top * 1.2:
            parts.append(_text(at(cost), bottom + 12, f"{cost:,}", 'text-anchor="middle" fill="currentColor"'))
    parts.append(_text(0, bottom + 12, "instructions:", 'fill="currentColor" opacity=".7"'))
    return _svg(width, bottom + 20, parts, "How many faults cost how many instructions; heights are logarithmic")


def lines(title: str, xs: list[str], series: list[tuple[str, str, list[float | None]]]) -> str:
    """A small chart of means over ordered, evenly spaced conditions."""
    width, height, left, bottom = 470.0, 230.0, 56.0, 40.0
    top = max((y for _, _, ys in series for y in ys if y is not None), default=1) * 1.15
    step = (width - left - 110) / max(len(xs) - 1, 1)
    parts = []
    for part in range(5):
        y = height - bottom - part / 4 * (height - bottom - 12)
        parts.append(f'<line x1="{left}" x2="{width - 100}" y1="{y:.0f}" y2="{y:.0f}" stroke="currentColor" opacity=".15"/>')
        parts.append(_text(left - 6, y + 4, number(top * part / 4), 'text-anchor="end" fill="currentColor" font-size="11"'))
    for i, label in enumerate(xs):
        parts.append(_text(left + i * step, height - 20, label, 'text-anchor="middle" fill="currentColor" font-size="11"'))
    for key, label, ys in series:
        points = [(left + i * step, height - bottom - y / top * (height - bottom - 12)) for i, y in enumerate(ys) if y is not None]
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
    return _svg(width, height, parts, title)

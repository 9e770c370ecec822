"""A plot with two logarithmic axes as SVG, by hand: how long reading takes for each size of a request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final
from xml.sax.saxutils import escape

Points = Sequence[tuple[int, float]]
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 480, 80, 50, 30, 60
_COLOURS: Final = ("#1b5e9e", "#c2571a", "#4d7d2f", "#7a4a9e")


def reading(sizes: Sequence[tuple[int, Sequence[float], Sequence[float]]], goal_ms: float) -> str:
    """Draw what `strict.sizes` found: strict readings of a chat request, and loose ones of the same bytes.

    It is time on a core, the median of many runs.
    """
    strictly = [(size, median(taken) * 1000) for size, taken, _ in sizes]
    loosely = [(size, median(taken) * 1000) for size, _, taken in sizes]
    series = {
        "strictly: parsed, each text a passage, written anew": strictly,
        "loosely: decoded, nothing inspected, the same bytes passed on": loosely,
    }
    return svg("Reading one chat request by its size: time on a core, median of many runs", series, goal_ms)


def svg(title: str, series: Mapping[str, Points], goal_ms: float) -> str:
    """Draw milliseconds over bytes for each series, a goal, and the line of slope one through the first series' last.

    A series that grows no faster than its size runs beside that line; a quadratic one would cross it steeply.
    """
    sizes = [size for points in series.values() for size, _ in points]
    times = [taken for points in series.values() for _, taken in points] + [goal_ms]
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    bottom, top = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def x(size: float) -> float:
        return _LEFT + (math.log10(size) - low) / ((high - low) or 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(taken: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(taken) - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    def line(points: Points, style: str) -> str:
        return f'<polyline fill="none" {style} points="{" ".join(f"{x(s):.1f},{y(t):.1f}" for s, t in points)}"/>'

    def text(left: float, at: float, words: str, anchor: str = "middle", more: str = "") -> str:
        return f'<text x="{left:.1f}" y="{at:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'

    drawn = [text(_WIDTH / 2, 28, title, more=' font-size="15"')]
    for power in range(bottom, top + 1):
        at = y(10.0**power)
        drawn.append(f'<path stroke="#ddd" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        drawn.append(text(_LEFT - 8, at + 4, f"{10.0**power:g} ms", "end"))
    for size in sorted(set(sizes)):
        drawn.append(f'<path stroke="#eee" d="M{x(size):.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        if math.log2(size) % 2 == 0:
            words = f"{size // 1_048_576} MB" if size >= 1_048_576 else f"{size // 1024} kB"
            drawn.append(text(x(size), _HEIGHT - _BOTTOM + 20, words))
    goal = [(min(sizes), goal_ms), (max(sizes), goal_ms)]
    drawn += [
        line(goal, 'stroke="#b00" stroke-dasharray="6 4"'),
        text(_LEFT + 6, y(goal_ms) - 6, f"{goal_ms:g} ms, the goal for 2 MB", "start"),
    ]
    last, taken = next(iter(series.values()))[-1]
    slope = [(size, taken * size / last) for size in sorted(set(sizes)) if taken * size / last >= 10.0**bottom]
    drawn.append(line(slope, 'stroke="#999" stroke-dasharray="2 3"'))
    for number, (name, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn.append(line(points, f'stroke="{colour}" stroke-width="2"'))
        drawn += [f'<circle cx="{x(s):.1f}" cy="{y(t):.1f}" r="3" fill="{colour}"/>' for s, t in points]
        drawn.append(text(_WIDTH - _RIGHT - 10, _HEIGHT - _BOTTOM - 66 + 18 * number, name, "end", f' fill="{colour}"'))
    drawn.append(
        text(_WIDTH - _RIGHT - 10, _HEIGHT - _BOTTOM - 12, "dotted: as the size, no faster", "end", ' fill="#777"')
    )
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )

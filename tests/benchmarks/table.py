"""Write what was found as one Markdown table, with the conditions it was found under."""

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.benchmarks.measure import FEW, MANY
from tests.benchmarks.process import LOAD_CORE, PROXY_CORE, can_pin
from tests.benchmarks.targets import BEFORE, NAMES

FIGURES: Final[dict[str, str]] = {
    "json_cpu": "CPU per JSON request, 32 connections, µs",
    "json_rate": "JSON requests a second, 32 connections (noisy)",
    "latency_p50": "latency of one caller, p50, ms",
    "latency_p99": "latency of one caller, p99, ms",
    "added_p50": "… added to direct, p50, ms",
    "added_p99": "… added to direct, p99, ms",
    "ttft_p50": "time to first text, 4 callers, p50, ms",
    "ttft_p99": "time to first text, 4 callers, p99, ms",
    f"event_cpu_{MANY}": f"CPU per streamed event, {MANY} streams of 50/s, µs",
    f"delay_p50_{MANY}": f"delay of an event, {MANY} streams, p50, ms",
    f"delay_p99_{MANY}": f"delay of an event, {MANY} streams, p99, ms",
    f"event_cpu_{FEW}": f"CPU per streamed event, {FEW} streams of 50/s, µs",
    f"delay_p50_{FEW}": f"delay of an event, {FEW} streams, p50, ms",
    f"delay_p99_{FEW}": f"delay of an event, {FEW} streams, p99, ms",
    "capacity": "streams of 50/s a core holds, p99 < 20 ms, ≥ 97 % on time",
    "alone_p99": "delay of an event, 50 streams alone, p99, ms",
    "alone_max": "… the latest of all, ms",
    "beside_p50": "delay of an event, 50 streams beside requests of 2 MB, p50, ms",
    "beside_p99": "… p99, ms",
    "beside_max": "… the latest of all, ms",
    "large_ms": "… time of a request of 2 MB, ms",
    "large_rate": "… such requests a second, one caller, 100 ms between",
    "memory_base": "memory at rest (PSS), MB",
    "memory_stream": "memory per open stream (PSS), kB (1000 streams; LiteLLM 50)",
}


def _number(value: float) -> str:
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 or size == 0 else f"{value:.3f}"


def _ratio(mine: Sequence[float], other: Sequence[float]) -> str:
    """Compare medians; a fraction below one as 1/n, and nothing where a value is not above zero."""
    if not mine or not other or median(mine) <= 0 or median(other) <= 0:
        return ""
    ratio = median(mine) / median(other)
    return f"{ratio:.3g}x" if ratio >= 0.95 else f"1/{1 / ratio:.3g}"


def conditions(rounds: int, seconds: float, versions: Mapping[str, str], busy: float) -> str:
    """One line: the machine, the versions, the rounds."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line[:10] == "model name"]
        model = names[0] if names else model
    plan = f"proxies on core {PROXY_CORE}, mock and load on core {LOAD_CORE}" if can_pin() else "not pinned: one core"
    parts = [
        f"{os.cpu_count()} cores ({model}; {plan})",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
    ]
    parts += [f"{name} {version}" for name, version in sorted(versions.items()) if version]
    parts += [f"{rounds} round(s), windows of {seconds:g} s", f"load average at the start {busy:.1f}"]
    return "Conditions: " + "; ".join(parts) + "."


def alone(figures: Sequence[tuple[str, Sequence[float], str]]) -> str:
    """Figures of single parts without any socket: title, values, remark."""
    lines = ["| one part alone, in this process | min / median / max | |", "|---|---|---|"]
    for title, found, remark in figures:
        cell = " / ".join(_number(value) for value in (min(found), median(found), max(found)))
        lines.append(f"| {title} | {cell} | {remark} |")
    return "\n".join(lines)


def compared(values: Mapping[tuple[str, str], Sequence[float]], commit: str) -> str:
    """The guard of an earlier commit beside the guard as it is: each figure's medians, and their ratio."""
    lines = [f"| before ({commit[:7]}) and after, same run | before | after | after / before |", "|---|---|---|---|"]
    for figure, title in FIGURES.items():
        before, after = values.get((figure, BEFORE), []), values.get((figure, "guard"), [])
        if before and after:
            cells = f"{_number(median(before))} | {_number(median(after))}"
            lines.append(f"| {title} | {cells} | {_ratio(after, before)} |")
    return "\n".join(lines)


def table(values: Mapping[tuple[str, str], Sequence[float]]) -> str:
    """Every figure of every target: min / median / max, and the ratio of its median to nginx's and to LiteLLM's."""
    lines = ["| figure | target | min / median / max | to nginx | to LiteLLM |", "|---|---|---|---|---|"]
    for figure, title in FIGURES.items():
        for target in (*NAMES, BEFORE):
            found = values.get((figure, target), [])
            if not found:
                continue
            cell = " / ".join(_number(value) for value in (min(found), median(found), max(found)))
            nginx = "" if target in {"nginx", "direct"} else _ratio(found, values.get((figure, "nginx"), []))
            litellm = "" if target in {"litellm", "direct"} else _ratio(found, values.get((figure, "litellm"), []))
            lines.append(f"| {title} | {target} | {cell} | {nginx} | {litellm} |")
    return "\n".join(lines)

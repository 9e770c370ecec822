"""The parts of a Grafana dashboard as functions: classic JSON, as Grafana 10 to 13 read it."""  # noqa: INP001 - not a part of the product: it stands beside what it writes

from __future__ import annotations

from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

Json = dict[str, Any]


def steps(first: str, *more: tuple[float, str]) -> Json:
    """Thresholds: a colour from the beginning, others from a value on."""
    found = [{"color": first, "value": None}, *({"color": color, "value": value} for value, color in more)]
    return {"mode": "absolute", "steps": found}


def words(**states: tuple[str, str]) -> list[Json]:
    """Words and colours for exact values, written as ``is_0=("serving", GREEN)``."""
    options = {
        name.removeprefix("is_"): {"text": text, "color": color, "index": index}
        for index, (name, (text, color)) in enumerate(states.items())
    }
    return [{"type": "value", "options": options}]


def query(expression: str, legend: str, *, table: bool = False, instant: bool = False) -> Json:
    """One query; its letter comes with the panel."""
    kind = {"format": "table" if table else "time_series", "instant": instant, "range": not instant}
    return {"datasource": SOURCE, "expr": expression, "legendFormat": legend, **kind}


def quantiles(metric: str, selector: str) -> tuple[Json, ...]:
    """Median and the slowest hundredth of a histogram, over all workers."""
    rate = f"sum by (le) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))"
    return tuple(
        query(f"histogram_quantile({share}, {rate})", name) for share, name in (("0.5", "p50"), ("0.99", "p99"))
    )


def panel(kind: str, title: str, description: str, unit: str, *queries: Json, **more: Any) -> Json:
    """One panel; ``more`` are the parts of fieldConfig.defaults and, under their own names, options and the like."""
    options, custom = more.pop("options", {}), more.pop("custom", {})
    transformations = more.pop("transformations", [])
    defaults = {"unit": unit, "thresholds": steps(BLUE), "mappings": [], "custom": custom, **more}
    targets = [{**each, "refId": letter} for each, letter in zip(queries, "ABCDEF", strict=False)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "transformations": transformations,
    }


def stat(title: str, description: str, unit: str, *queries: Json, **more: Any) -> Json:
    """Big words or numbers on a coloured ground."""
    shown = "value_and_name" if more.pop("named", False) else "value"
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": shown,
    }
    instant = [{**each, "instant": True, "range": False} for each in queries]
    return panel("stat", title, description, unit, *instant, options=options, **more)


def graph(title: str, description: str, unit: str, *queries: Json, stacked: bool = False, step: bool = False) -> Json:
    """Lines over time, or stacked areas."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if step else "linear",
        "lineWidth": 2,
        "fillOpacity": 40 if stacked else 5,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "showPoints": "never",
        "spanNulls": False,
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    color = {"mode": "palette-classic"}
    return panel("timeseries", title, description, unit, *queries, custom=custom, options=options, color=color, min=0)


def variable(name: str, label: str, values: str) -> Json:
    """One or several values of a label, all by default."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "definition": values,
        "query": {"query": values, "refId": "A"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    }

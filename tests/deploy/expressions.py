"""Every PromQL expression under deploy/: where it stands, and what it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
RULES: Final = DEPLOY / "prometheus" / "rules"
RUNBOOKS: Final = DEPLOY / "runbooks"
DASHBOARD: Final = DEPLOY / "grafana" / "dashboards" / "guard.json"
RANGES: Final = {"$__rate_interval": "5m", "$__range": "1h"}
_CODE: Final = re.compile(r"`([^`\n]+)`")
_NAME: Final = re.compile(r"\b(?:guard|gen_ai)_[a-z0-9_]+\b")
_LABEL_VALUES: Final = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, and the place that an assertion names when it is wrong."""

    place: str
    text: str

    def parsed(self) -> promql_parser.Expr:
        """The tree; ValueError if it is no PromQL. Ranges that Grafana fills in get any value."""
        text = self.text
        for name, value in RANGES.items():
            text = text.replace(name, value)
        return promql_parser.parse(text)

    def nodes(self) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Every node with the nodes above it, outermost first."""
        yield from _walk(self.parsed(), ())

    def selectors(self) -> Iterator[tuple[promql_parser.VectorSelector, tuple[Any, ...]]]:
        """Every selector of series with the nodes above it."""
        for node, above in self.nodes():
            if isinstance(node, promql_parser.VectorSelector):
                yield node, above


def _walk(node: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    yield node, above
    inner = (*above, node)
    match node:
        case promql_parser.AggregateExpr():
            below = [node.expr, *([node.param] if node.param is not None else [])]
        case promql_parser.BinaryExpr():
            below = [node.lhs, node.rhs]
        case promql_parser.Call():
            below = list(node.args)
        case promql_parser.MatrixSelector():
            below = [node.vector_selector]
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            below = [node.expr]
        case promql_parser.VectorSelector() | promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            below = []
        case _:
            raise TypeError(f"a node of the kind {type(node).__name__}")
    for each in below:
        yield from _walk(each, inner)


def dashboard() -> dict[str, Any]:
    """The committed dashboard."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Its panels, without the headings of rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def of_panels() -> Iterator[Expression]:
    """What its panels ask."""
    for panel in panels():
        for target in panel["targets"]:
            yield Expression(f"panel {panel['title']}, {target['refId']}", target["expr"])


def of_annotations() -> Iterator[Expression]:
    """What its annotations ask."""
    for annotation in dashboard()["annotations"]["list"]:
        yield Expression(f"annotation {annotation['name']}", annotation["expr"])


def variables() -> Mapping[str, tuple[Expression, str]]:
    """Its variables by name: the series and the label that their values come from."""
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] != "query":
            continue
        form = _LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert form is not None, f"variable {variable['name']} is not label_values(series, label)"
        found[variable["name"]] = (Expression(f"variable {variable['name']}", form[1]), form[2])
    return found


def alerts() -> list[dict[str, Any]]:
    """Every alert of every file of rules."""
    return [
        rule
        for file in sorted(RULES.glob("*.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def of_alerts() -> Iterator[Expression]:
    """What the alerts ask."""
    for alert in alerts():
        yield Expression(f"alert {alert['alert']}", alert["expr"])


def of_runbooks() -> Iterator[Expression]:
    """What the runbooks tell people to ask: inline code that names a metric."""
    for file in sorted(RUNBOOKS.glob("*.md")):
        for code in _CODE.findall(file.read_text()):
            if _NAME.search(code):
                yield Expression(f"runbook {file.stem}", code)


def everything() -> list[Expression]:
    """All of them."""
    of_variables = [series for series, _ in variables().values()]
    return [*of_panels(), *of_annotations(), *of_variables, *of_alerts(), *of_runbooks()]

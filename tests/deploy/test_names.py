"""Dashboard, alerts and runbooks name metrics, labels and commands that exist."""

from __future__ import annotations

import re
import shlex

import promql_parser
import pytest

from guard.cli import parser
from guard.telemetry.catalogue import METRICS
from guard.telemetry.metric import Kind, Origin
from tests.deploy.expressions import DEPLOY, RUNBOOKS, Expression, everything

# What Prometheus adds to every series it scrapes, and the one series it makes itself.
TARGET = {"job", "instance"}
SYNTHETIC = {"up": TARGET}
COMMAND = re.compile(r"^ {4,}(?:docker compose \S+ guard )?(guard .+)$|`(guard [^`]+)`", re.MULTILINE)


def labels_of(name: str) -> set[str] | None:
    """The labels of a series by its name; None for a series that nobody exposes."""
    if name in SYNTHETIC:
        return SYNTHETIC[name]
    metric = METRICS.get(name)
    more = set()
    if metric is None:
        family, _, part = name.rpartition("_")
        metric = METRICS.get(family)
        if metric is None or metric.kind is not Kind.HISTOGRAM or part not in {"bucket", "count", "sum"}:
            return None
        more = {"le"} if part == "bucket" else set()
    elif metric.kind is Kind.HISTOGRAM:
        return None
    return {*metric.labels, *more, *TARGET, *({"worker"} if metric.origin is Origin.WORKER else set())}


@pytest.mark.parametrize("expression", everything(), ids=lambda each: each.place)
def test_an_expression_names_series_and_labels_that_the_guard_has(expression: Expression) -> None:
    selectors = list(expression.selectors())
    assert selectors, "it asks for no series"
    for selector, above in selectors:
        known = labels_of(str(selector.name))
        assert known is not None, f"no metric {selector.name} in the catalogue"
        used = {matcher.name for matcher in selector.matchers.matchers}
        for node in above:
            if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
                used |= set(node.modifier.labels)
        assert used <= known, f"{selector.name} has no label {', '.join(sorted(used - known))}"


@pytest.mark.parametrize("expression", everything(), ids=lambda each: each.place)
def test_a_matcher_of_a_closed_label_can_match(expression: Expression) -> None:
    for selector, _ in expression.selectors():
        metric = METRICS.get(str(selector.name))
        for matcher in selector.matchers.matchers:
            if metric is not None and matcher.name in metric.closed and "$" not in matcher.value:
                assert matcher.value in metric.closed[matcher.name], f"{matcher.name} is never {matcher.value}"


def commands() -> list[tuple[str, str]]:
    """Every command of a page, with the name of the page."""
    return [
        (file.stem, first or second)
        for file in (DEPLOY / "README.md", *sorted(RUNBOOKS.glob("*.md")))
        for first, second in COMMAND.findall(file.read_text())
    ]


@pytest.mark.parametrize("command", sorted({command for _, command in commands()}))
def test_a_command_that_people_are_told_to_run_exists(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_CONFIG", "somewhere")
    words = shlex.split(command.split("|", maxsplit=1)[0])[1:]
    # A sentence may name a command by its verb alone.
    assert parser().parse_args([*words, "all"] if words == ["stop"] else words).run is not None


def test_every_runbook_tells_how_to_look_with_a_command_and_what_to_do() -> None:
    for file in RUNBOOKS.glob("*.md"):
        text = file.read_text()
        assert text.startswith(f"# {file.stem}\n")
        for part in ("**What it means.**", "**How to look.**", "**What to do.**", "**When it is over.**"):
            assert part in text, f"{file.name} has no {part}"
        assert file.stem in {runbook for runbook, _ in commands()}, f"{file.name} names no command"


def test_the_checks_of_names_refuse_what_does_not_exist() -> None:
    assert labels_of("guard_nothing_total") is None
    assert labels_of("guard_overhead_seconds") is None
    assert labels_of("guard_requests_total_bucket") is None
    assert labels_of("guard_policy_compliant") == {"model", "asl", "job", "instance"}
    assert "le" in (labels_of("guard_overhead_seconds_bucket") or ())
    with pytest.raises(ValueError, match="parenthesis"):
        Expression("here", "sum(rate(").parsed()

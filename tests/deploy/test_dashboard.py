"""The dashboard is what its builder makes, is what Grafana reads, and keeps the rules of a good one."""

from __future__ import annotations

import copy
import itertools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no type information
import promql_parser
import pytest
import yaml

from deploy.grafana.build import FILE, render
from guard.telemetry.catalogue import METRICS
from guard.telemetry.metric import Kind
from tests.deploy.expressions import DASHBOARD, DEPLOY, RUNBOOKS, Expression, dashboard, of_panels, panels

SCHEMA = json.loads((Path(__file__).parent / "dashboard.schema.json").read_text())
COUNTING = {"rate", "irate", "increase"}


def test_the_committed_file_is_what_the_builder_makes() -> None:
    assert FILE == DASHBOARD
    assert DASHBOARD.read_text() == render(), "run: python -m deploy.grafana.build"


def test_it_has_the_form_that_grafana_reads() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(dashboard())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda board: board.update(editable=True),
        lambda board: board.update(schemaVersion=38),
        lambda board: board.update(pannels=[]),
        lambda board: board["panels"][1].update(description=""),
        lambda board: board["panels"][1].update(datasource={"type": "prometheus", "uid": "prometheus"}),
        lambda board: board["panels"][1]["targets"][0].update(expression="x"),
        lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(unit="parsecs"),
        lambda board: board["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["steps"][1].update(value="1"),
    ],
)
def test_the_schema_refuses_a_dashboard_that_is_wrong(spoil: Any) -> None:
    board = copy.deepcopy(dashboard())
    spoil(board)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(board)


def test_its_address_is_stable_and_numbers_and_titles_are_unique() -> None:
    board = dashboard()
    assert board["uid"] == "asl-guard"
    for key in ("id", "title"):
        found = [panel[key] for panel in board["panels"]]
        assert len(found) == len(set(found))


def test_panels_fill_the_grid_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not taken & cells, f"{panel['title']} lies over another"
        taken |= cells
    columns, rows = {x for x, _ in taken}, {y for _, y in taken}
    assert taken == set(itertools.product(range(24), range(max(rows) + 1)))
    assert columns == set(range(24))


def test_the_first_panel_is_unscanned_content_and_must_be_none() -> None:
    first = panels()[0]
    assert "guard_unscanned_total" in first["targets"][0]["expr"]
    assert first["fieldConfig"]["defaults"]["mappings"][0]["options"]["0"]["text"] == "NONE"


def test_every_panel_answers_for_the_chosen_jobs_and_models() -> None:
    for expression in of_panels():
        for selector, _ in expression.selectors():
            matchers = {matcher.name: str(matcher.value) for matcher in selector.matchers.matchers}
            assert matchers.get("job") == "$job", expression.place
            metric = METRICS.get(re.sub("_(bucket|sum|count)$", "", str(selector.name)))
            for label in () if metric is None else {"model", "gen_ai_request_model"} & set(metric.labels):
                assert matchers.get(label) == "$model", expression.place


def counters(expression: Expression) -> list[tuple[str, tuple[Any, ...]]]:
    found = []
    for selector, above in expression.selectors():
        family = METRICS.get(re.sub("_(bucket|sum|count)$", "", str(selector.name)))
        if family is not None and family.kind in {Kind.COUNTER, Kind.HISTOGRAM}:
            found.append((str(selector.name), above))
    return found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_counters_are_summed_rates_over_the_range_that_grafana_chooses(panel: dict[str, Any]) -> None:
    wanted = "[$__range]" if panel["type"] == "stat" else "[$__rate_interval]"
    for target in panel["targets"]:
        expression = Expression(panel["title"], target["expr"])
        for name, above in counters(expression):
            calls = [node.func.name for node in above if isinstance(node, promql_parser.Call)]
            assert COUNTING & set(calls), f"{name} is shown without a rate"
            assert any(isinstance(node, promql_parser.AggregateExpr) for node in above), f"{name} is not summed"
        assert set(re.findall(r"\[[^\]]*\]", target["expr"])) <= {wanted}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_colour_never_stands_alone(panel: dict[str, Any]) -> None:
    """What a coloured ground says stands there in words; of a count, none is a word and the rest the number itself."""
    if panel["type"] == "stat":
        defaults = panel["fieldConfig"]["defaults"]
        states = {value: state["text"] for each in defaults["mappings"] for value, state in each["options"].items()}
        assert set(states) in ({"0", "1"}, {"0"})
        assert len(set(states.values())) == len(states)
        assert set(states) == {"0", "1"} or defaults["decimals"] == 0


def test_a_description_that_names_a_runbook_names_one_that_exists() -> None:
    named = [name for panel in panels() for name in re.findall(r"[Rr]unbook (\w+)", panel["description"])]
    assert {f"{name}.md" for name in named} == {file.name for file in RUNBOOKS.glob("*.md")}


def test_grafana_is_given_the_source_and_the_folder() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    scraping = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["global"]
    assert source["jsonData"]["timeInterval"] == scraping["scrape_interval"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "guard.yaml").read_text())["providers"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    mounted = {volume["target"] for volume in compose["services"]["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    assert not provider["allowUiUpdates"]

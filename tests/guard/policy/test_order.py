"""What no standard may leave out: the record first and enforced, and a switch that works."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from guard.policy.model import ModelPolicy
from guard.policy.order import misplaced
from guard.policy.source import Place
from tests.parts.configuration import ModelSpec, model_file

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def policy(spec: ModelSpec, *order: int) -> ModelPolicy:
    plain = model_file(spec, NOW)
    if order:
        plain["safeguards"] = [plain["safeguards"][index] for index in order]
    return ModelPolicy.model_validate_json(json.dumps(plain))


@pytest.mark.parametrize(
    ("found", "places"),
    [
        (policy(ModelSpec()), []),
        (policy(ModelSpec(), 1, 0), [("safeguards", 0, "use")]),
        (policy(ModelSpec(safeguards={"request_log": {"mode": "shadow"}})), [("safeguards", 0, "mode")]),
        (policy(ModelSpec(safeguards={"kill_switch": {"mode": "shadow"}})), [("safeguards", 1, "mode")]),
        (policy(ModelSpec(without=("kill_switch",))), [("safeguards",)]),
        (policy(ModelSpec(safeguards={"limits": {"name": "rapid_response"}})), [("safeguards", 4, "name")]),
    ],
)
def test_each_way_to_leave_it_out_is_named_where_it_is(found: ModelPolicy, places: list[Place]) -> None:
    assert [place for place, _ in misplaced(found)] == places

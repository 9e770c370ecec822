"""The list of models comes from the policy, in the form of whoever asks."""

from __future__ import annotations

import json

import openai
import pytest

from guard.wire.openai_chat import OpenAIChat
from guard.wire.openai_models import Entry, Form, form_of, model_page, models_page
from safeguards.verdict import Code
from tests.guard.wire.between import Between

ENTRIES = (
    Entry("demo", 2, 2, "https://models.example/demo/card", "Example"),
    Entry("frontier", 3, 3, None, "Example"),
)
CREATED = 1_700_000_000


def page(path: str, headers: tuple[tuple[bytes, bytes], ...]) -> tuple[int, bytes]:
    form = form_of(headers)
    if path in {"/v1/models", "/v1/models?limit=20"}:
        return 200, models_page(ENTRIES, CREATED, form)
    found = model_page(ENTRIES, path.removeprefix("/v1/models/"), CREATED, form)
    return (200, found) if found is not None else (404, OpenAIChat().error(Code.UNKNOWN_MODEL, "req-1"))


def test_the_openai_sdk_lists_and_retrieves() -> None:
    with Between(pages=page) as server, openai.OpenAI(base_url=server.url, api_key="k", max_retries=0) as client:
        listed = client.models.list().data
        assert [(each.id, each.object, each.created, each.owned_by) for each in listed] == [
            ("demo", "model", CREATED, "Example"),
            ("frontier", "model", CREATED, "Example"),
        ]
        assert client.models.retrieve("demo") == listed[0]
        with pytest.raises(openai.NotFoundError) as missing:
            client.models.retrieve("dem")
    assert missing.value.code == "unknown_model"


def test_the_anthropic_sdk_lists_and_retrieves() -> None:
    anthropic = pytest.importorskip("anthropic")
    with (
        Between(pages=page) as server,
        anthropic.Anthropic(base_url=server.url.removesuffix("/v1"), api_key="k", max_retries=0) as client,
    ):
        listed = list(client.models.list())
        assert [(each.id, each.type, each.display_name, each.lifecycle) for each in listed] == [
            ("demo", "model", "demo", "active"),
            ("frontier", "model", "frontier", "active"),
        ]
        assert listed[0].created_at.timestamp() == CREATED
        assert client.models.retrieve("frontier") == listed[1]


def test_callers_see_the_levels_and_the_card_of_each_model() -> None:
    for form in Form:
        first, second = json.loads(models_page(ENTRIES, CREATED, form))["data"]
        assert first["asl"] == {"deployment": 2, "security": 2}
        assert first["card"] == "https://models.example/demo/card"
        assert second["asl"] == {"deployment": 3, "security": 3}
        assert second["card"] is None


def test_a_caller_who_may_see_nothing_gets_an_empty_page() -> None:
    assert json.loads(models_page((), CREATED)) == {"object": "list", "data": []}
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(models_page((), CREATED, Form.ANTHROPIC)) == empty


@pytest.mark.parametrize("name", ["", "DEMO", "demo ", "demo/", "dem", "demo\x00", "%64emo", "*"])
def test_only_the_exact_name_exists(name: str) -> None:
    assert model_page(ENTRIES, name, CREATED) is None
    assert model_page(ENTRIES[1:], "demo", CREATED) is None


def test_the_form_follows_the_version_header_alone() -> None:
    assert form_of([(b"host", b"x"), (b"anthropic-version", b"2023-06-01")]) is Form.ANTHROPIC
    assert form_of([(b"user-agent", b"anthropic-version")]) is Form.OPENAI
    assert form_of([]) is Form.OPENAI

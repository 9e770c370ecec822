"""Each receiver gets its own form, with its own proof, and no text that does more than be read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from guard.hooks.hook import Hook
from guard.hooks.proof import NotAuthenticError, check_signature
from guard.notices.forms import post
from guard.policy.hooks import HookConfig
from tests.guard.notices.samples import KEY, NOW, RESUME, STOP, TOKEN, receiver

# Grafana, "HTTP API: Annotations", Create Annotation: what it knows, and of which type; times in milliseconds.
GRAFANA = {"time": int, "timeEnd": int, "tags": list, "text": str, "dashboardUID": str, "panelId": int}
SHARP = replace(STOP, reason='<!channel> & <https://x.example|"y">')


def test_grafana_gets_an_annotation_with_the_stop_as_tags() -> None:
    sent = post(receiver("grafana", "https://grafana.example/sub"), STOP, NOW)
    body = json.loads(sent.body)
    assert sent.url == "https://grafana.example/sub/api/annotations"
    assert sent.headers["authorization"] == f"Bearer {TOKEN.decode()}"
    assert all(isinstance(value, GRAFANA[key]) for key, value in body.items())
    assert body["time"] == int(NOW * 1000)
    assert body["tags"] == ["asl-guard", "stop", "model:demo", "paris-1"]
    assert "timeEnd" not in body
    assert "reason: an attack; applied on 2/2 workers, 3 answers cut" in body["text"]


def test_grafana_gets_a_resume_as_the_region_of_what_it_ended() -> None:
    body = json.loads(post(receiver("grafana", "https://grafana.example"), RESUME, NOW).body)
    assert (body["time"], body["timeEnd"]) == (int(NOW * 1000), int((NOW + 600) * 1000))


def test_no_text_becomes_markup_or_a_mention() -> None:
    slack = json.loads(post(receiver("slack", "https://hooks.example"), SHARP, NOW).body)
    assert slack.keys() == {"text"}
    assert '&lt;!channel&gt; &amp; &lt;https://x.example|"y"&gt;' in slack["text"]
    grafana = json.loads(post(receiver("grafana", "https://g.example"), SHARP, NOW).body)
    assert not set("<>") & set(grafana["text"])


def test_slack_is_reached_at_its_secret_address_and_shows_no_other_credential() -> None:
    sent = post(receiver("slack", "https://hooks.example"), STOP, NOW)
    assert sent.url.startswith("https://hooks.example/services/")
    assert sent.headers.keys() == {"content-type", "accept"}


def signed(headers: dict[str, str], body: bytes, now: float) -> str:
    """What our own webhooks make of it, which are tested against Standard Webhooks' own vector."""
    settings: dict[str, Any] = {"name": "s", "kind": "standard-webhooks", "secrets": ({"file": "x"},)}
    config = HookConfig.model_validate({**settings, "scopes": ("all",), "events": ("guard.stop",)})
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    return check_signature(Hook(config, (KEY,)), given, body, now)


def test_generic_json_is_signed_as_standard_webhooks_say() -> None:
    sent = post(receiver("generic", "https://x.example/hook"), STOP, NOW)
    assert signed(dict(sent.headers), sent.body, NOW) == STOP.id
    body = json.loads(sent.body)
    assert (body["type"], body["timestamp"]) == ("guard.stop", "2026-05-28T20:26:40Z")
    data = body["data"]
    assert (data["subject"], data["who"], data["order"], data["mode"]) == ("model:demo", "ana", STOP.order, "stop")
    with pytest.raises(NotAuthenticError):
        signed(dict(sent.headers), sent.body.replace(b"ana", b"eve"), NOW)


def test_an_attempt_later_is_signed_for_its_own_time_under_the_same_id() -> None:
    first, second = (post(receiver("generic", "https://x.example"), STOP, NOW + late) for late in (0, 900))
    assert signed(dict(second.headers), second.body, NOW + 900) == STOP.id
    assert first.body == second.body


def test_what_is_secret_is_in_no_representation() -> None:
    for kind in ("grafana", "slack", "generic"):
        to = receiver(kind, "https://x.example")
        shown = repr(to) + repr(post(to, STOP, NOW))
        assert TOKEN.decode() not in shown
        assert "a-path-that-is-secret" not in shown
        assert repr(KEY) not in shown


def test_a_text_is_one_line_and_bounded() -> None:
    long = replace(STOP, reason="a\nb\u202e" + "x" * 5000)
    assert long.text.isprintable()
    assert len(long.text) == 2000

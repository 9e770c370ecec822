"""What a hook's settings mean where they say nothing; what they may not say is in tests/bad_config."""

from __future__ import annotations

from typing import Any

import pytest

from guard.policy.model import HookAuth, HookConfig, HookKind


def made(kind: HookKind, **more: Any) -> HookConfig:
    plain = {"name": "a", "kind": kind, "scopes": ("all",), "secrets": ({"file": "a"},), **more}
    if kind is HookKind.STANDARD:
        plain.setdefault("events", ("stop",))
    return HookConfig.model_validate(plain)


@pytest.mark.parametrize(
    ("kind", "proof", "event_path", "stopping", "signed_in"),
    [
        (HookKind.ALERTMANAGER, HookAuth.BEARER, "", (), ""),
        (HookKind.GRAFANA, HookAuth.SIGNATURE, "", (), "X-Grafana-Alerting-Signature"),
        (
            HookKind.PAGERDUTY,
            HookAuth.SIGNATURE,
            "event.event_type",
            ("incident.triggered", "incident.reopened"),
            "",
        ),
        (HookKind.SLACK, HookAuth.SIGNATURE, "", (), ""),
        (HookKind.STANDARD, HookAuth.SIGNATURE, "type", ("stop",), ""),
        (HookKind.GENERIC, HookAuth.SIGNATURE, "event", ("stop",), "X-Hub-Signature-256"),
    ],
)
def test_each_kind_has_its_own_defaults(
    kind: HookKind, proof: HookAuth, event_path: str, stopping: tuple[str, ...], signed_in: str
) -> None:
    hook = made(kind)
    assert (hook.proof, hook.event_path, hook.stopping, hook.signed_in) == (proof, event_path, stopping, signed_in)


def test_one_scope_without_a_field_is_what_every_message_means() -> None:
    assert made(HookKind.ALERTMANAGER).otherwise == "all"
    assert made(HookKind.ALERTMANAGER, field="scope").otherwise is None
    assert made(HookKind.ALERTMANAGER, field="scope", default="all").otherwise == "all"
    assert made(HookKind.SLACK, scopes=("all", "model:a")).otherwise is None
    assert made(HookKind.SLACK, scopes=("all", "model:a"), default="model:a").otherwise == "model:a"


def test_nothing_of_a_hook_can_be_changed() -> None:
    hook = made(HookKind.ALERTMANAGER, field="a", values={"b": "all"})
    assert hook.values is not None
    with pytest.raises(TypeError):
        hook.values["c"] = "all"  # type: ignore[index]  # what is tried here

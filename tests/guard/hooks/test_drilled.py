"""The hooks by which drills come: one for each sender, known by their names, and showing no secret."""

from __future__ import annotations

from guard.hooks.drilled import drill_hooks
from guard.policy.hooks import HookKind
from guard.state.scope import Scope
from tests.guard.hooks.deliveries import hook


def test_there_is_one_for_every_sender_and_it_can_stop_the_self_test_model_alone() -> None:
    found = drill_hooks(b"a secret of sixteen", "r0")
    assert {each.settings.kind for each in found.values()} == set(HookKind)
    assert all(name == each.name and each.drills for name, each in found.items())
    scopes = {text for each in found.values() for text in each.settings.scopes}
    assert all(Scope.parse(text).of_self_test for text in scopes)
    assert "version:guard-selftest/r0" in scopes
    assert "sixteen" not in repr(found)
    assert not hook("generic").drills

"""Slack: a slash command (`/guard-stop model:demo it answers nonsense`), or a button of a message.

A command's first word, or a button's value, is the scope; the rest of a command is the reason. Whoever presses is named
by the id that Slack gives people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from guard.hooks.hook import Hook
from guard.hooks.proof import NotAuthenticError
from guard.hooks.signal import Signal, at, shown, text
from guard.wire.strict_json import BadField, parse_object

MAX_FIELDS: Final = 64
SSL_CHECK: Final = "ssl_check"


def read_slack(hook: Hook, body: bytes) -> Signal:
    """Read a command or a button; raises BadField that names the place, and NotAuthenticError for another person."""
    form = _form(body)
    if form.get("ssl_check") == "1":  # Slack looks from time to time whether the address answers
        return Signal("", False, None, "", SSL_CHECK)
    if "payload" in form:
        return _button(hook, parse_object(form["payload"].encode()))
    user = _allowed(hook, form.get("user_id"), "user_id")
    scope, _, reason = form.get("text", "").strip().partition(" ")
    words = shown(f"{user} by {form.get('command', 'a command')}", reason.strip())
    return Signal(text(form.get("trigger_id"), "trigger_id"), True, scope or None, words, "command")


def _button(hook: Hook, payload: Mapping[str, Any]) -> Signal:
    kind = text(payload.get("type"), "payload.type")
    if kind != "block_actions":
        return Signal("", False, None, "", kind)
    user = _allowed(hook, at(payload, "user.id"), "payload.user.id")
    actions = payload.get("actions")
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
        raise BadField("payload.actions", "must be one action")
    scope = actions[0].get("value")
    named = None if scope is None else text(scope, "payload.actions[0].value")
    trigger = text(payload.get("trigger_id"), "payload.trigger_id")
    return Signal(trigger, True, named, f"{user} by a button", kind)


def _allowed(hook: Hook, user: Any, place: str) -> str:
    found = text(user, place, limit=64)
    if hook.settings.users is not None and found not in hook.settings.users:
        raise NotAuthenticError("this person is not among the hook's users")
    return found


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise BadField("", f"the body is not a form of at most {MAX_FIELDS} fields") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BadField("", "the form names a field twice")
    return form

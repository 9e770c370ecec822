"""What no level may do without: the record comes first and is enforced, and the switch works (law 6)."""

from __future__ import annotations

from collections.abc import Iterator

from guard.policy.model import Mode, ModelPolicy, OnFailure, SafeguardKind
from guard.policy.source import Place
from safeguards.rapid_response import NAME


def misplaced(policy: ModelPolicy) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with the mounts of a model whatever its standard says, and where."""
    first = policy.safeguards[0]
    if first.use is not SafeguardKind.REQUEST_LOG:
        yield ("safeguards", 0, "use"), "must be request_log: nothing is decided before it is recorded"
    elif first.mode is not Mode.ENFORCE:
        yield ("safeguards", 0, "mode"), "must be enforce: a log in shadow may lose requests"
    elif first.on_failure is not OnFailure.BLOCK:
        words = "must be block: what cannot be recorded is not served, at any level (row I1)"
        yield ("safeguards", 0, "on_failure"), words
    for index, mount in enumerate(policy.safeguards):
        if mount.name == NAME:
            yield ("safeguards", index, "name"), "must be another: rapid_response is the name of rules that are pushed"
    for index, mount in enumerate(policy.safeguards):
        if mount.use is SafeguardKind.KILL_SWITCH:
            if mount.mode is not Mode.ENFORCE:
                yield ("safeguards", index, "mode"), "must be enforce: a stop must stop"
            return
    yield ("safeguards",), "must mount kill_switch: a model that cannot be stopped is not served"

"""How far copies of the request log may lag, held against what a standard asks of a level."""

from __future__ import annotations

from guard.policy.bounds import Copied
from guard.policy.model import RequestLogMount, SafeguardKind
from guard.policy.mount import WhenBehind
from guard.policy.view import View


def why_not_copied(view: View, wanted: Copied) -> str | None:
    """Return why records may lag behind their copies more than a row allows; None when they may not."""
    mounts = [mount for mount in view.enforced(SafeguardKind.REQUEST_LOG) if isinstance(mount, RequestLogMount)]
    if not mounts:
        return "request_log is not mounted with mode enforce and on_failure block"
    copies = mounts[0].settings.copies
    if copies is None or view.config.guard.storage.ship is None:
        return "no copies of the request log are made elsewhere, or none are demanded (`copies` of request_log)"
    most = wanted.max_lag_seconds
    if copies.max_lag_seconds > most:
        return f"max_lag_seconds of copies is {copies.max_lag_seconds:g}, at most {most:g} are allowed"
    if wanted.when_behind is WhenBehind.REFUSE and copies.when_behind is not WhenBehind.REFUSE:
        return "requests go on when copies lag: when_behind must be refuse"
    return None

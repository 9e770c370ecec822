"""How long texts and records are kept, held against what a standard asks.

Rows C14 and C15: texts for 30 days at ASL-3 (RSP 1.0, p. 9); rows H2 and H5: records for half a year, or five years.
"""

from __future__ import annotations

from guard.policy.bounds import Kept
from guard.policy.config import Config
from guard.policy.model import RequestLogMount, SafeguardKind
from guard.policy.standard import RetentionRow
from guard.policy.view import View


def why_not_kept(view: View, wanted: Kept) -> str | None:
    """Return why texts or records are not kept as long as a row asks, or longer than it allows; None when they are.

    A row with a least asks that texts are kept at all; one with a most alone is met by keeping none.
    """
    mounts = [mount for mount in view.enforced(SafeguardKind.REQUEST_LOG) if isinstance(mount, RequestLogMount)]
    if not mounts:
        return "request_log is not mounted with mode enforce and on_failure block"
    settings, record_days = mounts[0].settings, view.config.guard.audit.record_days
    if wanted.record_days is not None and record_days is not None and record_days < wanted.record_days:
        return f"audit.record_days of guard.yaml is {record_days}, at least {wanted.record_days} are asked"
    least = {"content_days": wanted.content_days, "flagged_content_days": wanted.flagged_content_days}
    most = {"content_days": wanted.most_content_days, "flagged_content_days": wanted.most_flagged_content_days}
    if not settings.content:
        return "request_log keeps no texts" if any(least.values()) else None
    if view.config.guard.content is None:
        return "guard.yaml does not say what texts are sealed with"
    for key, asked in least.items():
        kept, allowed = getattr(settings.retention, key), most[key]
        if asked is not None and kept < asked:
            return f"{key} of request_log is {kept}, at least {asked} are asked"
        if allowed is not None and kept > allowed:
            return f"{key} of request_log is {kept}, at most {allowed} are allowed"
    return None


def content_floor(config: Config) -> int:
    """Return the most days for which a standard asks any model's texts to be kept; 0 when none does."""
    return max(
        (
            max(row.parameters.content_days or 0, row.parameters.flagged_content_days or 0)
            for policy in config.models.values()
            for standard in config.standards_of(policy.model)
            for row in standard.binding(policy.asl)
            if isinstance(row, RetentionRow)
        ),
        default=0,
    )

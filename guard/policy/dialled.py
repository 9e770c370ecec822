"""The dials of a model held against what a standard asks for (row A14).

A declaration is a claim. All that the guard sees of it is whether every path to a model of expanded coverage is
screened on both sides; how wide the rules are and how robust the classifiers is for evidence about their version.
"""

from __future__ import annotations

from datetime import datetime

from guard.policy.coverage import lacking
from guard.policy.dials import Coverage, Dialled
from guard.policy.lineage import resolved
from guard.policy.thresholds import Resolved
from guard.policy.view import View


def why_not_dialled(view: View, wanted: Dialled, at: datetime) -> str | None:
    """Say what is declared lower than a row asks for at an instant, or declared and not seen; None when nothing is."""
    if wanted.thresholds and not any(each.crossed for each in resolved(view, at) if _named(wanted, each)):
        return None
    return _too_low(view, wanted)


def dialled_until(view: View, wanted: Dialled, at: datetime) -> datetime | None:
    """Return from when on a row that is met at ``at`` is not, since its thresholds are ruled out no longer."""
    if not wanted.thresholds or _too_low(view, wanted) is None:
        return None
    return min((each.until for each in resolved(view, at) if _named(wanted, each) and each.until), default=None)


def _named(wanted: Dialled, each: Resolved) -> bool:
    return each.threshold.name in wanted.thresholds


def _too_low(view: View, wanted: Dialled) -> str | None:
    dials = view.policy.dials
    if dials is None:
        return "dials do not say how wide and how robust its classifiers are"
    if wanted.robustness is not None and dials.robustness < wanted.robustness:
        return f"dials.robustness is {dials.robustness}, and at least {wanted.robustness} is asked for"
    if wanted.coverage is None:
        return None
    if wanted.coverage is Coverage.EXPANDED and dials.coverage is not Coverage.EXPANDED:
        return f"dials.coverage is {dials.coverage}, and {wanted.coverage} is asked for"
    if dials.coverage is Coverage.EXPANDED and any(lacking(view.policy).values()):
        return "dials.coverage is expanded, but not every path is screened on both sides; see guard coverage"
    return None

"""The check of ASL-4: nobody has published what it contains, so an operator writes it down and two people sign it (G1).

A standard of the operator's own, with rows at level 4, is such a profile; nothing is guessed from ASL-3. What is signed
is its fingerprint, so that any change of it has to be signed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from guard.policy.fingerprint import of_standard
from guard.policy.model import Axis
from guard.policy.view import View

HIGHEST: Final = 4


def custom_profile(view: View, at: datetime) -> str | None:
    """Say why the model may not be served at ASL-4 at this instant; nothing for one that is below it on both axes."""
    axes = [axis for axis in Axis if view.policy.asl.on(axis) >= HIGHEST]
    if not axes:
        return None
    config, standard = view.config, view.config.standard(view.policy.model)
    name = f"{standard.name} {standard.version}"
    if (standard.name, standard.version) not in config.own:
        return f"{name} is built in and says nothing about ASL-4; that takes a standard of your own, signed by two"
    silent = [axis for axis in axes if not any(row.axis is axis and row.level == HIGHEST for row in standard.rows)]
    if silent:
        return f"{name} has no row for {' and '.join(silent)} at ASL-4"
    signed = config.signed.get(of_standard(standard))
    if signed is None:
        return f"{name}, as it is now, is not signed by enough people: guard approval new profile, guard approval check"
    if not signed.begins <= at.timestamp() < signed.ends:
        return f"{name} is signed by {', '.join(signed.people)}, but not for this time"
    return None


def ends(view: View) -> Iterator[datetime]:
    """Yield the instant from which the signatures no longer hold, where the model needs them."""
    if max(view.policy.asl.on(axis) for axis in Axis) < HIGHEST:
        return  # hashing the standard takes a while, and most models need no signature
    signed = view.config.signed.get(of_standard(view.config.standard(view.policy.model)))
    if signed is not None:
        yield datetime.fromtimestamp(signed.ends, UTC)

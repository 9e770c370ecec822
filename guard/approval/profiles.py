"""Which standards of an operator's own enough people have signed: read once, when a configuration loads (row G1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import MappingProxyType

from guard.approval.folder import FOLDER, Filed, read_folder
from guard.approval.order import STANDARD, Act
from guard.approval.port import PEOPLE, ROLES, demand_for
from guard.approval.verify import Heard, NotApproved, hear
from guard.policy.config import Config, SignedStandard
from guard.policy.evidence import midnight
from guard.policy.fingerprint import of_standard
from guard.policy.profile import HIGHEST
from guard.policy.source import ConfigError


def with_profiles(config: Config, at: float) -> Config:
    """Return the configuration together with what was signed; ``at`` is seconds since the epoch.

    Only for models at ASL-4 is anything looked for, and of a broken folder nothing counts: a file that somebody left
    there must not end the service of models that need no signature.
    """
    if not any(max(each.asl.deployment, each.asl.security) >= HIGHEST for each in config.models.values()):
        return config
    try:
        found = read_folder(config.directory / FOLDER)
    except ConfigError:
        return config
    return _among(config, found, at)


def _among(config: Config, filed_orders: Iterable[Filed], at: float) -> Config:
    own = {of_standard(config.standards[key]) for key in config.own}
    signed: dict[str, SignedStandard] = {}
    for filed in filed_orders:
        if demand_for(Act.CUSTOM_PROFILE, STANDARD, "", filed.order.after).meant_by(filed.order):
            for found in _signed(config, filed, at):
                known = signed.get(filed.order.after)
                if filed.order.after in own and (known is None or found.ends > known.ends):
                    signed[filed.order.after] = found
    return replace(config, signed=MappingProxyType(signed))


def _signed(config: Config, filed: Filed, at: float) -> Iterator[SignedStandard]:
    try:
        heard = hear(filed.raw, filed.signatures, config.operators, at, ROLES)
    except NotApproved:
        return
    if len(heard.people) >= PEOPLE:
        order = filed.order
        yield SignedStandard(heard.people, order.issued, min(order.expires, _enough_until(config, heard)))


def _enough_until(config: Config, heard: Heard) -> float:
    """Return when so many of their entries have expired that too few are left."""
    persons = config.operators.persons if config.operators else ()
    ends = sorted((midnight(each.expires).timestamp() for each in persons if each.id in heard.people), reverse=True)
    return ends[PEOPLE - 1]

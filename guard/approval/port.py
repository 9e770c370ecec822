"""What the rest of the guard asks about approvals: is this change, this profile, this bundle approved, and by whom?

Whoever loads a configuration asks with the persons of the one that is in force, because a new configuration must not
name the people who approve it; the orders and signatures come from the new one's folder, which in practice is the same
directory. At a start there is none in force: then whoever may write the whole directory also names the persons. One
process asks for changes (an order is used up by the answer), and the others take its word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

from guard.approval.folder import FOLDER, Filed, read_folder
from guard.approval.order import CONFIGURATION, STANDARD, STANDING, Act, levels_text
from guard.approval.used import UsedError, UsedOrders
from guard.approval.verify import Approved, Demand, NotApproved, verify
from guard.policy import roles
from guard.policy.config import Config
from guard.policy.lowering import Lowering
from guard.policy.operators import OperatorsFile
from guard.policy.source import ConfigError

PEOPLE: Final = 2
ROLES: Final = roles.entitled(roles.Act.APPROVE)


def demand_for(act: Act, subject: str, before: str, after: str) -> Demand:
    """Return what the guard demands for an act: two persons, each an approver or a responsible scaling officer."""
    return Demand(act, subject, before, after, PEOPLE, ROLES)


def used_orders(config: Config) -> UsedOrders:
    """Return the orders that were used on this host, from a configuration's state folder."""
    return UsedOrders(config.directory / config.guard.storage.state / FOLDER)


class Approvals:
    """Answers from the persons of one configuration and the files of one folder, read anew at each question."""

    def __init__(self, operators: OperatorsFile | None, folder: Path, used: UsedOrders) -> None:
        """Take who may approve (None: nobody), where orders and signatures are, and which orders were used."""
        self._operators = operators
        self._folder = folder
        self._used = used

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return those of a configuration: its persons, its folder, its state."""
        return cls(config.operators, config.directory / FOLDER, used_orders(config))

    def weaker_change(
        self, before_digest: str, after_digest: str, at: float, lowered: Sequence[Lowering] = ()
    ) -> tuple[str, ...]:
        """Return the ids of the persons who approved replacing one configuration by the other, and use their order.

        ``at`` is seconds since the epoch. With ``lowered`` those models' new levels must be approved as well, each by
        an order of its own; no order is used unless all are there. Raises NotApproved.
        """
        return self.use(self.orders(before_digest, after_digest, at, lowered), at)

    def lower_levels(self, lowered: Sequence[Lowering], at: float) -> tuple[str, ...]:
        """As `weaker_change` where nothing but levels must be approved, at any level (row A12)."""
        return self.use(self.orders("", "", at, lowered, weaker=False), at)

    def orders(
        self, before_digest: str, after_digest: str, at: float, lowered: Sequence[Lowering], *, weaker: bool = True
    ) -> tuple[Approved, ...]:
        """Return the approved orders that a change takes, and use none up; raises NotApproved.

        Without ``weaker`` the change is approved by lowering those levels alone.
        """
        demands = [_lower(each) for each in lowered]
        if weaker:
            demands.insert(0, demand_for(Act.WEAKER_POLICY, CONFIGURATION, before_digest, after_digest))
        filed = self._filed()
        return tuple(self._find(demand, filed, at) for demand in demands)

    def use(self, found: Sequence[Approved], at: float) -> tuple[str, ...]:
        """Use these orders up and return the ids of all who approved one; raises NotApproved."""
        for approved in found:
            try:
                self._used.use(approved.order, at)
            except UsedError as error:
                raise NotApproved(str(error)) from None
            except OSError as error:
                raise NotApproved(f"that the order is used cannot be recorded ({error.strerror})") from None
        return people_of(found)

    def profile(self, fingerprint: str, at: float) -> tuple[str, ...]:
        """Return who approved a standard of the operator's own for ASL-4 (row G1); raises NotApproved."""
        return self._find(demand_for(Act.CUSTOM_PROFILE, STANDARD, "", fingerprint), self._filed(), at).people

    def bundle(self, digest: str, at: float) -> Approved:
        """Return the approval of a configuration as a whole; raises NotApproved."""
        return self._find(demand_for(Act.BUNDLE, CONFIGURATION, "", digest), self._filed(), at)

    def _filed(self) -> tuple[Filed, ...]:
        try:
            return read_folder(self._folder)
        except ConfigError as error:
            raise NotApproved(str(error)) from None

    def _find(self, demand: Demand, filed: Iterable[Filed], at: float) -> Approved:
        """Return the first order of the folder that is approved and not used up; raises NotApproved with every why."""
        whys = []
        for each in filed:
            if not demand.meant_by(each.order):
                continue
            try:
                approved = verify(each.raw, each.signatures, self._operators, at, demand)
                if demand.act in STANDING or not self._used.has(approved.order):
                    return approved
                whys.append(f"{FOLDER}/{each.name}.json: the order was used before")
            except NotApproved as error:
                whys.append(f"{FOLDER}/{each.name}.json: {error}")
            except OSError as error:
                raise NotApproved(f"whether the order was used cannot be seen ({error.strerror})") from None
        what = f"{demand.act} of {demand.subject}"
        raise NotApproved(f"{what}: {'; '.join(whys) or f'no order in {FOLDER}/ states it'}")


def people_of(found: Iterable[Approved]) -> tuple[str, ...]:
    """Return the ids of all who approved one of these, each once."""
    return tuple(dict.fromkeys(person for approved in found for person in approved.people))


def _lower(lowering: Lowering) -> Demand:
    before, after = (levels_text(each.deployment, each.security) for each in (lowering.before, lowering.after))
    return demand_for(Act.LOWER_LEVEL, lowering.model, before, after)

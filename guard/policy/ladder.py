"""The ladder of a model: what each rung between open and stopped means for it, and which one comes next (E7 to E9)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from guard.policy.fields import LAX, Alias, Frozen, Name, unique
from safeguards.category import Category
from safeguards.mode import MILDEST_FIRST, Mode, effective

_DOWN: Final = (Mode.STRICTER, Mode.FALLBACK, Mode.NO_NEW_PRINCIPALS)


class Stricter(Frozen):
    """The rung on which what the model only tries is carried out."""

    enforce: Annotated[tuple[Name, ...], AfterValidator(unique("the name"))] = Field(
        description="Its safeguards in shadow that then block; further rules are a classifier of their own in shadow.",
        min_length=1,
        max_length=32,
    )


class Fallback(Frozen):
    """The rung on which another model answers what is new, under its own policy and by its own tiers' grants (E8)."""

    model: Alias = Field(
        description="Other weights at levels no higher, for the same audience, listeners and operations."
    )
    categories: Annotated[tuple[Annotated[Category, LAX], ...], AfterValidator(unique("the category"))] = Field(
        default=(),
        description="It answers only prompts that a classifier, also one in shadow, finds to be of these, and this "
        "model the rest; left out: everything.",
        min_length=1,
        max_length=len(Category),
    )


class DeDeployed(Frozen):
    """The rung on which the model is withdrawn for good; only people order it."""

    replacement: Alias = Field(description="The model that callers are told of, for the same audience.")
    route: bool = Field(
        default=False, description="Whether it also answers what is asked of this one, as a fallback does."
    )


class Ladder(Frozen):
    """What a model's rungs mean; one that is left out is skipped on the way down, and an order for it is a stop."""

    stricter: Stricter | None = Field(default=None, description="Enforce what is tried in shadow.")
    fallback: Fallback | None = Field(default=None, description="Let another model answer.")
    no_new_principals: bool = Field(
        default=False, description="Whether the way down stops at turning new keys away; people can always order it."
    )
    de_deployed: DeDeployed | None = Field(default=None, description="What replaces the model once it is withdrawn.")

    @property
    def rungs(self) -> frozenset[Mode]:
        """The modes of orders that mean something of the model's own; of ``de_deployed``, that another one answers."""
        declared = {
            Mode.STRICTER: self.stricter is not None,
            Mode.FALLBACK: self.fallback is not None,
            Mode.DE_DEPLOYED: self.de_deployed is not None and self.de_deployed.route,
        }
        return frozenset(mode for mode, there in declared.items() if there)

    def declares(self, mode: Mode) -> bool:
        """Whether the way down stops at this rung."""
        return bool(getattr(self, mode.value)) if mode in _DOWN else mode is Mode.STOP


NO_LADDER: Final = Ladder()
OPEN: Final = "open"


def deepest(ladder: Ladder, in_force: Collection[Mode]) -> Mode | None:
    """Return the deepest of the modes in force as this model takes them, None where it is open."""
    taken = {effective(mode, ladder.rungs) for mode in in_force}
    return max(taken, key=MILDEST_FIRST.index, default=None)


def step_below(ladder: Ladder, in_force: Collection[Mode]) -> Mode:
    """Return the next rung that the model declares below all modes in force for it.

    From the bottom on it is ``stop`` again: one more order, which takes one more decision to lift. Never
    ``de_deployed``, which only people order.
    """
    now = deepest(ladder, in_force)
    depth = -1 if now is None else MILDEST_FIRST.index(now)
    return next((rung for rung in _DOWN if MILDEST_FIRST.index(rung) > depth and ladder.declares(rung)), Mode.STOP)

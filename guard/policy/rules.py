"""The operator's own rules for the pattern classifier, as a file of the folder rules states them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from guard.policy.fields import LAX, Frozen, Line, Name, unique
from safeguards.category import Category

Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Rule(Frozen):
    """One rule: either a phrase, taken literally, or a pattern; whether the pattern compiles is the engine's to say."""

    id: Name = Field(description="The name that records and metrics give it.")
    category: Annotated[Category, LAX] = Field(description="What a hit is about.")
    phrase: Text | None = Field(default=None, description="A literal text, compared after folding.")
    pattern: Text | None = Field(default=None, description="A regular expression of bounded length.")

    @model_validator(mode="after")
    def _one_of(self) -> Rule:
        if (self.phrase is None) == (self.pattern is None):
            raise ValueError("must have either `phrase` or `pattern`")
        return self


class RuleSet(Frozen):
    """A file of rules."""

    version: Literal[1] = Field(description="The version of this file's form.")
    name: Name = Field(description="The name of the set.")
    release: Line = Field(description="Which state of the set this is; records carry it.")
    rules: Annotated[tuple[Rule, ...], AfterValidator(unique("the id", "id"))] = Field(
        description="The rules, at least one; no id twice.", min_length=1, max_length=5000
    )

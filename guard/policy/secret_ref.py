"""How a file of a configuration says where a secret is, without holding it."""

from __future__ import annotations

from pydantic import Field, model_validator

from guard.policy.fields import Frozen, Pathname, Variable


class SecretRef(Frozen):
    """Where a secret is: a file (relative to the configuration directory, or absolute) or an environment variable."""

    file: Pathname | None = Field(default=None, description="A file that others cannot read; one line, or a PEM key.")
    env: Variable | None = Field(default=None, description="The name of an environment variable.")

    @model_validator(mode="after")
    def _one_of(self) -> SecretRef:
        if (self.file is None) == (self.env is None):
            raise ValueError("must have either `file` or `env`")
        return self

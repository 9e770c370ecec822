"""What a check sees of a configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guard.policy.config import Config
from guard.policy.model import Attestation, Mode, ModelPolicy, Mount, OnFailure, SafeguardKind, Tier


@dataclass(frozen=True, slots=True)
class View:
    """One model's policy and what else of the configuration concerns it."""

    config: Config
    policy: ModelPolicy
    attestations: Mapping[str, Attestation]

    def enforced(self, kind: SafeguardKind) -> Iterator[Mount]:
        """Yield the mounts of a safeguard that block, also when the safeguard fails."""
        for mount in self.policy.safeguards:
            if mount.use is kind and mount.mode is Mode.ENFORCE and mount.on_failure is OnFailure.BLOCK:
                yield mount

    def tiers(self) -> Mapping[str, Tier]:
        """Return the tiers that may use the model."""
        return {name: tier for name, tier in self.config.tiers.tiers.items() if self.policy.model in tier.models}


def view_of(config: Config, model: str) -> View:
    """Return what the checks of one model see; KeyError for an unknown one."""
    return View(config, config.models[model], {each.claim: each for each in config.evidence[model]})

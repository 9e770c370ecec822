"""What stops can name of a configuration: its models, tiers, keys and declared attributes."""

from __future__ import annotations

from collections.abc import Iterable

from guard.policy.model import ModelPolicy, TiersFile
from guard.policy.tiers import attribute_words
from guard.state.served import Principal, Served, ServedModel


def stoppable(models: Iterable[ModelPolicy], tiers: TiersFile | None) -> Served:
    """Return what scopes mean where these are served; without ``tiers`` nothing but models is known."""
    served = {
        policy.model: ServedModel(
            max(policy.asl.deployment, policy.asl.security),
            policy.release or "",
            tuple(operation.value for operation in policy.operations),
            policy.ladder.rungs,
        )
        for policy in models
    }
    if tiers is None:
        return Served(served, {}, {})
    granted = {name: tuple(tier.models) for name, tier in tiers.tiers.items()}
    keys = {key.id: Principal(key.tier, key.owner, attribute_words(key.attributes)) for key in tiers.keys}
    attributes = [f"{name}={value}" for name, values in tiers.attributes.items() for value in values]
    return Served(served, granted, keys, attributes)

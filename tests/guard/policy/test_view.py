"""A check sees the mounts that truly block, and the tiers that may use the model."""

from __future__ import annotations

from dataclasses import replace

from guard.policy.load import load
from guard.policy.model import Mode, OnFailure, SafeguardKind
from guard.policy.view import view_of
from tests.bad_config.test_bad_config import BUILTIN, HERE

BASE = load(HERE / "base", BUILTIN)


def test_a_mount_counts_as_enforced_only_if_it_also_blocks_when_it_fails() -> None:
    view = view_of(BASE, "demo")
    assert [mount.use for mount in view.enforced(SafeguardKind.LIMITS)] == ["limits"]
    for change in ({"mode": Mode.SHADOW}, {"on_failure": OnFailure.PASS}):
        mounts = tuple(mount.model_copy(update=change) for mount in view.policy.safeguards)
        weak = replace(view, policy=view.policy.model_copy(update={"safeguards": mounts}))
        assert list(weak.enforced(SafeguardKind.LIMITS)) == []


def test_only_tiers_that_name_the_model_may_use_it() -> None:
    assert list(view_of(BASE, "demo").tiers()) == [
        name for name, tier in BASE.tiers.tiers.items() if "demo" in tier.models
    ]


def test_evidence_is_found_by_its_claim() -> None:
    assert set(view_of(BASE, "demo").attestations) == {each.claim for each in BASE.evidence["demo"]}

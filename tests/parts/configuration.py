"""Writes a complete, valid configuration for tests: credentials, models of chosen levels, evidence around a day."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guard.credentials import digest, new_secret

MARKER: Final = "FORBIDDEN-MARKER"
CLAIMS: Final = ("model_card", "usage_policy", "threat_model", "red_team_report", "safeguards_report")
RULES: Final = ({"id": "marker", "category": "other", "phrase": MARKER},)
_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model's file; `safeguards` overrides keys of single mounts by their name, ``without`` leaves mounts out.

    At level 3 intents are durable before forwarding and parts are written, unless ``log`` says otherwise. ``claims``
    are the attestations it has; they expire ``evidence_days`` after the configuration's now. Every tier that may use
    the model is granted all its ``operations``. A model of another ``audience`` than general has the tier and the key
    of its audience's name.
    """

    name: str = "demo"
    asl: int = 2
    upstream: str = "http://127.0.0.1:9"
    upstream_model: str = "tiny"
    kind: str = "llamacpp"
    surfaces: tuple[str, ...] = ("public",)
    log: Mapping[str, Any] = field(default_factory=dict)
    safeguards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    claims: tuple[str, ...] = CLAIMS
    evidence_days: int = 90
    times: Mapping[str, float] = field(default_factory=dict)
    operations: tuple[str, ...] = ("chat",)
    audience: str = "general"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What callers and administrators send; each is also a file in ``secrets/`` (``KEY_ID.key``, ``TOKEN_ID.token``).

    ``key`` may use every model, ``stranger`` belongs to a tier without models, ``slow`` to one with a burst of one
    and a request an hour, ``lapsed`` has expired.
    """

    key: str
    stranger: str
    slow: str
    lapsed: str
    responder: str
    viewer: str


def write_configuration(
    directory: Path,
    *,
    models: Sequence[ModelSpec] = (ModelSpec(),),
    workers: int = 1,
    data_port: int = 0,
    admin_port: int = 0,
    now: datetime | None = None,
    limits: Mapping[str, float] | None = None,
    supervision: Mapping[str, float] | None = None,
    rules: Sequence[Mapping[str, str]] = RULES,
    surfaces: Mapping[str, int] | None = None,
    per_minute: float = 1_000_000,
    burst: int = 100_000,
    randomness: Callable[[int], bytes] = os.urandom,
) -> Credentials:
    """Write it into ``directory`` (made if missing) and return its credentials.

    ``now`` (aware, default the real now) is the day around which evidence and credentials hold; ``limits`` and
    ``supervision`` are those sections of guard.yaml; ``surfaces`` maps further listeners to their ports.
    """
    now = now or datetime.now(UTC)
    secrets = directory / "secrets"
    for folder in ("models", "rules", "secrets"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    pepper = randomness(32).hex()
    _secret(secrets / "pepper", pepper)
    _secret(secrets / "content-key", randomness(32).hex())
    made: dict[str, str] = {}

    def credential(prefix: str, name: str, suffix: str, days: int = 90) -> dict[str, str]:
        text = new_secret(prefix, name, randomness)
        made[name] = text
        _secret(secrets / f"{name}.{suffix}", text)
        return {"id": name, "digest": digest(pepper.encode(), text.encode()), "expires": _day(now, days)}

    offered: dict[str, dict[str, list[str]]] = {"general": {}}
    for spec in models:
        offered.setdefault(spec.audience, {})[spec.name] = list(spec.operations)
    every = offered.pop("general")
    rate = {"per_minute": per_minute, "burst": burst}
    tiers = {
        "version": 1,
        "tiers": {
            "general": {"models": every, "rate": rate},
            "slow": {"models": every, "rate": {"per_minute": 1 / 60, "burst": 1}},
            "nothing": {"models": {}, "rate": {"per_minute": 60, "burst": 10}},
            **{name: {"audience": name, "models": theirs, "rate": rate} for name, theirs in offered.items()},
        },
        "keys": [
            {**credential("sk-guard", "app", "key"), "owner": "an application", "tier": "general"},
            {**credential("sk-guard", "stranger", "key"), "owner": "a stranger", "tier": "nothing"},
            {**credential("sk-guard", "slow", "key"), "owner": "a slow application", "tier": "slow"},
            {**credential("sk-guard", "lapsed", "key", days=-1), "owner": "an old application", "tier": "general"},
            *({**credential("sk-guard", name, "key"), "owner": f"{name} staff", "tier": name} for name in offered),
        ],
    }
    listeners = {"public": data_port, **(surfaces or {})}
    guard = {
        "version": 1,
        "surfaces": [{"name": name, "host": "127.0.0.1", "port": port} for name, port in listeners.items()],
        "workers": workers,
        "storage": {"state": "var/state", "audit": "var/audit"},
        "keys": {"pepper": {"file": "secrets/pepper"}},
        "content": {"key": {"file": "secrets/content-key"}, "wrapped": "var/content-keys"},
        "admin": {
            "host": "127.0.0.1",
            "port": admin_port,
            "tokens": [
                {**credential("at-guard", "responder", "token"), "person": "the responder", "role": "responder"},
                {**credential("at-guard", "viewer", "token"), "person": "the viewer", "role": "viewer"},
            ],
        },
        "limits": dict(limits or {}),
        "supervision": dict(supervision or {}),
    }
    _write(directory / "guard.yaml", guard)
    _write(directory / "tiers.yaml", tiers)
    _write(directory / "rules" / "test.yaml", {"version": 1, "name": "test", "release": "1", "rules": list(rules)})
    for spec in models:
        _write(directory / "models" / f"{spec.name}.yaml", model_file(spec, now))
    return Credentials(made["app"], made["stranger"], made["slow"], made["lapsed"], made["responder"], made["viewer"])


def write_operators(
    directory: Path,
    persons: Sequence[Mapping[str, Any]],
    now: datetime | None = None,
    *,
    webauthn: Mapping[str, Any] | None = None,
) -> None:
    """Write operators.yaml with these persons and those of the configuration's tokens, which name them from now on.

    ``webauthn`` is that section of the file.
    """
    guard = json.loads((directory / "guard.yaml").read_text())
    expires = _day(now or datetime.now(UTC), 400)
    holders = []
    for token in guard["admin"]["tokens"]:
        token["person"] = f"{token['role']}-in-person"
        holders.append({"id": token["person"], "name": token["person"], "roles": [token["role"]], "keys": []})
    _write(directory / "guard.yaml", guard)
    added = [{**each, "expires": expires} for each in holders]
    section = {} if webauthn is None else {"webauthn": webauthn}
    _write(directory / "operators.yaml", {"version": 1, **section, "persons": [*persons, *added]})


def write_people(directory: Path, roles: Mapping[str, Sequence[str]], expires: str = "2099-01-01") -> None:
    """Write operators.yaml: a person of each id with these roles, and a key that nobody has the other half of."""
    persons = []
    for one, held in roles.items():
        key = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        persons.append({"id": one, "name": f"{one} the person", "roles": list(held), "keys": [key], "expires": expires})
    write_operators(directory, persons)


def model_file(spec: ModelSpec, now: datetime) -> dict[str, Any]:
    """One model's file as plain data, its evidence within it."""
    return {
        "version": 1,
        "model": spec.name,
        "framework": {"name": "example-internal", "version": "1"},
        "asl": {"deployment": spec.asl, "security": spec.asl},
        "audience": spec.audience,
        "surfaces": list(spec.surfaces),
        "upstream": {
            "url": spec.upstream,
            "kind": spec.kind,
            "model": spec.upstream_model,
            "connect_seconds": 5,
            "first_byte_seconds": 20,
            "idle_seconds": 20,
            "total_seconds": 60,
            **spec.times,
        },
        "operations": list(spec.operations),
        "safeguards": list(_mounts(spec)),
        "evidence": [_attestation(claim, now, spec.evidence_days) for claim in spec.claims],
    }


def _mounts(spec: ModelSpec) -> list[dict[str, Any]]:
    strict = spec.asl >= 3
    log = {"durable": "before_forward" if strict else "within_a_second", "parts": strict, "content": True, **spec.log}
    patterns = {"engine": "patterns", "screens": ["input", "output"], "rules": "rules/test.yaml"}
    common = {"mode": "enforce", "on_failure": "block", "deadline_seconds": 5}
    mounts: list[dict[str, Any]] = [
        {"use": "request_log", **common, "settings": log},
        {"use": "kill_switch", **common},
        {"use": "evidence", **common},
        {"use": "access", **common},
        {"use": "limits", **common},
        {"use": "classifier", "name": "patterns", **common, "settings": patterns},
    ]
    named = {str(mount.get("name", mount["use"])): mount for mount in mounts}
    for name, changes in spec.safeguards.items():
        named[name].update(changes)
    return [mount for name, mount in named.items() if name not in spec.without]


def _attestation(claim: str, now: datetime, days: int) -> dict[str, str]:
    return {
        "claim": claim,
        "uri": f"https://models.example/{claim}",
        "sha256": _SHA256,
        "owner": "a team",
        "issued": _day(now, -30),
        "expires": _day(now, days),
    }


def _day(now: datetime, days: int) -> str:
    return str((now + timedelta(days=days)).date())


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")  # JSON is YAML, and has no aliases


def _secret(path: Path, text: str) -> None:
    path.write_text(text + "\n")
    path.chmod(0o600)

"""Every row of the table that says what a changed key means, each way; and that it knows every key of the types.

It is one file because it is one table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.policy.diff import compare, tree
from guard.policy.diff_rules import RULES, UNKNOWN, Effect, rule_of
from guard.policy.load import load
from tests.parts.configuration import ModelSpec, write_configuration, write_operators
from tests.parts.passkeys import WHERE

EXAMPLE = Path(__file__).parents[3] / "config"
S, W, N = Effect.STRONGER, Effect.WEAKER, Effect.NEUTRAL
BLOCKS = {"mode": "enforce", "on_failure": "block"}
PASSES = {"mode": "enforce", "on_failure": "pass"}
SHADOW = {"mode": "shadow", "on_failure": "block"}
FOUND, FOUND_MAY = "models/m/thresholds/CBRN-3", {"assessed": "2026-05-01"}
MAY, JUNE = {"issued": "2026-05-01"}, {"issued": "2026-06-01"}
TLS = {"certificate": "c.pem"}
LADDER = "models/m/ladder"
MOUNT, SET, UP = "models/m/safeguards/s", "models/m/safeguards/s/settings", "models/m/upstream"
CLAIM, TOKEN, HOOK = "models/m/evidence/card", "guard/admin/tokens/t", "guard/admin/hooks/h"
TOLD = "guard/notify/n"
WATCH, BAND = "models/m/monitoring", "models/m/monitoring/bands/block_rate over 60 s"
PROXY, ENVELOPE = "guard/admin/proxy", "guard/admin/emergency_tokens/e"

# path, old, new, effect; where a judge looks at what stands beside: both of those besides.
CASES: tuple[tuple[Any, ...], ...] = (
    ("models/m", None, {"asl": 1}, W), ("models/m", {"asl": 1}, None, S),
    ("models/m/version", 1, 2, N), ("models/m/model", "a", "b", W),
    ("models/m/framework/name", "a", "b", N), ("models/m/framework/version", "1", "2", N),
    ("models/m/framework/rows", ("a", "b"), ("a",), W), ("models/m/framework/rows", ("a",), ("b", "c"), W),
    ("models/m/framework/rows", ("a",), ("a", "b"), S), ("models/m/framework/rows", ("a", "b"), ("b", "a"), N),
    ("models/m/also", ("law 1",), (), W), ("models/m/also", (), ("law 1",), S),
    ("models/m/framework/thresholds", ("a", "b"), ("a",), W), ("models/m/framework/thresholds", ("a",), ("a", "b"), S),
    ("models/m/variant_of", "base", None, W), ("models/m/variant_of", None, "base", S),
    ("models/m/same_weights_as", [], ["twin"], W), ("models/m/same_weights_as", ["twin"], [], S),
    (f"{LADDER}/stricter", None, {"enforce": ("a",)}, W), (f"{LADDER}/stricter", {"enforce": ("a",)}, None, W),
    (f"{LADDER}/stricter/enforce", ("a",), ("a", "b"), S), (f"{LADDER}/stricter/enforce", ("a", "b"), ("b",), W),
    (f"{LADDER}/fallback", None, {"model": "a"}, W), (f"{LADDER}/fallback", {"model": "a"}, None, W),
    (f"{LADDER}/fallback/model", "a", "b", W),
    (f"{LADDER}/fallback/categories", (), ("cbrn",), W), (f"{LADDER}/fallback/categories", ("cbrn",), (), W),
    (f"{LADDER}/fallback/categories", ("cbrn", "cyber"), ("cyber", "cbrn"), N),
    (f"{LADDER}/fallback/categories", None, (), N),
    (f"{LADDER}/no_new_principals", False, True, W), (f"{LADDER}/no_new_principals", True, False, W),
    (f"{LADDER}/de_deployed", None, {"replacement": "a", "route": False}, N),
    (f"{LADDER}/de_deployed", None, {"replacement": "a", "route": True}, W),
    (f"{LADDER}/de_deployed", {"replacement": "a", "route": False}, None, W),
    (f"{LADDER}/de_deployed/replacement", "a", "b", W),
    (f"{LADDER}/de_deployed/route", False, True, W), (f"{LADDER}/de_deployed/route", True, False, S),
    (FOUND, None, {"state": "ruled_out"}, W), (FOUND, {"state": "ruled_out"}, None, S),
    (FOUND, None, {"state": "crossed"}, N), (FOUND, {"state": "cannot_rule_out"}, None, N),
    (f"{FOUND}/threshold", "a", "b", W),
    (f"{FOUND}/state", "crossed", "ruled_out", W), (f"{FOUND}/state", "ruled_out", "cannot_rule_out", S),
    (f"{FOUND}/assessed", "2026-06-01", "2026-05-01", W), (f"{FOUND}/assessed", "2026-05-01", "2026-06-01", S),
    (f"{FOUND}/expires", "2027-02-01", "2027-01-01", S, FOUND_MAY, FOUND_MAY),
    (f"{FOUND}/expires", "2027-01-01", "2027-02-01", W, FOUND_MAY, FOUND_MAY),
    (f"{FOUND}/expires", "2027-01-01", "2027-02-01", N, FOUND_MAY, {"assessed": "2026-06-01"}),
    ("models/m/asl/deployment", 3, 2, W), ("models/m/asl/deployment", 2, 3, S),
    ("models/m/asl/security", 3, 2, W), ("models/m/asl/security", 2, 3, S),
    ("models/m/audience", "internal", "general", W), ("models/m/audience", "general", "restricted", S),
    ("models/m/surfaces", ["a"], ["a", "b"], W), ("models/m/surfaces", ["a", "b"], ["b"], S),
    ("models/m/surfaces", ["a"], ["b"], W), ("models/m/surfaces", ["a", "b"], ["b", "a"], N),
    ("models/m/operations", ["chat"], ["chat", "messages"], W),
    ("models/m/operations", ["chat", "messages"], ["chat"], S),
    ("models/m/allow_keys", [], ["signature"], W), ("models/m/allow_keys", ["signature"], [], S),
    ("models/m/order", ("a", "b"), ("b", "a"), W), ("models/m/order", ("a", "b", "c"), ("c", "a"), W),
    (MOUNT, BLOCKS, None, W), (MOUNT, SHADOW, None, W),
    (MOUNT, None, BLOCKS, S), (MOUNT, None, SHADOW, N), (MOUNT, None, PASSES, N),
    (f"{MOUNT}/use", "access", "limits", W), (f"{MOUNT}/name", "a", "b", W),
    (f"{MOUNT}/mode", "enforce", "shadow", W), (f"{MOUNT}/mode", "shadow", "enforce", S),
    (f"{MOUNT}/on_failure", "block", "pass", W), (f"{MOUNT}/on_failure", "pass", "block", S),
    (f"{MOUNT}/deadline_seconds", 2.0, 1.0, W, PASSES, PASSES),
    (f"{MOUNT}/deadline_seconds", 2.0, 1.0, N, PASSES, BLOCKS),
    (f"{MOUNT}/deadline_seconds", 1.0, 2.0, N, PASSES, PASSES), (f"{MOUNT}/deadline_seconds", 2.0, 1.0, W, {}, {}),
    (SET, {"a": 1}, None, W), (SET, None, {"a": 1}, W),
    (f"{SET}/durable", "before_forward", "within_a_second", W),
    (f"{SET}/durable", "within_a_second", "before_forward", S),
    (f"{SET}/parts", True, False, W), (f"{SET}/parts", False, True, S),
    (f"{SET}/content", True, False, W), (f"{SET}/content", False, True, S),
    (f"{SET}/engine", "patterns", "other", W),
    (f"{SET}/screens", ["input", "output"], ["input"], W), (f"{SET}/screens", ["input"], ["output"], W),
    (f"{SET}/screens", ["input"], ["input", "output"], S),
    (f"{SET}/rules/file", "rules/a.yaml", "rules/b.yaml", N), (f"{SET}/rules/version", 1, 2, N),
    (f"{SET}/rules/name", "a", "b", N), (f"{SET}/rules/release", "1", "2", N),
    (f"{SET}/rules/rules/r", {"id": "r"}, None, W), (f"{SET}/rules/rules/r", None, {"id": "r"}, S),
    (f"{SET}/rules/rules/r/id", "r", "q", N), (f"{SET}/rules/rules/r/category", "cyber", "other", N),
    (f"{SET}/rules/rules/r/phrase", "a", "b", W), (f"{SET}/rules/rules/r/pattern", None, "b", W),
    (f"{UP}/url", "https://a", "http://a", W), (f"{UP}/base_path", None, "/v1", W), (f"{UP}/kind", "vllm", "tgi", W),
    (f"{UP}/model", "a", "b", W),
    (f"{UP}/expect_model", "a", None, W), (f"{UP}/expect_model", "a", "b", W), (f"{UP}/expect_model", None, "a", S),
    (f"{UP}/abort", {"path": "/a"}, None, W), (f"{UP}/abort", None, {"path": "/a"}, S),
    (f"{UP}/abort/path", "/a", "/b", W), (f"{UP}/abort/seconds", 2.0, 1.0, N),
    (f"{UP}/credential", {"file": "a"}, None, W), (f"{UP}/credential", None, {"file": "a"}, S),
    (f"{UP}/credential/file", "a", "b", N),
    (f"{UP}/tls", {"server_name": None}, None, W), (f"{UP}/tls", None, {"server_name": None}, S),
    (f"{UP}/tls", None, {"server_name": "other"}, W),
    (f"{UP}/tls/ca", "a", None, W), (f"{UP}/tls/ca", "a", "b", W), (f"{UP}/tls/ca", None, "a", S),
    (f"{UP}/tls/client_certificate", "a", None, W), (f"{UP}/tls/client_certificate", None, "a", S),
    (f"{UP}/tls/client_certificate", "a", "b", N),
    (f"{UP}/tls/client_key", {"file": "a"}, None, W), (f"{UP}/tls/client_key", None, {"file": "a"}, S),
    (f"{UP}/tls/client_key/env", "A", "B", N),
    (f"{UP}/tls/server_name", None, "a", W), (f"{UP}/tls/server_name", "a", None, W),
    (f"{UP}/connect_seconds", 1.0, 2.0, N), (f"{UP}/first_byte_seconds", 1.0, 2.0, N),
    (f"{UP}/idle_seconds", 1.0, 2.0, N),
    (f"{UP}/total_seconds", 1.0, 2.0, N), (f"{UP}/max_idle", 1, 2, N),
    (f"{UP}/rest_seconds", 0.05, 0.0, W), (f"{UP}/rest_seconds", 0.05, 0.1, S),
    (CLAIM, {"claim": "card"}, None, W), (CLAIM, None, {"claim": "card"}, S), (f"{CLAIM}/claim", "a", "b", W),
    (f"{CLAIM}/uri", "a", "b", N), (f"{CLAIM}/owner", "a", "b", N),
    (f"{CLAIM}/sha256", "a", "b", W, MAY, MAY), (f"{CLAIM}/sha256", "a", "b", W, JUNE, MAY),
    (f"{CLAIM}/sha256", "a", "b", N, MAY, JUNE),
    (f"{CLAIM}/issued", "2026-06-01", "2026-05-01", W), (f"{CLAIM}/issued", "2026-05-01", "2026-06-01", S),
    (f"{CLAIM}/expires", "2027-02-01", "2027-01-01", W, MAY, JUNE),
    (f"{CLAIM}/expires", "2027-01-01", "2027-02-01", W, MAY, MAY),
    (f"{CLAIM}/expires", "2027-01-01", "2027-02-01", S, MAY, JUNE),
    (f"{CLAIM}/tested", None, "a", N), (f"{CLAIM}/tested", "a", "b", N),
    (f"{CLAIM}/controls", None, "a", S, MAY, MAY), (f"{CLAIM}/controls", "a", None, W, MAY, JUNE),
    (f"{CLAIM}/controls", "a", "b", W, MAY, MAY), (f"{CLAIM}/controls", "a", "b", N, MAY, JUNE),
    (f"{CLAIM}/approvals", ("a",), ("a", "b"), S), (f"{CLAIM}/approvals", ("a",), (), W),
    ("keys/k/issued", None, "2026-01-01", W), ("keys/k/issued", "2026-02-01", "2026-01-01", W),
    ("keys/k/issued", "2026-01-01", "2026-02-01", S), ("keys/k/issued", "2026-01-01", None, S),
    ("tiers/t", None, {"rate": {}}, W), ("tiers/t", {"rate": {}}, None, S),
    ("tiers/t/audience", "general", "internal", W), ("tiers/t/audience", "internal", "general", W),
    ("tiers/t/models/m", None, ["chat"], W), ("tiers/t/models/m", ["chat"], None, S),
    ("tiers/t/models/m", ["chat"], ["chat", "messages"], W),
    ("tiers/t/rate/per_minute", 60.0, 61.0, W), ("tiers/t/rate/per_minute", 60.0, 59.0, S),
    ("tiers/t/rate/burst", 5, 6, W), ("tiers/t/rate/burst", 6, 5, S),
    ("tiers/t/investigates", False, True, W), ("tiers/t/investigates", True, False, S),
    ("attributes/region", None, ["eu"], N), ("attributes/region", ["eu"], ["us"], N),
    ("keys/k/attributes/region", None, "eu", S), ("keys/k/attributes/region", "eu", None, W),
    ("keys/k/attributes/region", "eu", "us", W), ("models/m/release", None, "2", N),
    ("models/m/release", "1", "2", W), ("models/m/release", "1", None, W),
    ("guard/issuers", (), ("ssh-ed25519 A",), W), ("guard/issuers", ("ssh-ed25519 A",), (), S),
    ("keys/k", None, {"tier": "t"}, W), ("keys/k", {"tier": "t"}, None, S), ("keys/k/id", "a", "b", W),
    ("keys/k/owner", "a", "b", W), ("keys/k/tier", "a", "b", W), ("keys/k/digest", "a", "b", W),
    ("keys/k/expires", "2027-01-01", "2027-02-01", W), ("keys/k/expires", "2027-02-01", "2027-01-01", S),
    ("operators/p", None, {"id": "p"}, W), ("operators/p", {"id": "p"}, None, S), ("operators/p/id", "a", "b", W),
    ("operators/p/name", "a", "b", W), ("operators/p/roles", ["viewer"], ["viewer", "approver"], W),
    ("operators/p/roles", ["viewer", "approver"], ["viewer"], S), ("operators/p/keys", ["a"], ["b"], W),
    ("operators/p/keys", ["a", "b"], ["b"], S), ("operators/p/keys", ["a"], ["a", "b"], W),
    ("operators/p/passkeys", ["a"], ["b"], W), ("operators/p/passkeys", ["a", "b"], ["b"], S),
    ("operators/p/passkeys", [], ["a"], W), ("webauthn/rp_id", None, "a.example", W),
    ("webauthn/rp_id", "a.example", None, S), ("webauthn/rp_id", "a.example", "b.example", W),
    ("webauthn/synced", False, True, W), ("webauthn/synced", True, False, S),
    ("webauthn/origins", None, ["https://a"], W), ("webauthn/origins", ["https://a"], None, S),
    ("webauthn/origins", ["https://a"], ["https://a", "https://b"], W),
    ("operators/p/expires", "2027-01-01", "2027-02-01", W), ("operators/p/expires", "2027-02-01", "2027-01-01", S),
    ("guard/version", 1, 2, N), ("guard/workers", 1, 2, N),
    ("guard/surfaces/s", None, {"port": 1}, W), ("guard/surfaces/s", {"port": 1}, None, S),
    ("guard/surfaces/s/name", "a", "b", W),
    *(
        (f"{at}/{key}", old, new, effect)
        for at in ("guard/surfaces/s", "guard/admin")
        for key, old, new, effect in (
            ("host", "127.0.0.1", "0.0.0.0", W), ("port", 1, 2, W), ("unix", None, "/run/a", W),  # noqa: S104 - a value
            ("tls", TLS, None, W), ("tls", None, TLS, S),
            ("tls/certificate", "a", "b", N), ("tls/key/file", "a", "b", N),
            ("tls/client_certificates", "required", "optional", W), ("tls/client_certificates", "none", "required", S),
            ("tls/client_ca", "a", "b", W), ("tls/client_ca", "a", None, W), ("tls/client_ca", None, "a", S),
            ("hosts", None, ["a"], S), ("hosts", ["a"], None, W), ("hosts", ["a"], ["a", "b"], W),
            ("hosts", ["a", "b"], ["b"], S), ("hosts", ["a", "b"], ["b", "a"], N),
        )
    ),
    (TOKEN, None, {"role": "viewer"}, W), (TOKEN, {"role": "responder"}, None, W), (TOKEN, {"role": "viewer"}, None, S),
    (f"{TOKEN}/id", "a", "b", W), (f"{TOKEN}/person", "a", "b", W), (f"{TOKEN}/role", "viewer", "responder", W),
    (f"{TOKEN}/role", "responder", "viewer", W), (f"{TOKEN}/digest", "a", "b", W),
    (f"{TOKEN}/expires", "2027-01-01", "2027-02-01", W), (f"{TOKEN}/expires", "2027-02-01", "2027-01-01", S),
    (HOOK, None, {"name": "h"}, S), (HOOK, {"name": "h"}, None, W),
    *((f"{HOOK}/{key}", "a", "b", W) for key in (
        "name", "kind", "auth", "peer", "field", "values/v", "default", "event_field", "id_field", "signature_header",
        "timestamp_header",
    )),
    (f"{HOOK}/values", None, {"a": "all"}, S), (f"{HOOK}/values", {"a": "all"}, None, W),
    (f"{HOOK}/values/v", None, "all", S), (f"{HOOK}/values/v", "all", None, W),
    (f"{HOOK}/secrets", [{"file": "a"}], [{"file": "b"}], N),
    (f"{HOOK}/scopes", ["all"], ["all", "model:a"], S), (f"{HOOK}/scopes", ["all", "model:a"], ["all"], W),
    (f"{HOOK}/default", None, "all", S), (f"{HOOK}/default", "all", None, W),
    (f"{HOOK}/events", ["a"], ["b"], W), (f"{HOOK}/users", ["a"], ["b"], W),
    (f"{HOOK}/timestamp_header", None, "A", S), (f"{HOOK}/timestamp_header", "A", None, W),
    ("guard/storage/state", "a", "b", W), ("guard/storage/audit", "a", "b", W), ("guard/keys/pepper/file", "a", "b", N),
    ("guard/storage/ship", None, {"to": "s3://a"}, S), ("guard/storage/ship", {"to": "s3://a"}, None, W),
    ("guard/storage/ship/to", "s3://a", "s3://b", W), ("guard/storage/ship/endpoint", None, "http://a", W),
    ("guard/storage/ship/region", "a", "b", W),
    ("guard/storage/ship/access_key", None, {"env": "A"}, N), ("guard/storage/ship/access_key", {"env": "A"}, None, N),
    ("guard/storage/ship/access_key/env", "A", "B", N),
    ("guard/storage/ship/secret_key", None, {"env": "A"}, N), ("guard/storage/ship/secret_key/file", "a", "b", N),
    ("guard/storage/ship/unshipped_days", 7, 6, W), ("guard/storage/ship/unshipped_days", 6, 7, S),
    ("guard/storage/ship/lock", None, {"days": 1}, S), ("guard/storage/ship/lock", {"days": 1}, None, W),
    ("guard/storage/ship/lock/mode", "compliance", "governance", W),
    ("guard/storage/ship/lock/mode", "governance", "compliance", S),
    ("guard/storage/ship/lock/days", 7, 6, W), ("guard/storage/ship/lock/days", 6, 7, S),
    ("guard/storage/ship/otlp_logs", None, {"endpoint": "http://a/"}, N),
    ("guard/storage/ship/otlp_logs", {"endpoint": "http://a/"}, None, W),
    ("guard/storage/ship/otlp_logs/endpoint", "http://a/", "http://b/", W),
    ("guard/storage/ship/otlp_logs/authorization", None, {"env": "A"}, N),
    ("guard/storage/ship/otlp_logs/authorization/env", "A", "B", N),
    (f"{SET}/copies", None, {"max_lag_seconds": 1}, S), (f"{SET}/copies", {"max_lag_seconds": 1}, None, W),
    (f"{SET}/copies/max_lag_seconds", 5.0, 6.0, W), (f"{SET}/copies/max_lag_seconds", 6.0, 5.0, S),
    (f"{SET}/copies/when_behind", "refuse", "alarm", W), (f"{SET}/copies/when_behind", "alarm", "refuse", S),
    ("guard/audit/record_days", None, 400, W), ("guard/audit/record_days", 400, None, S),
    ("guard/audit/record_days", 400, 300, W), ("guard/audit/record_days", 300, 400, S),
    ("guard/audit/origin", None, "a", W), ("guard/audit/signing_key", None, {"file": "a"}, W),
    ("guard/audit/signing_key/file", "a", "b", N),
    ("guard/audit/witnesses/w", None, {"key": "w"}, S), ("guard/audit/witnesses/w", {"key": "w"}, None, W),
    ("guard/audit/witnesses/w/url", "http://a", "http://b", N), ("guard/audit/witnesses/w/key", "a", "b", W),
    ("guard/audit/timestamp", None, {"url": "http://a"}, S), ("guard/audit/timestamp", {"url": "http://a"}, None, W),
    ("guard/audit/timestamp/url", "http://a", "http://b", N), ("guard/audit/timestamp/ca", "a.pem", "b.pem", W),
    ("guard/audit/timestamp/policy", None, "1.2.3", S), ("guard/audit/timestamp/policy", "1.2.3", None, W),
    ("guard/audit/timestamp/policy", "1.2.3", "1.2.4", W),
    ("guard/audit/timestamp/every_seconds", 60.0, 120.0, W), ("guard/audit/timestamp/every_seconds", 120.0, 60.0, S),
    ("guard/audit/timestamp/late_seconds", 60.0, 120.0, W), ("guard/audit/timestamp/late_seconds", 120.0, 60.0, S),
    ("guard/drills", None, {"paths": ["file"]}, S), ("guard/drills", {"paths": ["file"]}, None, W),
    ("guard/drills/every_seconds", 60.0, 120.0, W), ("guard/drills/every_seconds", 120.0, 60.0, S),
    ("guard/drills/lease_every_seconds", 60.0, 120.0, W), ("guard/drills/lease_every_seconds", 120.0, 60.0, S),
    ("guard/drills/grace_seconds", 60.0, 120.0, W), ("guard/drills/grace_seconds", 120.0, 60.0, S),
    ("guard/drills/deadline_seconds", 1.0, 2.0, W), ("guard/drills/deadline_seconds", 2.0, 1.0, S),
    ("guard/drills/paths", ["file"], ["file", "order"], S), ("guard/drills/paths", ["file", "order"], ["order"], W),
    ("guard/fleet", None, {"engine": "folder"}, S), ("guard/fleet", {"engine": "folder"}, None, W),
    ("guard/fleet/engine", "folder", "postgres", W), ("guard/fleet/replica", "a", "b", N),
    ("guard/fleet/database", {"file": "a"}, None, W), ("guard/fleet/database/file", "a", "b", W),
    ("guard/fleet/folder", "a", "b", W), ("guard/fleet/tls", {"ca": "a"}, None, W),
    ("guard/fleet/tls", None, {"ca": None}, S), ("guard/fleet/tls/ca", None, "a", S),
    ("guard/fleet/tls/ca", "a", "b", W),
    ("guard/fleet/tls/client_certificate", "a", "b", N), ("guard/fleet/tls/client_key", {"file": "a"}, None, W),
    ("guard/fleet/tls/client_key/file", "a", "b", N), ("guard/fleet/connect_seconds", 1.0, 2.0, N),
    ("guard/fleet/peers", [], [{"replica": "b"}], W), ("guard/fleet/peers/0/admin", "a", "b", W),
    ("guard/fleet/peer_tls", {"ca": "a"}, None, W), ("guard/fleet/peer_tls", None, {"ca": None}, S),
    ("guard/fleet/peer_tls/ca", None, "a", S), ("guard/fleet/peer_tls/ca", "a", "b", W),
    ("guard/fleet/peer_tls/client_certificate", "a", "b", N),
    ("guard/fleet/peer_tls/client_key", {"file": "a"}, None, W),
    ("guard/fleet/peer_tls/client_key/file", "a", "b", N),
    ("guard/fleet/answer_seconds", 1.0, 2.0, N), ("guard/fleet/leases/asl_3", 30.0, 20.0, S),
    ("guard/fleet/leases/asl_3", 20.0, 30.0, W), ("guard/fleet/leases/asl_2", None, 60.0, S),
    ("guard/fleet/leases/asl_2", 60.0, None, W),
    ("guard/content", None, {"key": {}}, N), ("guard/content", {"key": {}}, None, W),
    ("guard/content/key/file", "a", "b", W), ("guard/content/wrapped", "a", "b", W),
    ("guard/content/investigator", None, "a", S), ("guard/content/investigator", "a", None, W),
    ("guard/content/investigator", "a", "b", W),
    ("models/demo/safeguards/request_log/settings/parts_durable", False, True, S),
    ("models/demo/safeguards/request_log/settings/parts_durable", True, False, W),
    ("guard/storage/audit_second", None, "/second", S), ("guard/storage/audit_second", "/second", None, W),
    ("guard/storage/audit_second", "/second", "/third", W),
    ("models/demo/safeguards/request_log/settings/outage_seconds", 0.0, 5.0, W),
    ("models/demo/safeguards/request_log/settings/outage_seconds", 5.0, 0.0, S),
    *(
        (f"models/demo/safeguards/request_log/settings/retention/{key}", old, new, effect)
        for key in ("content_days", "flagged_content_days") for old, new, effect in ((30, 31, S), (30, 29, W))
    ),
    *(
        (f"guard/{key}", old, new, effect)
        for key in (
            "limits/body_bytes", "limits/header_bytes", "limits/concurrent", "limits/header_seconds",
            "limits/body_seconds", "limits/concurrent_per_key", "supervision/deaf_seconds",
            "audit/checkpoint_seconds", "audit/epoch_seconds", "storage/ship/every_seconds",
        )
        for old, new, effect in ((5, 6, W), (6, 5, S))
    ),
    ("guard/admin/sessions/idle_seconds", 1.0, 2.0, W), ("guard/admin/sessions/longest_seconds", 2.0, 1.0, S),
    (PROXY, None, {"header": "x"}, W), (PROXY, {"header": "x"}, None, S), (f"{PROXY}/header", "x", "y", W),
    *(
        (f"{PROXY}/{pin}", old, new, effect)
        for pin in ("peers", "certificates")
        for old, new, effect in (
            (["a"], ["a", "b"], W), (["a", "b"], ["a"], S), (["a"], ["b"], W), (["a"], [], W), ([], ["a"], S),
        )
    ),
    (f"{PROXY}/people/a", None, {"role": "viewer"}, W), (f"{PROXY}/people/a", {"role": "viewer"}, None, S),
    (f"{PROXY}/people/a", {"role": "responder"}, None, W),
    (f"{PROXY}/people/a/name", "a", "b", W), (f"{PROXY}/people/a/person", "a", "b", W),
    (f"{PROXY}/people/a/role", "viewer", "responder", W),
    (f"{PROXY}/people/a/expires", "2027-01-01", "2028-01-01", W),
    (ENVELOPE, None, {"id": "e"}, N), (ENVELOPE, {"id": "e"}, None, W), (f"{ENVELOPE}/id", "a", "b", W),
    (f"{ENVELOPE}/holder", "a", "b", N), (f"{ENVELOPE}/owner", "a", "b", N), (f"{ENVELOPE}/sha256", "a", "b", W),
    (f"{ENVELOPE}/expires", "2027-01-01", "2028-01-01", S), (f"{ENVELOPE}/expires", "2028-01-01", "2027-01-01", W),
    ("guard/supervision/drain_seconds", 1.0, 2.0, N),
    ("models/m/response", None, {"max_hours": 1.0}, S), ("models/m/response", {"max_hours": 1.0}, None, W),
    ("models/m/response/max_hours", 1.0, 2.0, W), ("models/m/response/max_hours", 2.0, 1.0, S),
    ("models/m/response/severe_max_hours", 1.0, 2.0, W, {"max_hours": 4.0}, {"max_hours": 4.0}),
    ("models/m/response/severe_max_hours", 1.0, None, W, {"max_hours": 4.0}, {"max_hours": 4.0}),
    ("models/m/response/severe_max_hours", None, 1.0, S, {"max_hours": 4.0}, {"max_hours": 4.0}),
    ("models/m/response/severe_max_hours", None, 4.0, N, {"max_hours": 4.0}, {"max_hours": 4.0}),
    ("models/m/response/on_overdue", "stop", "alarm", W), ("models/m/response/on_overdue", "alarm", "stop", S),
    ("models/m/dials", None, {"coverage": "narrow"}, S), ("models/m/dials", {"coverage": "narrow"}, None, W),
    ("models/m/dials/coverage", "expanded", "narrow", W), ("models/m/dials/coverage", "narrow", "expanded", S),
    ("models/m/dials/robustness", 2, 1, W), ("models/m/dials/robustness", 1, 3, S),
    (TOLD, None, {"name": "n"}, S), (TOLD, {"name": "n"}, None, W), (f"{TOLD}/name", "a", "b", N),
    (f"{TOLD}/kind", "slack", "generic", W), (f"{TOLD}/url", "http://a", "http://b", W),
    (f"{TOLD}/credential/file", "a", "b", W), (f"{TOLD}/timeout_seconds", 1.0, 2.0, N),
    (f"{TOLD}/on", ["stop"], ["stop", "trip"], S), (f"{TOLD}/on", ["stop", "trip"], ["stop"], W),
    (f"{TOLD}/ca", None, "ca.pem", S), (f"{TOLD}/ca", "ca.pem", None, W),
    ("models/m/response/trip_from_severity", None, 3, S), ("models/m/response/trip_from_severity", 3, None, W),
    ("models/m/response/trip_from_severity", 3, 4, W), ("models/m/response/trip_from_severity", 3, 2, S),
    (WATCH, None, {"bands": {}}, S), (WATCH, {"bands": {}}, None, W),
    (f"{WATCH}/reviewed", "2026-06-01", "2026-05-01", W), (f"{WATCH}/reviewed", "2026-05-01", "2026-06-01", S),
    (f"{WATCH}/review_every_days", 30, 60, W), (f"{WATCH}/review_every_days", 60, 30, S),
    (BAND, None, {"max": 0.1}, S), (BAND, {"max": 0.1}, None, W),
    (f"{BAND}/value", "block_rate", "error_rate", W), (f"{BAND}/window_seconds", 60.0, 30.0, W),
    (f"{BAND}/min", 0.1, 0.0, W), (f"{BAND}/min", 0.0, 0.1, S),
    (f"{BAND}/max", 0.1, 0.2, W), (f"{BAND}/max", 0.2, 0.1, S),
    (f"{BAND}/at_least", 10, 20, W), (f"{BAND}/at_least", 20, 10, S),
    (f"{BAND}/then", "stop", "step_down", W), (f"{BAND}/then", "step_down", "alarm", W),
    (f"{BAND}/then", "alarm", "stop", S),
    ("guard/clocks/c", None, {"hours": 1.0}, S), ("guard/clocks/c", {"hours": 1.0}, None, W),
    ("guard/clocks/c/name", "a", "b", N), ("guard/clocks/c/starts", "discovered", "closed", W),
    ("guard/clocks/c/hours", 1.0, 2.0, W), ("guard/clocks/c/hours", 2.0, 1.0, S),
    ("guard/clocks/c/from_severity", 1, 2, W), ("guard/clocks/c/from_severity", 2, 1, S),
    ("guard/clocks/c/rows", [], ["H4.death"], W), ("guard/clocks/c/rows", ["H4.death"], [], S),
    ("guard/clocks/c/to", "a", "b", W), ("guard/clocks/c/source", "a", "b", N),
    ("guard/signed_bundle", True, False, W), ("guard/signed_bundle", False, True, S),
    ("guard/telemetry/log", "info", "error", W), ("guard/telemetry/log", "error", "warning", S),
    ("guard/telemetry/otlp_endpoint", None, "http://a", N), ("guard/telemetry/otlp_endpoint", "http://a", None, W),
    ("guard/telemetry/otlp_endpoint", "http://a", "http://b", W), ("guard/telemetry/trace_ratio", 0.1, 0.2, N),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]} to {case[2]}")
def test_a_change_means_what_the_table_says(case: tuple[Any, ...]) -> None:
    path, old, new, effect, *beside = case
    (change,) = compare(tuple(path.split("/")), old, new, *beside)
    assert change.effect is effect
    assert change.why == rule_of(tuple(path.split("/"))).why != UNKNOWN.why


def test_every_row_has_a_case_and_no_two_rows_share_a_path() -> None:
    assert {rule_of(tuple(case[0].split("/"))).path for case in CASES} == {rule.path for rule in RULES}
    assert len({rule.path for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("path", ["models/m/new", "guard/admin/tls/new", "keys/k/new/deeper", "guard/tracing"])
@pytest.mark.parametrize(("old", "new"), [(None, 1), (1, None), ("a", "b"), (None, {"a": 1}), ([], ["a"])])
def test_a_key_that_no_row_knows_is_weaker(path: str, old: Any, new: Any) -> None:
    (change,) = compare(tuple(path.split("/")), old, new)
    assert (change.effect, change.why) == (W, UNKNOWN.why)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("models/m/audience", "general", "nobody"),
        ("models/m/audience", "nobody", "internal"),
        ("models/m/asl/deployment", None, 3),
        ("guard/limits/body_bytes", "5", 4),
        ("models/m/safeguards/s/settings/parts", False, "maybe"),
    ],
)
def test_a_value_that_a_row_cannot_place_is_weaker(path: str, old: Any, new: Any) -> None:
    (change,) = compare(tuple(path.split("/")), old, new)
    assert change.effect is W


def leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, Mapping):
        yield path
        return
    for key, below in value.items():
        yield from leaves(below, (*path, key))


def test_every_key_of_a_full_configuration_has_a_row(tmp_path: Path) -> None:
    write_configuration(tmp_path, now=datetime(2026, 6, 1, tzinfo=UTC), models=[ModelSpec(asl=3)])
    secret = {"file": "secrets/pepper"}
    tls = {"certificate": "c.pem", "key": secret, "client_certificates": "required", "client_ca": "ca.pem"}
    guard = json.loads((tmp_path / "guard.yaml").read_text())
    guard["surfaces"][0].update(tls=tls, hosts=["models.example"])
    guard["content"]["investigator"] = "investigator.pem"
    hook = {"name": "alerts", "kind": "grafana", "secrets": [secret], "scopes": ["all"], "field": "scope"}
    guard["admin"].update(tls=tls, hosts=["admin.example"], hooks=[{**hook, "values": {"every": "all"}}])
    database = {"ca": "ca.pem", "client_certificate": "c.pem", "client_key": secret}
    guard["fleet"] = {"engine": "postgres", "replica": "one", "database": secret, "tls": database}
    person = {"name": "dan", "person": "dan", "role": "responder", "expires": "2027-01-01"}
    proxy = {"header": "x-user", "peers": ["10.0.0.7"], "certificates": ["spiffe://a/b"], "people": [person]}
    envelope = {"id": "e", "holder": "Envelope", "owner": "Ana", "sha256": "0" * 64, "expires": "2027-01-01"}
    told = {"name": "n", "kind": "generic", "url": "https://n.example", "credential": secret, "on": ["stop"]}
    guard["notify"] = [{**told, "ca": "ca.pem"}]
    guard["admin"].update(proxy=proxy, emergency_tokens=[envelope])
    (tmp_path / "guard.yaml").write_text(json.dumps(guard))
    model = json.loads((tmp_path / "models" / "demo.yaml").read_text())
    model["upstream"].update(
        url="https://models.example",
        kind="sglang",
        abort={"path": "/abort_request"},
        credential=secret,
        tls={"ca": "ca.pem", "client_certificate": "c.pem", "client_key": secret, "server_name": "models.example"},
    )
    band = {"value": "block_rate", "window_seconds": 60, "max": 0.1, "at_least": 10, "then": "step_down"}
    model["monitoring"] = {"bands": [band], "reviewed": "2026-06-01", "review_every_days": 30}
    model["response"] = {"max_hours": 48, "trip_from_severity": 3}
    (tmp_path / "models" / "demo.yaml").write_text(json.dumps(model))
    example = load(EXAMPLE).operators
    assert example is not None
    write_operators(tmp_path, example.model_dump(mode="json")["persons"], webauthn=WHERE.model_dump(mode="json"))
    found = list(leaves(tree(load(tmp_path)), ()))
    assert len(found) > 120
    assert [path for path in found if rule_of(path) is UNKNOWN] == []

"""Tokens belong to persons, and end with them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from guard.admin.people import admin_of, holders
from guard.policy.compile import first_moment
from guard.policy.load import load
from guard.policy.roles import OperatorRole
from guard.policy.source import ConfigError
from tests.parts.configuration import write_configuration, write_operators


def test_without_operators_a_token_has_the_name_and_the_role_of_its_own_entry(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    config = load(tmp_path)
    found = holders(config)
    assert {each.digest for each in config.guard.admin.tokens} == set(found)
    assert {(each.who.name, each.who.role) for each in found.values()} == {
        ("the responder", OperatorRole.RESPONDER),
        ("the viewer", OperatorRole.VIEWER),
    }


def test_a_token_ends_with_its_own_entry_or_with_its_persons_whichever_is_first(tmp_path: Path) -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    write_configuration(tmp_path, now=now)
    write_operators(tmp_path, [], now)
    persons = json.loads((tmp_path / "operators.yaml").read_text())
    soon = date(2026, 7, 1)
    persons["persons"][0]["expires"] = str(soon)
    (tmp_path / "operators.yaml").write_text(json.dumps(persons))
    config = load(tmp_path)
    ends = {each.who.token: each.expires for each in holders(config).values()}
    first, second = config.guard.admin.tokens
    assert ends == {first.id: first_moment(soon), second.id: first_moment(second.expires)}


def test_whom_a_proxy_names_is_one_of_them_too_in_a_role_of_hers(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    write_operators(tmp_path, [])
    path = tmp_path / "guard.yaml"
    guard = json.loads(path.read_text())
    held = guard["admin"]["tokens"][0]
    for who, role, words in (
        ("nobody", held["role"], r"admin\.proxy\.people\[0\]\.person: is the id of nobody in operators.yaml"),
        (held["person"], "auditor", r"admin\.proxy\.people\[0\]\.role: is no role of "),
    ):
        person = {"name": "n", "person": who, "role": role, "expires": "2999-01-01"}
        guard["admin"]["proxy"] = {"header": "x-user", "peers": ["127.0.0.1"], "people": [person]}
        path.write_text(json.dumps(guard))
        with pytest.raises(ConfigError, match=words):
            load(tmp_path)


def test_whom_a_proxy_names_ends_with_the_persons_entry(tmp_path: Path) -> None:
    write_configuration(tmp_path)
    write_operators(tmp_path, [])
    path = tmp_path / "guard.yaml"
    guard = json.loads(path.read_text())
    held = guard["admin"]["tokens"][0]
    person = {"name": "n", "person": held["person"], "role": held["role"], "expires": "2999-01-01"}
    guard["admin"]["proxy"] = {"header": "x-user", "peers": ["127.0.0.1"], "people": [person]}
    path.write_text(json.dumps(guard))
    config = load(tmp_path)
    assert config.operators is not None
    known = config.operators.person(held["person"])
    proxy = admin_of(config).proxy
    assert known is not None
    assert proxy is not None
    assert proxy.people[0].expires == known.expires < date(2999, 1, 1)
    path.write_text(json.dumps({**guard, "admin": {**guard["admin"], "proxy": None}}))
    assert admin_of(load(tmp_path)).proxy is None

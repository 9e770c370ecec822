"""The key that a host signs orders with: made once, kept from others, and what it is worth."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.ssh_key import KeyKind, read_key
from guard.state.issuer import Issuer, IssuerError, genuine, issuer_id, own_issuer
from guard.state.orders import Order, decode, encode
from tests.guard.state.test_orders import resumes, stops


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer.open(tmp_path_factory.mktemp("state"))


@given(st.one_of(stops, resumes).filter(lambda order: order.version > 1))
def test_what_a_host_signed_is_genuine_and_survives_being_written(issuer: Issuer, order: Order) -> None:
    known = {issuer.id: issuer.public}
    signed = issuer.signed(order)
    assert genuine(decode(encode(signed)), known)
    assert not genuine(signed, {})
    assert not genuine(replace(signed, who=signed.who[:-1] + ("x" if signed.who[-1] != "x" else "y")), known)
    assert not genuine(replace(signed, signature=""), known)


def test_the_key_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    first = Issuer.open(tmp_path)
    assert Issuer.open(tmp_path).id == first.id
    assert stat.S_IMODE((tmp_path / "issuer.key").stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["issuer.key", "issuer.pub"]
    assert own_issuer(tmp_path).keys() == {first.id}


def test_of_many_that_make_it_at_once_all_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Issuer.open(tmp_path).id, range(8)))
    assert set(found) == {Issuer.open(tmp_path).id}


def test_the_public_line_is_one_that_a_configuration_takes(tmp_path: Path) -> None:
    issuer = Issuer.open(tmp_path)
    key = read_key((tmp_path / "issuer.pub").read_text().strip())
    assert key.kind is KeyKind.ED25519
    assert issuer_id(key.public) == issuer.id  # type: ignore[arg-type]  # the kind says that it is one


def test_a_public_line_that_is_gone_or_another_is_written_anew(tmp_path: Path) -> None:
    issuer = Issuer.open(tmp_path)
    for spoil in ((tmp_path / "issuer.pub").unlink, lambda: (tmp_path / "issuer.pub").write_text("x")):
        spoil()
        assert Issuer.open(tmp_path).id == issuer.id
        assert own_issuer(tmp_path).keys() == {issuer.id}


def test_where_no_key_was_made_nobody_is_known(tmp_path: Path) -> None:
    assert own_issuer(tmp_path) == {}


def _readable(path: Path) -> None:
    path.chmod(0o640)


def _damaged(path: Path) -> None:
    path.write_text("not a key")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(("spoil", "said"), [(_readable, "chmod 600"), (_damaged, "damaged"), (_pipe, "regular file")])
def test_a_key_that_cannot_be_trusted_is_not_used(spoil: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    Issuer.open(tmp_path)
    spoil(tmp_path / "issuer.key")
    with pytest.raises(IssuerError, match=said):
        Issuer.open(tmp_path)


@pytest.mark.parametrize("spoil", [_damaged, _pipe])
def test_a_public_line_that_is_none_is_an_error(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    Issuer.open(tmp_path)
    spoil(tmp_path / "issuer.pub")
    with pytest.raises(IssuerError, match="remove it"):
        own_issuer(tmp_path)

"""Tokens count under the certificates that were given, over the data that was meant, in answer to what was asked."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.timestamp_authority import Authority, ExtraMissingError
from guard.audit.timestamp_form import TimestampError, asked, read_token, request
from tests.parts.timestamp_authority import OTHER_POLICY, POLICY, TimestampAuthority

DATA = b"the head of a log\n"
NONCE = b"\xf0" + bytes(7)


def query(data: bytes = DATA, policy: str | None = None) -> bytes:
    return request(hashlib.sha256(data).digest(), NONCE, policy)


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture(scope="module")
def answer(tsa: TimestampAuthority) -> bytes:
    return tsa.answer(query())


@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("chain", [True, False])
def test_a_token_of_openssl_counts_with_its_chain_and_without(tmp_path: Path, hash_name: str, chain: bool) -> None:
    tsa = TimestampAuthority(tmp_path / "tsa", hash_name=hash_name, chain=chain)
    answer = tsa.answer(query())
    assert tsa.verified(DATA, answer)
    token = Authority(tsa.pem.read_bytes(), POLICY).check(answer, DATA, asked(NONCE))
    assert token.bound[0] == hash_name
    assert abs(token.time - time.time()) < 300


def test_another_authority_of_the_same_names_does_not_count(tmp_path: Path, answer: bytes) -> None:
    other = TimestampAuthority(tmp_path / "other")
    assert not other.verified(DATA, answer)
    with pytest.raises(TimestampError, match="not signed by the authority"):
        Authority(other.pem.read_bytes()).check(answer, DATA)


def test_one_of_several_roots_is_enough(tmp_path: Path, tsa: TimestampAuthority, answer: bytes) -> None:
    other = TimestampAuthority(tmp_path / "other")
    roots = other.pem.read_bytes() + tsa.pem.read_bytes()
    assert Authority(roots).check(answer, DATA).imprint == hashlib.sha256(DATA).digest()


def test_a_token_over_something_else_or_of_an_earlier_question_is_refused(
    tsa: TimestampAuthority, answer: bytes
) -> None:
    authority = Authority(tsa.pem.read_bytes())
    with pytest.raises(TimestampError, match="for something else than was asked"):
        authority.check(answer, DATA + b"x")
    with pytest.raises(TimestampError, match="the nonce is another"):
        authority.check(answer, DATA, asked(NONCE) + 1)


def test_a_token_of_another_policy_is_refused(tsa: TimestampAuthority, answer: bytes) -> None:
    authority = Authority(tsa.pem.read_bytes(), OTHER_POLICY)
    with pytest.raises(TimestampError, match="another policy"):
        authority.check(answer, DATA)
    assert authority.check(tsa.answer(query(policy=OTHER_POLICY)), DATA).policy == OTHER_POLICY


def test_a_certificate_that_was_not_valid_at_the_token_s_time_is_refused(tmp_path: Path) -> None:
    # OpenSSL stamps with a certificate whatever its dates are; who verifies looks at them.
    tsa = TimestampAuthority(tmp_path / "tsa", days=-1)
    answer = tsa.answer(query())
    assert not tsa.verified(DATA, answer)
    with pytest.raises(TimestampError, match="not signed by the authority"):
        Authority(tsa.pem.read_bytes()).check(answer, DATA)


def test_what_is_signed_cannot_be_changed_in_any_byte(tsa: TimestampAuthority, answer: bytes) -> None:
    authority = Authority(tsa.pem.read_bytes())
    begin = answer.index(hashlib.sha256(DATA).digest()) + 32
    end = answer.index(b"Z", begin) + 1  # serial number and time
    assert read_token(answer).time
    for at in range(begin, end):
        changed = bytearray(answer)
        changed[at] ^= 1
        with pytest.raises(TimestampError):
            authority.check(bytes(changed), DATA)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 255))
def test_whatever_is_changed_in_an_answer_it_states_the_same_or_is_refused(
    tsa: TimestampAuthority, answer: bytes, at: int, by: int
) -> None:
    changed = bytearray(answer)
    changed[at % len(changed)] ^= by
    try:
        token = Authority(tsa.pem.read_bytes()).check(bytes(changed), DATA, asked(NONCE))
    except TimestampError:
        return
    assert (token.time, token.serial) == (read_token(answer).time, read_token(answer).serial)


def test_certificates_that_are_none_and_a_missing_extra_are_told(
    tsa: TimestampAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TimestampError, match="certificates are not PEM"):
        Authority(b"FORBIDDEN-MARKER")
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'asl-guard\[timestamp\]'"):
        Authority(tsa.pem.read_bytes())

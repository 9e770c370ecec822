"""Requests and answers of RFC 3161, against OpenSSL's: each reads what the other wrote, and nonsense is refused."""

from __future__ import annotations

import hashlib
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.audit.timestamp_form import (
    MAX_ANSWER_BYTES,
    TimestampError,
    asked,
    certificate_of,
    in_order,
    read_token,
    request,
)
from tests.parts.debian import command
from tests.parts.timestamp_authority import OTHER_POLICY, POLICY, TimestampAuthority

DATA = b"the head of a log\n"
IMPRINT = hashlib.sha256(DATA).digest()
NONCE = bytes(range(200, 208))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TimestampAuthority:
    return TimestampAuthority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture(scope="module")
def answer(authority: TimestampAuthority) -> bytes:
    return authority.answer(request(IMPRINT, NONCE))


def in_words(folder: Path, kind: str, data: bytes) -> str:
    """What OpenSSL reads in it."""
    (folder / "given").write_bytes(data)
    program = command("openssl", "openssl")
    words = [program, "ts", kind, "-in", str(folder / "given"), "-text"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("nonce", [bytes(8), bytes(7) + b"\x01", b"\x80" + bytes(7), b"\xff" * 8, NONCE])
@pytest.mark.parametrize("policy", [None, "1.2.3.4.5", "2.999.1", "0.39.1", "1.3.6.1.4.1.4146.2.3.300000000000"])
def test_openssl_reads_what_is_asked(tmp_path: Path, nonce: bytes, policy: str | None) -> None:
    said = in_words(tmp_path, "-query", request(IMPRINT, nonce, policy))
    assert "Hash Algorithm: sha256" in said
    assert "Certificate required: yes" in said
    number = re.search(r"Nonce: (\S+)", said)
    assert number is not None
    assert int(number[1], 0) == asked(nonce)
    assert f"Policy OID: {policy or 'unspecified'}" in said


def test_what_openssl_answered_is_read_as_it_reads_it(tmp_path: Path, answer: bytes) -> None:
    token, said = read_token(answer), in_words(tmp_path, "-reply", answer)
    found = re.search(r"Time stamp: (.*) GMT", said)
    serial = re.search(r"Serial number: (\S+)", said)
    assert found is not None
    assert serial is not None
    moment = datetime.fromtimestamp(token.time, UTC)
    assert moment.strftime("%b %e %H:%M:%S") in re.sub(r"\.\d+", "", found[1])
    assert (token.serial, token.imprint, token.nonce, token.policy) == (
        int(serial[1], 0),
        IMPRINT,
        asked(NONCE),
        POLICY,
    )


def test_a_policy_that_was_asked_for_is_in_the_token(authority: TimestampAuthority) -> None:
    assert read_token(authority.answer(request(IMPRINT, NONCE, OTHER_POLICY))).policy == OTHER_POLICY


def test_what_was_not_granted_is_refused_with_its_status(authority: TimestampAuthority) -> None:
    with pytest.raises(TimestampError, match="granted no time stamp: status 2"):
        read_token(authority.answer(request(IMPRINT, NONCE, "1.9.9")))


def test_the_token_names_the_certificate_that_signed_it(answer: bytes) -> None:
    token = read_token(answer)
    found = certificate_of(answer, token)
    assert found is not None
    assert hashlib.sha256(found).digest() == token.bound[1]
    changed = answer.replace(found, found[:-1] + bytes((found[-1] ^ 1,)))
    assert certificate_of(changed, token) is None


def test_certificates_come_into_the_order_of_a_set_and_nothing_else_moves(answer: bytes) -> None:
    ordered = in_order(answer)
    assert (len(ordered), sorted(ordered)) == (len(answer), sorted(answer))
    assert read_token(ordered) == read_token(answer)
    assert in_order(ordered) == ordered


@pytest.mark.parametrize(
    "nonsense",
    [
        b"",
        b"0",
        b"\x30\x00",
        b"\x30\x80\x00\x00",
        b"<html>",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x1f\x81\x00",
        bytes(70_000),
    ],
)
def test_nonsense_is_refused(nonsense: bytes) -> None:
    for read in (read_token, in_order):
        with pytest.raises(TimestampError) as found:
            read(nonsense)
        assert "answered" in str(found.value)


def test_too_much_is_refused_unread(answer: bytes) -> None:
    with pytest.raises(TimestampError, match=f"more than {MAX_ANSWER_BYTES} bytes"):
        read_token(answer + bytes(MAX_ANSWER_BYTES))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed_in_an_answer_is_read_or_refused(answer: bytes, data: st.DataObject) -> None:
    changed = bytearray(answer[: data.draw(st.integers(0, len(answer)))] if data.draw(st.booleans()) else answer)
    for _ in range(data.draw(st.integers(0, 4))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        token = read_token(bytes(changed))
        in_order(bytes(changed))
        certificate_of(bytes(changed), token)
    except TimestampError:
        return
    assert isinstance(token.time, float)

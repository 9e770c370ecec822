"""What is pasted is read as people paste it, bounded, and never believed; what is lacking is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.admin.approving import MAX_PASTED, pasted, signing, statement_of
from guard.admin.switchboard import ResumeRefusedError
from guard.policy.load import load
from guard.policy.operators import OperatorsFile
from guard.state.orders import MAX_APPROVAL, MAX_SIGNATURES, Source
from guard.state.scope import OrderError
from tests.guard.admin.fakes import NOW, Counter
from tests.guard.admin.signers import KEYS, signed, write_signers
from tests.parts.configuration import ModelSpec, write_configuration


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    write_configuration(tmp_path, models=[ModelSpec("demo", 2), ModelSpec("strict", 3)])
    write_signers(tmp_path)
    return Counter(load(tmp_path), tmp_path / "var" / "state")


@pytest.fixture
def operators(counter: Counter) -> OperatorsFile:
    found = counter.board.operators
    assert found is not None
    return found


def statement(counter: Counter, target: str = "model:strict") -> str:
    """Stop it and return what two people would sign."""
    counter.board.stop(target, "", "Ana", Source.ADMIN)
    with pytest.raises(ResumeRefusedError) as refusal:
        counter.board.resume(target, "the finding is mended", "Ana", Source.ADMIN)
    return refusal.value.approval


def test_signatures_are_found_however_they_were_pasted(operators: OperatorsFile) -> None:
    text = signed("{}\n", "ana", "ben")
    for each in (text, text.replace("\n", "\r\n"), "\n\n" + text.replace("\n", "\n\n"), text.replace("\n", "  \n\t")):
        found = pasted(each, operators)
        assert [one.person for one in found.approvers] == ["ana", "ben"]
        assert [one.signature for one in found.approvers] == [signed("{}\n", "ana"), signed("{}\n", "ben")]
        assert found.refused == ()


def test_what_is_no_signature_is_named_and_takes_nothing_from_the_others(operators: OperatorsFile) -> None:
    good, stranger = signed("{}\n", "ana"), signed("{}\n", "eve")
    damaged = good.replace("U1NIU0lH", "AAAAAAAA", 1)
    found = pasted(f"$ cat\n{damaged}{stranger}{good}{good[:60]}", operators)
    assert [one.person for one in found.approvers] == ["ana"]
    assert found.refused == (
        "a signature is cut off: the line -----END SSH SIGNATURE----- is missing",
        "1 line is no part of a signature",
        "signature 1 is damaged: it does not begin with SSHSIG",
        "signature 2 is made with a key that operators.yaml gives to nobody",
    )
    assert pasted(good, None).approvers == ()


def test_too_much_is_refused(operators: OperatorsFile) -> None:
    with pytest.raises(OrderError, match="more than 65536 characters"):
        pasted(" " * (MAX_PASTED + 1), operators)
    with pytest.raises(OrderError, match="more than 8 signatures"):
        pasted(signed("{}\n", "ana") * (MAX_SIGNATURES + 1), operators)
    with pytest.raises(OrderError, match="more than 16384 characters"):
        statement_of("x" * MAX_APPROVAL)


@given(st.text(alphabet="-BEGINSHATUR ND\n\r\tü{}", max_size=400), st.booleans())
def test_no_text_makes_it_fail(text: str, begun: bool) -> None:
    found = pasted(("-----BEGIN SSH SIGNATURE-----\n" if begun else "") + text, None)
    assert found.approvers == ()


def test_a_statement_is_what_was_written_whatever_a_form_made_of_its_lines(counter: Counter) -> None:
    text = statement(counter)
    for each in (text, text.replace("\n", "\r\n"), "\r\n" + text.rstrip()):
        assert statement_of(each) == text


def test_who_has_signed_and_who_could_is_said(counter: Counter) -> None:
    text = statement(counter)
    found = signing(counter.board, text, "", NOW)
    assert (found.signed, found.could, found.lacking, found.refused, found.stale) == ((), ("ana", "ben"), 2, (), ())
    found = signing(counter.board, text, signed(text, "ana", "ana"), NOW)
    assert (found.signed, found.could, found.lacking) == (("ana",), ("ben",), 1)
    found = signing(counter.board, text, signed(text, "ana", "ben"), NOW)
    assert (found.signed, found.could, found.lacking) == (("ana", "ben"), (), 0)
    found = signing(counter.board, text, signed(text, "ana", "vic") + signed("another\n", "ben"), NOW)
    assert (found.signed, found.lacking) == (("ana",), 1)
    assert found.refused == (
        "the signature of vic does not count: vic has no role that may approve this",
        "the signature of ben does not fit: another file was signed, or one of them was changed",
    )


def test_a_statement_that_another_stop_has_overtaken_says_so(counter: Counter) -> None:
    text = statement(counter)
    counter.clock.go(60)
    later = counter.board.stop("all", "", "Ben", Source.ADMIN).order
    (words,) = signing(counter.board, text, "", NOW + 60).stale
    assert words == f"model strict is also stopped by {later} (all), which it does not name: it stays stopped"


def test_a_statement_that_has_expired_or_was_used_says_so(counter: Counter) -> None:
    text = statement(counter)
    assert signing(counter.board, text, "", NOW + 3_600).stale == ("it has expired at 2027-01-15T09:00:00Z",)
    approvers = pasted(signed(text, "ana", "ben"), counter.board.operators).approvers
    counter.board.resume_approved(text, approvers, "Ana", Source.ADMIN)
    (words,) = signing(counter.board, text, "", NOW).stale
    assert words.endswith("already lifted; an approval is used once")
    with pytest.raises(OrderError):
        signing(counter.board, text[:-5], "", NOW)


def test_a_statement_that_calls_a_stop_by_another_scope_resumes_nothing(counter: Counter) -> None:
    text = statement(counter).replace("model:strict", "model:demo")
    approvers = pasted(signed(text, "ana", "ben"), counter.board.operators).approvers
    with pytest.raises(ResumeRefusedError, match="this order is of model:strict, not of 'model:demo'"):
        counter.board.resume_approved(text, approvers, "Ana", Source.ADMIN)
    assert "this order is of model:strict" in signing(counter.board, text, "", NOW).stale[0]


def test_the_command_holds_the_statement_to_the_byte(counter: Counter) -> None:
    text = statement(counter)
    command = signing(counter.board, text, "", NOW).command
    first, _, rest = command.partition("\n")
    assert first == "ssh-keygen -Y sign -n order@asl-guard -f KEY <<'END'"
    assert rest == f"{text}END\n"
    assert "END" not in text.splitlines()
    assert KEYS.keys() == {"ana", "ben", "vic", "eve"}

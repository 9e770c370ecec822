"""``guard audit``: what it prints, what only when asked, and how it follows."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger
from guard.audit.records import Control
from guard.audit.wrapping import Kek
from guard.cli import audit, audit_access, main
from tests.guard.audit.fakes import KEEP, Clock, contents, exchange, outcome
from tests.parts.configuration import write_configuration, write_people

PROMPT = "the prompt's own words"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two requests an hour apart, by two workers, and an act of the supervisor."""
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    for index in range(2):
        asyncio.run(_write(tmp_path, f"worker-{index}", 1_800_000_000.0 + 3600.0 * index, f"request-{index}"))
    return tmp_path


async def _write(config: Path, writer: str, at: float, request: str) -> None:
    keys = DataKeys(
        KeyFolder(config / "var" / "content-keys"), Kek((config / "secrets" / "content-key").read_text()[:64])
    )
    ledger = Ledger.open(config / "var" / "audit" / writer, Clock(at), keys=keys)
    try:
        asked = exchange(request, text=PROMPT)
        written = ledger.intent(asked, durable=True, keep=KEEP)
        assert written is not None
        await written
        written = ledger.outcome(asked, outcome(), durable=True)
        assert written is not None
        await written
        await ledger.control(who="ana", what="stop", subject=f"{request} all", reason="\x1b[2J why")
    finally:
        ledger.close()


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], str]:
    capsys.readouterr()
    code = main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_tail_prints_every_record_by_time_and_no_text(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "tail", "--config", config)
    assert code == 0
    assert [line.split()[2] for line in lines] == ["opened", "intent", "outcome", "control"] * 2
    assert not any(PROMPT in line for line in lines)
    assert all(line.isascii() and line.isprintable() for line in lines)


ACCESS = ("--content", "--who", "ana", "--reason", "case 7")


def test_tail_shows_texts_only_when_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ([], ["--json"]):
        with_texts = run(capsys, "tail", *ACCESS, *form, "--config", config)[1]
        without = run(capsys, "tail", *form, "--config", config)[1]
        # Once as the prompt's intent, once more as the flagged exchange that the classifier objected to.
        assert sum(PROMPT in line for line in with_texts) == 4
        assert not any(PROMPT in line for line in without)


def test_texts_are_opened_only_for_a_person_with_a_reason(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for missing in ([], ["--who", "ana"], ["--reason", "case 7"]):
        code, lines, err = run(capsys, "show", "request-1", "--content", *missing, "--config", config)
        assert (code, lines) == (4, [])
        assert err == "guard: to read kept prompts and completions takes --who NAME and --reason TEXT\n"
    assert not (config / "var" / "audit" / "operator").exists()


def test_every_reading_is_on_record_with_who_why_and_what(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "show", "request-1", *ACCESS, "--config", config)[0] == 0
    (control,) = [one for one in contents(config / "var" / "audit") if isinstance(one, Control) and one.what == "read"]
    assert (control.subject, control.reason) == ("request:request-1", "case 7")
    assert control.who == f"ana (uid {os.getuid()})"


def test_what_cannot_be_put_on_record_is_not_opened(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (config / "var" / "audit" / "operator").touch()
    code, lines, err = run(capsys, "show", "request-1", *ACCESS, "--config", config)
    assert (code, lines) == (4, [])
    assert err.startswith("guard: this could not be put on record: ")
    (config / "var" / "audit" / "operator").unlink()
    monkeypatch.setattr(audit_access, "LOCK_SECONDS", 0.1)
    other = Ledger.open(config / "var" / "audit" / "operator", Clock())
    code, lines, err = run(capsys, "tail", *ACCESS, "--config", config)
    other.close()
    assert (code, lines) == (4, [])
    assert f"in use by process {os.getpid()}" in err


def test_without_the_right_key_the_leaf_is_shown_with_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = config / "other-key"
    other.write_text("f0" * 32 + "\n")
    other.chmod(0o600)
    code, lines, _ = run(capsys, "show", "request-1", *ACCESS, "--key-file", other, "--json", "--config", config)
    assert code == 0
    assert "is wrapped by the key" in json.loads(lines[0])["lost"]
    assert not any(PROMPT in line for line in lines)


def test_an_investigator_reads_with_the_private_key_what_the_host_no_longer_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    private = X25519PrivateKey.generate()
    file = tmp_path / "investigator.key"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file.chmod(0o600)
    folder = KeyFolder(tmp_path / "var" / "content-keys")
    keys = DataKeys(folder, Kek((tmp_path / "secrets" / "content-key").read_text().strip()), private.public_key())
    ledger = Ledger.open(tmp_path / "var" / "audit" / "worker-0", Clock(1_800_000_000.0), keys=keys)
    ledger.intent(exchange("r1", text=PROMPT), durable=False, keep=KEEP)
    ledger.close()
    keys.turn("2030-01-01")
    shown = run(capsys, "show", "r1", *ACCESS, "--json", "--config", tmp_path)[1]
    assert "only the investigator's private key opens it" in json.loads(shown[0])["lost"]
    shown = run(capsys, "show", "r1", *ACCESS, "--key-file", file, "--json", "--config", tmp_path)[1]
    assert json.loads(shown[0])["texts"][0]["text"] == PROMPT


@pytest.mark.parametrize(
    ("content", "words"),
    [("no key", "must be 32 random bytes"), ("-----BEGIN PRIVATE KEY-----\n", "is not a private key in PEM")],
)
def test_a_key_file_that_holds_no_key_is_refused_without_quoting_it(
    content: str, words: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config / "a-key"
    file.write_text(content)
    file.chmod(0o600)
    code, lines, err = run(capsys, "tail", *ACCESS, "--key-file", file, "--config", config)
    assert (code, lines) == (4, [])
    assert words in err
    assert "no key" not in err


def test_without_the_section_nothing_can_be_opened(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard = json.loads((config / "guard.yaml").read_text())
    del guard["content"]
    (config / "guard.yaml").write_text(json.dumps(guard))
    model = json.loads((config / "models" / "demo.yaml").read_text())
    model["safeguards"][0]["settings"]["content"] = False
    (config / "models" / "demo.yaml").write_text(json.dumps(model))
    code, lines, err = run(capsys, "tail", *ACCESS, "--config", config)
    assert (code, lines, err) == (4, [], "guard: guard.yaml has no section `content`: no text is kept\n")


def test_tail_for_machines_is_an_object_a_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [json.loads(line) for line in run(capsys, "tail", "--json", "--config", config)[1]]
    assert [each["writer"] for each in found] == ["worker-0"] * 4 + ["worker-1"] * 4
    assert [each["id"] for each in found if "passages" in each] == ["request-0", "request-1"]


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2027-01-15T08:00:00Z", 8),
        ("2027-01-15T08:00:01Z", 4),
        ("2027-01-15", 8),
        ("2027-01-15T10:30:00+02:00", 4),
        ("2027-01-16", 0),
    ],
)
def test_tail_begins_where_it_is_told(since: str, count: int, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(capsys, "tail", "--since", since, "--config", config)
    assert (code, len(lines)) == (0, count)


def test_a_time_that_is_none_is_wrong_usage(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for since in ("yesterday", "99999-01-01", ""):
        with pytest.raises(SystemExit) as ended:
            main(["audit", "tail", "--since", since, "--config", str(config)])
        assert ended.value.code == 2
        assert "a time as 2026-11-23T08:00:00Z, or a day" in capsys.readouterr().err


def test_tail_follows_what_is_written_later_and_by_writers_that_come_later(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter(range(3))

    def wait() -> bool:
        number = next(rounds)
        if number == 0:
            asyncio.run(_write(config, "worker-0", 1_800_010_000.0, "request-2"))
        elif number == 1:
            asyncio.run(_write(config, "worker-7", 1_800_020_000.0, "request-3"))
        return number < 2

    monkeypatch.setattr(audit, "_wait", wait)
    code, lines, _ = run(capsys, "tail", "--follow", "--config", config)
    assert code == 0
    assert [line.split("id=")[1].split()[0] for line in lines if " intent " in line] == [
        f"request-{number}" for number in range(4)
    ]


def test_show_prints_one_request_and_nothing_else(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, err = run(capsys, "show", "request-1", "--config", config)
    assert (code, err) == (0, "")
    assert [line.split()[2] for line in lines] == ["intent", "outcome"]
    assert not any(PROMPT in line for line in lines)
    code, lines, _ = run(capsys, "show", "request-1", *ACCESS, "--json", "--config", config)
    assert json.loads(lines[0])["texts"] == [{"place": "messages[0].content", "text": PROMPT}]
    assert [one["text"] for one in json.loads(lines[1])["texts"]] == [PROMPT, "world"]


@pytest.mark.parametrize("request_id", ["request-9", "", "x" * 10_000, "\x1b[2J", "\udcff"])
def test_a_request_that_is_not_on_record_is_said_to_be_absent(
    request_id: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, err = run(capsys, "show", request_id, "--config", config)
    assert (code, lines, err) == (1, [], "guard: no request of this id is on record\n")


def test_damage_is_shown_where_it_is(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = next((config / "var" / "audit" / "worker-0").glob("seg-*"))
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    segment.write_bytes(raw)
    code, lines, _ = run(capsys, "tail", "--config", config)
    assert code == 0
    assert any(" damage " in line for line in lines)
    assert "damage" in "".join(run(capsys, "show", "request-0", "--config", config)[1])


@pytest.mark.parametrize("command", [["tail"], ["tail", "--follow"], ["show", "x"]], ids=" ".join)
def test_without_a_log_there_is_a_clear_error(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["investigator"], "ben": ["auditor"]})
    code, lines, err = run(capsys, *command, "--config", tmp_path)
    assert (code, lines) == (1, [])
    assert err.startswith("guard: ")
    assert str(tmp_path / "var" / "audit") in err


@pytest.mark.parametrize("count", [1, 3, 8, 100_000])
def test_tail_prints_the_last_records_when_told_how_many(
    count: int, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(capsys, "tail", "--config", config)[1]
    assert run(capsys, "tail", "-n", str(count), "--config", config)[:2] == (0, whole[-count:])


@pytest.mark.parametrize("count", ["0", "-1", "100001", "x", "", "\u0663", "9" * 10_000])
def test_a_count_that_is_none_is_wrong_usage(count: str, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "tail", f"-n{count}" if count else "-n=", "--config", str(config)])
    assert ended.value.code == 2
    assert "a number from 1 to 100000" in capsys.readouterr().err


def test_show_names_the_place_of_every_record_as_tail_does(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ([], ["--json"]):
        whole = run(capsys, "tail", *form, "--config", config)[1]
        shown = run(capsys, "show", "request-1", *form, "--config", config)[1]
        assert shown == whole[5:7]
        assert all("worker-1" in line for line in shown)

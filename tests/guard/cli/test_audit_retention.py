"""``guard audit retain``, ``hold`` and ``shred``: what goes, what stays, and that all of it is on record first.

One file, since each is tried against what the others keep or delete.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guard.app import SYSTEM_CLOCK
from guard.audit.holds import Hold, Holds
from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger, Limits
from guard.audit.records import Control
from guard.audit.sealer import Sealer, open_sealer
from guard.audit.segments import listing
from guard.audit.verify import verify
from guard.audit.wrapping import Kek
from guard.cli import audit_retention, main
from guard.policy.load import load
from guard.serve.sealing import key_ring, log_key
from tests.guard.audit.fakes import KEEP, Clock, contents, exchange, outcome, sealed_files
from tests.parts.configuration import ModelSpec, write_configuration, write_people

NOW = datetime.now(UTC)
OLD = NOW - timedelta(days=40)
ACTING = ("--who", "ana", "--reason", "case 7")
OWNERS = ("search team", "another team")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A flagged exchange of each of two owners, forty days ago and yesterday."""
    write_configuration(tmp_path)
    write_people(tmp_path, {"ana": ["investigator", "responsible_scaling_officer"]})
    kek = Kek((tmp_path / "secrets" / "content-key").read_text().strip())
    for day in (OLD, NOW - timedelta(days=1)):
        keys = DataKeys(KeyFolder(tmp_path / "var" / "content-keys"), kek)
        ledger = Ledger.open(tmp_path / "var" / "audit" / "worker-0", Clock(day.timestamp()), keys=keys)
        for owner in OWNERS:
            asked = exchange(f"{owner[:2]}-{day.date()}")
            asked = replace(asked, caller=replace(asked.caller, owner=owner))
            ledger.intent(asked, durable=False, keep=KEEP)
            ledger.outcome(asked, outcome(), durable=False)
        ledger.close()
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], str]:
    capsys.readouterr()
    code = main(["audit", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def acts(config: Path) -> list[str]:
    return [one.what for one in contents(config / "var" / "audit") if isinstance(one, Control)]


def left(config: Path) -> list[tuple[str, str]]:
    found = [path.parts[-3:-1] for path in sealed_files(config / "var" / "audit")]
    return sorted({(retention, day) for retention, day in found})


def keys(config: Path) -> int:
    return len(list((config / "var" / "content-keys").glob("*/*.key")))


def test_retain_deletes_what_is_over_and_says_so_on_record(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (len(left(config)), keys(config)) == (4, 8)
    code, lines, _ = run(capsys, "retain", "--dry-run", "--config", config)
    assert (code, len(left(config)), acts(config)) == (0, 4, [])
    assert lines[0].startswith(f"would retain content-30/{OLD.date()}: 2 keys, ")
    assert run(capsys, "retain", "--config", config)[0] == 0
    assert ("content-30", str(OLD.date())) not in left(config)
    assert (len(left(config)), keys(config), acts(config)) == (3, 6, ["retain"])
    assert run(capsys, "retain", "--config", config)[:2] == (0, ["nothing to delete"])
    assert acts(config) == ["retain"]


def test_the_floor_of_a_standard_binds_retain(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standard = _standard(60)
    (config / "standards").mkdir()
    (config / "standards" / "own.yaml").write_text(json.dumps(standard))
    model = json.loads((config / "models" / "demo.yaml").read_text())
    model["framework"] = {"name": "own", "version": "1"}
    (config / "models" / "demo.yaml").write_text(json.dumps(model))
    assert run(capsys, "retain", "--config", config)[:2] == (0, ["nothing to delete"])
    day = str(OLD.date())
    shred = ("shred", "--owner", OWNERS[0], "--since", day, "--until", day, *ACTING, "--config", config)
    code, _, err = run(capsys, *shred)
    assert (code, keys(config)) == (4, 8)
    assert "asks that texts are kept for 60 days" in err
    assert run(capsys, *shred, "--below-floor")[0] == 0
    assert (keys(config), acts(config)) == (6, ["shred below the floor"] * 2)


def _standard(days: int) -> dict[str, object]:
    row = {
        "id": "R1",
        "axis": "deployment",
        "level": 1,
        "requires": "Texts are kept.",
        "source": "us",
        "check": "retention",
        "with": {"content_days": days},
    }
    return {"name": "own", "version": "1", "title": "own", "source": "https://example.com", "rows": [row]}


@pytest.mark.parametrize(
    "what",
    [
        ["--owner", OWNERS[0]],
        ["--model", "demo"],
        ["--everything"],
        ["--everything", "--since", str(OLD.date()), "--until", str(OLD.date())],
        ["--request", f"se-{OLD.date()}"],
    ],
)
def test_what_is_held_is_neither_deleted_nor_shredded(
    what: list[str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (line,), _ = run(capsys, "hold", *what, *ACTING, "--config", config)
    assert code == 0
    name = line.split(":")[0]
    assert name in "".join(run(capsys, "hold", "--config", config)[1])
    run(capsys, "retain", "--config", config)
    assert ("content-30", str(OLD.date())) in left(config)
    held = list((config / "var" / "content-keys" / str(OLD.date())).glob("content-30.*.key"))
    assert len(held) == (1 if what[0] in {"--owner", "--request"} else 2)
    day = str(OLD.date())
    code, _, err = run(
        capsys, "shred", "--owner", OWNERS[0], "--since", day, "--until", day, *ACTING, "--config", config
    )
    assert (code, err) == (4, f"guard: held by {name}; nothing was destroyed\n")
    assert run(capsys, "hold", "--release", name, *ACTING, "--config", config)[0] == 0
    assert run(capsys, "hold", "--config", config)[1] == ["nothing is held"]
    run(capsys, "retain", "--config", config)
    assert ("content-30", str(OLD.date())) not in left(config)
    assert {"hold", "release", "retain"} == set(acts(config))


def test_a_hold_needs_a_person_and_something_to_hold(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "hold", "--everything", "--config", config)[0] == 4
    code, _, err = run(capsys, "hold", "--request", "none", *ACTING, "--config", config)
    assert (code, err) == (1, "guard: no request of this id has kept texts\n")
    code, _, err = run(capsys, "hold", "--release", "hold-0000000000000000", *ACTING, "--config", config)
    assert (code, err) == (1, "guard: there is no hold 'hold-0000000000000000'\n")
    later = ("--since", "2026-02-01", "--until", "2026-01-01")
    code, _, err = run(capsys, "hold", "--everything", *later, *ACTING, "--config", config)
    assert (code, err) == (1, "guard: --since is after --until\n")
    assert acts(config) == []


def test_while_a_hold_cannot_be_read_nothing_is_deleted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "hold", "--owner", "nobody", *ACTING, "--config", config)[0] == 0
    (path,) = (config / "var" / "content-keys" / "holds").glob("*.json")
    path.write_text("{")
    code, _, err = run(capsys, "retain", "--config", config)
    assert (code, len(left(config))) == (1, 4)
    assert "is not a hold that can be read" in err


def test_shredding_destroys_an_owners_keys_and_only_of_days_that_are_over(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    today, yesterday = str(NOW.date()), str((NOW - timedelta(days=1)).date())
    shred = ("shred", "--owner", OWNERS[0], *ACTING, "--config", config, "--since", str(OLD.date()))
    code, _, err = run(capsys, *shred, "--until", today)
    assert (code, keys(config)) == (4, 8)
    assert "only days that are over can be shredded" in err
    assert run(capsys, *shred, "--until", yesterday, "--dry-run")[0] == 0
    assert keys(config) == 8
    assert run(capsys, *shred, "--until", yesterday, "--class", "content")[0] == 0
    assert keys(config) == 6
    assert run(capsys, *shred, "--until", yesterday)[0] == 0
    assert (keys(config), len(left(config))) == (4, 4)
    assert acts(config) == ["shred"] * 4
    access = ("--content", "--who", "ana", "--reason", "case 7", "--json", "--config", config)
    shown = [json.loads(line) for line in run(capsys, "show", f"se-{yesterday}", *access)[1]]
    assert all("destroyed with its time, or shredded" in each["lost"] for each in shown)
    shown = [json.loads(line) for line in run(capsys, "show", f"an-{yesterday}", *access)[1]]
    assert all(each["texts"] for each in shown)


def test_what_cannot_be_put_on_record_is_not_deleted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config / "var" / "audit" / "operator").touch()
    code, _, err = run(capsys, "retain", "--config", config)
    assert (code, keys(config), len(left(config))) == (4, 8, 4)
    assert "could not be put on record" in err


def test_the_day_is_that_of_utc(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_retention, "_today", (OLD + timedelta(days=30)).date)
    assert run(capsys, "retain", "--config", config)[1] == ["nothing to delete"]
    monkeypatch.setattr(audit_retention, "_today", (OLD + timedelta(days=31)).date)
    assert len(run(capsys, "retain", "--config", config)[1]) == 1


def test_a_model_below_the_floor_fails_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = {"retention": {"content_days": 20}}
    write_configuration(tmp_path, models=[ModelSpec(log=short)])
    write_people(tmp_path, {"ana": ["investigator", "responsible_scaling_officer"]})
    (tmp_path / "standards").mkdir()
    (tmp_path / "standards" / "own.yaml").write_text(json.dumps(_standard(30)))
    model = json.loads((tmp_path / "models" / "demo.yaml").read_text())
    model["framework"] = {"name": "own", "version": "1"}
    (tmp_path / "models" / "demo.yaml").write_text(json.dumps(model))
    assert main(["check", "--config", str(tmp_path)]) == 1
    assert "content_days of request_log is 20, at least 30 are asked" in capsys.readouterr().out
    model["safeguards"][0]["settings"]["retention"]["content_days"] = 30
    (tmp_path / "models" / "demo.yaml").write_text(json.dumps(model))
    assert main(["check", "--config", str(tmp_path)]) == 0


def test_what_has_no_copy_yet_waits_for_it(config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = config / "guard.yaml"
    content = json.loads(path.read_text())
    (tmp_path / "share").mkdir()
    content["storage"]["ship"] = {"to": f"file://{tmp_path}/share", "unshipped_days": 30}
    path.write_text(json.dumps(content))
    code, lines, _ = run(capsys, "retain", "--config", config)
    assert code == 0
    assert "1 folders wait for their copies" in lines[0]
    assert ("content-30", str(OLD.date())) in left(config)
    assert keys(config) == 6
    sealer = open_sealer(config / "var" / "audit", key_ring(load(config)), SYSTEM_CLOCK, 3600)
    sealer.round({})
    sealer.close()
    assert run(capsys, "ship", "--config", config)[0] == 0
    assert run(capsys, "retain", "--config", config)[0] == 0
    assert ("content-30", str(OLD.date())) not in left(config)


def _old_records(tmp_path: Path) -> Sealer:
    """Segments of more than two years ago, sealed, where records are kept for two."""
    write_configuration(tmp_path)
    path = tmp_path / "guard.yaml"
    content = json.loads(path.read_text())
    content["audit"] = {"record_days": 730}
    path.write_text(json.dumps(content))
    audit = tmp_path / "var" / "audit"
    for age in (800, 799):
        clock = Clock((NOW - timedelta(days=age)).timestamp())
        ledger = Ledger.open(audit / "worker-0", clock, limits=Limits(segment=20_000))
        for number in range(200):
            ledger.intent(exchange(f"{age}-{number}"), durable=False, keep=None)
            ledger.outcome(exchange(f"{age}-{number}"), outcome(), durable=False)
        ledger.close()
    sealer = open_sealer(audit, key_ring(load(tmp_path)), SYSTEM_CLOCK, 3600)
    sealer.round({})
    return sealer


def test_records_go_after_their_own_days_and_the_log_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealer, audit = _old_records(tmp_path), tmp_path / "var" / "audit"
    before = len(listing(audit / "worker-0"))
    code, lines, _ = run(capsys, "retain", "--dry-run", "--config", tmp_path)
    assert code == 0
    assert lines[0].startswith("would retain worker-0/seg-00000000000000000001.log:")
    assert len(listing(audit / "worker-0")) == before
    code, lines, _ = run(capsys, "retain", "--config", tmp_path)
    assert len(listing(audit / "worker-0")) == before - len(lines)
    assert len(lines) > 3
    sealer.round({})
    sealer.close()
    report = verify(audit, log_key(load(tmp_path)))
    assert report.intact, report.findings
    assert acts(tmp_path) == ["retain"] * len(lines)
    assert run(capsys, "retain", "--config", tmp_path)[:2] == (0, ["nothing to delete"])


EMPTY = ("", " ")
DAYS = ("--since", str(OLD.date()), "--until", str(OLD.date()))


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("shred", *DAYS), "--owner"),
        (("hold",), "--owner"),
        (("hold",), "--model"),
        (("hold",), "--request"),
        (("hold",), "--release"),
    ],
)
def test_an_empty_name_is_refused_and_means_neither_everybody_nor_nothing(
    command: tuple[str, ...], option: str, empty: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(capsys, *command, option, empty, *ACTING, "--config", config)
    assert ended.value.code == 2
    assert f"argument {option}: a name, and this one is empty" in capsys.readouterr().err
    assert (keys(config), acts(config)) == (8, [])
    assert run(capsys, "hold", "--config", config)[1] == ["nothing is held"]


def test_a_hold_of_nothing_in_particular_is_no_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (DAYS, ACTING, ("--since", str(OLD.date()))):
        code, lines, err = run(capsys, "hold", *more, "--config", config)
        assert (code, lines) == (1, [])
        assert "nothing was held: say what" in err


@pytest.mark.parametrize("what", [("--request", f"se-{OLD.date()}"), ("--release", "hold-0000000000000000")])
def test_days_that_would_be_passed_over_are_refused(
    what: tuple[str, str], config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "hold", *what, *DAYS, *ACTING, "--config", config)
    assert (code, err) == (1, "guard: --since and --until go with --owner, --model and --everything\n")


def test_what_is_shredded_says_whose_it_was(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shred = ("shred", "--class", "content", *DAYS, *ACTING, "--config", config)
    assert run(capsys, *shred, "--owner", OWNERS[0])[0] == 0
    assert run(capsys, *shred, "--everybody")[0] == 0
    one, everybody = (each for each in contents(config / "var" / "audit") if isinstance(each, Control))
    assert one.subject == f"content-30/{OLD.date()} of {OWNERS[0]}"
    assert (everybody.subject, "everybody's; 1 keys" in everybody.reason) == (f"content-30/{OLD.date()}", True)


def test_control_characters_go_on_no_record(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(capsys, "retain", "--who", "cron\x1b[2J", "--config", config)
    assert "argument --who: a line of at most 500 printable characters" in capsys.readouterr().err
    assert keys(config) == 8


LATE = Hold("hold-00000000000000aa", "ana", "court order", 0.0)


def _comes_late(monkeypatch: pytest.MonkeyPatch, config: Path, place: str) -> None:
    """Have another person hold everything while the first deletion is under way."""
    whole, holds = getattr(audit_retention, place), Holds(config / "var" / "content-keys")

    def deleting(*arguments: object) -> None:
        whole(*arguments)
        if not holds.all():
            threading.Thread(target=holds.add, args=(LATE,)).start()
            while not holds.all():
                pass

    monkeypatch.setattr(audit_retention, place, deleting)


def test_a_hold_stops_a_shredding_on_its_way(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _comes_late(monkeypatch, config, "delete")
    code, lines, err = run(capsys, "shred", "--everybody", *DAYS, *ACTING, "--config", config)
    assert (code, len(lines), keys(config), acts(config)) == (4, 1, 6, ["shred"])
    assert f"is held by {LATE.id} since" in err


def test_a_hold_stops_the_retention_of_texts_on_its_way(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _comes_late(monkeypatch, config, "delete")
    monkeypatch.setattr(audit_retention, "_today", (NOW + timedelta(days=800)).date)
    code, lines, _ = run(capsys, "retain", "--config", config)
    assert (code, len(lines), keys(config), acts(config)) == (0, 4, 6, ["retain"])
    assert all(f"kept by {LATE.id}" in line for line in lines[1:])


def test_a_hold_stops_the_retention_of_records_on_its_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _old_records(tmp_path).close()
    log = tmp_path / "var" / "audit" / "worker-0"
    before = len(listing(log))
    _comes_late(monkeypatch, tmp_path, "delete_segment")
    code, lines, _ = run(capsys, "retain", "--config", tmp_path)
    assert (code, len(listing(log)), len(lines), acts(tmp_path)) == (0, before - 1, 2, ["retain"])
    assert f"kept by {LATE.id}" in lines[1]


def test_what_blocks_retention_is_said_and_the_rest_goes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config / "var" / "audit" / "worker-0" / "bodies" / "content-30" / "2026-13-45").mkdir()
    code, lines, err = run(capsys, "retain", "--config", config)
    assert (code, len(lines), keys(config)) == (1, 1, 6)
    assert "2026-13-45': is no folder of a class and day, and stays" in err


def test_a_log_whose_records_cannot_go_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _old_records(tmp_path).close()
    first = listing(tmp_path / "var" / "audit" / "worker-0")[0]
    first.write_bytes(first.read_bytes()[:-1])
    code, lines, err = run(capsys, "retain", "--config", tmp_path)
    assert (code, lines, first.is_file()) == (1, [], True)
    assert f"{first}: it and all after it stay: damaged" in err

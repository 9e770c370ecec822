"""A standard of the operator's own counts as signed by exactly those who signed it as it is, and while that holds."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guard.approval.order import Act, canonical
from guard.approval.profiles import with_profiles
from guard.policy.config import Config
from guard.policy.fingerprint import of_standard
from guard.policy.floor import routable_until, unmet
from guard.policy.load import load
from tests.guard.approval.persons import ANA, BEN, DAY, NOW, OPERATORS, STRANGER, VIEWER, order
from tests.parts.configuration import ModelSpec, write_configuration
from tests.parts.ssh_keys import SoftKey

AT = datetime.fromtimestamp(NOW, UTC)
TWO = {"ana": ANA, "ben": BEN}
ROW = {"level": 4, "requires": "it", "source": "us", "check": "mounted", "with": {"safeguard": "kill_switch"}}
ROWS = [{"id": "P1", "axis": "deployment", **ROW}, {"id": "P2", "axis": "security", **ROW}]


def at_level_four(directory: Path, rows: list[dict[str, Any]] = ROWS) -> Config:
    """Load a configuration whose one model declares ASL-4 under a standard of the operator's own."""
    write_configuration(directory, models=[ModelSpec(asl=4)], now=AT)
    standard = {"name": "ours", "version": "1", "title": "t", "source": "https://example.com/", "rows": rows}
    (directory / "standards").mkdir(exist_ok=True)
    (directory / "standards" / "ours.yaml").write_text(json.dumps(standard))
    path = directory / "models" / "demo.yaml"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"framework": {"name": "ours", "version": "1"}}))
    return replace(load(directory), operators=OPERATORS)


def sign(config: Config, keys: dict[str, SoftKey], *, days: int = 7, fingerprint: str = "") -> Config:
    """Put an order with these signatures beside it, and read it."""
    folder = config.directory / "approvals"
    folder.mkdir(exist_ok=True)
    what = order(Act.CUSTOM_PROFILE, {"after": fingerprint or of_standard(config.standards["ours", "1"])}, days=days)
    (folder / "x.json").write_bytes(canonical(what))
    for person, key in keys.items():
        (folder / f"x.{person}.sig").write_bytes(key.sign(canonical(what)))
    return with_profiles(config, NOW)


def whys(config: Config, at: datetime = AT) -> list[tuple[str, str]]:
    return [(row.row, row.why) for row in unmet(config, "demo", at)]


UNSIGNED = "ours 1, as it is now, is not signed by enough people: guard approval new profile, guard approval check"


def test_a_model_at_level_four_is_served_under_a_standard_that_two_people_signed(tmp_path: Path) -> None:
    config = at_level_four(tmp_path)
    assert whys(config) == [("G1", UNSIGNED)]
    signed = sign(config, TWO)
    assert whys(signed) == []
    (found,) = signed.signed.values()
    assert (found.people, found.begins, found.ends) == (("ana", "ben"), NOW, NOW + 7 * DAY)


def test_it_is_served_no_longer_than_the_order_holds(tmp_path: Path) -> None:
    signed = sign(at_level_four(tmp_path), TWO)
    end = datetime.fromtimestamp(NOW + 7 * DAY, UTC)
    assert routable_until(signed, "demo", AT) == end.timestamp()
    assert whys(signed, end) == [("G1", "ours 1 is signed by ana, ben, but not for this time")]


def test_it_is_served_no_longer_than_two_of_those_who_signed_may_sign(tmp_path: Path) -> None:
    signed = sign(at_level_four(tmp_path), TWO, days=300)
    assert next(iter(signed.signed.values())).ends == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "keys",
    [{"ana": ANA}, {"ana": ANA, "vic": VIEWER}, {"ana": ANA, "ben": STRANGER}, {"ana": ANA, "ben": ANA}],
    ids=["one", "one without the right", "a key of nobody", "one person twice"],
)
def test_fewer_than_two_people_sign_nothing(tmp_path: Path, keys: dict[str, SoftKey]) -> None:
    assert whys(sign(at_level_four(tmp_path), keys)) == [("G1", UNSIGNED)]


def test_a_standard_that_was_changed_after_the_signing_must_be_signed_again(tmp_path: Path) -> None:
    assert whys(sign(at_level_four(tmp_path), TWO)) == []
    changed = at_level_four(tmp_path, [*ROWS, {**ROWS[0], "id": "P3"}])
    assert whys(with_profiles(changed, NOW)) == [("G1", UNSIGNED)]


def test_a_standard_without_rows_for_level_four_is_no_profile(tmp_path: Path) -> None:
    signed = sign(at_level_four(tmp_path, [ROWS[0], {**ROWS[1], "level": 3}]), TWO)
    assert whys(signed) == [("G1", "ours 1 has no row for security at ASL-4")]


def test_a_built_in_standard_is_never_a_profile(tmp_path: Path) -> None:
    write_configuration(tmp_path, models=[ModelSpec(asl=4)], now=AT)
    config = replace(load(tmp_path), operators=OPERATORS)
    (tmp_path / "approvals").mkdir()
    what = order(Act.CUSTOM_PROFILE, {"after": of_standard(config.standard("demo"))})
    (tmp_path / "approvals" / "x.json").write_bytes(canonical(what))
    for person, key in TWO.items():
        (tmp_path / "approvals" / f"x.{person}.sig").write_bytes(key.sign(canonical(what)))
    signed = with_profiles(config, NOW)
    assert signed.signed == {}
    words = (
        "example-internal 1 is built in and says nothing about ASL-4; that takes a standard of your own, signed by two"
    )
    assert ("G1", words) in whys(signed)


def test_without_people_nobody_has_signed(tmp_path: Path) -> None:
    config = replace(at_level_four(tmp_path), operators=None)
    assert whys(sign(config, TWO)) == [("G1", UNSIGNED)]


def test_below_level_four_nobody_is_asked(tmp_path: Path) -> None:
    write_configuration(tmp_path, now=AT)
    assert unmet(with_profiles(load(tmp_path), NOW), "demo", AT) == ()


def test_a_file_that_somebody_left_signs_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    signed = sign(at_level_four(tmp_path), TWO)
    (tmp_path / "approvals" / "x.json.sig").write_bytes(b"as ssh-keygen leaves it")
    assert whys(signed) == []
    assert whys(with_profiles(at_level_four(tmp_path), NOW)) == [("G1", UNSIGNED)]

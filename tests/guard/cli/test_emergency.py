"""`guard token emergency` prints a token and the entry by which a guard knows it."""

from __future__ import annotations

import pytest
import yaml

from guard.admin.emergency import Emergency
from guard.cli import main
from guard.policy.sign_in import EmergencyToken

NEW = ["token", "emergency", "envelope-1", "--holder", 'Envelope: "1"', "--owner", "Ana B."]


def test_the_entry_knows_the_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(NEW) == 0
    out, err = capsys.readouterr()
    token = out.strip()
    assert token.startswith("et-guard-envelope-1-")
    assert token not in err
    (entry,) = yaml.safe_load(err.partition("admin.emergency_tokens:\n")[2])
    entry["expires"] = str(entry["expires"])
    known = Emergency([EmergencyToken.model_validate(entry)], lambda: 0.0)
    assert known.holder(token.encode()).name == 'Envelope: "1" (emergency token, Ana B.)'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*NEW, "--days", "0"], "--days: 1 to 3650"),
        (["token", "emergency", "Bad Name", "--holder", "h", "--owner", "o"], "id: not what"),
        (["token", "emergency", "e", "--holder", "a\nb", "--owner", ""], "holder, owner: not what"),
    ],
)
def test_what_an_entry_could_not_hold_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert words in err

"""Gives models of a written configuration a ladder, and a classifier in shadow that its rung ``stricter`` enforces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

TRIED: Final = "TRIED-MARKER"
RULES: Final = {
    "version": 1,
    "name": "tried",
    "release": "1",
    "rules": [{"id": "tried", "category": "other", "phrase": TRIED}],
}


def write_ladder(directory: Path, model: str, ladder: Mapping[str, Any]) -> None:
    """Give a model this ladder, and a classifier ``tried`` in shadow."""
    (directory / "rules" / "tried.yaml").write_text(json.dumps(RULES))
    path = directory / "models" / f"{model}.yaml"
    policy = json.loads(path.read_text())
    tried = {
        "use": "classifier",
        "name": "tried",
        "mode": "shadow",
        "on_failure": "block",
        "deadline_seconds": 5,
        "settings": {"engine": "patterns", "screens": ["input", "output"], "rules": "rules/tried.yaml"},
    }
    path.write_text(json.dumps({**policy, "safeguards": [*policy["safeguards"], tried], "ladder": ladder}))

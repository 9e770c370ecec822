"""What drills tell on the terminal, and where they write their evidence."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from typing import Any

from guard.cli.switch import out


def ms(seconds: float | None) -> str:
    """Milliseconds, or a dash for what did not come."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def tell_evidence(evidence: dict[str, Any], arguments: argparse.Namespace, *, made: bool) -> None:
    """Print what was not shown, or all of it as JSON, and write it where ``--out`` says if a drill was ``made``."""
    raw = json.dumps(evidence, indent=1).encode() + b"\n"
    if arguments.json:
        sys.stdout.write(raw.decode())
    else:
        for each in evidence["not_shown"]:
            out(f"not shown: {each}")
    if arguments.out is not None and made:
        arguments.out.write_bytes(raw)
        if not arguments.json:
            out(f"{arguments.out}: sha256 {hashlib.sha256(raw).hexdigest()}, for an attestation of stop_drill")

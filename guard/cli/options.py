"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_config(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``--config``; there is no default directory, so that nothing is served by accident."""
    given = os.environ.get("GUARD_CONFIG")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="DIR",
        default=Path(given) if given else None,
        required=required and not given,
        help="the configuration directory (or the variable GUARD_CONFIG)",
    )

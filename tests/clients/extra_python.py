"""LangChain and LiteLLM's library, in an environment of their own below .cache/: they need other versions than we do.

They take some hundred megabytes, so they are installed and looked at only with ``GUARD_TEST_EXTRAS=1``, which
continuous integration does not set; their part of the page is compared only then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.clients.endings import Client
from tests.clients.installed import installed, run
from tests.clients.lines import Lines

WANTED: Final = os.environ.get("GUARD_TEST_EXTRAS") == "1"
_HERE: Final = Path(__file__).parent / "extras"
_LOCK: Final = _HERE / "requirements.txt"


def command() -> Sequence[str]:
    """What starts the driver, once the libraries are there."""

    def install(folder: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        options = ("--quiet", "--system-certs", "--python", sys.executable, "--target", folder)
        run(uv, "pip", "install", *options, "-r", _LOCK, folder=folder)

    folder = installed("extras", [_LOCK], install)
    # -S: without this environment's packages; the folder takes their place.
    begin = "import sys, runpy; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='__main__')"
    return [sys.executable, "-S", "-c", begin, str(folder), str(_HERE / "driver.py")]


LINES: Final = Lines(command)
CLIENTS: Final = (
    Client("langchain-openai (Python): ChatOpenAI", "", LINES.client("langchain"), extra=True),
    Client("litellm (Python): openai/", "", LINES.client("litellm openai"), extra=True),
    Client("litellm (Python): anthropic/", "", LINES.client("litellm anthropic"), extra=True),
)

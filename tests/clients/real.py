"""A guard before llama.cpp's own server, for what it speaks: chat, completions, messages and counting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts.configuration import Credentials, ModelSpec, write_configuration
from tests.parts.guard_thread import GuardThread
from tests.parts.llama import LlamaServer


@dataclass(frozen=True, slots=True)
class Real:
    """The guard serves the model ``real``."""

    guard: GuardThread
    server: LlamaServer
    credentials: Credentials


@contextmanager
def real_in(directory: Path) -> Iterator[Real]:
    """Serve from this directory, which takes the server's files too."""
    operations = ("chat", "completions", "messages", "count_tokens")
    with LlamaServer(directory, width=2048) as server:
        models = [ModelSpec("real", upstream=server.url, operations=operations)]
        credentials = write_configuration(directory / "guard", models=models)
        with GuardThread(directory / "guard") as guard:
            yield Real(guard, server, credentials)

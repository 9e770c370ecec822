"""The witness's process: one resource to post heads to, one for each log to read the newest from."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from guard.audit.cosigning import MAX_REQUEST_BYTES, SIZE_TYPE, TEXT_TYPE, Answer, WitnessState, log_file
from guard.audit.directory import prepare
from guard.audit.note import MAX_NOTE_BYTES, Algorithm, Key, NoteError, Signer, parse_key
from guard.audit.segments import LedgerError, describe
from guard.audit.signing_keys import load_key, new_key, read_private
from guard.audit.tiles import write_atomically
from guard.serve.http import protocol_class
from guard.serve.server import address, listen, server

BODY_SECONDS: Final = 5.0
HEADER_BYTES: Final = 16_384
HEADER_SECONDS: Final = 5.0
CONNECTIONS: Final = 256
KEY_FILE: Final = "witness.pem"
HEADS: Final = "heads"


def witness_app(state: WitnessState, origins: list[str]) -> Starlette:
    """The application; what a request says wrong is answered, what the disk does wrong is a 500 without words."""
    files = {log_file(origin): origin for origin in origins}

    async def add(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return Response(status_code=408)
        if body is None:
            return Response("longer than any head\n", 413, media_type=TEXT_TYPE)
        # Not in a thread: judging and keeping must not be interleaved with another head's, and both are short.
        return _response(state.add(body, int(time.time())))

    async def latest(request: Request) -> Response:
        origin = files.get(request.path_params["file"])
        note = state.latest(origin) if origin is not None else None
        if note is None:
            return Response(status_code=404)
        return Response(note.encode(), media_type=TEXT_TYPE)

    return Starlette(
        routes=[
            Route("/add-checkpoint", add, methods=["POST"]),
            Route("/{file}/checkpoint", latest, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_REQUEST_BYTES:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _response(answer: Answer) -> Response:
    # The type of sizes has no parameters, and Starlette adds a charset to every text.
    headers = {"content-type": answer.kind if answer.kind == SIZE_TYPE else TEXT_TYPE}
    return Response(answer.body, answer.status, headers=headers)


def witness_signer(directory: Path, name: str) -> Signer:
    """The witness's key, made at the first start with mode 0600; raises LedgerError."""
    path = directory / KEY_FILE
    try:
        prepare(directory)
        try:
            pem = read_private(path)
        except FileNotFoundError:
            pem = new_key()
            write_atomically(path, pem, durable=True)
        return Signer(name, load_key(pem, path), Algorithm.COSIGNATURE)
    except OSError as error:
        raise LedgerError(f"{path}: {describe(error)}") from error
    except NoteError as error:
        raise LedgerError(f"the name of the witness: {error}") from None


def log_keys(paths: list[Path]) -> dict[str, list[Key]]:
    """The trusted keys of each log by its origin, which is the name in the key; raises LedgerError."""
    found: dict[str, list[Key]] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                key = parse_key(file.read(MAX_NOTE_BYTES).decode(errors="replace"))
        except OSError as error:
            raise LedgerError(f"{path}: {describe(error)}") from error
        except NoteError as error:
            raise LedgerError(f"{path}: {error}") from None
        if key.algorithm is not Algorithm.ED25519:
            raise LedgerError(f"{path}: the key of a witness, not of a log")
        found.setdefault(key.name, []).append(key)
    return found


async def _serve(app: Any, sock: socket.socket) -> None:
    http = protocol_class(HEADER_BYTES, HEADER_SECONDS, 2 * CONNECTIONS, ())
    running = server(app, http, keep_alive=75, concurrency=CONNECTIONS)
    loop = asyncio.get_running_loop()

    def end() -> None:
        running.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await running.serve([sock])


def main(directory: Path, name: str, logs: list[Path], host: str, port: int) -> int:
    """Run the witness until a signal; raises LedgerError and OSError when it cannot begin."""
    keys = log_keys(logs)
    signer = witness_signer(directory, name)
    state = WitnessState(directory / HEADS, signer, keys)
    try:
        with listen(host, port) as sock:
            sys.stdout.write(f"{signer.key}\nlistening on {address(sock)} for {', '.join(keys)}\n")
            sys.stdout.flush()
            asyncio.run(_serve(witness_app(state, list(keys)), sock))
    finally:
        state.close()
    return 0

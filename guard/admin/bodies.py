"""Reading what is sent to the admin listener: bounded in bytes and time."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import Request

from guard.state.scope import OrderError

MAX_BODY: Final = 16_384
BODY_SECONDS: Final = 5.0


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """Return the body; raises OrderError when it is too large or too slow, ClientDisconnect when it breaks off."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise OrderError(f"the body is larger than {limit} bytes")
    except TimeoutError:
        raise OrderError("the body did not arrive in time") from None
    return b"".join(pieces)

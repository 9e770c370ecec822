"""Which server it is, what it serves, whether it asks for a key: from pages that any visitor may read.

Not asked: `/health`, which makes SGLang and TGI generate a token. A server can claim to be another; nothing rests on
its kind but the table of routes that is tried and a word in records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from guard.onboarding.asking import REDIRECTS, REFUSALS, Answer, Asking, NoAnswerError
from guard.policy.model import ServerKind

MAX_MODELS: Final = 1000
CHAT: Final = "/v1/chat/completions"
MODELS: Final = "/v1/models"


class NotUnderstoodError(Exception):
    """Why the server cannot be guarded as it stands, as words that follow "the server"."""


@dataclass(frozen=True, slots=True)
class Server:
    """What was found; ``version`` and ``models`` are the server's own words, not yet fit to be printed.

    ``keyed`` tells whether a chat request without a key is refused; ``admitted`` whether ours goes through.
    """

    kind: ServerKind
    version: str
    models: tuple[str, ...]
    keyed: bool
    admitted: bool


@dataclass(frozen=True, slots=True)
class _Sign:
    """A page whose JSON object has all of these keys is that server's; ``version`` is the key that tells its version.

    The order matters: the page `/version` says the least about who wrote it.
    """

    kind: ServerKind
    path: str
    keys: frozenset[str]
    version: str = ""


_SIGNS: Final = (
    _Sign(ServerKind.LLAMACPP, "/props", frozenset({"default_generation_settings"}), "build_info"),
    _Sign(ServerKind.SGLANG, "/model_info", frozenset({"model_path", "is_generation"})),
    _Sign(ServerKind.SGLANG, "/get_model_info", frozenset({"model_path", "is_generation"})),
    _Sign(ServerKind.TGI, "/info", frozenset({"model_id", "max_concurrent_requests"}), "version"),
    _Sign(ServerKind.OLLAMA, "/api/version", frozenset({"version"}), "version"),
    _Sign(ServerKind.VLLM, "/version", frozenset({"version"}), "version"),
)
_OWNERS: Final[Mapping[str, ServerKind]] = {
    "vllm": ServerKind.VLLM,
    "sglang": ServerKind.SGLANG,
    "llamacpp": ServerKind.LLAMACPP,
}


async def identify(asking: Asking, key: str = "") -> Server:
    """Look at the server; raises NoAnswerError, and NotUnderstoodError when it lists no model in OpenAI's form.

    ``key`` is sent to ``/v1`` alone. When a key is asked for and ours does not go through, no model may be known.
    """
    listing = await asking.ask(MODELS, key=key)
    keyed = (await _status(asking)) in REFUSALS
    if not key and listing.status in REFUSALS:
        keyed = True
    admitted = listing.status not in REFUSALS
    if admitted and keyed:  # llama.cpp lists its models to anybody
        admitted = bool(key) and await _status(asking, key) not in REFUSALS
    entries = _entries(listing) if admitted else []
    kind, version = await _who(asking, listing, entries)
    return Server(kind, version, tuple(entry["id"] for entry in entries), keyed, admitted)


async def _status(asking: Asking, key: str = "") -> int:
    """Ask the chat route with a method that cannot start anything there."""
    return (await asking.ask(CHAT, key=key, read=False)).status


def _entries(listing: Answer) -> list[dict[str, Any]]:
    if listing.status in REDIRECTS:
        raise NotUnderstoodError(f"redirects {MODELS} elsewhere ({listing.status}); give the address it points at")
    if listing.status == 200 and listing.body is None:  # noqa: PLR2004 - HTTP's OK
        raise NotUnderstoodError(f"answers {MODELS} with more than can be read, or compressed unasked")
    found = listing.json().get("data")
    if not isinstance(found, list):
        raise NotUnderstoodError(f"gives no list of models in OpenAI's form at {MODELS} (status {listing.status})")
    entries = [each for each in found[:MAX_MODELS] if isinstance(each, dict) and isinstance(each.get("id"), str)]
    if not entries:
        raise NotUnderstoodError(f"lists no model at {MODELS}")
    return entries


async def _who(asking: Asking, listing: Answer, entries: list[dict[str, Any]]) -> tuple[ServerKind, str]:
    owners = (_OWNERS.get(owner) for entry in entries[:1] if isinstance(owner := entry.get("owned_by"), str))
    known = next(owners, None)
    if known is None and listing.server == "llama.cpp":
        known = ServerKind.LLAMACPP
    for sign in _SIGNS:
        if known is not None and (sign.kind is not known or not sign.version):
            continue
        try:
            page = (await asking.ask(sign.path)).json()
        except NoAnswerError:
            continue
        if sign.keys <= page.keys():
            version = page.get(sign.version)
            return sign.kind, version if isinstance(version, str) else ""
    return known or ServerKind.OPENAI, ""

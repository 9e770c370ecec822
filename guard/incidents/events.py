"""What happens to an incident: immutable events with one strict JSON form.

An event is never changed or taken back; a later one of its kind holds instead. Words are those of the people who handle
the incident: they must not quote prompts or completions, which the request log holds sealed.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

MAX_EVENT_BYTES: Final = 65_536
MAX_REQUESTS: Final = 100
MAX_WORDS: Final = 500
WORST: Final = 4
LATEST: Final = 32_503_680_000.0  # the year 3000, in seconds since the epoch
ID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Words = Annotated[str, Meta(min_length=1, max_length=MAX_WORDS)]
Word = Annotated[str, Meta(min_length=1, max_length=128)]
Moment = Annotated[float, Meta(ge=0.0, lt=LATEST)]
StepCause = Literal["overdue", "finding"]
Severity = Annotated[int, Meta(ge=0, le=WORST)]


class EventError(ValueError):
    """An event, or the bytes of one, that breaks a rule; the message names the field and quotes nothing."""


class Imminent(StrEnum):
    """Whether there is an imminent risk of death or serious injury (F10)."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """By which way an event came; on the host a name is a claim, on the page and the API a credential proves it."""

    HOST = "host"
    PAGE = "page"
    API = "api"


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=str.lower, kw_only=True):
    """``id`` sorts by when it was done, ``at`` is seconds since the epoch; ``who`` is a person, or ``guard`` itself.

    Where the clock was set back an id is later than ``at``, which is what the clock said (`after`).

    ``source`` is None in what the guard does itself, and in events of before.
    """

    id: Word
    incident: Word
    at: Moment
    who: Word
    source: Source | None = None


class Opened(_Event, frozen=True, kw_only=True):
    """Something was found: in which model, when it was discovered, and the ids of the requests that show it.

    ``stop`` is the order of the stop that it was opened for, if it was.
    """

    model: Word
    summary: Words
    discovered: Moment
    severity: Severity | None = None
    requests: Annotated[tuple[Word, ...], Meta(max_length=MAX_REQUESTS)] = ()
    stop: Annotated[str, Meta(max_length=128)] = ""


class Triaged(_Event, frozen=True, kw_only=True):
    """How bad it is, who commands, and whether there is imminent risk (F10); the last one holds."""

    severity: Severity
    commander: Word
    imminent: Imminent
    note: str = ""


class Mitigated(_Event, frozen=True, kw_only=True):
    """One surface is fixed (I9), and how; ``policy`` is the digest that was in force."""

    surface: Word
    how: Words
    policy: str = ""


class Reported(_Event, frozen=True, kw_only=True):
    """What a legal clock asks for was done, or found not to be asked for; ``reference`` says which, and where it is."""

    clock: Word
    reference: Words


class Stepped(_Event, frozen=True, kw_only=True):
    """The guard took a model a step down by itself (C8, C9); ``order`` is the stop.

    ``cause`` is what for; ``model`` is which alias of the weights, empty in events of before: then it is all of them.
    """

    order: Word
    reason: Words
    cause: StepCause = "overdue"
    model: Annotated[str, Meta(max_length=128)] = ""


class Closed(_Event, frozen=True, kw_only=True):
    """It is over: every surface had reported its fix."""

    resolution: Words


Event = Opened | Triaged | Mitigated | Reported | Stepped | Closed
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decoder: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Write the one form: a line of JSON with sorted keys; raises EventError for what could not be read back."""
    data = _encode(event) + b"\n"
    decode(data)
    return data


def decode(raw: bytes) -> Event:
    """Read one event strictly; raises EventError naming what is wrong."""
    if len(raw) > MAX_EVENT_BYTES:
        raise EventError(f"event: more than {MAX_EVENT_BYTES} bytes")
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        # msgspec's messages name the field and what is wanted, never the value.
        raise EventError(f"event: {wrong if isinstance(wrong, msgspec.DecodeError) else 'not UTF-8'}") from None
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, str) and not (len(value) <= MAX_WORDS and value.isprintable()):
            raise EventError(f"{name}: at most {MAX_WORDS} printable characters")
    if ID.fullmatch(event.id) is None or ID.fullmatch(event.incident) is None:
        raise EventError("id, incident: 26 characters of Crockford's base 32, the first 0 to 7")
    if made(event.id) >= LATEST:
        raise EventError("id: made before the year 3000")  # nothing could be made behind it
    if isinstance(event, Opened) and event.id != event.incident:
        raise EventError("incident: its first event gives it its id")
    return event


def made(one: str) -> float:
    """Return when an id was made, in seconds since the epoch; that of no id is 0."""
    if ID.fullmatch(one) is None:
        return 0.0
    number = 0
    for letter in one[:10]:
        number = number << 5 | _ALPHABET.index(letter)
    return number / 1000.0


def after(newest: str, now: float) -> float:
    """Return the moment to make an id of that sorts behind ``newest``: now, unless the clock was set back since."""
    return max(now, made(newest) + 0.0015)  # half a millisecond more, since what makes ids rounds down

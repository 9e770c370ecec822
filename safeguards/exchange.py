"""The vocabulary of one request and its answer, as a safeguard sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from safeguards.mode import Mode, case_of
from safeguards.scope import CAPABILITY_WORDS, Capability, caller_words, request_words
from safeguards.verdict import Cleared


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: one key of one tier, with the person or team that owns it.

    ``peer`` is whom the certificate of the connection is for, empty where none was shown; it grants nothing.
    ``issued`` is when the key was made, in seconds since the epoch; one that does not say counts as new.
    ``audience`` is whom the tier's keys stand for; a model of another one is not served to them (row C13).
    ``attributes`` are ``name=value``, as declared beforehand (row I11); an ``investigator`` is served what is
    quarantined. ``scopes`` are the words by which a stop can name the caller.
    """

    key: str
    owner: str
    tier: str
    peer: str = ""
    issued: float = math.inf
    audience: str = "general"
    attributes: tuple[str, ...] = ()
    investigator: bool = False
    scopes: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Find the words once: a caller is made when keys are loaded."""
        object.__setattr__(self, "scopes", caller_words(self.key, self.owner, self.tier, self.attributes))


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of the prompt that the model will read.

    ``place`` is its path in the request (``messages[2].content[0].text``), ``role`` whose voice it is
    (``system``, ``user``, ``assistant``, ``tool``, or ``control`` for texts that steer the answer).
    """

    place: str
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it was understood: everything a safeguard may decide on.

    ``received`` is seconds since the epoch, ``policy`` the digest of the whole configuration that judges it, and
    ``framework`` the standard that binds the model: its name, its version and the hash of its rows (row F9).
    ``release`` is which version of the model it is, empty where its policy does not say. ``rungs`` are those of its
    ladder that its policy can answer, and ``asked`` is the model that the caller named, empty where that is ``model``.
    ``fallback_for`` are the categories of prompts that its rung ``fallback`` is for, empty where it is for everything.
    ``charged`` is whether that model has already counted it against the rate of its key.
    ``scopes`` are the words by which a stop can name this exchange and ``case`` which modes hold for it: found once,
    because they are asked for before every send.
    """

    id: str
    caller: Caller
    model: str
    asl: int
    surface: str
    dialect: str
    operation: str
    streamed: bool
    passages: tuple[Passage, ...]
    policy: str
    received: float
    framework: str = ""
    release: str = ""
    capabilities: tuple[Capability, ...] = ()
    rungs: frozenset[Mode] = frozenset()
    asked: str = ""
    fallback_for: frozenset[str] = frozenset()
    charged: bool = False
    scopes: frozenset[str] = field(init=False, compare=False, repr=False)
    case: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Find the words and the case."""
        words = request_words(self.model, self.release, self.asl, self.operation)
        if self.capabilities:
            words += tuple([CAPABILITY_WORDS[each] for each in self.capabilities])
        object.__setattr__(self, "scopes", frozenset(words + self.caller.scopes))
        case = int(investigator := self.caller.investigator)
        if self.rungs:
            case = case_of(investigator=investigator, rungs=self.rungs, in_part=bool(self.fallback_for))
        object.__setattr__(self, "case", case)


class ChannelKind(StrEnum):
    """What the text of a channel is; every kind is watched."""

    CONTENT = "content"
    REASONING = "reasoning"
    REFUSAL = "refusal"
    TOOL_NAME = "tool_name"
    TOOL_ARGUMENTS = "tool_arguments"


@dataclass(frozen=True, slots=True)
class ChannelId:
    """Which growing text of the answer: the choice, the kind, and the part of it (a tool call's index)."""

    choice: int
    kind: ChannelKind
    part: int = 0

    def __str__(self) -> str:
        """Name it the way records and reasons do: ``content[0]``, ``tool_arguments[0.1]``."""
        place = f"{self.choice}.{self.part}" if self.part else str(self.choice)
        return f"{self.kind.value}[{place}]"


class Channel:
    """One growing text of the answer; offsets are characters (code points) from its beginning.

    ``fresh`` is what the last batch added and starts at ``start``; ``complete`` is set when no more will come.
    ``memory`` is where a safeguard keeps what it knows about this channel, under its own mount's name. ``whole`` clears
    all of its text: made once for each piece, since nearly every safeguard answers it.
    """

    __slots__ = ("complete", "end", "fresh", "id", "memory", "pieces", "start", "whole")

    def __init__(self, channel_id: ChannelId) -> None:
        """Begin empty."""
        self.id = channel_id
        self.pieces: list[str] = []
        self.start = 0
        self.end = 0
        self.fresh = ""
        self.complete = False
        self.memory: dict[str, object] = {}
        self.whole = Cleared(0)

    def append(self, text: str) -> int:
        """Add text of the current batch and return the offset of its end."""
        self.pieces.append(text)
        self.fresh = self.fresh + text if self.fresh else text
        self.end = end = self.end + len(text)
        self.whole = Cleared(end)
        return end

    def settle(self) -> None:
        """Begin the next batch: what was fresh has been watched."""
        self.start = self.end
        self.fresh = ""

    @property
    def text(self) -> str:
        """The whole text so far; joins once and keeps the result."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

"""What the guard does to one body or one event alone: reading a request strictly, reading an answer, classifying.

No sockets: a request is parsed, read by its dialect's table into passages, and written anew, as the worker does it
before anything else may happen on its event loop. Time per size shows that it is linear; the shapes are those that cost
the most per byte of all that we could think of, some of them beyond a bound and refused.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final

import msgspec

from guard.classifiers.patterns import PatternClassifier, PatternRule
from guard.wire.anthropic_messages import AnthropicMessages
from guard.wire.dialect import NOTHING_GRANTED, Dialect, Naming
from guard.wire.openai_chat import OpenAIChat
from guard.wire.openai_completions import OpenAICompletions
from guard.wire.openai_responses import OpenAIResponses
from guard.wire.strict_json import MAX_MARKS, BadField, parse_object
from tests.benchmarks.process import as_a_worker

KILO, MEGA = 1024, 1024 * 1024
GOAL_MS, BOUND_MS = 40.0, 300.0  # of 2 MB of chat, and of 2 MB of anything
_PROSE: Final = "The quick brown fox, as they say, jumps over the lazy dog: and then it writes a letter home. "
_EVENTS: Final = 2000

Figure = tuple[str, list[float], str]
Size = tuple[int, list[float], list[float]]


def chat_body(size: int) -> bytes:
    """Make a conversation of about so many bytes, in messages of two to four thousand characters."""
    length = max(2000, size // 4000)  # the table takes 4096 messages
    text = (_PROSE * (length // len(_PROSE) + 1))[:length]
    whole, rest = divmod(size, length + 50)
    texts = [text] * whole + [text[:rest]]
    messages = [{"role": ("user", "assistant")[number % 2], "content": each} for number, each in enumerate(texts)]
    return json.dumps({"model": "bench", "messages": messages}).encode()


def _one_text(raw: str) -> bytes:
    return b'{"model":"bench","messages":[{"role":"user","content":"%b"}]}' % raw.encode()


def _schema(*parameters: str) -> bytes:
    """Put the inner text of a tool's parameters, an object, into a request."""
    head = '{"model":"bench","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":'
    return (head + '{"name":"f","parameters":{' + ",".join(parameters) + "}}}]}").encode()


def _arguments(raw: str) -> bytes:
    head = '{"model":"bench","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":'
    return (head + '{"name":"f","arguments":"' + raw + '"}}]}]}').encode()


def _list(item: str, count: int) -> str:
    return '"a":[' + ",".join([item] * count) + "]"


def _property(number: int) -> str:
    return f'"property_{number}":{{"type":"string","description":"{_PROSE}{_PROSE[:40]}"}}'


def shapes(size: int) -> dict[str, bytes]:
    """Make bodies of about this size (2 MB is meant) that cost more than their size."""
    most = MAX_MARKS - 64
    filler = "x" * (2 * size // most - 12)
    deep = '{"a":' * 22 + "1" + "}" * 22
    return {
        "one long text": _one_text("word " * (size // 5)),
        "4,096 small messages": json.dumps(
            {"model": "bench", "messages": [{"role": "user", "content": "x" * (size // 4096 - 36)}] * 4096}
        ).encode(),
        "text of `\\u0041`": _one_text("\\u0041" * (size // 6)),
        "text of surrogate pairs": _one_text("\\ud83d\\ude00" * (size // 12)),
        'text of `\\"`': _one_text('\\"' * (size // 2)),
        "tool arguments of escaped `\\n`": _arguments("\\\\n" * (size // 3)),
        "tool arguments of escaped `\\u0041`": _arguments("\\\\u0041" * (size // 7)),
        "tool arguments escaped three times over": _arguments("\\\\u005cu005cu0041" * (size // 17)),
        "JSON schema of described properties": _schema(*map(_property, range(size // 186))),
        "keys, as many as are taken": _schema(*(f'"{n:06}{filler}":1' for n in range(most // 2))),
        "numbers, as many as are taken": _schema(_list("0.123456789012", most)),
        "objects 22 deep, as many as are taken": _schema(_list(deep, most // 23)),
        "keys, beyond the bound": _schema(*(f'"{n:06}":1' for n in range(size // 11))),
        "empty strings, beyond the bound": _schema(_list('""', size // 3)),
        "objects 22 deep, beyond the bound": _schema(_list(deep, size // len(deep))),
        "brackets that never end": b'{"a":' + b"[" * size,
        "quotes that never end": b'{"a":"' + b'\\"' * (size // 2) + b",:" * MAX_MARKS,
    }


def read_strictly(dialect: Dialect, body: bytes) -> bool:
    """Do with a body what the worker does; False if it is refused."""
    try:
        request = dialect.read_request(parse_object(body), NOTHING_GRANTED)
    except BadField:
        return False
    dialect.write_request(request, request.model)
    return True


def read_loosely(body: bytes) -> bool:
    """Read a body as a proxy does that inspects nothing: decode it leniently, and pass its own bytes on."""
    return isinstance(msgspec.json.decode(body), dict)


def curve(seconds: float, largest: int) -> list[Size]:
    """Time reading conversations of 1 kB to 16 MB: size, seconds of the strict readings, and of the loose ones."""
    chat = OpenAIChat()
    found = []
    for size in [KILO << power for power in range((largest // KILO).bit_length())]:
        body = chat_body(size)
        strictly = timed(partial(read_strictly, chat, body), seconds)
        found.append((size, strictly, timed(partial(read_loosely, body), seconds)))
    return found


def sizes(seconds: float, largest: int = 16 * MEGA) -> list[Size]:
    """Measure that as in a worker: what `plot.reading` draws."""
    with as_a_worker():
        return curve(seconds, largest)


def timed(act: Callable[[], object], seconds: float, *, least: int = 3, most: int = 200) -> list[float]:
    """Seconds on a core of each of several runs of an act, which waits for nothing: on a quiet machine all it takes."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < least or (time.perf_counter() < end and len(found) < most):
        started = time.thread_time()
        act()
        found.append(time.thread_time() - started)
    return found


def _openai_event(number: int) -> bytes:
    delta = {"content": f" word{number}"}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    return b"data: %b\n\n" % json.dumps({**chunk, "choices": [{"index": 0, "delta": delta}]}).encode()


def _completions_event(number: int) -> bytes:
    chunk = {"id": "c", "object": "text_completion", "created": 1, "model": "bench"}
    choices = [{"index": 0, "text": f" word{number}", "finish_reason": None}]
    return b"data: %b\n\n" % json.dumps({**chunk, "choices": choices}).encode()


def _named(event: dict[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), json.dumps(event).encode())


def _anthropic_event(number: int) -> bytes:
    delta = {"type": "text_delta", "text": f" word{number}"}
    return _named({"type": "content_block_delta", "index": 0, "delta": delta})


def _responses_event(number: int) -> bytes:
    place = {"item_id": "m", "output_index": 0, "content_index": 0, "sequence_number": number + 4}
    return _named({"type": "response.output_text.delta", **place, "delta": f" word{number}", "logprobs": []})


_USAGE: Final = {"input_tokens": 1, "output_tokens": 1}
_ANTHROPIC_HEAD: Final = _named(
    {
        "type": "message_start",
        "message": {
            "id": "m", "type": "message", "role": "assistant", "model": "bench", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": _USAGE,
        },
    }
) + _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})  # fmt: skip
_RESPONSE: Final = {
    "id": "r", "object": "response", "created_at": 1, "status": "in_progress", "model": "bench", "output": [],
}  # fmt: skip
_RESPONSES_HEAD: Final = b"".join(
    _named(event)
    for event in (
        {"type": "response.created", "sequence_number": 0, "response": _RESPONSE},
        {"type": "response.in_progress", "sequence_number": 1, "response": _RESPONSE},
        {
            "type": "response.output_item.added", "sequence_number": 2, "output_index": 0,
            "item": {"id": "m", "type": "message", "status": "in_progress", "role": "assistant", "content": []},
        },
        {
            "type": "response.content_part.added", "sequence_number": 3, "item_id": "m", "output_index": 0,
            "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []},
        },
    )
)  # fmt: skip

_CHAT: Final = b'{"model":"bench","stream":true,"messages":[{"role":"user","content":"x"}]}'
READERS: Final[dict[str, tuple[Dialect, bytes, bytes, Callable[[int], bytes]]]] = {
    "OpenAI chat": (OpenAIChat(), _CHAT, b"", _openai_event),
    "OpenAI completions": (
        OpenAICompletions(), b'{"model":"bench","stream":true,"prompt":"x"}', b"", _completions_event,
    ),
    "OpenAI responses": (
        OpenAIResponses(), b'{"model":"bench","stream":true,"store":false,"input":"x"}',
        _RESPONSES_HEAD, _responses_event,
    ),
    "Anthropic messages": (
        AnthropicMessages(), _CHAT[:-1] + b',"max_tokens":9}', _ANTHROPIC_HEAD, _anthropic_event,
    ),
}  # fmt: skip


def read_events(name: str) -> float:
    """Seconds per event of a dialect's reader, each event fed alone."""
    dialect, body, head, make = READERS[name]
    request = dialect.read_request(parse_object(body), NOTHING_GRANTED)
    reader = dialect.reader(request, Naming("bench", "bench", 1))
    reader.feed(head)
    events = [make(number) for number in range(_EVENTS)]
    started = time.perf_counter()
    for event in events:
        made = reader.feed(event)
        for channel in reader.touched:
            channel.settle()
        reader.touched.clear()
    taken = time.perf_counter() - started
    if not made or f"word{_EVENTS - 1}".encode() not in made[-1].data:
        raise RuntimeError(f"the reader of {name} did not pass the text on")
    return taken / _EVENTS


def classifier() -> PatternClassifier:
    """Compile the rules that the guard has in the other measures: 1,000 phrases and 20 patterns."""
    rules = [PatternRule(f"p{n}", "other", phrase=f"forbidden marker number {n} of the bench") for n in range(1000)]
    rules += [PatternRule(f"r{n}", "other", pattern=f"forbidden-{n}-[a-f]{{2,8}} ?mark(er)?") for n in range(20)]
    return PatternClassifier("bench", rules)


def feed_classifier(patterns: PatternClassifier) -> float:
    """Seconds per feed of a growing text, a word each."""
    session = patterns.session()
    words = [f" word{number}" for number in range(_EVENTS)]
    started = time.perf_counter()
    for word in words:
        session.feed(word, final=False)
    return (time.perf_counter() - started) / _EVENTS


def measure(seconds: float, *, largest: int = 16 * MEGA) -> list[Figure]:
    """Time it all, each act for up to so many seconds: title, the values in the unit of the title, and a remark."""
    figures: list[Figure] = []
    with as_a_worker():
        chat = OpenAIChat()
        per_byte = 0.0
        for size, taken, loosely in curve(seconds, largest):
            now = median(taken) / size
            remark = f"{now * 1e9:.1f} ns a byte" + (f", {now / per_byte:.2f}x of the one before" if per_byte else "")
            remark += f"; read loosely {median(loosely) * 1000:.3g} ms"
            if size == 2 * MEGA:
                remark += f"; goal {GOAL_MS:g} ms: {'met' if median(taken) * 1000 < GOAL_MS else 'MISSED'}"
            name = f"{size // MEGA} MB" if size >= MEGA else f"{size // KILO} kB"
            figures.append((f"chat of {name}, ms", [each * 1000 for each in taken], remark))
            per_byte = now
        for shape, body in shapes(2 * MEGA).items():
            answered = read_strictly(chat, body)
            taken = timed(partial(read_strictly, chat, body), seconds)
            within = "within" if max(taken) * 1000 < BOUND_MS else "ABOVE"
            remark = f"{'read' if answered else 'refused'}; {within} {BOUND_MS:g} ms"
            figures.append((f"2 MB: {shape}, ms", [each * 1000 for each in taken], remark))
        for name in READERS:
            taken = [each * 1e6 for each in timed_values(partial(read_events, name), seconds)]
            figures.append((f"reader of {name}, µs an event", taken, ""))
        patterns = classifier()
        text = (_PROSE * 50)[:4096]
        taken = [each * 1e6 for each in timed_values(partial(feed_classifier, patterns), seconds)]
        figures.append(("pattern classifier, µs a feed of a word", taken, "1,000 phrases, 20 patterns"))
        taken = [each * 1e6 for each in timed(partial(patterns.judge, [text]), seconds)]
        figures.append(("pattern classifier, µs to judge 4 kB", taken, "1,000 phrases, 20 patterns"))
    return figures


def timed_values(act: Callable[[], float], seconds: float) -> list[float]:
    """Collect what an act that times itself returns."""
    found: list[float] = []
    timed(lambda: found.append(act()), seconds)
    return found

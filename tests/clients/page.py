"""Writes the page of endings from what the clients see: ``python -m tests.clients.page --write`` renews it.

Clients that are installed on request only keep their part of the page unless they are asked for (`extra_python`).
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.clients import anthropic_python, curl, extra_python, node, openai_python
from tests.clients.endings import Client, Ending
from tests.clients.stand import Stand, stand_in

PAGE: Final = Path(__file__).resolve().parents[2] / "guard" / "wire" / "ENDINGS.md"
EVERY: Final[tuple[Client, ...]] = (
    *openai_python.CLIENTS,
    *anthropic_python.CLIENTS,
    *node.CLIENTS,
    *curl.CLIENTS,
    *extra_python.CLIENTS,
)
CLIENTS: Final = tuple(client for client in EVERY if extra_python.WANTED or not client.extra)
Rows = Mapping[str, Mapping[Ending, str]]

_HEAD: Final = """\
# Endings

What real client libraries see when an exchange ends, with their default settings and only URL and key changed. The
tests write this page from what they observe and compare it in every run; sync and async interfaces see the same.

- *text, then …*: the text that had been released is kept by the client, valid and cleared. Everything else raises
  before any text came.
- A word alone is how the library says that the answer ended; otherwise it is the class that it raises, the status, and
  the guard's code ([CODES.md](CODES.md)) if the library passes it on. LiteLLM mostly does not, and within a stream
  `@ai-sdk/anthropic` does not; the message still says it in words.
- An error inside a stream has no status of its own: the status line had said 200 by then.
- *sent 3 times*: the library repeats the request by itself. The Vercel AI SDK does not read `x-should-retry`, so it
  also repeats what cannot succeed (`maxRetries: 0` turns that off). The Node libraries of OpenAI and Anthropic wait as
  long as `retry-after` says before they repeat, without a word: beyond a minute the guard asks them not to repeat.
- *in the middle*: a stream had brought text; of a whole answer the model's server had said nothing yet, or all.
"""
_TABLE: Final = "| what happens | a whole answer | a stream |\n|---|---|---|\n"


def row(stand: Stand, client: Client, ending: Ending) -> str:
    """Bring an ending about in both forms and return its line of the page."""
    cells = [stand.observe(client, ending, streamed=streamed).told() for streamed in (False, True)]
    return f"| {ending.value} | {cells[0]} | {cells[1]} |"


def written(rows: Rows) -> str:
    """The page of these rows by section and ending."""
    parts = [f"\n## {section}\n\n{_TABLE}" + "\n".join(of.values()) + "\n" for section, of in rows.items()]
    return _HEAD + "".join(parts)


def rows_of(page: str) -> Rows:
    """The rows that a page holds."""
    words = {ending.value: ending for ending in Ending}
    found: dict[str, dict[Ending, str]] = {}
    for part in page.split("\n## ")[1:]:
        lines = re.findall(r"^(\| ([^|]*) \|.*\|)$", part, re.MULTILINE)
        found[part.partition("\n")[0]] = {words[word]: line for line, word in lines if word in words}
    return found


def sections() -> list[str]:
    """The sections in their order."""
    return list(dict.fromkeys(client.section for client in EVERY))


@contextmanager
def ended() -> Iterator[None]:
    """End the programs that drive other libraries."""
    try:
        yield
    finally:
        node.LINES.close()
        extra_python.LINES.close()


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} instead of printing it")
    write = parser.parse_args().write
    before = rows_of(PAGE.read_text()) if PAGE.exists() else {}
    seen = {client.section: client for client in CLIENTS}
    with tempfile.TemporaryDirectory() as folder, stand_in(Path(folder)) as stand, ended():
        rows = {
            section: {ending: row(stand, seen[section], ending) for ending in Ending}
            if section in seen
            else before.get(section, {})
            for section in sections()
        }
    if write:
        PAGE.write_text(written(rows))
    else:
        print(written(rows))  # noqa: T201 - what was asked for


if __name__ == "__main__":
    main()

"""What an operator's regular expression may be, and its parse tree: bounded, and read alike by two engines.

A pattern is matched by one engine and measured with another's parser, so what the two read differently is refused. So
is what can never match: texts are folded before they are compared, and a rule that waits for an accent waits for ever.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from guard.classifiers.fold import fold_all

MAX_PATTERN_WIDTH: Final = 256
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)
_BRACE: Final = re.compile(r"\{(?!\d+(?:,\d*)?\})")
_READ_DIFFERENTLY: Final = ("[[", "[:", "[.", "[=")


@dataclass(frozen=True, slots=True)
class Expression:
    """A pattern that was read: ``tree`` is Python's parse of it, ``width`` the most characters a match can have."""

    tree: Any
    width: int


def read_expression(pattern: str) -> Expression:
    """Parse and judge a pattern; raises ValueError with what is wrong, to be read after "the pattern"."""
    parser = import_module("re._parser")  # private: typed nowhere
    if any(not character.isprintable() for character in pattern):
        raise ValueError("has a control character or half a surrogate pair; write an escape")
    bare = _ESCAPED.sub("", pattern)
    if "(?" in bare.replace("(?:", "") or "\\N" in pattern or any(each in bare for each in _READ_DIFFERENTLY):
        raise ValueError("uses a construct that is read differently elsewhere ('(?…' other than '(?:', '[[', '[:')")
    if _BRACE.search(bare):
        raise ValueError(r"has a '{' that is no quantifier; write '\{'")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            tree = parser.parse(pattern)
            least, most = tree.getwidth()
        except (re.error, FutureWarning, DeprecationWarning, RecursionError, OverflowError):
            raise ValueError("is not a regular expression") from None
    if least == 0:
        raise ValueError("matches the empty text")
    if most > MAX_PATTERN_WIDTH:
        raise ValueError(f"may match more than {MAX_PATTERN_WIDTH} characters; bound its repetitions")
    return Expression(tree, most)


def refuse_dead(literal: int) -> None:
    """Raise ValueError for a literal that no folded text holds, in either case."""
    character = chr(literal)
    folded = fold_all(f"x{character}").removeprefix("x")
    if folded not in (character.lower(), character.casefold()):
        becomes = f"turns into {folded!r}" if folded else "removes"
        raise ValueError(f"has U+{literal:04X}, which folding {becomes}, so that it could never match")

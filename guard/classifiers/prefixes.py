"""How much of a growing text's end could still become a phrase: an Aho-Corasick automaton asked for its depth."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Prefixes:
    """Built once from the phrases; a state is an integer and 0 is the beginning."""

    def __init__(self, phrases: Iterable[str]) -> None:
        """Build the automaton; phrases are folded and not empty."""
        self._next: list[dict[str, int]] = [{}]
        self.depth: list[int] = [0]
        for phrase in phrases:
            state = 0
            for character in phrase:
                following = self._next[state].get(character)
                if following is None:
                    following = len(self._next)
                    self._next[state][character] = following
                    self._next.append({})
                    self.depth.append(self.depth[state] + 1)
                state = following
        self._fall = self._falls()
        self._first = frozenset(self._next[0])

    def _falls(self) -> list[int]:
        fall = [0] * len(self._next)
        queue = deque(self._next[0].values())
        while queue:
            state = queue.popleft()
            for character, following in self._next[state].items():
                queue.append(following)
                back = fall[state]
                while back and character not in self._next[back]:
                    back = fall[back]
                fall[following] = self._next[back].get(character, 0)
        return fall

    def step(self, state: int, text: str) -> int:
        """Read more text; ``depth[state]`` is the length of the longest end that begins a phrase."""
        if not state and self._first.isdisjoint(text):
            return 0
        edges = self._next
        fall = self._fall
        for character in text:
            while True:
                following = edges[state].get(character)
                if following is not None:
                    state = following
                    break
                if not state:
                    break
                state = fall[state]
        return state

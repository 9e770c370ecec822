"""What pushed rules cost for each batch of an answer: none at all, none in force, one order, and as many as may be."""

import time
from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Final

from guard.pipeline import Mount, Pipeline
from guard.policy.compile import rapid_response
from guard.pushed_rules import MAX_IN_FORCE, PushedRules, screen_of
from guard.state.merge import State
from guard.state.orders import Source, issue_rule
from guard.state.rule_text import PushedRule
from guard.state.scope import EVERYTHING
from guard.state.served import Served, ServedModel
from safeguards.base import Safeguard, Watch
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.exchange import Caller, Channel, ChannelId, ChannelKind, Exchange
from safeguards.verdict import Cleared
from tests.benchmarks.process import PROXY_CORE, on_core
from tests.benchmarks.strict import Figure, timed_values

GOAL_US: Final = 0.2
_BATCHES: Final = 20_000
_TOKEN: Final = " an ordinary word"
_EXCHANGE: Final = Exchange(
    *("x", Caller("app", "ACME Ltd", "general"), "demo", 2, "public", "openai.chat", "chat", True), (), "p", 0.0
)


class _Clears(Safeguard):
    """Stands for what is mounted anyway."""

    kind = "clears"
    watches = True

    def watch(self, exchange: Exchange, channel: Channel) -> Watch:
        """Clear everything."""
        return Cleared(channel.end)


def pushed(count: int) -> PushedRules:
    """So many orders of one phrase each, in force."""
    rules = [PushedRule("bench", Category.OTHER, phrase="a phrase that no answer of the bench holds")]
    orders = [
        issue_rule(EVERYTHING, rules, Target, reason="", who="bench", source=Source.CLI, now=1.0 + n, entropy=bytes(10))
        for n in range(count)
    ]
    found = PushedRules(Served({"demo": ServedModel(2)}, {}, {}))
    found.take({order: screen_of(order) for order in orders})
    found.follow(State(rules=frozenset(orders)))
    return found


def watch(mounts: Sequence[Mount], batches: int) -> float:
    """Seconds on a core for each batch of one answer."""
    pipeline, channel = Pipeline(mounts), Channel(ChannelId(0, ChannelKind.CONTENT))
    judgement = pipeline.begin(_EXCHANGE)
    started = time.thread_time()
    for _ in range(batches):
        channel.append(_TOKEN)
        pipeline.watch(judgement, channel)
        channel.settle()
    return (time.thread_time() - started) / batches


def measure(seconds: float, *, batches: int = _BATCHES) -> list[Figure]:
    """Watch an answer with each of them; µs a batch."""
    alone = [Mount("clears", _Clears(), enforce=True, block_on_failure=True, deadline=1.0)]

    def timed(mounts: Sequence[Mount]) -> list[float]:
        return [1e6 * each for each in timed_values(partial(watch, mounts, batches), seconds)]

    with on_core(PROXY_CORE):
        before, none = timed(alone), timed([*alone, rapid_response(pushed(0))])
        added = median(none) - median(before)
        remark = f"adds {added:.2f} µs, goal {GOAL_US:g} µs: {'met' if added < GOAL_US else 'MISSED'}"
        figures: list[Figure] = [("rules: a batch where none can be pushed, µs", before, "")]
        figures.append(("rules: a batch while none is pushed, µs", none, remark))
        for count in (1, MAX_IN_FORCE):
            found = timed([*alone, rapid_response(pushed(count))])
            figures.append((f"rules: a batch while {count} orders are in force, µs", found, ""))
    return figures

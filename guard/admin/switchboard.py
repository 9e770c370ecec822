"""Stopping and resuming, whoever asks by whichever path: the rules are here, and the order file is the act.

One person stops, at once, without any question. A resume names what it lifts; for models from ASL-3 on it carries the
approval of two people (row D2). Every worker judges that again, so a resume written by hand counts for nothing; what
was judged good is on record under `guard.state.accepted`, and whoever may write there gets around it at the next start.
It is one file so that what may be ordered is seen whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guard.approval.order import NONCE_BYTES
from guard.approval.order import OrderError as ApprovalError
from guard.approval.resume import LONGEST_SECONDS, Lift, ResumeApproval, canonical
from guard.approval.resume import parse as parse_approval
from guard.policy.ladder import NO_LADDER, OPEN, Ladder, deepest, step_below
from guard.policy.load import Config
from guard.policy.stoppable import stoppable
from guard.pushed_rules import MAX_IN_FORCE, BadRule, check_usable, needed
from guard.resuming import ResumeJudge
from guard.state.acknowledgements import Ack, waiting_for
from guard.state.directory import OrderDirectory, Version
from guard.state.giving import give
from guard.state.issuer import Issuer
from guard.state.merge import TWO_PERSON_ASL, InForce, State, mode_of
from guard.state.orders import (
    ENTROPY_BYTES,
    MAX_WHO,
    WHOLE_MODELS,
    Approver,
    Order,
    ResumeOrder,
    RuleOrder,
    Source,
    StopOrder,
    encode,
    issue_resume,
    issue_rule,
    issue_stop,
)
from guard.state.resume import ResumePlan, plan_lifting, plan_resume
from guard.state.rule_lift import plan_rule_lift
from guard.state.rule_text import PushedRule
from guard.state.scope import OrderError, Scope
from guard.state.served import Served
from guard.state.shown import Liftable, Shown
from safeguards.decision import Target
from safeguards.mode import Mode, case_of, effective, refuses, routes

"""What stands before the scope of a rule where people sign; no scope begins so."""


class ResumeRefusedError(Exception):
    """A resume that would lift nothing, or may not; the message says why.

    ``approval`` is what two people would have to sign for it, empty where that would not help.
    """

    def __init__(self, why: str, approval: str = "") -> None:
        """Take the words, and the text to sign."""
        super().__init__(why)
        self.approval = approval


@dataclass(frozen=True, slots=True)
class Resumed:
    """A resume that was ordered: its id, what it does, and what two people may sign to free what it leaves stopped."""

    order: str
    plan: ResumePlan
    reason: str
    people: tuple[str, ...] = ()
    approval: str = ""
    rule: bool = False
    kinds: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """What the command and the admin API tell of it."""
        plan = self.plan
        held = [{"model": each.model, "why": each.why} for each in plan.held]
        fields: dict[str, Any] = {"lifts": list(plan.lifts), "freed": list(plan.freed), "held": held}
        if self.rule:
            fields["kind"] = "rule"
        if self.people:
            fields |= {"approved_by": list(self.people), "approved_with": list(self.kinds)}
        return fields | ({"approval": self.approval} if self.approval else {})


@dataclass(frozen=True, slots=True)
class Placed:
    """A stop that is in force; ``order`` begins with ``file:`` when only a STOP file could be written.

    ``on_disk`` is whether a crash of the host cannot lose it any more.
    """

    order: str
    scope: Scope
    reason: str
    who: str
    mode: Mode = Mode.STOP
    on_disk: bool = True

    def fields(self) -> dict[str, Any]:
        """What the command and the admin API tell of it."""
        fields = {"scope": str(self.scope), "mode": self.mode.value, "reason": self.reason, "who": self.who}
        return fields if self.on_disk else {**fields, "on_disk": False}


@dataclass(frozen=True, slots=True)
class Standing:
    """A stop that holds; ``lifted_below`` is whether a resume has lifted it for the models below ASL-3."""

    stop: InForce
    lifted_below: bool

    def fields(self) -> dict[str, Any]:
        """What `guard status` and the admin API tell of it."""
        stop = self.stop
        return {
            "order": stop.id,
            "scope": str(stop.scope),
            "mode": mode_of(stop).value,
            "reason": stop.reason,
            "who": stop.who if isinstance(stop, StopOrder) else "a file",
            "since": stop.created if isinstance(stop, StopOrder) else None,
            "lifted_below_asl_3": self.lifted_below,
        }


@dataclass(frozen=True, slots=True)
class Hold:
    """An order over the whole of a model: what it is there, and whether for its sake nobody new is answered at all.

    ``mode`` is a stop where the model's file does not answer the order's own.
    """

    order: str
    mode: Mode
    refuses: bool


@dataclass(frozen=True, slots=True)
class Obeyed:
    """Which workers have applied an order, and which live ones have not."""

    acks: tuple[Ack, ...]
    missing: tuple[str, ...]

    @property
    def streams_cut(self) -> int:
        """How many streams were cut in all."""
        return sum(ack.streams_cut for ack in self.acks)


def place(
    directory: OrderDirectory,
    scope: Scope,
    reason: str,
    who: str,
    source: Source,
    *,
    now: float,
    entropy: bytes,
    mode: Mode = Mode.STOP,
    leaving: bool = False,
) -> Placed:
    """Give a stop (`guard.state.giving`), by a process that is ``leaving`` after it or goes on.

    Raises OSError when not even an empty file can be made. A disk that is full takes an empty STOP file, which stops
    whatever the mode was to be.
    """
    order = issue_stop(scope, reason=reason, who=_named(who), source=source, now=now, entropy=entropy, mode=mode)
    given = give(directory, order, lambda unsigned: Issuer.open(directory.path).signed(unsigned), leaving=leaving)
    mode = mode if given.order == order.id else Mode.STOP
    return Placed(given.order, scope, order.reason, order.who, mode, given.on_disk)


def _named(who: str) -> str:
    """Make any name fit into an order: a stop is not refused for the length of its giver's name."""
    return "".join(letter if letter.isprintable() else "?" for letter in who[:MAX_WHO]) or "unknown"


class Switchboard:
    """Acts on the orders of one host."""

    def __init__(
        self,
        config: Config,
        directory: OrderDirectory,
        state_path: Path,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        """Take the configuration (for names, levels and people), the orders, the time and randomness."""
        self._directory = directory
        self._path = state_path
        self._now = now
        self._entropy = entropy

        self.folder = state_path
        self._judge = ResumeJudge(config, state_path, now, keep=False)
        self._config = config
        self._served = served_by(config)
        self.operators = config.operators
        """The persons who may approve; None where no operators.yaml names any."""

    def take(self, config: Config) -> None:
        """Go by the names, levels and people of another configuration."""
        self._judge = self._judge.under(config)
        self._config = config
        self._served = served_by(config)
        self.operators = config.operators

    def why_not_issued(self, order: Order) -> str:
        """Say why this is no order of a host that is known here; empty where it is one."""
        return self._judge.why_not_issued(order)

    def adopt(self, order: StopOrder | RuleOrder) -> str:
        """Put another guard's order into force, as `stop` does one of ours; returns what stands for it here.

        Raises FileExistsError where another order has its id, OSError where it cannot be put into force.
        """
        if order.id in self._directory.held() and self._directory.bytes_of(order.id) != encode(order):
            raise FileExistsError(f"another order has the id {order.id}")
        if isinstance(order, StopOrder):
            return give(self._directory, order).order
        self._directory.put(order)
        return order.id

    def stop(
        self,
        scope_text: str,
        reason: str,
        who: str,
        source: Source,
        mode: Mode = Mode.STOP,
        *,
        entropy: bytes | None = None,
    ) -> Placed:
        """Order a stop: in force when this returns, soon, whatever the disk does.

        Raises UnknownScopeError, OrderError or OSError. Where an order cannot be written (a full disk, one that hangs),
        an empty STOP file does the same, without who and why. What
        stands for a recurring message gives the ``entropy`` of the order's id, so that it finds the order again.
        """
        scope = self.known(scope_text)
        entropy = self._entropy(ENTROPY_BYTES) if entropy is None else entropy
        return place(self._directory, scope, reason, who, source, now=self._now(), entropy=entropy, mode=mode)

    def rung(self, alias: str, state: State | None = None) -> str:
        """Return the deepest mode in force for the whole of a model as its file takes it, ``open`` where none is."""
        found = deepest(self._ladder(alias), [mode_of(stop) for stop in self.over(alias, state)])
        return OPEN if found is None else found.value

    def next_rung(self, alias: str, state: State | None = None) -> Mode:
        """Return where a step down leads."""
        return step_below(self._ladder(alias), [mode_of(stop) for stop in self.over(alias, state)])

    def on_ladder(self, alias: str, state: State) -> dict[str, str]:
        """What `guard status` and the admin API tell of a model's place on its ladder."""
        return {"rung": self.rung(alias, state), "next_rung": self.next_rung(alias, state).value}

    def _ladder(self, alias: str) -> Ladder:
        policy = self._config.models.get(alias)
        return NO_LADDER if policy is None else policy.ladder

    def step_down(self, alias: str, reason: str, who: str, source: Source, *, entropy: bytes | None = None) -> Placed:
        """Order the next rung down the model's own ladder; raises as `stop`, and takes ``entropy`` as it does.

        Where what is in force cannot be read, the next rung is the last.
        """
        try:
            mode = self.next_rung(alias)
        except OSError:
            mode = Mode.STOP
        return self.stop(f"model:{alias}", reason, who, source, mode, entropy=entropy)

    def over(self, alias: str, state: State | None = None) -> tuple[InForce, ...]:
        """Return every order in force for the whole of a model, lowest id first; none for one that is not here."""
        model = self._served.models.get(alias)
        if model is None:
            return ()
        words = self._served.words(alias)
        held = (state or self.state()).still_held(model.asl)
        return tuple(stop for stop in held if stop.scope.kind in WHOLE_MODELS and str(stop.scope) in words)

    def push(
        self,
        scope_text: str,
        rules: Sequence[PushedRule],
        screens: Sequence[Target],
        reason: str,
        who: str,
        source: Source,
    ) -> RuleOrder:
        """Order that a scope is screened by these rules; what the engine cannot compile is refused.

        Raises UnknownScopeError, OrderError or OSError; compiling takes milliseconds, for long patterns seconds.
        """
        order = issue_rule(
            self.known(scope_text),
            rules,
            screens,
            reason=reason,
            who=_named(who),
            source=source,
            now=self._now(),
            entropy=self._entropy(ENTROPY_BYTES),
        )
        try:
            check_usable(order)
        except BadRule as bad:
            raise OrderError(f"rules: {bad}") from None
        if len(self.rules()) >= MAX_IN_FORCE:
            raise OrderError(
                f"rules: {MAX_IN_FORCE} rule orders are in force, which is the most; carry some into the rule files"
            )
        with suppress(Exception):  # as for a stop: to tighten never depends on a key
            order = Issuer.open(self._path).signed(order)
        self._directory.put(order)
        return order

    def rules(self, state: State | None = None) -> tuple[RuleOrder, ...]:
        """Return the rule orders in force for a model that is served here; ``state`` is what was read already."""
        return needed(self.state() if state is None else state, self._served)

    def drill(self, scope_text: str, reason: str, who: str, *, entropy: bytes | None = None) -> Placed:
        """Order a drill's stop, which may cover the self-test model alone; raises OrderError or OSError.

        ``entropy`` is as in `stop`; what gives it is a webhook, and the order says so.
        """
        scope = self.drilled(scope_text)
        source = Source.DRILL if entropy is None else Source.WEBHOOK
        entropy = self._entropy(ENTROPY_BYTES) if entropy is None else entropy
        return place(self._directory, scope, reason, who, source, now=self._now(), entropy=entropy)

    @staticmethod
    def drilled(scope_text: str) -> Scope:
        """Return the scope if it can cover nothing but the self-test model; raises OrderError."""
        scope = Scope.parse(scope_text)
        if not scope.of_self_test:
            raise OrderError("scope: a drill stops the self-test model and nothing else")
        return scope

    def known(self, scope_text: str) -> Scope:
        """Return the scope if there is such a thing; raises UnknownScopeError or OrderError."""
        scope = Scope.parse(scope_text)
        self._served.require(scope)
        return scope

    @property
    def served(self) -> Served:
        """What is served here, by what stops can name of it."""
        return self._served

    def scopes(self, most: int = 500) -> tuple[str, ...]:
        """Return what may be stopped, at most so many, as it is written."""
        return self._served.scopes(most)

    def resume(self, target: str, reason: str, who: str, source: Source, seen: str | None = None) -> Resumed:
        """Lift a stop by its id, or every stop of a scope, for models below ASL-3.

        ``seen`` is the mark of the plan that somebody was shown: what was ordered since is not lifted unseen. Raises
        ResumeRefusedError, OrderError or OSError.
        """
        plan = self.plan(target)
        if seen is not None and seen != plan.mark:
            raise ResumeRefusedError("what is stopped there has changed since you looked; look again")
        approval = self._approval(plan.approvable, reason) if plan.approvable else ""
        if plan.refused:
            raise ResumeRefusedError(plan.refused, approval)
        rule = bool(plan.lifts) and any(each.id == target for each in self.state().rules)
        order = self._issue(plan.lifts, reason, who, source)
        self._directory.put(order)
        return Resumed(order.id, plan, order.reason, approval=approval, rule=rule)

    def resume_approved(self, approval: str, approvers: Sequence[Approver], who: str, source: Source) -> Resumed:
        """Lift at every level what two people approved; raises ResumeRefusedError, OrderError or OSError."""
        named = self.named(approval)
        state = self.state()
        orders = _meant(named, state)
        order = self._issue([each.id for each in orders], named.reason, who, source, approval, approvers)
        judged = self._judge.verify(order)
        if judged.why:
            raise ResumeRefusedError(judged.why)
        plan = self._plan_approved(orders, state)
        rule = all(isinstance(each, RuleOrder) for each in orders)
        self._directory.put(order)
        return Resumed(order.id, plan, order.reason, judged.people, rule=rule, kinds=judged.kinds)

    def named(self, approval: str) -> ResumeApproval:
        """Read what people are asked to approve; raises OrderError."""
        try:
            return parse_approval(approval.encode("ascii", "replace"))
        except ApprovalError as wrong:
            raise OrderError(str(wrong)) from None

    def plan_approved(self, named: ResumeApproval) -> ResumePlan:
        """Say what resuming would do with two people's approval of this; raises ResumeRefusedError or OSError."""
        state = self.state()
        return self._plan_approved(_meant(named, state), state)

    def _plan_approved(self, orders: tuple[Liftable, ...], state: State) -> ResumePlan:
        held = {each.id for each in (*state.still_held(TWO_PERSON_ASL), *state.rules_held(TWO_PERSON_ASL))}
        ids = tuple(each.id for each in orders)
        if held.isdisjoint(ids):
            raise ResumeRefusedError(f"{', '.join(ids)}: already lifted; an approval is used once")
        stops = tuple(each for each in orders if isinstance(each, StopOrder))
        if stops:
            return replace(plan_lifting(state, stops, self._served, approved=True), lifts=ids)
        freed = {alias for each in orders for alias in self._served.touched(each.scope)}
        return ResumePlan(ids, tuple(sorted(freed)), ())

    def _issue(
        self,
        lifts: Sequence[str],
        reason: str,
        who: str,
        source: Source,
        approval: str = "",
        approvers: Sequence[Approver] = (),
    ) -> ResumeOrder:
        """Make a resume, signed by this host: unsigned it would lift nothing; raises OrderError or OSError."""
        order = issue_resume(
            lifts,
            reason=reason,
            who=_named(who),
            source=source,
            now=self._now(),
            entropy=self._entropy(ENTROPY_BYTES),
            approval=approval,
            approvers=approvers,
        )
        return Issuer.open(self._path).signed(order)

    def _approval(self, orders: Sequence[Liftable], reason: str) -> str:
        """Write what two people would have to sign to lift these stops or rules at every level."""
        shown = [Shown.of(each) for each in orders]
        lifts = tuple(Lift(each.order, each.scope, each.sha256, each.mode, each.who) for each in shown)
        now = int(self._now())
        nonce = self._entropy(NONCE_BYTES).hex()
        try:
            return canonical(ResumeApproval(lifts, reason, now, now + LONGEST_SECONDS, nonce)).decode("ascii")
        except ApprovalError as wrong:
            raise OrderError(str(wrong)) from None

    def plan(self, target: str) -> ResumePlan:
        """Say what resuming, or lifting a rule, would do without anybody's approval."""
        state = self.state()
        if any(each.id == target for each in state.rules):
            return plan_rule_lift(state, target, self._served)
        return plan_resume(state, target, self._served)

    def state(self) -> State:
        """Everything that was ever ordered."""
        return self._directory.snapshot(self._judge)

    def is_stop(self, order: str) -> bool:
        """Whether there is a stop order of this id, lifted or not."""
        return self._directory.is_stop(order)

    def obeyed(self, order: str, expected: Collection[str] = ()) -> Obeyed:
        """Ask who has applied an order; ``expected`` names workers that must have."""
        return Obeyed(*waiting_for(self._path, order, expected))

    def version(self) -> Version:
        """Return what differs when orders have changed; cheap, and raises OSError when there is no directory."""
        self._directory.refresh()
        return self._directory.version()

    def models_held(self, state: State | None = None) -> Mapping[str, tuple[str, ...]]:
        """Return each model that answers nobody, nor lets another answer, with the orders that hold it.

        ``state`` is what was read already.
        """
        holds = self.holds(state)
        refusing = {alias: tuple(each.order for each in held if each.refuses) for alias, held in holds.items()}
        return {alias: orders for alias, orders in refusing.items() if orders}

    def holds(self, state: State | None = None) -> Mapping[str, tuple[Hold, ...]]:
        """Return each model with the orders over the whole of it, lowest id first; ``state`` as in `models_held`."""
        state = state or self.state()
        found: dict[str, tuple[Hold, ...]] = {}
        for alias, model in self._served.models.items():
            case = case_of(investigator=False, rungs=model.rungs)
            over = [(stop.id, mode_of(stop)) for stop in self.over(alias, state)]
            found[alias] = tuple(
                Hold(order, effective(mode, model.rungs), refuses(mode, case) and not routes(mode, case))
                for order, mode in over
            )
        return found

    def in_force(self, state: State | None = None) -> tuple[Standing, ...]:
        """Every stop that holds for a model served here; one that was lifted still does if it covers an ASL-3 model.

        A drill's is none: it covers no model that anybody is served. ``state`` is what was read already.
        """
        state = state or self.state()
        below = frozenset(state.still_held(0))
        stops = (Standing(stop, stop not in below) for stop in state.still_held(TWO_PERSON_ASL))
        return tuple(
            each
            for each in stops
            if not each.stop.scope.of_self_test and (not each.lifted_below or self._covers_strict(each.stop))
        )

    def uncounted(self) -> Mapping[str, str]:
        """The resumes that lift less than they say, and why."""
        return self.state().uncounted()

    def _covers_strict(self, stop: InForce) -> bool:
        models = self._served.models
        return any(models[alias].asl >= TWO_PERSON_ASL for alias in self._served.touched(stop.scope))


def _meant(named: ResumeApproval, state: State) -> tuple[Liftable, ...]:
    """Return the very orders that an approval names; raises ResumeRefusedError where they are others."""
    known: dict[str, Liftable] = {stop.id: stop for stop in state.stops}
    known |= {rule.id: rule for rule in state.rules}
    for lift in named.lifts:
        if lift.order not in known:
            raise ResumeRefusedError(f"{lift.order}: no stop or rule order has this id here")
        shown = Shown(lift.order, lift.sha256, lift.scope, lift.mode, lift.who)
        if wrong := shown.wrong_of(known[lift.order]):
            raise ResumeRefusedError(f"{lift.order}: {wrong}")
    return tuple(known[lift.order] for lift in named.lifts)


def served_by(config: Config) -> Served:
    """Return what a configuration serves, by what stops can name of it."""
    return stoppable(config.models.values(), config.tiers)

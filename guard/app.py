"""The composition root: the only file that knows every other; it builds what a worker serves with."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from guard import __version__
from guard.approval.profiles import with_profiles
from guard.arrival import Arrivals, Limits
from guard.audit.disk import Disk, LocalDisk
from guard.audit.keys import DataKeys, KeyFolder
from guard.audit.ledger import Ledger
from guard.audit.two_disks import TwoDisks
from guard.audit.wrapping import Kek
from guard.callers import holder_of
from guard.clock import SystemClock
from guard.credentials import Callers
from guard.drills.places import CREDENTIAL, RunFolder
from guard.live import LiveExchanges
from guard.local import Local
from guard.policy.compile import Models, Ports
from guard.policy.content import read_content_key, read_investigator
from guard.policy.load import Config, read_secret
from guard.policy.model import RequestLogMount
from guard.policy.stoppable import stoppable
from guard.proxy import Proxy
from guard.pushed_rules import PushedRules
from guard.randomness import Randomness
from guard.refusal import Refused
from guard.rehearsing import Rehearsed
from guard.reports import RecordedReports
from guard.resuming import ResumeJudge
from guard.selftest import SelfTest
from guard.serve.leases import fleet_lease
from guard.shipping.status import CopiesBehind
from guard.state.acknowledgements import Acknowledgements, process_started
from guard.state.counters import SharedBuckets
from guard.state.directory import OrderDirectory
from guard.state.lease import Lease, LeasedSwitches
from guard.state.served import Served
from guard.state.switches import FileSwitches
from guard.telemetry.library_logs import JsonLogHandler
from guard.telemetry.logs import JsonLog, Level
from guard.telemetry.meter import Meter
from guard.telemetry.metric import Origin
from guard.telemetry.observe import Mounted, declare_model
from guard.telemetry.tracing import Tracer, otlp
from guard.wire.routes import ROUTES
from guard.witness import Witness
from safeguards.category import Category
from safeguards.decision import Target
from safeguards.ports import Clock, Keep
from safeguards.verdict import Code

SYSTEM_CLOCK: Final = SystemClock()
CATEGORIES: Final = frozenset(category.value for category in Category)


@dataclass(frozen=True, slots=True)
class Edge:
    """One surface of this worker."""

    proxy: Proxy
    arrivals: Arrivals
    local: Local


@dataclass(frozen=True, slots=True)
class Policy:
    """What a configuration has become in this process, ready to serve and not yet in force."""

    config: Config
    models: Models
    callers: Callers
    limits: Limits
    served: Served


@dataclass(slots=True)
class Worker:
    """Everything that one worker process serves with; ``config`` and ``models`` are what is in force, see `adopt`."""

    config: Config
    edges: Mapping[str, Edge]
    live: LiveExchanges
    switches: FileSwitches
    judge: ResumeJudge
    acknowledgements: Acknowledgements
    ledger: Ledger
    models: Models
    witness: Witness
    tracer: Tracer | None
    ports: Ports
    buckets: SharedBuckets
    pushed: PushedRules
    run: RunFolder
    self_test: SelfTest
    rehearsed: Rehearsed
    lease: Lease | None = None

    def adopt(self, policy: Policy) -> Config:
        """Bring a policy into force, between two turns of the loop; returns the one before.

        Exchanges that run keep what they began with. What only the one before needed is closed as they end.
        """
        before, self.config = self.config, policy.config
        for edge in self.edges.values():
            edge.arrivals.take(policy.callers, policy.models, policy.limits)
            edge.local.take(policy.models)
        self.self_test.take(policy.config)
        models, self.models = self.models, policy.models
        models.retire(policy.models)
        self.judge = self.judge.under(policy.config)
        self.switches.take(self.judge)
        self.pushed.follow(self.switches.state, policy.served)
        return before


def new_request_id() -> str:
    """Make a request's id: the milliseconds of the time, then 64 random bits, hexadecimal; it sorts by time."""
    return f"{time.time_ns() // 1_000_000:012x}{_random.take(8).hex()}"


def edge_refusals(witness: Witness) -> Callable[[str], str]:
    """Make what counts and logs the refusals of the HTTP edge, and names each by a fresh request id."""

    def tell(reason: str) -> str:
        request = new_request_id()
        witness.refused(Refused(Code.BAD_REQUEST, reason=reason), request)
        return request

    return tell


_random: Final = Randomness()


def storage(config: Config) -> tuple[Path, Path]:
    """Return the folders of state and audit; relative ones lie in the configuration directory."""
    return config.directory / config.guard.storage.state, config.directory / config.guard.storage.audit


def log_disk(config: Config, disk: Disk | None = None) -> Disk:
    """Return what the request log is written to: ``disk`` (default: here), with the second device if there is one.

    Raises LedgerError where the two are one.
    """
    here, second = disk or LocalDisk(), config.guard.storage.audit_second
    return here if second is None else TwoDisks(storage(config)[1], config.directory / second, here, here)


def data_keys(config: Config) -> DataKeys | None:
    """Return the keys that texts are sealed with, None if none are to be kept; raises ConfigError."""
    section = config.guard.content
    if section is None:
        return None
    folder = KeyFolder(config.directory / section.wrapped)
    return DataKeys(folder, Kek(read_content_key(config, section)), read_investigator(config, section))


def _keep_reports(config: Config) -> Keep | None:
    """Keep what callers report as long as the longest-kept flagged exchange: it may be about any model."""
    if config.guard.content is None:
        return None
    kept = [
        mount.settings.retention
        for policy in config.models.values()
        for mount in policy.safeguards
        if isinstance(mount, RequestLogMount)
    ]
    return Keep(max(each.content_days for each in kept), max(each.flagged_content_days for each in kept))


def json_log(config: Config, clock: Clock) -> JsonLog:
    """Open the log on standard error, and let libraries write to it too."""
    log = JsonLog(clock, level=Level(config.guard.telemetry.log.value))
    root = logging.getLogger()
    root.handlers[:] = [JsonLogHandler(log)]
    root.setLevel(logging.WARNING)
    return log


def build_worker(config: Config, index: int, *, clock: Clock = SYSTEM_CLOCK, disk: Disk | None = None) -> Worker:
    """Build worker ``index``; raises ConfigError, LedgerError, OSError or ValueError when a part cannot be had.

    ``clock`` is the time of everything that judges and records, ``disk`` where the ledger writes (default: here).
    """
    state, audit = storage(config)
    judge = ResumeJudge(config, state, clock.now)
    switches = FileSwitches(OrderDirectory(state), clock, judge)
    buckets = SharedBuckets(state / "counters", [key.id for key in config.tiers.keys])
    ledger = Ledger.open(audit / f"worker-{index}", clock, disk=log_disk(config, disk), keys=data_keys(config))
    lease = fleet_lease(config, state, clock)
    obeyed = switches if lease is None else LeasedSwitches(switches, lease)
    pushed = PushedRules(stoppable(config.models.values(), None))
    ports = Ports(obeyed, buckets, ledger, clock, CopiesBehind(state, clock), obeyed, pushed)
    policy = build_policy(config, ports)
    config = policy.config
    models, callers, limits = policy.models, policy.callers, policy.limits
    meter = Meter(Origin.WORKER)
    for _ in declarations(meter, policy):
        pass
    tracer = None
    if config.guard.telemetry.otlp_endpoint is not None:
        tracer = otlp(
            config.guard.telemetry.otlp_endpoint,
            ratio=config.guard.telemetry.trace_ratio,
            version=__version__,
            instance=f"worker-{index}",
        )
    witness = Witness(meter, json_log(config, clock), tracer)
    live = LiveExchanges()
    desk = RecordedReports(ledger, witness, _keep_reports(config))
    edges = {}
    for surface in config.guard.surfaces:
        arrivals = Arrivals(surface.name, ROUTES, callers, models, limits, live, clock, new_request_id, obeyed)
        local = Local(surface.name, arrivals, models, desk, clock, CATEGORIES)
        edges[surface.name] = Edge(Proxy(arrivals, live, witness, clock, local), arrivals, local)
    run = RunFolder(state, create=True)
    own = ResumeJudge(config, state, clock.now, keep=False)
    rehearsed = Rehearsed(obeyed, run.path, own, clock, leased=lease is not None)
    model, key = run.model(str(index)), CREDENTIAL
    its = replace(ports, switches=rehearsed)
    self_test = SelfTest(config, its, live, witness, ROUTES, new_request_id, upstream=model, credential=key)
    pid = os.getpid()
    acknowledgements = Acknowledgements(state, str(index), pid=pid, started=process_started(pid) or 0)
    return Worker(
        config,
        edges,
        live,
        switches,
        judge,
        acknowledgements,
        ledger,
        models,
        witness,
        tracer,
        ports,
        buckets,
        pushed,
        run,
        self_test,
        rehearsed,
        lease,
    )


def build_policy(config: Config, ports: Ports, before: Models | None = None) -> Policy:
    """Make a policy ready: compiled, its secrets read; raises ConfigError. Touches nothing that is in force.

    What is the same ``before`` is taken from there: connections to a server, compiled rules. May run in a thread.
    """
    config = with_profiles(config, ports.clock.now())
    models = Models(config, ports, before)
    pepper = read_secret(config.guard.keys.pepper, config.directory).encode()
    holders = {key.digest: holder_of(key, config.tiers) for key in config.tiers.keys}
    given = config.guard.limits
    limits = Limits(given.body_bytes, given.body_seconds, given.concurrent, given.concurrent_per_key)
    served = stoppable(config.models.values(), None)
    return Policy(config, models, Callers(pepper, holders, ports.clock), limits, served)


def declarations(meter: Meter, policy: Policy) -> Iterator[None]:
    """Make every series of every model exist, a model at each step: all at once would hold up a loop for long."""
    config = policy.config
    for serving in policy.models.all():
        yield
        tiers = [name for name, tier in config.tiers.tiers.items() if serving.model in tier.models]
        mounted = [
            Mounted(
                mount.name,
                (Target.INPUT, Target.OUTPUT) if mount.safeguard.watches else (Target.INPUT,),
                mount.enforce,
            )
            for mount in serving.pipeline.mounts
        ]
        routes = {path.decode(): dialect.operation for path, dialect in ROUTES.items()}
        declare_model(meter, serving.model, provider=serving.provider, routes=routes, tiers=tiers, mounted=mounted)


def python_version() -> str:
    """Name the interpreter for `guard_build_info`."""
    return ".".join(str(part) for part in sys.version_info[:3])

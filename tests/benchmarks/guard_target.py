"""How the guard is started for the benchmarks: one worker, in front of one OpenAI-compatible upstream.

`start` is called once per round, and once more for the memory figure, while the calling thread is confined to the
core of the proxies; what it starts inherits that, so it must not move itself. It has to:
- write a configuration below `workdir` whose one model is served by `upstream_url` (`http://127.0.0.1:PORT`, to which
  `/v1/chat/completions` is appended), with every feature on that a deployment would have on: prompt and every chunk
  inspected, durable audit before forward and before release, metrics, 1 % of requests traced;
- make an API key that may use the model for streams and for plain answers, with limits far above 3,000 streams
  open at once and 100,000 requests a second, and answers of 4,000 text events;
- start `python -m guard serve --config DIR` with all its output in `log`, listening on 127.0.0.1;
- return at once: the caller waits until a request to the model is answered with 200.
The caller stops `processes` with SIGTERM, reads their CPU time and memory, children included.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guard.credentials import digest, new_secret
from tests.benchmarks.before import environment
from tests.benchmarks.process import Process
from tests.parts.ports import free_port


class GuardUnavailableError(RuntimeError):
    """The guard cannot be measured, and why."""


@dataclass(frozen=True, slots=True)
class GuardTarget:
    """A started guard, and what a caller must know to use it."""

    processes: tuple[Process, ...]
    port: int
    api_key: str
    model: str
    features: str  # for the line of conditions: what is switched on

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the started processes; their children are found by the caller."""
        return tuple(process.pid for process in self.processes)


def start(upstream_url: str, workdir: Path, log: Path, source: Path | None = None) -> GuardTarget:
    """Start the guard in front of `upstream_url`, with its configuration and state below `workdir`.

    With ``source`` it is the guard of that source tree, in this environment.
    """
    if shutil.which("guard", path=str(Path(sys.executable).parent)) is None:
        raise GuardUnavailableError("the command guard is not installed beside this Python")
    pepper, key = "p" * 32, new_secret("sk-guard", "bench", lambda count: b"b" * count)
    port = free_port()
    for name, text in _files(upstream_url, port, digest(pepper.encode(), key.encode())).items():
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if source is None else _for_earlier(text, source))
    (workdir / "secrets").mkdir(exist_ok=True)
    (workdir / "secrets" / "pepper").touch(0o600)
    (workdir / "secrets" / "pepper").write_text(pepper)
    (workdir / "secrets" / "content-key").touch(0o600)
    (workdir / "secrets" / "content-key").write_text(os.urandom(32).hex())
    command = [sys.executable, "-P", "-m", "guard", "serve", "--config", str(workdir)]
    env = None if source is None else environment(source)
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
    return GuardTarget((process,), port, key, "bench", FEATURES)


def _for_earlier(text: str, source: Path) -> str:
    """The same file without what earlier guards neither have nor know."""
    known = (source / "guard" / "policy" / "process.py").read_text()
    for word, part in (("concurrent_per_key", _PER_KEY), ("class Content", _CONTENT)):
        text = text if word in known else text.replace(part, "")
    return text


_PER_KEY = ", concurrent_per_key: 20000"
_CONTENT = "content: {key: {file: secrets/content-key}, wrapped: content-keys}\n"
FEATURES = (
    "ASL-3 under example-internal: request log with texts sealed, intent on disk before forwarding, every part written "
    "before its release; kill switch, evidence, access, limits; pattern classifier (1,000 phrases, 20 patterns) on "
    "prompt and answer; metrics, a JSON line per request; no tracing"
)


def _files(upstream_url: str, port: int, key_digest: str) -> dict[str, str]:
    today = datetime.now(UTC).date()
    later = today + timedelta(days=90)
    claims = ("model_card", "usage_policy", "threat_model", "red_team_report", "safeguards_report")
    mounts = ("kill_switch", "evidence", "access", "limits")
    plain = "".join(f"  - {{use: {use}, mode: enforce, on_failure: block, deadline_seconds: 5}}\n" for use in mounts)
    phrases = "".join(
        f"  - {{id: phrase-{n}, category: other, phrase: 'forbidden marker number {n} of the bench'}}\n"
        for n in range(1000)
    )
    patterns = "".join(
        f"  - {{id: pattern-{n}, category: other, pattern: 'forbidden-{n}-[a-f]{{2,8}} ?mark(er)?'}}\n"
        for n in range(20)
    )
    return {
        "guard.yaml": f"""version: 1
surfaces: [{{name: public, host: 127.0.0.1, port: {port}}}]
workers: 1
storage: {{state: state, audit: audit}}
keys: {{pepper: {{file: secrets/pepper}}}}
{_CONTENT}admin: {{host: 127.0.0.1, port: 0, tokens: []}}
limits: {{concurrent: 20000{_PER_KEY}}}
""",
        "tiers.yaml": f"""version: 1
tiers:
  bench: {{models: {{bench: [chat]}}, rate: {{per_minute: 1000000, burst: 100000}}}}
keys:
  - {{id: bench, owner: benchmark, tier: bench, digest: "{key_digest}", expires: {later}}}
""",
        "models/bench.yaml": f"""version: 1
model: bench
framework: {{name: example-internal, version: "1"}}
asl: {{deployment: 3, security: 3}}
audience: general
surfaces: [public]
upstream: {{url: "{upstream_url}", kind: openai, model: bench, max_idle: 1000, total_seconds: 3600}}
operations: [chat]
safeguards:
  - use: request_log
    mode: enforce
    on_failure: block
    deadline_seconds: 10
    settings: {{durable: before_forward, parts: true, content: true}}
{plain}  - use: classifier
    mode: enforce
    on_failure: block
    deadline_seconds: 5
    settings: {{engine: patterns, screens: [input, output], rules: rules/bench.yaml}}
evidence: evidence/bench.yaml
""",
        "rules/bench.yaml": f"""version: 1
name: bench
release: "1"
rules:
{phrases}{patterns}""",
        "evidence/bench.yaml": "version: 1\nattestations:\n"
        + "".join(
            f"  - {{claim: {claim}, uri: 'https://example.com/{claim}', sha256: '{'0' * 64}', owner: bench, "
            f"issued: {today - timedelta(days=1)}, expires: {later}}}\n"
            for claim in claims
        ),
    }

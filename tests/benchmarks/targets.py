"""The mock upstream and what stands in front of it: nothing, nginx, LiteLLM, the guard."""

import http.client
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import guard_target
from tests.benchmarks.compile import CACHE, build
from tests.benchmarks.process import LOAD_CORE, PROXY_CORE, Process, on_core, start, stop
from tests.parts import debian
from tests.parts.ports import free_port

MODEL = "bench"
LITELLM = "1.106.2"
LITELLM_HOME = CACHE / "litellm-venv"
LITELLM_DONE = LITELLM_HOME / f"installed-{LITELLM}"
BEFORE = "guard-before"  # the guard of an earlier commit, which a run is asked for by the commit's name
NAMES = ("direct", "nginx", "guard", "litellm")

NGINX_CONF = """\
{user}worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  keepalive_requests 100000000;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location / {{
      proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 600s;
    }}
  }}
}}
"""

LITELLM_CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0, request_timeout: 600}}
general_settings: {{master_key: sk-bench}}
"""


class Mock:
    """The mock upstream: its rate is set by a request, so that one serves a whole run."""

    def __init__(self, life_seconds: int = 3600) -> None:
        """Start it on the load's core."""
        with on_core(LOAD_CORE):
            self.process: Process = subprocess.Popen(
                [str(build("mock")), "--model", MODEL, "--life", str(life_seconds)], stdout=subprocess.PIPE
            )
        if self.process.stdout is None:
            raise AssertionError
        word, _, port = self.process.stdout.readline().decode().partition(" ")
        if word != "PORT":
            stop([self.process])
            raise RuntimeError("the mock upstream did not start")
        self.port = int(port)

    def _ask(self, method: str, path: str) -> dict[str, int]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request(method, path)
            answer = link.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"mock: {method} {path} gave {answer.status}")
            return {str(key): int(value) for key, value in json.loads(body).items()}
        finally:
            link.close()

    def control(self, rate: float, tokens: int) -> None:
        """Set the text events a second, and the text events in all, of streams that open from now on."""
        self._ask("POST", f"/control/{rate}/{tokens}")

    def drained(self, seconds: float = 10.0) -> int:
        """Wait until no stream is open, and tell how many still are when time is up."""
        deadline = time.monotonic() + seconds
        while (still := self._ask("GET", "/stats")["open"]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return still

    def stop(self) -> None:
        """End it."""
        stop([self.process])
        if self.process.stdout is not None:
            self.process.stdout.close()


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers chat completions, and the processes that it costs."""

    name: str
    port: int
    key: str = "none"
    model: str = MODEL
    processes: tuple[Process, ...] = ()
    version: str = ""

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose cost is the target's; none for the way without a proxy."""
        return tuple(process.pid for process in self.processes)


def nginx_program() -> tuple[Path, dict[str, str]]:
    """Find nginx and its environment: the installed one, or else Debian's package unpacked in the cache."""
    installed = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if installed:
        return Path(installed), dict(os.environ)
    return debian.binary("nginx", "nginx"), debian.environment("nginx")


def start_nginx(upstream: int, workdir: Path) -> Target:
    """Start nginx with one worker, as a proxy that keeps connections open and buffers nothing."""
    port = free_port()
    program, env = nginx_program()
    user = "user root;\n" if os.geteuid() == 0 else ""
    conf = workdir / "nginx.conf"
    conf.write_text(NGINX_CONF.format(user=user, dir=workdir, upstream=upstream, port=port))
    said = subprocess.run([str(program), "-v"], capture_output=True, text=True, check=False, timeout=10, env=env)
    process = start([str(program), "-p", str(workdir), "-c", str(conf)], workdir / "log", core=PROXY_CORE, env=env)
    return Target("nginx", port, processes=(process,), version=said.stderr.strip().rpartition("/")[2])


def install_litellm() -> None:
    """Install LiteLLM in a virtual environment of its own, once."""
    if LITELLM_DONE.exists():
        return
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else [shutil.which("pip3") or "pip"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(LITELLM_HOME)], check=True, timeout=120)
    python = str(LITELLM_HOME / "bin" / "python")
    wanted = f"litellm[proxy]=={LITELLM}"
    subprocess.run([*pip, "--python", python, "install", "--quiet", wanted], check=True, timeout=900)
    LITELLM_DONE.touch()


def start_litellm(upstream: int, workdir: Path) -> Target:
    """Start LiteLLM's proxy: one worker, a master key, no database, no guardrail, nothing sent out."""
    port, conf = free_port(), workdir / "litellm.yaml"
    conf.write_text(LITELLM_CONFIG.format(model=MODEL, upstream=upstream))
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "DISABLE_ADMIN_UI": "True",
        "NO_DOCS": "True",
    }
    command = [str(LITELLM_HOME / "bin" / "litellm"), "--config", str(conf), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    process = start(command, workdir / "log", core=PROXY_CORE, env=env)
    return Target("litellm", port, key="sk-bench", processes=(process,), version=LITELLM)


def start_guard(upstream: int, workdir: Path, source: Path | None = None) -> Target:
    """Start the guard as its hook says; with ``source`` the one of that source tree."""
    with on_core(PROXY_CORE):
        guard = guard_target.start(f"http://127.0.0.1:{upstream}", workdir, workdir / "log", source)
    if source is not None:
        return Target(BEFORE, guard.port, guard.api_key, guard.model, guard.processes)
    try:
        version = importlib.metadata.version("asl-guard")
    except importlib.metadata.PackageNotFoundError:
        version = "source tree"
    return Target(
        "guard", guard.port, guard.api_key, guard.model, guard.processes, version=f"{version}, {guard.features}"
    )


def launch(name: str, upstream: int, workdir: Path, before: Path | None = None) -> Target:
    """Start a target by its name; it answers only after `await_ready`. ``before`` is where the earlier guard lies."""
    workdir.mkdir(parents=True, exist_ok=True)
    if name == "direct":
        return Target("direct", upstream)
    if name == BEFORE:
        return start_guard(upstream, workdir, before)
    return {"nginx": start_nginx, "litellm": start_litellm, "guard": start_guard}[name](upstream, workdir)


def await_ready(target: Target, log: Path, seconds: float = 120.0) -> None:
    """Wait until the target answers a chat completion with 200."""
    deadline, last = time.monotonic() + seconds, "no answer"
    body = json.dumps({"model": target.model, "messages": [{"role": "user", "content": "hello"}]})
    headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
    while time.monotonic() < deadline:
        link = http.client.HTTPConnection("127.0.0.1", target.port, timeout=20)
        try:
            link.request("POST", "/v1/chat/completions", body, headers)
            answer = link.getresponse()
            last = f"{answer.status} {answer.read(300)!r}"
            if answer.status == http.HTTPStatus.OK:
                return
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
        finally:
            link.close()
        if any(process.poll() is not None for process in target.processes):
            last = "it ended by itself"
            break
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise RuntimeError(f"{target.name} does not answer: {last}\n{tail}")

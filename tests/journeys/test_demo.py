"""``guard demo``: every command it prints is run in a shell as printed, and does what its comment says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.parts.guard_process import GUARD, alive, wait_until


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo, what it printed under each comment, and its model's pid."""

    process: subprocess.Popen[str]
    blocks: dict[str, str]
    directory: Path

    def run(self, comment: str) -> subprocess.CompletedProcess[str]:
        """Paste what stands under the comment that begins so into a shell."""
        (block,) = (block for found, block in self.blocks.items() if found.startswith(comment))
        return subprocess.run(["/bin/bash", "-c", block], capture_output=True, text=True, timeout=60, check=False)


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory = tmp_path_factory.mktemp("demo") / "with a blank"
    ports = [f"--{name}-port=0" for name in ("data", "admin", "model")]
    process = subprocess.Popen(
        [GUARD, "demo", "--dir", str(directory), *ports], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        printed = "".join(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        admin = re.search(r"http://127.0.0.1:\d+(?=/metrics)", printed)
        assert admin is not None
        wait_until(lambda: ready(admin[0]), "the demo is ready")
        blocks = dict(re.findall(r"^# (.+)\n((?:[^#\n].*\n)+)", printed, re.MULTILINE))
        yield Demo(process, blocks, directory)
    finally:
        if process.poll() is None:
            for pid in children(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.kill()
        process.communicate(timeout=30)


def ready(admin: str) -> bool:
    try:
        return httpx.get(f"{admin}/health/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def texts(stream: str) -> str:
    """The content of a printed stream."""
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks if "choices" in each)


def test_nothing_is_printed_that_these_tests_do_not_run(demo: Demo) -> None:
    assert [comment.split()[:3] for comment in demo.blocks] == [
        ["an", "allowed", "request,"],
        ["a", "refused", "request:"],
        ["a", "completion", "that"],
        ["a", "stop", "that"],
        ["the", "same", "in"],
        ["how", "the", "model"],
        ["the", "metrics,", "and"],
    ]


def test_an_allowed_request_is_streamed(demo: Demo) -> None:
    done = demo.run("an allowed request")
    assert done.returncode == 0
    assert texts(done.stdout).startswith("Hello! I am a scripted model")
    assert done.stdout.rstrip().endswith("data: [DONE]")


def test_a_forbidden_prompt_is_refused(demo: Demo) -> None:
    done = demo.run("a refused request")
    assert json.loads(done.stdout)["error"]["code"] == "content_blocked"


def test_a_completion_is_cut_before_the_forbidden_text_leaves(demo: Demo) -> None:
    done = demo.run("a completion that is cut")
    assert "FORBIDDEN" not in done.stdout
    assert texts(done.stdout).startswith("Here is the text you asked for. It begins well")
    assert '"finish_reason":"content_filter"' in done.stdout


def test_a_stop_cuts_the_running_stream_is_seen_and_is_lifted(demo: Demo) -> None:
    done = demo.run("a stop that cuts")
    assert done.returncode == 0, done.stderr
    assert texts(done.stdout).startswith("1 2 3 ")
    assert '"code":"stopped"' in done.stdout
    assert "[DONE]" not in done.stdout
    assert re.search(r"stopped model:demo: applied on 1/1 workers in \d+ ms, 1 streams cut", done.stdout)
    assert re.search(r"STOPPED model:demo since .*: trying the switch", done.stdout)
    assert "demo: stopped" in done.stdout
    assert re.search(r"^lifted \w{26}: applied on 1/1 workers", done.stdout, re.MULTILINE)
    assert done.stderr == ""


def test_the_token_opens_the_control_page(demo: Demo) -> None:
    comment = next(each for each in demo.blocks if each.startswith("the same in a browser"))
    url = re.search(r"http://\S+/control", comment)
    assert url is not None
    token = demo.run("the same in a browser").stdout.strip()
    with httpx.Client(trust_env=False, follow_redirects=True) as client:
        page = client.post(f"{url[0]}/sign-in", data={"token": token, "onward": "/control"})
    assert "Nothing is stopped" in page.text
    assert re.search(r"\bdan\b", page.text)


def test_the_model_stands_now_and_falls_when_its_evidence_has_lapsed(demo: Demo) -> None:
    done = demo.run("how the model stands")
    assert "demo: routable until" in done.stdout
    assert "demo: NOT ROUTABLE" in done.stdout
    assert done.returncode == 1


def test_the_metrics_and_the_log_tell_what_happened(demo: Demo) -> None:
    done = demo.run("the metrics")
    assert done.returncode == 0, done.stderr
    assert "guard_requests_total{" in done.stdout
    assert " control who=guard what=start" in done.stdout
    assert " intent " in done.stdout
    assert done.stderr == ""


def test_ctrl_c_ends_all_of_it(demo: Demo) -> None:
    started = children(demo.process.pid)
    assert len(started) == 2  # the model and a worker
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert not any(alive(pid) for pid in started)

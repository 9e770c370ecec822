"""From an open inference server to a guarded one, by the lines that `guard init` prints and nothing else."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx

from tests.parts.debian import Server
from tests.parts.llama import LlamaServer
from tests.parts.ports import free_port

GUARD = str(Path(sys.executable).with_name("guard"))


def test_an_open_server_is_guarded_by_the_lines_that_init_prints(tmp_path: Path) -> None:
    directory, port, admin = tmp_path / "guard-config", free_port(), free_port()
    options = ["--dir", str(directory), "--port", str(port), "--admin-port", str(admin)]
    with LlamaServer(tmp_path) as llama:
        init = subprocess.run([GUARD, "init", llama.url, *options], capture_output=True, text=True, check=False)
        assert (init.returncode, init.stderr) == (0, "")
        secrets = dict(re.findall(r"^  export (GUARD_\w+)=(\S+)$", init.stdout, re.MULTILINE))
        to_run = init.stdout.partition("\nRun it\n")[2]
        lines = [shlex.split(line, comments=True) for line in to_run.splitlines() if line.startswith("  ")]
        check = next(words for words in lines if words[1:2] == ["check"])
        assert subprocess.run([GUARD, *check[1:]], capture_output=True, check=False).returncode == 0
        serve = next(words for words in lines if words[1:2] == ["serve"])
        asking, refused = (words for words in lines if words[:1] == ["curl"])
        with Server(
            [GUARD, *serve[1:]], url=f"http://127.0.0.1:{admin}", ready="/health/ready", log=tmp_path / "guard.log"
        ):
            answer = curl(asking, secrets)
            assert answer.status_code == 200
            assert answer.json()["choices"][0]["message"]["content"] == "Hello there, how can I help you today?"
            assert answer.json()["model"] == "tiny"
            assert curl(refused, secrets).status_code == 403
            assert curl(asking, {"GUARD_KEY": "sk-guard-first-app-wrong"}).status_code == 401
            stop = next(words for words in lines if words[1:2] == ["stop"])
            done = subprocess.run(
                [GUARD, *stop[1:]], env={"PATH": "", **secrets}, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert curl(asking, secrets).status_code == 503


def curl(words: list[str], variables: dict[str, str]) -> httpx.Response:
    """Do what this curl command would."""
    header = words[words.index("-H") + 1].replace("$GUARD_KEY", variables["GUARD_KEY"])
    name, value = header.split(": ", 1)
    url = next(word for word in words if word.startswith("http://"))
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.post(url, headers={name: value}, json=json.loads(words[words.index("-d") + 1]))

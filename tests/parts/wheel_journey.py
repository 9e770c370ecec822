"""A journey for an installed wheel, run by its own interpreter: start the demo, ask, be refused, stop it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import httpx


def main(guard: str, directory: str) -> None:
    """Start ``guard demo`` and use it."""
    command = [guard, "demo", "--dir", directory, "--data-port", "0", "--admin-port", "0", "--model-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        printed = "".join(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        found = re.search(r"http://127.0.0.1:\d+/v1/chat/completions", printed)
        assert found is not None
        with open(f"{directory}/secrets/demo-app.key", encoding="utf-8") as file:  # noqa: PTH123 - a script
            key = file.read().strip()
        with httpx.Client(headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30) as client:
            answer = ask(client, found[0], "Say hello")
            until = time.monotonic() + 30
            while answer != 200 and time.monotonic() < until:
                time.sleep(0.1)
                answer = ask(client, found[0], "Say hello")
            assert answer == 200
            assert ask(client, found[0], "FORBIDDEN-MARKER") == 403
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(client: httpx.Client, url: str, content: str) -> int:
    """Return the status of one request, 0 while nobody listens."""
    body = {"model": "demo", "messages": [{"role": "user", "content": content}]}
    try:
        return client.post(url, json=body).status_code
    except httpx.HTTPError:
        return 0


if __name__ == "__main__":
    main(*sys.argv[1:])

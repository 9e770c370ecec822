"""A real etcd out of Debian's package: one member in a folder, frozen, killed, rolled back and revived."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

import httpx

from tests.parts.debian import binary, environment, unpacked
from tests.parts.ports import free_port

_PACKAGE: Final = "etcd-server"


class Etcd:
    """A member inside a ``with`` block; ``tls`` is a certificate and its key, and then nothing else is spoken."""

    def __init__(self, *, tls: tuple[Path, Path] | None = None) -> None:
        """Make its folder; nothing runs yet."""
        unpacked(_PACKAGE)
        self.folder = Path(tempfile.mkdtemp(prefix="guard-etcd-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._peer = free_port()
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, prefix: str, *, port: int | None = None, who: str = "") -> str:
        """Where the guards find it, or through a proxy at another port."""
        return f"{'https' if self._tls else 'http'}://{who}127.0.0.1:{port or self.port}/{prefix}"

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it at once and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        own = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self._peer}"
        command = [str(binary(_PACKAGE, "etcd")), "--data-dir", str(self.data), "--name", "one",
                   "--listen-client-urls", own, "--advertise-client-urls", own,
                   "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", f"one={peer}"]  # fmt: skip
        if self._tls is not None:
            command += ["--cert-file", str(self._tls[0]), "--key-file", str(self._tls[1])]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment(_PACKAGE), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        until = time.monotonic() + 30
        while not self._answers(own):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def ask(self, path: str, question: dict[str, object], token: str = "") -> dict[str, object]:
        """Ask its gateway directly."""
        headers = {"authorization": token} if token else {}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/v3/{path}", json=question, headers=headers, trust_env=False)
        answer.raise_for_status()
        return dict(answer.json())

    def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Freeze (SIGSTOP) or thaw (SIGCONT) it."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    def copy_of_data(self) -> Path:
        """Copy the data of a member that is not running, to go back to."""
        kept = self.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(self.data, kept)
        return kept

    def go_back_to(self, kept: Path) -> None:
        """Put data from before in the place of what is there; it must not run."""
        shutil.rmtree(self.data)
        shutil.copytree(kept, self.data)

    def _answers(self, own: str) -> bool:
        try:
            return httpx.get(f"{own}/health", verify=False, trust_env=False, timeout=1).status_code == httpx.codes.OK  # noqa: S501 - only whether it is up
        except httpx.TransportError:
            return False

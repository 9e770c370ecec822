"""A real PostgreSQL out of Debian's package: a cluster in a folder, run by a user without rights, frozen and revived.

Durability is off (`fsync=off`): what the tests kill is the process, and the operating system keeps what was written.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from guard.state.postgres_schema import schema
from tests.parts.debian import binary, environment, unpacked
from tests.parts.ports import free_port

_PACKAGE: Final = "postgresql-15"
_CLIENT: Final = "postgresql-client-15"
_NOBODY: Final = 65534
OWNER: Final = "owner"
GUARDS: Final = "guards"
PASSWORD: Final = "fleet-password"  # of a server that lives for one test
_SETTINGS: Final = {
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "jit": "off",
    "autovacuum": "off",
}


class Postgres:
    """A server inside a ``with`` block, with a database ``fleet`` in which the role ``guards`` may work."""

    def __init__(self, *, tls: tuple[Path, Path] | None = None, durable: bool = False) -> None:
        """Make the cluster's folder; ``tls`` is a certificate and its key, and then nothing else is spoken.

        ``durable`` leaves `fsync` on, as the figures of a measurement need it.
        """
        unpacked(_PACKAGE, _CLIENT)
        self.folder = Path(tempfile.mkdtemp(prefix="guard-postgres-"))
        self.port = free_port()
        self._settings = {**_SETTINGS, "fsync": "on" if durable else "off"}
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
            os.chown(self.folder, _NOBODY, _NOBODY)
        self.data = self.folder / "data"
        (self.folder / "password").write_text(PASSWORD)
        if self._as:
            os.chown(self.folder / "password", _NOBODY, _NOBODY)
        self._run("initdb", "-D", str(self.data), "-U", OWNER, "--pwfile", str(self.folder / "password"),
                  "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")  # fmt: skip
        if tls is not None:
            for name, source in zip(("server.crt", "server.key"), tls, strict=True):
                shutil.copy(source, self.data / name)
                (self.data / name).chmod(0o600)
                if self._as:
                    os.chown(self.data / name, _NOBODY, _NOBODY)
            self._settings["ssl"] = "on"
            hba = self.data / "pg_hba.conf"
            hba.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")

    def dsn(self, *, port: int | None = None, user: str = GUARDS, password: str = PASSWORD) -> str:
        """Where the guards find it, or through a proxy at another port."""
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/fleet"

    def __enter__(self) -> Self:
        """Start it and make the database with its tables."""
        try:
            self.start()
            self.sql("postgres", f"create role {GUARDS} login password '{PASSWORD}'", "create database fleet")
            self.sql("fleet", schema(GUARDS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it at once and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it takes queries."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(binary(_PACKAGE, "postgres")), "-D", str(self.data), "-p", str(self.port), *options],
                env=environment(_PACKAGE),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._as,
            )
        until = time.monotonic() + 30
        while True:
            try:
                self.sql("postgres", "select 1")
            except RuntimeError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:]) from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End every process of the server with SIGKILL, as a power cut would."""
        if self._process is None:
            return
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(30)
        until = time.monotonic() + 30
        while self._segment_in_use() and time.monotonic() < until:
            time.sleep(0.01)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Freeze (SIGSTOP) or thaw (SIGCONT) every process of the server."""
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def sql(self, database: str, *statements: str) -> str:
        """Run statements as the owner; returns what they print, raises RuntimeError with what went wrong."""
        words: Sequence[str] = [word for statement in statements for word in ("-c", statement)]
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                         "-h", "127.0.0.1", "-p", str(self.port), "-U", OWNER, "-d", database, *words)  # fmt: skip

    def copy_of_data(self) -> Path:
        """Copy the data of a server that is not running, to go back to."""
        kept = self.folder / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        self._copy(self.data, kept)
        return kept

    def go_back_to(self, kept: Path) -> None:
        """Put data from before in the place of what is there; the server must not run."""
        shutil.rmtree(self.data)
        self._copy(kept, self.data)

    def _copy(self, source: Path, target: Path) -> None:
        done = subprocess.run(["/bin/cp", "-a", str(source), str(target)], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def _family(self) -> list[int]:
        """The server's processes, the first first."""
        if self._process is None:
            return []
        found = [self._process.pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_bytes().rpartition(b")")[2].split()[1]) == self._process.pid:
                    found.append(int(stat.parent.name))
        return found

    def _segment_in_use(self) -> bool:
        return any(self._alive(pid) for pid in self._family()[1:])

    def _alive(self, pid: int) -> bool:
        return Path(f"/proc/{pid}").exists()

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [str(binary(_PACKAGE, program)), *words],
            env={**environment(_PACKAGE), "HOME": str(self.folder), "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **self._as,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.strip()[-1000:]}")
        return str(done.stdout).strip()

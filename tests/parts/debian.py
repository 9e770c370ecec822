"""Real servers out of Debian's packages, unpacked beside the repository and run without installing them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "debian"


def unpacked(package: str, *more: str) -> Path:
    """The folder that holds the files of a package and of `more`, as if it were the root of a system.

    Libraries that the programs need and this machine lacks are unpacked with them. What is there is
    not fetched again; processes may ask at once. Raises RuntimeError that names what is missing.
    """
    root = _CACHE / package
    record = root / ".unpacked"
    with _lock(package):
        # Written last, so that an unpacking that was killed is repeated.
        there = set(record.read_text().split()) if record.exists() else set()
        if wanted := {package, *more} - there:
            _unpack(wanted, root)
            if _missing_libraries(root):
                _unpack(_libraries_of(wanted), root)
            if missing := _missing_libraries(root):
                raise RuntimeError(f"{package}: no Debian package gave {', '.join(sorted(missing))}")
            record.write_text("\n".join(sorted(there | wanted)))
    return root


def binary(package: str, name: str) -> Path:
    """A program of a package by its file name; run it with `environment(package)`. RuntimeError if none."""
    root = unpacked(package)
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin", "usr/lib/**"):
        for path in sorted(root.glob(f"{folder}/{name}")):
            if path.is_file() and os.access(path, os.X_OK):
                return path
    raise RuntimeError(f"the Debian package {package} has no program {name}")


def environment(package: str) -> dict[str, str]:
    """This process's environment, with the libraries that were unpacked with the package."""
    return {**os.environ, **_libraries_in(unpacked(package))}


def command(name: str, *packages: str) -> str:
    """A command of this machine; where it is missing and we are root, Debian's packages that bring it are installed.

    Raises RuntimeError that names what is missing.
    """
    found = shutil.which(name)
    if found is None and os.geteuid() == 0:
        with _lock("installed"):
            for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
                _run(["apt-get", *words])
        found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing: install {' '.join(packages)} (Debian: apt-get install)")
    return found


def _libraries_in(root: Path) -> dict[str, str]:
    """The variable that shows the dynamic linker the libraries below a root; nothing if there are none."""
    places = ("lib/*-linux-gnu", "usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio")
    folders = [str(path) for pattern in places for path in root.glob(pattern)]
    return {"LD_LIBRARY_PATH": ":".join(folders)} if folders else {}


def _unpack(packages: Iterable[str], root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        _apt("download", *sorted(packages), folder=Path(folder))
        for archive in Path(folder).glob("*.deb"):
            if (done := _run(["dpkg", "-x", archive, root])).returncode != 0:
                raise RuntimeError(f"{archive.name} cannot be unpacked: {done.stderr.strip()}")


def _libraries_of(packages: Iterable[str]) -> list[str]:
    """The library packages that an installation would add to this machine."""
    plan = _apt("install", "--simulate", "--no-install-recommends", *sorted(packages), folder=_CACHE)
    # An upgrade shows the old version in brackets: what is installed serves, and glibc must not be doubled.
    return re.findall(r"^Inst (lib\S+) \(", plan, re.MULTILINE)


def _missing_libraries(root: Path) -> set[str]:
    """What the dynamic linker does not find for the programs below a root."""
    missing: set[str] = set()
    for path in (*root.glob("[bs]*in/*"), *root.glob("usr/**/*")):
        if path.is_symlink() or not path.is_file() or not os.access(path, os.X_OK):
            continue
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                continue
        # Fails for a static program, which needs none.
        answer = _run(["ldd", path], env={**os.environ, **_libraries_in(root)})
        missing.update(re.findall(r"(\S+) => not found", answer.stdout))
    return missing


def _apt(action: str, *arguments: str, folder: Path) -> str:
    """Run apt-get in a folder; if it fails, once more after fetching the lists of packages."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"{tool} is missing: {' '.join(arguments)} come from Debian's packages")
    # Without the sandbox user, root may download into a folder that is closed to others.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", action, *arguments]
    first = _run(command, cwd=folder)
    if first.returncode == 0:
        return first.stdout
    with _lock("apt-get-update"):
        update = _run(["apt-get", "-qq", "update"])
    again = _run(command, cwd=folder)
    if again.returncode == 0:
        return again.stdout
    reasons = f"{again.stderr.strip()}\n{update.stderr.strip()}".strip()
    raise RuntimeError(f"`apt-get {action} {' '.join(arguments)}` failed, also after `apt-get update`: {reasons}")


def _run(
    command: Sequence[str | Path], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


@contextmanager
def _lock(name: str) -> Iterator[None]:
    """Held by one process at a time; a process that dies lets go of it."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Server:
    """A program that serves HTTP on the loopback for as long as the `with` block lasts.

    Ready when `url + ready` answers 200. Entering raises RuntimeError with the end of the log if it
    exits before that or is not ready after 30 s. The log stays in `log`.
    """

    def __init__(
        self, command: Sequence[str], *, url: str, ready: str, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet: say what to run, where it will answer, and in which environment (default: this one)."""
        self.url = url
        self.log = log
        self._command = command
        self._env = env
        self._ready = ready
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10)

    @property
    def pid(self) -> int:
        """The number of the process; only inside the `with` block."""
        return self._process.pid

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready(time.monotonic() + 30)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _wait_until_ready(self, deadline: float) -> None:
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                if self._http.get(self._ready, timeout=1).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        state = self._process.poll()
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        what = "is not ready after 30 s" if state is None else f"exited with {state}"
        raise RuntimeError("\n".join([f"{Path(self._command[0]).name} {what}; its last words:", *lines]))

    def _end(self) -> None:
        self._http.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

"""The certificates of the listeners while they serve: read at the start, read again when their files change.

New connections get the new certificate, standing ones keep theirs. A change is taken up once the files have been as
they are for a second, so that a certificate and a key that are replaced one after the other are not read half old. What
is bad then is told in the log, once, and the one before stays in force. Weakness: a worker that starts while bad files
lie there cannot begin; the others serve on.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from guard.policy.config import Config
from guard.policy.file import UnreadableError, read_regular
from guard.policy.process import ClientCertificates, ListenerTls
from guard.policy.secret import read_secret_bytes
from guard.policy.source import ConfigError, Problem
from guard.serve.tls import server_tls
from guard.telemetry.logs import Event, JsonLog, Level, Value
from guard.upstream.tls import BadTls

LOOK_SECONDS: Final = 1.0
MAX_BYTES: Final = 1_048_576
_MAX_REASONS: Final = 16

_Stamp = tuple[tuple[int, ...], ...]


class Certificates:
    """The TLS of one listener: ``context`` is for the next connection, ``failed`` counts handshakes that failed."""

    def __init__(self, name: str, tls: ListenerTls, directory: Path, problem: Callable[[str, str], Problem]) -> None:
        """Read them; ``name`` is the listener's, ``problem`` puts words at a key of its ``tls``. Raises ConfigError."""
        self.name = name
        self.failed: Counter[str] = Counter()
        self._tls = tls
        self._directory = directory
        self._problem = problem
        self._admitted = ""
        self._seen = self._taken = self._stamp()
        self.context, self.sha256 = self._read()

    @property
    def asks(self) -> bool:
        """Whether nobody is let in without a certificate."""
        return self._tls.client_certificates is ClientCertificates.REQUIRED

    def admit(self, certificate: str) -> None:
        """Take this very certificate (PEM) too from whoever connects, beside those that ``client_ca`` issued."""
        self._admitted = certificate
        self.context, self.sha256 = self._read()

    def look(self) -> bool:
        """Whether changed files were taken up; raises ConfigError, once, when they are bad."""
        before, self._seen = self._seen, self._stamp()
        if self._seen == self._taken or self._seen != before:
            return False
        self._taken = self._seen
        self.context, self.sha256 = self._read()
        return True

    def refuse(self, reason: str) -> None:
        """Count a handshake that failed for this reason, a word of OpenSSL's."""
        if reason in self.failed or len(self.failed) < _MAX_REASONS:
            self.failed[reason] += 1
        else:
            self.failed["others"] += 1

    def _stamp(self) -> _Stamp:
        return tuple(self._stamp_of(path) for path in self._paths())

    def _stamp_of(self, path: Path) -> tuple[int, ...]:
        try:
            found = os.stat(path)  # noqa: PTH116 - beside fstat's fields, and it follows the links of mounted secrets
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _paths(self) -> list[Path]:
        names = (self._tls.certificate, self._tls.key.file, self._tls.client_ca)
        return [self._directory / name for name in names if name is not None]

    def _read(self) -> tuple[ssl.SSLContext, str]:
        certificate = self._file("certificate", self._tls.certificate)
        key = read_secret_bytes(self._tls.key, self._directory, partial(self._problem, "key"))
        client_ca = None if self._tls.client_ca is None else self._file("client_ca", self._tls.client_ca)
        try:
            context = server_tls(certificate, key, self._tls.client_certificates, client_ca)
        except BadTls as bad:
            reference = self._tls.key
            names = {"certificate": self._tls.certificate, "key": reference.file or reference.env}
            raise self._refused(bad.key, f"{names.get(bad.key, self._tls.client_ca)} {bad}") from None
        if self._admitted:
            context.load_verify_locations(cadata=self._admitted)
        return context, self._fingerprint(certificate)

    def _fingerprint(self, certificate: bytes) -> str:
        """The SHA-256 of the first certificate, as ``openssl x509 -fingerprint`` has it, but for colons."""
        _, begin, rest = certificate.decode("ascii").partition(ssl.PEM_HEADER)
        inner, end, _ = rest.partition(ssl.PEM_FOOTER)
        try:
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(begin + inner + end)).hexdigest()
        except ValueError:
            raise self._refused("certificate", f"{self._tls.certificate} must be of {ssl.PEM_HEADER} alone") from None

    def _file(self, key: str, name: str) -> bytes:
        try:
            content, _ = read_regular(self._directory / name, MAX_BYTES)
        except UnreadableError as error:
            raise self._refused(key, f"{name} {error}") from None
        if len(content) > MAX_BYTES:
            raise self._refused(key, f"{name} is longer than {MAX_BYTES} bytes")
        return content

    def _refused(self, key: str, message: str) -> ConfigError:
        return ConfigError([self._problem(key, message)])


def surface_certificates(config: Config) -> dict[str, Certificates]:
    """Read those of every surface with TLS, by its name; raises ConfigError with all that is wrong."""
    read: dict[str, Certificates] = {}
    problems: list[Problem] = []
    for index, surface in enumerate(config.guard.surfaces):
        if surface.tls is not None:
            try:
                problem = _placed(config, "surfaces", index)
                read[surface.name] = Certificates(surface.name, surface.tls, config.directory, problem)
            except ConfigError as error:
                problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return read


def admin_certificates(config: Config) -> Certificates | None:
    """Read those of the admin listener, if it has TLS; raises ConfigError."""
    tls = config.guard.admin.tls
    return None if tls is None else Certificates("admin", tls, config.directory, _placed(config, "admin"))


def _placed(config: Config, *place: str | int) -> Callable[[str, str], Problem]:
    return lambda key, words: config.problem("guard.yaml", (*place, "tls", key), words)


async def watch(listeners: Sequence[Certificates], log: JsonLog, **who: Value) -> None:
    """Look once a second for ever, and tell the log what changed and which handshakes failed; ``who`` marks lines."""
    while listeners:
        await asyncio.sleep(LOOK_SECONDS)
        for each in listeners:
            marks: dict[str, Value] = {"listener": each.name, **who}
            try:
                if await asyncio.to_thread(each.look):  # a disk that hangs must not hold up a stream
                    log.emit(Level.INFO, Event.CERTIFICATE_RENEWED, **marks, sha256=each.sha256)
            except ConfigError as error:
                log.emit(Level.ERROR, Event.CERTIFICATE_REFUSED, **marks, sha256=each.sha256, reason=str(error))
            except Exception as problem:  # noqa: BLE001 - the next look must come
                log.failure(Event.INTERNAL_ERROR, problem, **marks)
            failed, each.failed = each.failed, Counter()
            if failed:
                reasons = [f"{reason} ({count})" for reason, count in failed.most_common()]
                log.emit(Level.WARNING, Event.HANDSHAKE_REFUSED, **marks, count=failed.total(), reasons=reasons)

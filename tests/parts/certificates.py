"""Certificate authorities of a test's own, made by the openssl command in milliseconds."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.parts.debian import command

_CONFIG: Final = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, both files of PEM."""

    certificate: Path
    key: Path

    def server(self, *, clients: Path | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A server's context; with ``clients`` it demands certificates of that authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if version is not None:
            context.maximum_version = version
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Authority:
    """An authority in a folder of its own; ``pem`` is its certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        """Make it."""
        folder.mkdir()
        self.pem = folder / "ca.pem"
        self._folder = folder
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG.format(folder=folder))
        (folder / "index.txt").touch()
        self._count = 0
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")
        more = [word for each in extensions for word in ("-addext", each)]
        self._new("ca", name, "-x509", "-days", "2", *more)

    def issue(self, *names: str, common_name: str = "somebody", expired: bool = False) -> Issued:
        """A certificate for these names, addresses and URIs, valid for a day or expired for years."""
        self._count += 1
        stem = f"issued-{self._count}"
        self._new(stem, common_name)
        extensions = self._folder / f"{stem}.ext"
        extensions.write_text(f"subjectAltName={','.join(map(_alternative, names))}\n" if names else "# none\n")
        dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"] if expired else ["-days", "1"]
        issued = Issued(self._folder / f"{stem}.crt", self._folder / f"{stem}.key")
        _openssl(
            "ca", "-batch", "-notext", "-config", str(self._config), "-extfile", str(extensions), *dates,
            "-in", str(self._folder / f"{stem}.pem"), "-out", str(issued.certificate),
        )  # fmt: skip
        return issued

    def _new(self, stem: str, common_name: str, *more: str) -> None:
        """A new key, and its certificate (with ``-x509``) or the request for one."""
        key, out = self._folder / f"{stem}.key", self._folder / f"{stem}.pem"
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={common_name}",
            "-keyout", str(key), "-out", str(out), *more,
        )  # fmt: skip
        key.chmod(0o600)


def _alternative(name: str) -> str:
    if "://" in name:
        return f"URI:{name}"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"DNS:{name}"
    return f"IP:{name}"


def _openssl(*arguments: str) -> None:
    program = command("openssl", "openssl")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise RuntimeError(done.stderr)

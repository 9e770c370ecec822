"""The real ssh-keygen: makes keys, signs, and judges signatures."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.parts.debian import command


def ssh_keygen() -> str:
    """Return where it is."""
    return command("ssh-keygen", "openssh-client")


def make_key(path: Path, *how: str) -> str:
    """Make a key pair, its private half at ``path`` without a passphrase; return the line of its .pub file."""
    _run("-q", "-N", "", "-C", "a comment", "-f", str(path), *how)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def sign(key: Path, namespace: str, file: Path, *how: str) -> Path:
    """Sign a file and return where the signature was written, beside it."""
    _run("-Y", "sign", "-f", str(key), "-n", namespace, *how, str(file))
    return file.with_name(f"{file.name}.sig")


def fingerprint(line: str) -> str:
    """Return the fingerprint of a public key."""
    return _run("-l", "-f", "-", given=line.encode()).split()[1]


def verifies(folder: Path, line: str, namespace: str, message: bytes, signature: bytes) -> bool:
    """Whether OpenSSH takes a signature over a message by the key of this line."""
    (folder / "signers").write_text(f"somebody {' '.join(line.split()[:2])}\n")
    (folder / "signature").write_bytes(signature)
    arguments = ["-Y", "verify", "-f", str(folder / "signers"), "-I", "somebody", "-n", namespace]
    whole = [ssh_keygen(), *arguments, "-s", str(folder / "signature")]
    done = subprocess.run(whole, input=message, capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def _run(*arguments: str, given: bytes = b"") -> str:
    whole = [ssh_keygen(), *arguments]
    return subprocess.run(whole, input=given, capture_output=True, timeout=60, check=True).stdout.decode()

#!/usr/bin/env python3
"""Check a proof of ASL Guard's request log with nothing but Python: no package, no network, no guard.

    guard audit prove ID > proof.json          on the guard's host
    python3 check_proof.py proof.json --key log.vkey [--witness witness.vkey] [--stamps DIR]

It shows that the records in the file stood in the log whose key you were given, byte for byte, and were not changed
since the head in it was signed. It does not show when that was (a witness's cosignature does), nor that nothing was
left out of the log. Of a time stamp (RFC 3161) it shows that it is over a head that covers the records, and says the
time in it, but NOT who signed it: --stamps writes the head and the time stamp out for OpenSSL, which does. Exit codes:
0 proved, 1 not proved, 2 cannot be read. All of it is one file, so that an auditor can read it and run it alone.

Ed25519 is written out below after RFC 8032. It only verifies, with public inputs: it is not constant-time and need
not be.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

FORMAT = "asl-guard proof v1"
FLEET_KIND = 7


class UnprovedError(Exception):
    """The proof does not show what it should."""


# Ed25519, RFC 8032 section 5.1: the curve, its points in extended coordinates, and verification.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def _x(y: int, sign: int) -> int | None:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _point(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    y = number & (1 << 255) - 1
    x = _x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def _add(one: Point, two: Point) -> Point:
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c = 2 * one[3] * two[3] * D % P
    d = 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found


_Y = 4 * pow(5, P - 2, P) % P
_BASE_X = _x(_Y, 0) or 0
BASE: Point = (_BASE_X, _Y, 1, _BASE_X * _Y % P)


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is one of this key over this message."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = _point(public), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = _times(s, BASE), _add(r, _times(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# The Merkle tree, RFC 6962, and its proofs, RFC 9162 section 2.1.3.2.
def leaf_hash(kind: int, payload: bytes) -> bytes:
    """The leaf of a record."""
    return hashlib.sha256(b"\0" + bytes((kind,)) + payload).digest()


def check_inclusion(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> None:
    """Raise UnprovedError unless the path leads from the leaf to the root."""
    if not 0 <= index < size:
        raise UnprovedError("the record's index lies outside the log")
    here, last, found = index, size - 1, leaf
    for each in path:
        if len(each) != 32 or last == 0:
            raise UnprovedError("the path does not fit the log's size")
        if here & 1 or here == last:
            found = hashlib.sha256(b"\1" + each + found).digest()
            while not here & 1 and here:
                here >>= 1
                last >>= 1
        else:
            found = hashlib.sha256(b"\1" + found + each).digest()
        here >>= 1
        last >>= 1
    if last or found != root:
        raise UnprovedError("the path does not lead from the record to the signed root")


# Signed notes, checkpoints and cosignatures: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature.
class Key:
    """A public key written as name+id+base64."""

    def __init__(self, text: str) -> None:
        """Read it."""
        self.name, _, rest = text.strip().partition("+")
        identifier, _, material = rest.partition("+")
        data = base64.b64decode(material, validate=True)
        if len(data) != 33 or data[0] not in (1, 4) or not self.name:
            raise ValueError("not an Ed25519 verifier key: name+id+base64")
        self.kind, self.public = data[0], data[1:]
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        if identifier != self.id.hex():
            raise ValueError("the id of the verifier key does not fit its name and bytes")

    def signatures(self, note: str) -> tuple[str, list[bytes]]:
        """The note's text and the bytes of this key's signatures, each of them good."""
        text, _, lines = note.rpartition("\n\n")
        text += "\n"
        found = []
        for line in lines.splitlines():
            name, _, encoded = line.removeprefix("\u2014 ").rpartition(" ")
            data = base64.b64decode(encoded, validate=True)
            if name != self.name or data[:4] != self.id:
                continue
            message, signature = text, data[4:]
            if self.kind == 4:
                time = int.from_bytes(signature[:8], "big")
                message, signature = f"cosignature/v1\ntime {time}\n{text}", signature[8:]
            if not ed25519(self.public, message.encode(), signature):
                raise UnprovedError(f"the signature of {self.name} is wrong")
            found.append(data[4:])
        if not found:
            raise UnprovedError(f"not signed by {self.name}")
        return text, found


def head_of(note: str, key: Key) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint that the key signed."""
    text, _ = key.signatures(note)
    origin, size, root = text.split("\n")[:3]
    return origin, int(size), base64.b64decode(root, validate=True)


# Time stamps, RFC 3161: what the answer of an authority states. Its signature is not checked here.
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
TST_INFO = bytes.fromhex("060b2a864886f70d0109100104")
SHA256 = bytes.fromhex("0609608648016503040201")


def elements(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Tag, content and all bytes of each element of DER that stands here."""
    found = []
    at = 0
    while at < len(data):
        start, tag, length = at, data[at], data[at + 1]
        at += 2
        if length >= 0x80:
            count = length - 0x80
            length = int.from_bytes(data[at : at + count], "big")
            at += count
            if not 1 <= count <= 3:
                raise UnprovedError("the time stamp is not DER")
        if at + length > len(data):
            raise UnprovedError("the time stamp is cut off")
        found.append((tag, data[at : at + length], data[start : at + length]))
        at += length
    return found


def inside(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """The elements inside the only one that stands here."""
    ((_, content, _),) = elements(data)
    return elements(content)


def stamp_of(answer: bytes) -> tuple[bytes, str]:
    """The SHA-256 hash that an answer is over, and the time it states."""
    status, *token = inside(answer)
    if elements(status[1])[0][2] != b"\x02\x01\x00" or not token:
        raise UnprovedError("no time stamp was granted")
    kind, content = elements(token[0][1])
    info, wrapped = elements(inside(content[1])[2][1])
    if kind[2] != SIGNED_DATA or info[2] != TST_INFO:
        raise UnprovedError("the time stamp is something else")
    _, _, imprint, _, moment = inside(elements(wrapped[1])[0][1])[:5]
    algorithm, hashed = elements(imprint[1])
    if not algorithm[1].startswith(SHA256) or moment[0] != 0x18:
        raise UnprovedError("the time stamp is over another kind of hash than SHA-256")
    when = moment[1].decode("ascii")
    if not when.endswith("Z") or not when[:14].isdigit():
        raise UnprovedError("the time stamp's time is not UTC")
    return hashed[1], f"{when[:4]}-{when[4:6]}-{when[6:8]}T{when[8:10]}:{when[10:12]}:{when[12:14]}Z"


def check_stamp(log: dict[str, Any], key: Key) -> tuple[bytes, bytes, str]:
    """The stamped head, the answer over it, and its time; the head must be of the fleet log and cover the records'."""
    stamp, fleet = log["stamp"], log["fleet"]
    whole, count, top = head_of(stamp["checkpoint"], key)
    if whole != key.name:
        raise UnprovedError("the head that was stamped is not one of this log")
    path = [base64.b64decode(each, validate=True) for each in stamp["path"]]
    check_inclusion(leaf_hash(FLEET_KIND, log["checkpoint"].encode()), fleet["index"], count, path, top)
    data, answer = stamp["checkpoint"].encode(), base64.b64decode(stamp["answer"], validate=True)
    imprint, when = stamp_of(answer)
    if imprint != hashlib.sha256(data).digest():
        raise UnprovedError("the time stamp is over something else")
    return data, answer, when


def check(proof: dict[str, Any], key: Key, witness: Key | None) -> list[str]:
    """What is proved, a line each; raises UnprovedError."""
    if proof["format"] != FORMAT:
        raise UnprovedError(f"not a proof of the form {FORMAT}")
    if not proof["logs"]:
        raise UnprovedError("it proves no record")
    said = []
    for log in proof["logs"]:
        origin, size, root = head_of(log["checkpoint"], key)
        if not origin.startswith(key.name + "/"):
            raise UnprovedError("the head is not one of a writer of this log")
        if not log["records"]:
            raise UnprovedError("it proves no record")
        for record in log["records"]:
            payload = base64.b64decode(record["payload"], validate=True)
            path = [base64.b64decode(each, validate=True) for each in record["path"]]
            check_inclusion(leaf_hash(record["kind"], payload), record["index"], size, path, root)
            content = json.loads(payload)
            if content.get("id") != proof["request"]:
                raise UnprovedError("a record is proved, but it is of another request")
            name = ascii(content.get("record"))[1:-1]
            said.append(
                f"proved: the {name} of request {ascii(proof['request'])[1:-1]} is record {record['index'] + 1} "
                f"of {origin}, SHA-256 of its bytes {hashlib.sha256(payload).hexdigest()}"
            )
        fleet = log.get("fleet")
        if fleet is not None:
            whole, count, top = head_of(fleet["checkpoint"], key)
            if whole != key.name:
                raise UnprovedError("the head of the fleet log is not one of this log")
            path = [base64.b64decode(each, validate=True) for each in fleet["path"]]
            check_inclusion(leaf_hash(FLEET_KIND, log["checkpoint"].encode()), fleet["index"], count, path, top)
        if witness is not None:
            if fleet is None:
                raise UnprovedError("it has no head of the fleet log, so no witness can have seen it")
            _, signatures = witness.signatures(fleet["checkpoint"])
            time = max(int.from_bytes(each[:8], "big") for each in signatures)
            said.append(f"witnessed: {witness.name} saw the log with it at {time} (seconds since 1970)")
        if log.get("stamp") is not None:
            _, _, when = check_stamp(log, key)
            said.append(f"time-stamped: {when}, as the time stamp says; who signed it is NOT checked here (--stamps)")
    return said


def write_stamps(proof: dict[str, Any], key: Key, folder: Path) -> list[str]:
    """Write each time stamp and its head into a new folder; returns the commands that check who signed them."""
    folder.mkdir()
    said = []
    for number, log in enumerate(proof["logs"]):
        if log.get("stamp") is not None:
            data, answer, _ = check_stamp(log, key)
            head, reply = folder / f"{number}.checkpoint", folder / f"{number}.tsr"
            head.write_bytes(data)
            reply.write_bytes(answer)
            said.append(f"check with: openssl ts -verify -data {head} -in {reply} -CAfile CA.pem")
    return said


def main(arguments: list[str] | None = None) -> int:
    """Check one file."""
    parser = argparse.ArgumentParser(description="Check a proof of ASL Guard's request log; exit code 0 if it holds.")
    parser.add_argument("proof", type=Path, help="the file that `guard audit prove` wrote")
    parser.add_argument("--key", type=Path, required=True, help="the log's public key, from somebody you trust")
    parser.add_argument("--witness", type=Path, help="the public key of a witness that must have cosigned it")
    parser.add_argument("--stamps", type=Path, metavar="DIR", help="write time stamps to this new folder, for openssl")
    parser.add_argument("--show", action="store_true", help="print the records as well")
    given = parser.parse_args(arguments)
    try:
        key = Key(given.key.read_text())
        witness = Key(given.witness.read_text()) if given.witness else None
        if key.kind != 1 or (witness and witness.kind != 4):
            raise ValueError("a log's key is of kind 1, a witness's of kind 4")
        proof = json.loads(given.proof.read_text())
    except (OSError, ValueError) as error:
        print(f"cannot be read: {error}", file=sys.stderr)
        return 2
    try:
        said = check(proof, key, witness)
        if given.stamps:
            said += write_stamps(proof, key, given.stamps)
    except OSError as error:
        print(f"cannot be written: {error}", file=sys.stderr)
        return 2
    except (UnprovedError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        words = error if isinstance(error, UnprovedError) else "the file is not a proof"
        print(f"NOT PROVED: {words}", file=sys.stderr)
        return 1
    print("\n".join(said))
    if given.show:
        for log in proof["logs"]:
            for record in log["records"]:
                print(ascii(json.loads(base64.b64decode(record["payload"]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

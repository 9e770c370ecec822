"""A real server of the S3 protocol (moto), as a process of its own on a port that the system chose."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY: Final = "an-access-key"
SECRET_KEY: Final = "a-secret-key"
REGION: Final = "eu-central-1"
PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class MotoServer:
    """Where it listens."""

    url: str

    def client(self) -> S3Client:
        """A client of the test's own, to look at what was stored."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def bucket(self, name: str, *, lock: bool = False) -> str:
        """Make a bucket."""
        self.client().create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=lock
        )
        return name

    def names(self, bucket: str) -> list[str]:
        """The names of everything in it."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Everything in it."""
        client = self.client()
        return {name: client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in self.names(bucket)}


@contextmanager
def moto_server() -> Iterator[MotoServer]:
    """Start one and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    draining = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        for line in process.stderr:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError("moto's server did not begin")
        watchdog.cancel()
        draining.start()
        yield MotoServer(found[1])
    finally:
        watchdog.cancel()
        process.kill()
        process.wait(PATIENCE)
        if draining.is_alive():
            draining.join(PATIENCE)
        process.stderr.close()

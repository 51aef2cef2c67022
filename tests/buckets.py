"""An S3 of this machine's own, for tests: a server, its environment, a bucket and what lies in it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.loaders import JSONFileLoader
from moto import backends
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from dfer_data.loading import kept_open

BUCKET = "faces"


@functools.cache
def _moto_modules(listing: Callable[[], Iterable[str]] = backends.list_of_moto_modules) -> frozenset[str]:
    """The server lists the folders of its package at every request."""
    return frozenset(listing())


@functools.cache
def _aws_file(path: str, load: Callable[..., Any] = JSONFileLoader.load_file) -> Any:
    """Every new client reads all endpoints of AWS."""
    return load(JSONFileLoader(), path)


class Bucket:
    """A bucket of a server on this machine, and a dataset in it."""

    def __init__(self, server: ThreadedMotoServer) -> None:
        self._server = server
        self.client: Any = boto3.client("s3")
        self.client.create_bucket(Bucket=BUCKET)
        self.prefix = "dfew-none/"
        self.url = f"s3://{BUCKET}/dfew-none"

    def upload(self, root: Path) -> None:
        for path in (path for path in root.rglob("*") if path.is_file()):
            self.client.upload_file(str(path), BUCKET, self.prefix + path.relative_to(root).as_posix())

    def stop(self) -> None:
        self._server.stop()

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=self.prefix + name, Body=content)

    def read(self, name: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=self.prefix + name)["Body"].read()
        return content

    def remove(self, name: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=self.prefix + name)

    def names(self) -> list[str]:
        """All files of the dataset, locks and log too."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=self.prefix)
        return [entry["Key"].removeprefix(self.prefix) for page in pages for entry in page.get("Contents", ())]

    def num_shards(self) -> int:
        """Shards that are marked as finished."""
        return sum(name.startswith("shards/") and name.endswith(".json") for name in self.names())

    def tree(self) -> dict[str, str]:
        """The sha256 of every file that `prepare` promises to make the same again, as of a folder."""
        unhashed = (".lock", "summary")
        names = [name for name in self.names() if not name.endswith(".log") and not name.startswith(unhashed)]
        return {name: hashlib.sha256(self.read(name)).hexdigest() for name in sorted(names)}


@contextlib.contextmanager
def serve(*, max_attempts: int = 1) -> Iterator[Bucket]:
    """Serve an empty bucket, to this process and to those it starts; `max_attempts`: of each request of theirs."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": str(max_attempts),
        }.items():
            patch.setenv(name, value)
        patch.setattr(backends, "list_of_moto_modules", _moto_modules)
        patch.setattr(JSONFileLoader, "load_file", lambda loader, path: _aws_file(path))
        S3FileSystem.clear_instance_cache()  # of the server before
        kept_open._opened.cache_clear()  # read_clip keeps what it has opened by URL, which is the same here
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # so are its buckets
        bucket = Bucket(server)
        try:
            yield bucket
        finally:
            bucket.client.close()
            threading.Thread(target=server.stop, daemon=True).start()  # it looks every half second whether to stop

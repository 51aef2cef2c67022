"""Preparations into a bucket, and what a folder holds after the same; a module that imports the fixtures has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.summary import Summary
from tests.buckets import Bucket, serve
from tests.crops import write_crops


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of crops, so four shards; the second has no pictures."""
    folder = tmp_path_factory.mktemp("crops") / "source"
    return write_crops(folder, num_clips=4, num_frames=lambda number: 0 if number == 2 else 16 + number)


@pytest.fixture(scope="module")
def resolved(source: Path) -> ResolvedRequest:
    return resolve_request(Request(dataset="dfew", source=source, detector="none"))


@pytest.fixture(scope="module")
def folder(resolved: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` makes of them on a disk."""
    out = tmp_path_factory.mktemp("folder") / "dfew-none"
    run_preparation(resolved, out, num_workers=0)
    return out


@pytest.fixture
def bucket(empty_cache: Path) -> Iterator[Bucket]:
    with serve() as found:
        yield found


def make(resolved: ResolvedRequest, bucket: Bucket, **options: object) -> Summary:
    return run_preparation(resolved, bucket.url, num_workers=0, **options)  # type: ignore[arg-type]

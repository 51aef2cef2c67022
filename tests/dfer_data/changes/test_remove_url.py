"""What is in a bucket is changed there as in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dfer_data.changes.compact import compact
from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import remove_clips
from dfer_data.inspection.verify import verify
from dfer_data.preparation.amendments import OwnFolding
from tests.buckets import Bucket, serve
from tests.dfer_data import tiny
from tests.dfer_data.crop_source import CropSource, source_of


@pytest.fixture
def bucket(empty_cache: Path) -> Iterator[Bucket]:
    with serve() as found:
        yield found


def change(source: CropSource, out: Path | str, table: Path) -> None:
    source.prepare(out, update=True)
    relabel(out, table)
    make_fold_set(out, OwnFolding(num_folds=2, group_by="clip"))
    remove_clips(out, clips=["happy/a"], reason="withdrawn")
    compact(out)


def test_a_bucket_ends_as_a_folder_does(bucket: Bucket, tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", "happy/a", "happy/b", "sad/c")
    (tmp_path / "table.csv").write_text("clip_id,label\nhappy/b,sad\n")
    for out in (bucket.url, tmp_path / "folder"):
        source.prepare(out)
    source.rename("sad/c", "sad/d")
    source.add("sad/e", 9)
    for out in (bucket.url, tmp_path / "folder"):
        change(source, out, tmp_path / "table.csv")
    assert bucket.tree() == tiny.tree(tmp_path / "folder")
    assert verify(bucket.url, deep=True).damages == ()
    pictures = source.pictures("happy/a")
    assert not any(picture in bucket.read(name) for name in bucket.names() for picture in pictures)

"""A dataset in a bucket gives what it gives on a disk, in a cache of bounded size, and no damage passes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import torch

from dfer_data import open_dataset, read_clip
from dfer_data.errors import CorruptDataError, CorruptShardError, RemoteError, UsageError
from dfer_data.extras import install_command
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw
from dfer_data.loading.loader import ClipLoader
from dfer_data.storage import url_cache as remote
from dfer_data.storage import url_files as urls
from tests.buckets import Bucket, serve
from tests.crops import damage
from tests.workspace import run_dfer


@pytest.fixture
def bucket(crops: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The crops in a bucket, and an empty cache."""
    monkeypatch.setattr(remote, "_BOUND", remote._Bound())
    with serve() as found:
        found.upload(crops)
        yield found


def clips(root: Path | str) -> FaceClipDataset:
    return FaceClipDataset(root, fold=3, size_px=32, draw=FrameDraw(seed=1))


def epoch(root: Path | str, number: int = 1, *, num_threads: int = 2) -> list[tuple[tuple[str, ...], torch.Tensor]]:
    loader = ClipLoader(clips(root), batch_size=8, num_threads=num_threads)
    return [(batch.clip_ids, batch.frames.clone()) for batch in loader.epoch(number)]


def same(a: list[tuple[tuple[str, ...], torch.Tensor]], b: list[tuple[tuple[str, ...], torch.Tensor]]) -> bool:
    return all(x[0] == y[0] and torch.equal(x[1], y[1]) for x, y in zip(a, b, strict=True))


def kept_bytes() -> int:
    return sum(path.stat().st_size for path in remote.datasets_folder().rglob("*.clip"))


def test_a_bucket_gives_what_the_disk_gives(bucket: Bucket, crops: Path) -> None:
    assert same(epoch(bucket.url), epoch(crops))
    assert read_clip(bucket.url, "00001").tolist() == read_clip(crops, "00001").tolist()
    dataset = open_dataset(bucket.url + "/")
    assert dataset.root.name == "dfew-none"
    assert dataset.document == open_dataset(crops).document
    assert 0 < kept_bytes() < sum(path.stat().st_size for path in (crops / "shards").glob("*.safetensors"))


def test_what_was_fetched_serves_without_the_server(bucket: Bucket, crops: Path) -> None:
    whole = epoch(bucket.url)
    folder = open_dataset(bucket.url).root
    bucket.stop()
    assert same(epoch(folder), whole)
    (clip,) = sorted(folder.rglob("*.clip"))[:1]
    clip.unlink()
    with pytest.raises(RemoteError, match=r"s3://faces/dfew-none/shards/\d+\.safetensors cannot be read: "):
        epoch(folder)
    with pytest.raises(RemoteError, match=r"s3://faces/dfew-none/dataset\.json cannot be read: "):
        open_dataset(bucket.url)


def test_the_cache_stays_within_its_bound(bucket: Bucket, crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch(bucket.url)
    whole = kept_bytes()
    shutil.rmtree(remote.datasets_folder())
    monkeypatch.setattr(remote, "_BOUND", remote._Bound())
    monkeypatch.setenv(remote.BOUND_VARIABLE, str(whole / 3 / 1e9))
    for number in (1, 2, 3):
        assert same(epoch(bucket.url, number), epoch(crops, number))
        assert whole / 10 < kept_bytes() <= whole / 3


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan"])
def test_a_bound_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.BOUND_VARIABLE, text)
    with pytest.raises(UsageError, match=f"DFER_DATASET_CACHE_GB = '{text}': a number of gigabytes"):
        remote.bound_bytes()


def test_damage_in_the_bucket_names_url_and_is_not_kept(bucket: Bucket, crops: Path, tmp_path: Path) -> None:
    bucket.upload(damage(Path(shutil.copytree(crops, tmp_path / "dfew-none")), clip_id="00001"))
    with pytest.raises(CorruptShardError, match=r"s3://faces/dfew-none/shards/00000\.safetensors: bytes \d+ to \d+ do"):
        epoch(bucket.url)
    bucket.upload(crops)
    assert same(epoch(bucket.url), epoch(crops))


def test_damage_in_the_cache_is_fetched_again(bucket: Bucket, crops: Path) -> None:
    whole = epoch(bucket.url)
    folder = open_dataset(bucket.url).root
    for path in [*folder.rglob("*.clip"), *folder.rglob("index"), folder / "clips.parquet"]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert same(epoch(bucket.url), whole)


def test_other_small_files_than_the_named_ones_are_refused(bucket: Bucket, crops: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(crops, tmp_path / "dfew-none"))
    (root / "folds/fold-3.csv").write_text("clip_id,split\n00001,test\n")
    bucket.upload(root)
    with pytest.raises(CorruptDataError, match=r"s3://faces/dfew-none/folds/fold-3\.csv is not the file that dataset"):
        open_dataset(bucket.url)


def test_no_dataset_there(bucket: Bucket) -> None:
    with pytest.raises(RemoteError, match=r"s3://faces/nothing/dataset\.json: no such file; is this the URL of a prep"):
        open_dataset("s3://faces/nothing")


def test_a_store_whose_package_is_missing(empty_cache: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(f"gs://faces/x needs a package: {install_command('remote')}")):
        open_dataset("gs://faces/x")


def test_other_kinds_of_url(crops: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "SCHEMES", urls.SCHEMES | {"memory"})
    files = fsspec.filesystem("memory")
    files.put(f"{crops}/", "/faces/dfew-none/", recursive=True)
    assert same(epoch("memory://faces/dfew-none"), epoch(crops))
    files.rm("/faces", recursive=True)


def test_training_takes_a_url(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "dfer.toml").write_text(f'[train]\ndata = "{bucket.url}"\n')
    done = run_dfer("train", "--fold", "9", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "dfew-none has no fold '9'; it has: 1, 2, 3, 4, 5" in done.stderr


def test_a_dataset_is_forgotten_in_all_its_versions_and_no_other(bucket: Bucket, crops: Path) -> None:
    read_clip(bucket.url, "00001")
    folder = open_dataset(bucket.url).root
    older, other = (folder.parents[1] / digits / folder.name for digits in ("01" * 8, "23" * 8))
    shutil.copytree(folder, older)
    shutil.copytree(folder, other)
    (other / ".origin.json").write_text(json.dumps({"url": "s3://faces/other"}))
    (older / "dataset.json").unlink()  # a kill came in between
    assert remote.forget(f"{bucket.url}/") == 2
    assert [path for path in remote.datasets_folder().glob("*/*")] == [other]
    assert kept_bytes() > 0
    assert remote.forget(bucket.url) == 0
    assert read_clip(bucket.url, "00001").tolist() == read_clip(crops, "00001").tolist()

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import remove_clips
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.loading.prepared import open_dataset
from dfer_data.locking.lock_file import read_lock
from dfer_data.locking.make_lock import lock
from dfer_data.preparation.run import prepare
from tests.buckets import serve
from tests.crops import prepare_crops, write_crops
from tests.dfer_data.crop_source import SIZE_PX, CropSource
from tests.dfer_data.locking.conftest import pictures_of, rebuild
from tests.dfer_data.tiny import Prepared


def test_the_same_dataset_gives_the_same_bytes(prepared: Prepared, lock_file: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = lock(prepared.out, tmp_path / "again.dferlock", on_clip=lambda done, total: calls.append((done, total)))
    assert (tmp_path / "again.dferlock").read_bytes() == lock_file.read_bytes()
    found = read_lock(lock_file)
    assert found.sha256 == summary.sha256
    assert (summary.num_clips, summary.num_frames) == (5, found.num_frames)
    assert calls == [(number, 5) for number in range(1, 6)]
    assert found.header.document == open_dataset(prepared.out).document
    assert any("personal data" in note for note in summary.notes)


def test_two_locks_of_one_name_do_not_share_an_unfinished_file(
    prepared: Prepared, lock_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "same.dferlock"
    inner: list[Path] = []

    def lock_once_more(done: int, total: int) -> None:
        if not inner:
            inner.append(path)
            lock(prepared.out, path)

    lock(prepared.out, path, on_clip=lock_once_more)
    assert inner
    assert path.read_bytes() == lock_file.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["same.dferlock"]


KILLED = """
import os, signal, sys
from dfer_data.locking.make_lock import lock
lock(sys.argv[1], sys.argv[2], on_clip=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_killed_lock_leaves_nothing_after_the_next_one(prepared: Prepared, lock_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "killed.dferlock"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(prepared.out), str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [each.name.startswith(".dfer-lock-") for each in tmp_path.iterdir()] == [True]
    lock(prepared.out, path)
    assert [each.name for each in tmp_path.iterdir()] == ["killed.dferlock"]
    assert path.read_bytes() == lock_file.read_bytes()


def test_a_lock_names_no_source_unless_it_is_asked_to(prepared: Prepared, lock_file: Path, tmp_path: Path) -> None:
    names = [b"single.mp4", b"junk.mp4", b"happy/", b"sad/", str(prepared.source).encode()]
    assert [name for name in names if name in lock_file.read_bytes()] == []
    lock(prepared.out, tmp_path / "paths.dferlock", with_paths=True)
    content = (tmp_path / "paths.dferlock").read_bytes()
    assert [name for name in names if name in content] == names[:-1]
    assert read_lock(tmp_path / "paths.dferlock").header.has_paths


def test_a_lock_holds_no_picture(prepared: Prepared, lock_file: Path) -> None:
    dataset, content = open_dataset(prepared.out), lock_file.read_bytes()
    reader = dataset.shard(int(dataset.clip("happy/single.mp4")["shard"]))
    jpeg = reader.jpeg(0, 0).tobytes()
    middle = len(jpeg) // 2
    assert jpeg[middle : middle + 16] not in content
    assert b"JFIF" not in content
    shard_bytes = sum(facts["num_bytes"] for facts in dataset.document["shards"])
    assert len(content) < 0.1 * shard_bytes  # tiny clips; the benchmark measures usual ones


def test_shipped_crops_are_locked_too(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=20)
    original = prepare_crops(source, tmp_path / "original")
    summary = lock(original, tmp_path / "a.dferlock")
    options: dict[str, Any] = {"source": source, "out": tmp_path / "rebuilt", "engine": "inline"}
    rebuilt = prepare("dfew", from_lock=tmp_path / "a.dferlock", **options).rebuilt
    assert rebuilt is not None
    assert rebuilt["equal"]["dataset"]
    assert pictures_of(tmp_path / "rebuilt") == pictures_of(original)
    assert lock(tmp_path / "rebuilt", tmp_path / "b.dferlock").sha256 == summary.sha256


def test_a_shipped_crop_that_differs_is_told(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=4)
    lock(prepare_crops(source, tmp_path / "original"), tmp_path / "a.dferlock")
    folder = source / "Clip/clip_224x224"
    (folder / "00001/3.jpg").write_bytes((folder / "00002/3.jpg").read_bytes())
    (folder / "00003/18.jpg").unlink()
    prepare("dfew", from_lock=tmp_path / "a.dferlock", source=source, out=tmp_path / "rebuilt", engine="inline")
    ledger = [json.loads(line) for line in (tmp_path / "rebuilt/ledger.jsonl").read_text().splitlines()]
    assert [(row["clip_id"], row["code"], row["frame"]) for row in ledger] == [
        ("00001", "DIFFERENT", 2),
        ("00003", "DIFFERENT", None),
    ]
    assert ledger[1]["message"] == "it has 17 pictures, the lock has 18"


@pytest.fixture
def crops_of_classes(tmp_path: Path) -> tuple[CropSource, Path]:
    source = CropSource(tmp_path / "source")
    for number in range(6):
        source.add(f"{'happy' if number % 2 else 'sad'}/{number}", number)
    source.prepare(tmp_path / "original", num_folds=2, group_by="clip")
    return source, tmp_path / "original"


def test_removed_clips_are_not_in_the_lock(crops_of_classes: tuple[CropSource, Path], tmp_path: Path) -> None:
    source, original = crops_of_classes
    remove_clips(original, clips=["happy/1"], reason="asked to")
    lock(original, tmp_path / "a.dferlock", with_paths=True, with_labels=True)
    assert b"happy/1" not in (tmp_path / "a.dferlock").read_bytes()
    summary = rebuild(tmp_path / "a.dferlock", source.root, tmp_path / "rebuilt", workers=1)
    assert "happy/1" not in set(open_dataset(tmp_path / "rebuilt").clips["clip_id"])
    assert summary.rebuilt is not None
    assert summary.rebuilt["equal"]["dataset"]
    assert pictures_of(tmp_path / "rebuilt") == pictures_of(original)


def test_labels_come_from_the_lock_or_from_the_source(
    crops_of_classes: tuple[CropSource, Path], tmp_path: Path
) -> None:
    source, original = crops_of_classes
    (tmp_path / "labels.csv").write_text("clip_id,label\nsad/0,happy\n")
    relabel(original, tmp_path / "labels.csv")
    notes = lock(original, tmp_path / "plain.dferlock").notes
    assert any("labels changed by hand: 1;" in note for note in notes)
    lock(original, tmp_path / "labels.dferlock", with_labels=True)
    states = {}
    for name in ("plain", "labels"):
        summary = rebuild(tmp_path / f"{name}.dferlock", source.root, tmp_path / name)
        assert summary.rebuilt is not None
        states[name] = summary.rebuilt["equal"]
    assert states["plain"] == {"dataset": False, "clips": True, "labels": False, "folds": True}
    assert states["labels"] == {"dataset": True, "clips": True, "labels": True, "folds": True}
    assert pictures_of(tmp_path / "labels") == pictures_of(original)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"store": "clips16", "undetected": "drop"}, "--store clips16 with --undetected drop"),
        ({"align": "box", "undetected": "drop"}, "--align box with --store clips16 or --undetected drop"),
    ],
)
def test_a_dataset_that_no_lock_can_rebuild_is_refused(
    prepared: Prepared, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    only = tmp_path / "source"
    only.mkdir()
    shutil.copy(prepared.source / "happy/short.mp4", only)
    prepare("folder", source=only, out=tmp_path / "out", engine="inline", det_size_px=160, **settings)
    with pytest.raises(UsageError, match=words):
        lock(tmp_path / "out", tmp_path / "a.dferlock")
    assert not (tmp_path / "a.dferlock").exists()


def test_damaged_bytes_are_not_locked(prepared_copy: Path, tmp_path: Path) -> None:
    path = prepared_copy / "shards/00000.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptDataError, match="CRC-32"):
        lock(prepared_copy, tmp_path / "a.dferlock")
    (prepared_copy / "plan.json").write_text("{}")
    with pytest.raises(CorruptDataError, match=r"plan\.json"):
        lock(prepared_copy, tmp_path / "a.dferlock")
    assert not (tmp_path / "a.dferlock").exists()


def test_crops_of_any_size_have_a_hash(tmp_path: Path) -> None:
    source = CropSource(tmp_path / "source")
    source.add("happy/1", 1, num_frames=2)
    source.prepare(tmp_path / "original")
    lock(tmp_path / "original", tmp_path / "a.dferlock")
    found = read_lock(tmp_path / "a.dferlock")
    assert found.dtype.itemsize == 17
    assert len(set(found.frames(0, 2)["picture_hash"].tolist())) == 2
    assert SIZE_PX < 64


def test_a_bucket_is_locked_and_rebuilt_into_like_a_folder(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=20)
    original = prepare_crops(source, tmp_path / "original")
    summary = lock(original, tmp_path / "a.dferlock")
    with serve() as bucket:
        options: dict[str, Any] = {"source": source, "out": bucket.url, "engine": "inline", "work": tmp_path / "work"}
        rebuilt = prepare("dfew", from_lock=tmp_path / "a.dferlock", **options).rebuilt
        assert rebuilt is not None
        assert rebuilt["equal"]["dataset"]
        assert bucket.read("dataset.json") == (original / "dataset.json").read_bytes()
        assert lock(bucket.url, tmp_path / "b.dferlock").sha256 == summary.sha256
        facts = open_dataset(bucket.url).rebuilt
        assert facts is not None
        assert facts["lock_sha256"] == summary.sha256

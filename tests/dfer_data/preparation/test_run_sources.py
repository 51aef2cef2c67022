from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dfer_data.config import Request
from dfer_data.inspection.verify import verify
from dfer_data.loading.kept_open import read_clip
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from tests.dfer_data.tiny import document, real_pictures, write_video


def test_videos_without_label_folders(face_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(face_folder / "happy" / "short.mp4", source / "a.mp4")
    out = tmp_path / "out"
    run_preparation(resolve_request(Request(dataset="folder", source=source, det_size_px=160)), out, num_workers=0)
    data = open_dataset(out)
    assert data.class_names == ()
    assert data.clips["label"].isna().all()
    assert document(out)["counts"]["classes"] == {}
    assert data.read_clip("a.mp4").shape == (16, 3, 224, 224)


def test_partial_clips_can_be_dropped_into_the_ledger(face_folder: Path, tmp_path: Path) -> None:
    request = Request(dataset="folder", source=face_folder, det_size_px=160, partial="drop")
    summary = run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    assert summary.num_clips == {"ok": 4, "UNREADABLE": 1, "NO_FACE": 1, "PARTIAL": 1}
    row = open_dataset(tmp_path / "out").clip("sad/cut.mkv")
    assert (row["status"], row["code"]) == ("failed", "PARTIAL")
    assert row["reason"].startswith("the file ends early: ")


def test_a_video_that_changed_since_the_plan_is_not_taken_for_the_planned_one(
    face_folder: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(face_folder, tmp_path / "source"))
    resolved = resolve_request(Request(dataset="folder", source=source, det_size_px=160))
    with (source / "happy" / "single.mp4").open("ab") as file:
        file.write(b"more")
    assert run_preparation(resolved, tmp_path / "out", num_workers=0).num_clips["CHANGED_SOURCE"] == 1
    assert open_dataset(tmp_path / "out").clip("happy/single.mp4")["reason"].endswith("when the run was planned")


def test_a_video_that_cannot_be_read_says_so(face_folder: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(face_folder, tmp_path / "source"))
    resolved = resolve_request(Request(dataset="folder", source=source, det_size_px=160))
    (source / "happy" / "single.mp4").unlink()
    (source / "happy" / "single.mp4").mkdir()
    run_preparation(resolved, tmp_path / "out", num_workers=0)
    rows = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert [(row["code"], row["retryable"]) for row in rows] == [
        ("READ_ERROR", True),
        ("UNREADABLE", False),
        ("NO_FACE", False),
    ]


def test_names_that_are_hard_to_write_survive(face_folder: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    names = ["happy/grin 😀.mp4", "happy/two\ttabs.mp4", "-dash/-rf.mp4", 'happy/a,"b.mp4']
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(face_folder / "happy" / "short.mp4", source / name)
    run_preparation(resolve_request(Request(dataset="folder", source=source, det_size_px=160)), out, num_workers=0)
    assert open_dataset(out).clips["clip_id"].tolist() == sorted(names)
    for name in names:
        assert read_clip(out, name).any()
    assert not verify(out, deep=True).damages


def test_a_long_video_is_cut_into_numbered_clips(real_videos: dict[str, Path], tmp_path: Path) -> None:
    images = real_pictures(real_videos["single_face.mp4"], stop=26)
    nobody = real_pictures(real_videos["no_face.mp4"], stop=10)
    write_video(tmp_path / "source" / "happy" / "long.mp4", images[:13] + nobody + images[13:], frames_per_second=10)
    out = tmp_path / "out"
    request = Request(dataset="folder", source=tmp_path / "source", det_size_px=160, clip_seconds=1.0)
    run_preparation(resolve_request(request), out, num_workers=0)
    clips = open_dataset(out).clips.set_index("clip_id")
    ids = [f"happy/long.mp4#{number:04d}" for number in range(4)]
    assert clips.index.tolist() == ids
    assert clips["source_clip_id"].unique().tolist() == ["happy/long.mp4"]
    assert clips["label"].tolist() == ["happy"] * 4
    assert clips["num_source_frames"].tolist() == [10, 10, 10, 6]
    assert clips["num_frames"].tolist() == [10, 3, 7, 6]
    assert clips["duration_seconds"].tolist() == pytest.approx([1.0, 1.0, 1.0, 0.6])
    assert read_clip(out, ids[3]).shape == (16, 3, 224, 224)
    np.testing.assert_array_equal(open_dataset(out).shard(0).tensor("frame_index")[10:13], [10, 11, 12])

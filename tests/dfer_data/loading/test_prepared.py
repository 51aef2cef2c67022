"""An open dataset: its clips, what is stored of each frame, and how it shows itself in a notebook."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import dfer_data as dd
from dfer_data.changes.folds import make_fold_set
from dfer_data.errors import UsageError
from dfer_data.preparation.amendments import OwnFolding
from tests.crops import write_crops
from tests.dfer_data.crop_source import source_of


def test_frames_are_a_table(workspace: Path) -> None:
    data = dd.open_dataset(workspace / "prepared/dfew-retinaface")
    clip = data.clips.iloc[0]
    table = data.frames(clip["clip_id"])
    assert len(table) == clip["num_frames"]
    assert list(table.columns[:2]) == ["frame_index", "pts_seconds"]
    assert table["frame_index"].tolist() == list(range(clip["num_source_frames"]))
    assert np.isclose(table["score"].mean(), clip["mean_score"], atol=1e-4)
    assert table["detected"].all()
    assert not table["damaged_source"].any()
    eyes = table["x1"] - table["x0"]
    assert (eyes > 10).all()
    assert ((table["left"] < table["x0"]) & (table["x1"] < table["right"])).all()
    assert ((table["top"] < table["y0"]) & (table["y3"] < table["bottom"])).all()


def test_a_clip_without_faces_has_no_frames(crops: Path) -> None:
    with pytest.raises(UsageError, match="clip 00016 has no faces: MISSING_VIDEO"):
        dd.open_dataset(crops).frames("00016")


def test_a_dataset_shows_itself_in_a_notebook(crops: Path, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>".replace("/", "_")
    data = dd.open_dataset(Path(shutil.copytree(crops, tmp_path / name)))
    html = data._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    counts = ", ".join(f"{number} {status}" for status, number in data.document["counts"]["status"].items())
    assert f"<td>70, {counts}</td>" in html
    assert all(f"<th>{name}</th><td>10</td>" in html for name in data.class_names)
    (jpeg,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(jpeg), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (7 * 64, 8 * 64, 3)  # eight frames of a clip of each class
    assert repr(data).endswith("70 clips, 7 classes)")


@pytest.mark.parametrize("num_frames", [2, 8, 16, 24])
def test_a_clip_is_read_with_any_number_of_frames(crops: Path, num_frames: int) -> None:
    frames = dd.read_clip(crops, "00001", num_frames=num_frames, size_px=32)
    items = dd.FaceClipDataset(crops, clip_ids=["00001"], num_frames=num_frames, size_px=32)
    assert np.array_equal(frames, items[0].frames.numpy())


def test_a_number_of_frames_that_is_not_stored_is_refused(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="15 is not a multiple"):
        dd.read_clip(crops, "00001", num_frames=15)
    source = write_crops(tmp_path / "source", num_clips=7)
    dd.prepare("dfew", source=source, out=tmp_path / "baked", detector="none", store="clips16", engine="inline")
    assert dd.read_clip(tmp_path / "baked", "00001", size_px=32).shape == (16, 3, 32, 32)
    with pytest.raises(UsageError, match="16 frames per clip, not 8; prepare with --store frames"):
        dd.read_clip(tmp_path / "baked", "00001", num_frames=8)


def test_a_fold_is_split_into_clips_that_can_be_read(crops: Path) -> None:
    data = dd.open_dataset(crops)
    clips = data.split(3)
    in_order = [*clips.train, *clips.val, *clips.test, *clips.test_without_face]
    untrainable = "00023"  # a train clip without a face
    assert sorted(in_order) == [clip_id for clip_id in data.fold("3") if clip_id != untrainable]
    assert {data.fold("3")[clip_id] for clip_id in clips.train + clips.val} == {"train"}
    assert {data.fold("3")[clip_id] for clip_id in clips.test + clips.test_without_face} == {"test"}
    assert clips.test_without_face == ("00016",)
    assert len(dd.FaceClipDataset(data, clip_ids=clips.train + clips.val + clips.test)) == len(in_order) - 1
    assert clips == data.split(3, val="blocks")
    assert data.split(3, val="none").val == ()
    random = data.split(3, val="random", val_share=0.5)
    assert len(random.val) > 2 * len(clips.val)
    assert random.val != data.split(3, val="random", val_share=0.5, seed=1).val


def test_whole_groups_are_held_out_where_every_clip_has_one(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dd.open_dataset(crops)
    plain_clip = data.clip
    monkeypatch.setattr(data, "clip", lambda clip_id: plain_clip(clip_id) | {"group": f"person {int(clip_id) % 5}"})
    clips = data.split(3)
    held_out = {int(clip_id) % 5 for clip_id in clips.val}
    assert len(held_out) == 1
    assert not held_out & {int(clip_id) % 5 for clip_id in clips.train}
    assert clips == data.split(3, val="groups") != data.split(3, val="blocks")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"val": "people"}, "val 'people': one of auto, none, blocks, groups, random, official"),
        ({"val_share": 1.0}, "val_share 1.0: a share between 0 and 1"),
        ({"val": "groups"}, r"has no group \(person\)"),
        ({"fold": 9}, "has no fold '9'"),
        ({"fold_set": "mine"}, "has no set of folds 'mine'"),
    ],
)
def test_a_split_that_cannot_be_made_is_refused(crops: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dd.open_dataset(crops).split(**{"fold": 3, **options})


def test_a_fold_that_only_an_own_set_has_is_found_by_the_message(tmp_path: Path) -> None:
    source_of(tmp_path / "source", "a", "b").prepare(tmp_path / "out")
    make_fold_set(tmp_path / "out", OwnFolding(num_folds=2, group_by="clip"), name="own")
    words = r"has no fold '1'; it has: none; other sets of folds: own \(--fold-set, or fold_set in Python\)$"
    with pytest.raises(UsageError, match=words):
        dd.open_dataset(tmp_path / "out").split(1)


def test_a_dataset_without_labels_shows_itself_too(tmp_path: Path) -> None:
    source_of(tmp_path / "source", "a", "b").prepare(tmp_path / "out")
    assert "data:image/jpeg" in dd.open_dataset(tmp_path / "out")._repr_html_()

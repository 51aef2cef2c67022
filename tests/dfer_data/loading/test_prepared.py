"""An open dataset: its clips, what is stored of each frame, and how it shows itself in a notebook."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import dfer_data as dd
from dfer_data.errors import UsageError


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

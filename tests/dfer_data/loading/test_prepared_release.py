"""What dfer 0.1 prepared stays readable for ever; tests/golden/README.md says how it was made."""

from __future__ import annotations

import json

import numpy as np
import pytest

import dfer_data as dd
from dfer_data.config import PrepareConfig
from tests.workspace import ROOT

PREPARED = ROOT / "tests/golden/release-0.1/prepared/dfew-retinaface"
MEANS = {
    "00057": [138.1, 128.4, 119.8],
    "00061": [139.6, 99.0, 83.7],
    "00064": [146.9, 136.9, 107.0],
    "00068": [110.5, 85.5, 85.3],
    "00071": [128.9, 103.8, 96.7],
}


def test_it_is_intact() -> None:
    report = dd.verify(PREPARED, deep=True)
    assert report.damages == ()
    assert (report.num_clips, report.num_frames_decoded) == (5, 61)


def test_it_gives_the_same_pictures_and_measurements() -> None:
    data = dd.open_dataset(PREPARED)
    assert data.fold("2") == {"00057": "train", "00061": "train", "00064": "test", "00068": "train", "00071": "train"}
    for clip_id, wanted in MEANS.items():
        np.testing.assert_allclose(data.read_clip(clip_id, size_px=32).mean((0, 2, 3)), wanted, atol=0.5)
    frames = data.frames("00057")
    assert len(frames) == 15
    np.testing.assert_allclose(frames.loc[0, ["x0", "y0", "score"]].tolist(), [321.772, 163.2154, 0.9996], atol=1e-3)


def test_its_settings_are_those_of_its_time() -> None:
    document = json.loads((PREPARED / "dataset.json").read_bytes())
    assert "pipeline_version" not in document  # which means 1
    config = PrepareConfig.from_dict(document["config"])
    assert (config.size_px, config.jpeg_quality, config.smoothing_window_frames) == (32, 60, 7)


@pytest.mark.parametrize("split", ["train", "test"])
def test_it_can_be_trained_on(split: str) -> None:
    data = dd.FaceClipDataset(PREPARED, fold=1, split=split, size_px=32)  # type: ignore[arg-type]
    assert len(data) == {"train": 4, "test": 1}[split]
    assert data[0].frames.shape == (16, 3, 32, 32)

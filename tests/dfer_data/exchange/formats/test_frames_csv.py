from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dfer_data import export, open_dataset
from tests.dfer_data.exchange.conftest import Exported


def test_every_stored_frame_has_a_row(crops: Path, exported: Exported) -> None:
    table = pd.read_csv(exported("frames.csv") / "frames.csv", dtype={"clip_id": str})
    dataset = open_dataset(crops)
    assert len(table) == dataset.document["counts"]["frames"]
    assert not table.duplicated(["clip_id", "frame"]).any()
    rows, frames = table[table["clip_id"] == "00008"].reset_index(drop=True), dataset.frames("00008")
    assert list(rows.columns) == ["clip_id", "frame", *frames.columns]
    for name in frames.columns:
        np.testing.assert_array_equal(rows[name].to_numpy(frames[name].dtype), frames[name].to_numpy())


def test_sixteen_frames_are_those_that_are_tested(crops: Path, tmp_path: Path) -> None:
    export(crops, format="frames.csv", frames=16, out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/frames.csv", dtype={"clip_id": str})
    assert table.query("clip_id == '00015'")["frame"].tolist() == open_dataset(crops).test_frames("00015")

from __future__ import annotations

import json
from pathlib import Path

import av
import pandas as pd

from dfer_cli.main import main
from dfer_data import export, open_dataset
from tests.dfer_data.exchange.conftest import Exported


def test_each_fold_has_lists_without_a_header(crops: Path, exported: Exported) -> None:
    root, dataset = exported("videomae"), open_dataset(crops)
    numbers = json.loads((root / "labels.json").read_text())
    for split in ("train", "test"):
        path = root / "split02" / f"{split}.csv"
        rows = pd.read_csv(path, header=None, delimiter=" ").values.tolist()
        for name, label in rows:
            clip_id = (path.parent / name).resolve().relative_to(root.resolve() / "clips").as_posix()
            assert dataset.fold("2")[clip_id] == split
            assert numbers[dataset.clip(clip_id)["label"]] == label
    assert (root / "split02/val.csv").read_bytes() == (root / "split02/test.csv").read_bytes()


def test_lists_of_frames_come_back(exported: Exported, tmp_path: Path) -> None:
    source = ["--source", str(exported("videomae")), "--out", str(tmp_path / "back")]
    assert main(["prepare", "lists", "--detector", "none", *source]) == 0
    again = tmp_path / "again"
    export(tmp_path / "back", format="videomae", out=again)
    frames = {path.relative_to(again / "clips/clips"): path.read_bytes() for path in again.rglob("*.jpg")}
    first = exported("videomae") / "clips"
    assert frames == {path.relative_to(first): path.read_bytes() for path in first.rglob("*.jpg")}


def test_videos_hold_one_frame_per_stored_one(few: Path, tmp_path: Path) -> None:
    export(few, format="videomae", media="mp4", frames=16, fold=3, out=tmp_path / "out")
    paths = sorted((tmp_path / "out/videos").glob("*.mp4"))
    for path in paths[:3]:
        with av.open(str(path), "r") as container:
            assert len(list(container.decode(video=0))) == 16
    listed = (tmp_path / "out/split03/train.csv").read_text().splitlines()
    listed += (tmp_path / "out/split03/test.csv").read_text().splitlines()
    assert sorted(line.split()[0] for line in listed) == [f"../videos/{path.name}" for path in paths]

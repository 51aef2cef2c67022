from __future__ import annotations

import csv
from pathlib import Path

import yaml

from dfer_data import export, open_dataset


def test_a_fold_has_videos_and_metadata_per_split(few: Path, tmp_path: Path) -> None:
    dataset, root = open_dataset(few), tmp_path / "out"
    summary = export(few, format="videofolder", fold="1,3", frames=16, out=root)
    for fold in "13":
        for split in ("train", "test"):
            folder = root / f"fold-{fold}" / split
            with (folder / "metadata.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert sorted(row["file_name"] for row in rows) == sorted(path.name for path in folder.glob("*.mp4"))
            for row in rows:
                clip_id = row["clip_file"].removesuffix(".mp4")
                assert (dataset.fold(fold)[clip_id], dataset.clip(clip_id)["label"]) == (split, row["label"])
    twice = [root / f"fold-{fold}/train/00010.mp4" for fold in "13"]
    assert twice[0].samefile(twice[1])  # on the disk once
    assert summary.num_bytes < sum(path.stat().st_size for path in root.rglob("*.mp4"))


def test_one_fold_has_no_folder_of_its_own(few: Path, tmp_path: Path) -> None:
    export(few, format="videofolder", fold=2, frames=16, out=tmp_path / "out")
    assert (tmp_path / "out/train/metadata.csv").is_file()
    assert 'data_dir="THIS_FOLDER")' in (tmp_path / "out/README.md").read_text()


def test_a_split_without_clips_is_not_in_the_card(few: Path, tmp_path: Path) -> None:
    """`datasets` refuses a pattern that fits no file."""
    export(few, format="videofolder", fold="3,4", frames=16, out=tmp_path / "out")
    assert set(open_dataset(few).fold("4").values()) == {"train"}
    card = yaml.safe_load((tmp_path / "out/README.md").read_text().split("---")[1])
    patterns = [part["path"] for config in card["configs"] for part in config["data_files"]]
    assert patterns == [["fold-3/train/**"], ["fold-3/test/**"], ["fold-4/train/**"]]
    assert all(any((tmp_path / "out").glob(pattern[0])) for pattern in patterns)

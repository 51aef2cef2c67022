from __future__ import annotations

import json
import shutil
from pathlib import Path

from dfer_data import export, open_dataset
from dfer_data.changes.folds import make_fold_set
from dfer_data.preparation.amendments import OwnFolding


def test_a_line_names_frames_sound_and_label_of_a_clip_with_sound(heard: Path, tmp_path: Path) -> None:
    data, root = Path(shutil.copytree(heard, tmp_path / "data")), tmp_path / "out"
    make_fold_set(data, OwnFolding(num_folds=2, group_by="clip"), name="own")
    summary = export(data, format="hicmae", fold_set="own", out=root)
    dataset, numbers = open_dataset(data), json.loads((root / "labels.json").read_text())
    rows = [line.split(",") for line in (root / "clips.csv").read_text().splitlines()]
    clip_of = {f"../{path}": clip_id for clip_id, path, *_ in rows}
    seen = set()
    for fold in ("1", "2"):
        listed = root / f"split0{fold}/test.csv"
        for line in listed.read_text().splitlines():
            folder, sound, label = line.split(" ")
            assert (listed.parent / sound).read_bytes()[:4] == b"RIFF"
            assert len(list((listed.parent / folder).glob("*.jpg"))) == 24
            assert numbers[dataset.clip(clip_of[folder])["label"]] == int(label)
            assert dataset.fold(fold, fold_set="own")[clip_of[folder]] == "test"
            seen.add(sound)
    assert len(seen) == 6  # sad/mute.mp4 has no sound
    assert (summary.num_clips, summary.num_frames) == (6, 6 * 24)
    assert json.loads((root / "export.json").read_text())["num_clips"] == 6
    card = (root / "README.md").read_text()
    assert "| clips | 6 |\n| clips without sound, which are not here | 1 |" in card
    sizes = [len((root / f"split01/{name}.csv").read_text().splitlines()) for name in ("train", "test")]
    assert f"| 1 | {sizes[0]} | {sizes[1]} |" in card

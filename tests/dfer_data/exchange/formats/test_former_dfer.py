"""Lists of frame folders: what their readers see, and what `dfer prepare lists` makes of them."""

from __future__ import annotations

import json
from pathlib import Path

from dfer_cli.main import main
from dfer_data import open_dataset
from tests.crops import MISSING
from tests.dfer_data.exchange.conftest import Exported


def test_a_list_names_folders_of_stored_frames(crops: Path, exported: Exported) -> None:
    root, dataset = exported("former-dfer"), open_dataset(crops)
    numbers = json.loads((root / "labels.json").read_text())
    assert (root / "classes.txt").read_text().split() == list(numbers)
    tested = {clip_id for clip_id, split in dataset.fold("3").items() if split == "test"}
    lines = (root / "DFEW_set_3_test.txt").read_text().splitlines()
    seen = set()
    for line in lines:
        path, num_frames, label = line.split(" ")
        clip_id = path.removeprefix("clips/")
        frames = sorted((root / path).glob("*.jpg"))
        reader = dataset.shard(int(dataset.clip(clip_id)["shard"]))
        row = int(dataset.clip(clip_id)["row"])
        assert [frame.read_bytes() for frame in frames] == reader.jpegs(row, range(reader.num_frames(row)))
        assert (len(frames), numbers[dataset.clip(clip_id)["label"]]) == (int(num_frames), int(label))
        seen.add(clip_id)
    assert tested - seen == {f"{MISSING[0]:05d}"}  # the clip without a face


def test_lists_come_back_with_their_bytes_folds_and_labels(crops: Path, exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "back"
    source = ["--source", str(exported("former-dfer")), "--out", str(out)]
    assert main(["prepare", "lists", "--detector", "none", *source]) == 0
    before, after = open_dataset(crops), open_dataset(out)
    assert after.class_names == before.class_names
    ids = before.clips.query("status != 'failed'")["clip_id"]
    assert sorted(after.clips["clip_id"]) == [f"clips/{clip_id}" for clip_id in sorted(ids)]
    for clip_id in ids:
        sides = []
        for dataset, name in ((before, clip_id), (after, f"clips/{clip_id}")):
            clip = dataset.clip(name)
            reader, row = dataset.shard(int(clip["shard"])), int(clip["row"])
            sides.append((clip["label"], reader.jpegs(row, range(reader.num_frames(row)))))
        assert sides[0] == sides[1]
    for fold in before.fold_names():
        kept = {f"clips/{clip_id}": split for clip_id, split in before.fold(fold).items() if clip_id in set(ids)}
        assert after.fold(fold) == kept

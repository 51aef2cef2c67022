from __future__ import annotations

from pathlib import Path

import yaml

from dfer_data import open_dataset
from dfer_data.storage.parquet import read_table
from tests.dfer_data.exchange.conftest import Exported


def test_rows_hold_clips_and_the_card_names_the_files_of_each_fold(crops: Path, exported: Exported) -> None:
    root, dataset = exported("parquet"), open_dataset(crops)
    front = yaml.safe_load((root / "README.md").read_text().split("---")[1])
    assert [config["config_name"] for config in front["configs"]] == [f"fold-{fold}" for fold in "12345"]
    rows = {
        (part["split"], row["clip_id"]): row
        for part in front["configs"][2]["data_files"]
        for name in part["path"]
        for row in read_table(root / name).to_pylist()
    }
    usable = set(dataset.clips.query("status != 'failed'")["clip_id"])
    assert rows.keys() == {(split, clip_id) for clip_id, split in dataset.fold("3").items() if clip_id in usable}
    for (split, clip_id), row in rows.items():
        clip = dataset.clip(clip_id)
        reader, number = dataset.shard(int(clip["shard"])), int(clip["row"])
        assert row["frames"] == reader.jpegs(number, range(reader.num_frames(number)))
        assert (row["label"], row["fold_3"], row["num_frames"]) == (clip["label"], split, len(row["frames"]))

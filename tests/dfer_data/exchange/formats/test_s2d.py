from __future__ import annotations

import csv
import json
from pathlib import Path

from dfer_data import open_dataset
from tests.dfer_data.exchange.conftest import Exported


def test_a_csv_with_a_header_names_folders_and_labels_from_0(crops: Path, exported: Exported) -> None:
    root, dataset = exported("s2d"), open_dataset(crops)
    numbers = json.loads((root / "labels.json").read_text())
    with (root / "test_set_1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["video_name"] for row in rows} == {id_ for id_, split in dataset.fold("1").items() if split == "test"}
    for row in rows:
        assert numbers[dataset.clip(row["video_name"])["label"]] == int(row["label"])
        assert (root / "clips" / row["video_name"] / "00001.jpg").is_file()
    assert min(int(row["label"]) for row in rows) == 0

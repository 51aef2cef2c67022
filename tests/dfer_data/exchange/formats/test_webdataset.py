from __future__ import annotations

import json
import tarfile
from collections import defaultdict
from pathlib import Path

from dfer_data import export, open_dataset
from dfer_data.exchange.run import plan_export
from dfer_data.exchange.settings import ExportSettings
from tests.dfer_data.crop_source import source_of
from tests.dfer_data.exchange.conftest import Exported


def test_shards_hold_each_clip_once_under_its_key(crops: Path, exported: Exported) -> None:
    root, dataset = exported("webdataset"), open_dataset(crops)
    sizes, numbers = (json.loads((root / name).read_text()) for name in ("sizes.json", "labels.json"))
    held: dict[str, set[str]] = {}
    for name in sizes:
        samples: defaultdict[str, dict[str, bytes]] = defaultdict(dict)
        with tarfile.open(root / name) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                samples[key][kind] = file.read()
        assert len(samples) == sizes[name]
        for sample in samples.values():
            facts = json.loads(sample["json"])
            clip = dataset.clip(facts["clip_id"])
            reader, row = dataset.shard(int(clip["shard"])), int(clip["row"])
            frames = [sample[kind] for kind in sorted(sample) if kind.endswith(".jpg")]
            assert frames == reader.jpegs(row, range(reader.num_frames(row)))
            assert int(sample["cls"]) == numbers[clip["label"]]
            assert len(facts["pts_seconds"]) == len(frames)
        held[name] = {json.loads(sample["json"])["clip_id"] for sample in samples.values()}
    usable = set(dataset.clips.query("status != 'failed'")["clip_id"])
    assert sorted(clip_id for ids in held.values() for clip_id in ids) == sorted(usable)
    for fold in dataset.fold_names():
        for split in ("train", "test"):
            names = (root / f"fold-{fold}-{split}.txt").read_text().split()
            ids = set[str]().union(*(held[name] for name in names))
            assert ids == {id_ for id_, kind in dataset.fold(fold).items() if kind == split} & usable


def test_the_size_of_a_shard_counts_the_headers_of_names_beyond_ascii(tmp_path: Path) -> None:
    source_of(tmp_path / "source", *(f"喜/视频{number}" for number in range(3))).prepare(tmp_path / "data")
    planned = plan_export(tmp_path / "data", ExportSettings(format="webdataset"), tmp_path / "out").num_bytes
    export(tmp_path / "data", format="webdataset", out=tmp_path / "out")
    assert planned == (tmp_path / "out/clips-00000.tar").stat().st_size

"""The written tree: DFEW's own shape, the same bytes for the same seed, nothing half done."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dfer_data.errors import UsageError, WorkerError
from dfer_data.sources.adapters.dfew import list_dfew
from dfer_data.synth import SynthConfig, SynthSummary, dfew, write_dfew

_CONFIG = SynthConfig(num_identities=10, takes=1, width_px=192, height_px=128)
_ALL_CLIPS = dfew._clips


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, heads_wheel: Path) -> tuple[Path, SynthSummary]:
    root = tmp_path_factory.mktemp("synth") / "dfew"
    return root, _write_half(root, heads=heads_wheel, num_workers=1)


def _write_half(root: Path, **options: Any) -> SynthSummary:
    """Write the clips of one of the two identities of each fold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dfew, "_clips", lambda config: [clip for clip in _ALL_CLIPS(config) if clip.identity % 2 == 0])
        return write_dfew(root, config=_CONFIG, **options)


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_tree_is_one_that_the_adapter_reads(tree: tuple[Path, SynthSummary]) -> None:
    root, summary = tree
    listing = list_dfew(root, layout="videos")
    assert len(listing.videos) == summary.num_clips == 35
    assert not listing.missing
    assert listing.synthetic == {"synthetic": True, "recipe": "demo"}
    assert {
        name: sum(video.label == name for video in listing.videos) for name in listing.class_names
    } == dict.fromkeys(listing.class_names, 5)


def test_the_split_files_are_spelt_like_the_official_ones(tree: tuple[Path, SynthSummary]) -> None:
    lines = (tree[0] / "EmoLabel_DataSplit/test(single-labeled)/set_1.csv").read_text().splitlines()
    assert lines[:4] == ["video_name,label", "1,1", "2,2", "3,3"]


def test_each_fold_tests_one_in_five(tree: tuple[Path, SynthSummary]) -> None:
    assert tree[1].num_test_clips_by_fold == (7,) * 5


def test_folds_share_no_identity(workspace: Path) -> None:
    root = workspace / "data/dfew"
    with (root / "ground_truth/clips.csv").open() as file:
        identity = {row["clip_id"]: row["identity"] for row in csv.DictReader(file)}
    listing = list_dfew(root, layout="videos")
    tested: list[str] = []
    for clips in listing.folds.values():
        test = {identity[clip] for clip, split in clips.items() if split == "test"}
        train = {identity[clip] for clip, split in clips.items() if split == "train"}
        assert len(test) == 2
        assert list(clips.values()).count("test") == 7
        assert not test & train
        tested += test
    assert sorted(tested) == sorted(set(identity.values()))


def test_the_default_size_has_enough_people_and_test_clips() -> None:
    config = SynthConfig()
    assert config.num_identities >= 12
    assert config.num_identities // 5 * config.takes * 7 >= 56


def test_every_frame_has_its_ground_truth(tree: tuple[Path, SynthSummary]) -> None:
    root, summary = tree
    num_frames = 0
    for path in sorted((root / "Clip/original").glob("*.mp4")):
        landmarks = np.load(root / "ground_truth/landmarks" / f"{path.stem}.npy")
        with av.open(str(path)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert landmarks.shape == (len(pictures), 5, 2)
        assert landmarks.dtype == np.float32
        assert (landmarks > 0).all()
        assert (landmarks < (_CONFIG.width_px, _CONFIG.height_px)).all()
        num_frames += len(pictures)
    assert num_frames == summary.num_frames


def test_two_workers_give_the_same_bytes(tree: tuple[Path, SynthSummary], tmp_path: Path, heads_wheel: Path) -> None:
    other = tmp_path / "dfew"
    done: list[tuple[int, int]] = []
    _write_half(other, heads=heads_wheel, num_workers=2, on_clip=lambda *count: done.append(count))
    assert _hashes(other) == _hashes(tree[0])
    assert done[-1] == (35, 35)


def test_it_says_that_it_is_synthetic(tree: tuple[Path, SynthSummary]) -> None:
    statement = json.loads((tree[0] / "SYNTHETIC.json").read_text())
    assert statement["synthetic"] is True
    assert statement["recipe"] == "demo"
    assert "nobody is real" in statement["statement"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, heads_wheel: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_dfew(tmp_path, heads=heads_wheel, config=_CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, heads_wheel: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dfew(tmp_path / "dfew", heads=heads_wheel, config=_CONFIG, num_workers=1, on_clip=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_ends_the_run_and_leaves_nothing(tmp_path: Path, heads_wheel: Path) -> None:
    def kill(done: int, total: int) -> None:
        for worker in multiprocessing.active_children():
            os.kill(worker.pid or 0, signal.SIGKILL)

    with pytest.raises(WorkerError, match="a worker process died"):
        write_dfew(tmp_path / "dfew", heads=heads_wheel, config=_CONFIG, num_workers=2, on_clip=kill)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_identities": 12}, "num_identities"),
        ({"takes": 0}, "takes"),
        ({"seed": -1}, "seed"),
        ({"width_px": 101}, "width_px"),
    ],
)
def test_impossible_sizes_are_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        SynthConfig(**values)

"""Hit rate, jitter and failures of a prepared folder, computed again from its files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import dfer_data
from dfer_data.config import Request
from dfer_data.inspection.reliability import clip_jitters, reliability_of, reliability_sections
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.weights.fetch import weights_file
from tests.dfer_data import tiny


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> PreparedDataset:
    """Six small videos of which one shows no face, and a file that is no video."""
    weights_file("retinaface-mobilenet0.25")
    root = tmp_path_factory.mktemp("faces")
    source = tiny.write_faces(root / "source", real_videos)
    run_preparation(
        resolve_request(Request(dataset="folder", source=source, det_size_px=160)), root / "out", num_workers=0
    )
    return dfer_data.open_dataset(root / "out")


def test_hit_rates_and_counts_are_those_of_the_manifest(faces: PreparedDataset) -> None:
    clips = pd.read_parquet(faces.root / "clips.parquet")
    whole, *classes = reliability_of(faces)
    assert (whole.name, whole.num_clips) == ("all", len(clips))
    assert [part.name for part in classes] == ["happy", "sad"]
    assert sum(part.num_clips for part in classes) == len(clips)
    for part, rows in ((whole, clips), *((part, clips[clips["label"] == part.name]) for part in classes)):
        made = rows[rows["status"] != "failed"]
        hits = (made["detection_rate"] * made["num_source_frames"]).round()
        assert part.hit_rate == pytest.approx(hits.sum() / made["num_source_frames"].sum())
        assert part.num_failed == (rows["status"] == "failed").sum()
        assert part.num_partial == (rows["status"] == "partial").sum()
        assert part.num_low == (made["detection_rate"] < 0.9).sum()
        assert part.num_seldom == (made["detection_rate"] < 0.5).sum()
        assert part.num_shortened == (3 * made["num_frames"] < 2 * made["num_source_frames"]).sum()
        assert part.num_filled_frames == made["num_interpolated"].sum()
    assert (whole.num_failed, whole.num_shortened) == (2, 1)
    assert 0 < (whole.hit_rate or 0) < 1


def test_jitter_is_the_bend_of_the_landmarks_over_the_distance_of_the_eyes(faces: PreparedDataset) -> None:
    jitters, wanted = clip_jitters(faces), {}
    for clip in pd.read_parquet(faces.root / "clips.parquet").itertuples():
        if clip.status == "failed":
            continue
        tensors = load_file(faces.root / "shards" / f"{int(clip.shard):05d}.safetensors")
        start, stop = tensors["clip_offsets"][int(clip.row) : int(clip.row) + 2]
        points, numbers = tensors["landmarks"][start:stop].astype(float), tensors["frame_index"][start:stop]
        eyes = np.median([np.hypot(*(frame[1] - frame[0])) for frame in points])
        bends = [
            np.mean([np.hypot(*(points[i + 1, k] - 2 * points[i, k] + points[i - 1, k])) for k in range(5)]) / eyes
            for i in range(1, len(points) - 1)
            if numbers[i + 1] - numbers[i - 1] == 2
        ]
        if bends:
            wanted[clip.clip_id] = np.mean(bends)
    assert jitters == pytest.approx(wanted, rel=1e-5)
    whole = reliability_of(faces)[0]
    assert whole.jitter_median == pytest.approx(np.median(list(wanted.values())), rel=1e-5)
    assert whole.jitter_p95 == pytest.approx(np.percentile(list(wanted.values()), 95), rel=1e-5)


def test_failures_are_counted_by_code_as_in_the_ledger(faces: PreparedDataset) -> None:
    ledger = [json.loads(line) for line in (faces.root / "ledger.jsonl").read_text().splitlines()]
    _, failures = reliability_sections(faces)
    assert {cells[0]: int(cells[1]) for cells in failures.cells} == Counter(row["code"] for row in ledger)
    assert all(row["clip_id"] in " ".join(cells[2] for cells in failures.cells) for row in ledger)


def test_shipped_crops_have_no_rate_and_no_jitter(crops: Path) -> None:
    dataset = dfer_data.open_dataset(crops)
    whole = reliability_of(dataset)[0]
    assert (whole.hit_rate, whole.jitter_median, whole.num_clips, whole.num_failed) == (None, None, 70, 2)
    assert "nothing was detected" in reliability_sections(dataset)[0].notes[0]

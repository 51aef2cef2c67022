"""Clips sampled by time: the frames of the stored times, and an error where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data import open_dataset
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import frames_of_clip, frames_on_grid
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from tests.dfer_data.tiny import Prepared


def dataset(root: Path, clip_ids: list[str], **draw: object) -> FaceClipDataset:
    return FaceClipDataset(root, clip_ids=clip_ids, size_px=32, draw=FrameDraw(**draw))  # type: ignore[arg-type]


def usable(root: Path) -> list[str]:
    clips = open_dataset(root).clips
    return [str(clip_id) for clip_id in clips.loc[(clips["status"] != "failed") & clips["label"].notna(), "clip_id"]]


@pytest.mark.parametrize("sampling", ["train", "test"])
def test_frames_follow_the_stored_times(prepared: Prepared, sampling: Sampling) -> None:
    clip_ids = usable(prepared.out)
    assert clip_ids
    by_number = dataset(prepared.out, clip_ids, sampling=sampling)
    for fps in (12.5, 25.0, 100.0):
        by_time = dataset(prepared.out, clip_ids, sampling=sampling, sample_by="time", reference_fps=fps)
        for index, clip_id in enumerate(clip_ids):
            times = by_time.prepared.frames(clip_id)["pts_seconds"].to_numpy()
            rate = 1 / np.median(np.diff(times))
            found = by_time.frame_indices(index)
            if abs(rate / fps - 1) < 1e-3:
                np.testing.assert_array_equal(found, by_number.frame_indices(index))
            grid = frames_on_grid(times, fps=fps)
            if sampling == "test":
                np.testing.assert_array_equal(found, frames_of_clip(len(times), grid=grid, part="test"))
            assert set(found.flat) <= set(grid.tolist())
            assert by_time[index].frames.shape == by_number[index].frames.shape


def test_a_single_frame_is_drawn_by_time_too(prepared: Prepared) -> None:
    data = dataset(prepared.out, usable(prepared.out)[:1], sampling="frame", sample_by="time", reference_fps=1.0)
    grid = frames_on_grid(data.prepared.frames(data.clip_ids[0])["pts_seconds"].to_numpy(), fps=1.0)
    drawn = set()
    for epoch in range(20):
        data.epoch = epoch
        drawn |= set(data.frame_indices(0).flat)
    assert drawn <= set(grid.tolist())


def test_clips_without_times_are_refused_by_name(crops: Path) -> None:
    """Shipped crops have no times."""
    with pytest.raises(UsageError, match=r"1 clip without times \(00001...\).*sample_by = 'frames' counts frames"):
        dataset(crops, ["00001"], sample_by="time")


def test_sixteen_stored_frames_cannot_be_chosen_by_time(prepared_clips16: Prepared) -> None:
    with pytest.raises(UsageError, match=r"not 16 of segments-8x2 by time, edge; prepare with --store frames"):
        dataset(prepared_clips16.out, [], sample_by="time")


def test_an_unknown_word_is_refused(prepared: Prepared) -> None:
    with pytest.raises(UsageError, match="unknown sample_by 'seconds'"):
        dataset(prepared.out, [], sample_by="seconds")

"""Items of a dataset with sound: the samples are those of the frames that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import AudioClipSample, FaceClipDataset, FrameDraw
from dfer_data.loading.loader import ClipLoader
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.preparation.run import prepare
from dfer_data.types import AUDIO_RATE
from tests.dfer_data import tiny
from tests.dfer_data.sounds import FPS, bursts, onsets, write_film

NUM_FRAMES = 30
FRAME_SAMPLES = AUDIO_RATE // FPS
BURST_FRAME = 17


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> PreparedDataset:
    """A video with a burst at a frame, whose times do not begin at 0, and one without sound."""
    root = tmp_path_factory.mktemp("sound")
    faces = tiny.real_pictures(real_videos["single_face.mp4"], stop=NUM_FRAMES)
    samples = bursts([(BURST_FRAME + 5) / FPS], seconds=(NUM_FRAMES + 5) / FPS, rate=48_000)
    write_film(root / "source/happy/a.mkv", faces, samples, picture_start=5 / FPS)
    write_film(root / "source/sad/mute.mp4", faces, None)
    prepare("folder", source=root / "source", out=root / "out", det_size_px=160, audio=True, engine="inline")
    return open_dataset(root / "out")


def item(clips: FaceClipDataset, index: int = 0) -> AudioClipSample:
    found = clips[index]
    assert isinstance(found, AudioClipSample)
    return found


@pytest.mark.parametrize("sampling", ["test", "train"])
def test_the_sound_begins_with_the_first_frame_and_ends_with_the_last(data: PreparedDataset, sampling: str) -> None:
    draw = FrameDraw(sampling=sampling)  # type: ignore[arg-type]
    clips = FaceClipDataset(data, clip_ids=["happy/a.mkv"], num_frames=8, size_px=32, draw=draw, audio=True)
    whole = data.read_audio("happy/a.mkv")
    spans = set()
    for clips.epoch in range(4):
        first, *_, last = clips.frame_indices(0)[0].tolist()
        found = item(clips)
        assert found.audio_length == len(found.audio) == (last - first + 1) * FRAME_SAMPLES
        begin = first * FRAME_SAMPLES
        assert found.audio.numpy() == pytest.approx(whole[begin : begin + found.audio_length], abs=1e-7)
        assert onsets(found.audio.numpy()) == pytest.approx([(BURST_FRAME - first) / FPS], abs=0.003)
        spans.add((first, last))
    assert len(spans) == (1 if sampling == "test" else len(spans))


def test_one_frame_has_the_sound_of_one_frame(data: PreparedDataset) -> None:
    clips = FaceClipDataset(
        data, clip_ids=["happy/a.mkv"], num_frames=8, size_px=32, draw=FrameDraw(sampling="frame"), audio=True
    )
    assert item(clips).audio_length == FRAME_SAMPLES


def test_a_fixed_number_lets_the_default_collate_join_clips(data: PreparedDataset) -> None:
    ids = ["happy/a.mkv", "sad/mute.mp4"]
    clips = FaceClipDataset(data, clip_ids=ids, num_frames=8, size_px=32, audio=True, audio_samples=40_000)
    batch = next(iter(DataLoader(clips, batch_size=2)))
    assert isinstance(batch, AudioClipSample)
    assert batch.audio.shape == (2, 40_000)
    assert batch.audio.dtype == torch.float32
    length = FaceClipDataset(data, clip_ids=ids, num_frames=8, size_px=32, audio=True)
    assert torch.as_tensor(batch.audio_length).tolist() == [item(length).audio_length, 0]
    assert not batch.audio[0, item(length).audio_length :].any()
    assert not batch.audio[1].any()
    short = FaceClipDataset(data, clip_ids=ids, num_frames=8, size_px=32, audio=True, audio_samples=100)
    assert (item(short).audio_length, item(short).audio.tolist()) == (100, item(length).audio[:100].tolist())
    assert item(length, 1).audio.shape == (0,)


def test_without_audio_items_are_as_before(data: PreparedDataset) -> None:
    frames, label, clip_id = FaceClipDataset(data, clip_ids=["sad/mute.mp4"], num_frames=8, size_px=32)[0][:3]
    assert (tuple(frames.shape), label, clip_id) == ((8, 3, 32, 32), 1, "sad/mute.mp4")
    assert len(FaceClipDataset(data, clip_ids=["sad/mute.mp4"], num_frames=8, size_px=32)[0]) == 3


def test_what_cannot_be_is_said_at_once(data: PreparedDataset, crops: Path) -> None:
    with pytest.raises(UsageError, match="prepared without sound"):
        FaceClipDataset(crops, fold=1, audio=True)
    with pytest.raises(UsageError, match="audio_samples 5: only with audio=True"):
        FaceClipDataset(data, clip_ids=["happy/a.mkv"], audio_samples=5)
    with pytest.raises(UsageError, match="audio_samples 0: 1 or more samples are needed"):
        FaceClipDataset(data, clip_ids=["happy/a.mkv"], audio=True, audio_samples=0)
    with pytest.raises(UsageError, match="audio are for torch's DataLoader"):
        ClipLoader(FaceClipDataset(data, clip_ids=["happy/a.mkv"], audio=True), batch_size=1)
    assert np.isnan(data.audio_shard(data.clip("sad/mute.mp4")["shard"]).facts(0)["start_seconds"])

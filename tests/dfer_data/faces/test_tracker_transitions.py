"""Two people never share a track, and a flash, a hand or a turn does not split one person's; on rendered heads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.identity import is_split
from benchmarks.identity_clips import PAIRS, SINGLES, write_clip
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.sources.base import SourceVideo
from dfer_data.types import FrameFlag
from tests.dfer_data.tiny import CONFIG


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transitions")


def clips(path: Path, weights: Path, *, detect_every: int) -> list[tuple[Clip, list[int]]]:
    """Return each track as a clip, with its frames that have a detection."""
    config = replace(CONFIG, all_tracks=True, detect_every=detect_every, det_size_px=480)
    found = []
    detector = RetinaFace(weights, long_side_px=480)
    for clip in clips_of_video(path, SourceVideo("v", path.name, 1, None), config=config, detector=detector):
        assert isinstance(clip, Clip)
        records = [face.record for face in clip.faces]
        found.append((clip, [one.frame_index for one in records if one.flags & FrameFlag.DETECTED]))
    return found


@pytest.mark.parametrize("detect_every", [1, 5])
@pytest.mark.parametrize("kind", PAIRS)
def test_two_people_are_two_tracks(
    kind: str, detect_every: int, folder: Path, heads_wheel: Path, retinaface_weights: Path
) -> None:
    write_clip(folder, heads_wheel, (kind, 0))
    shares = np.load(folder / f"{kind}-0.npy")
    tracks = [frames for _, frames in clips(folder / f"{kind}-0.mp4", retinaface_weights, detect_every=detect_every)]
    assert len(tracks) >= 2
    assert not any((shares[frames] < 0.1).any() and (shares[frames] > 0.9).any() for frames in tracks), tracks
    assert {round(float(shares[frames].mean())) for frames in tracks} == {0, 1}


def test_a_transition_that_is_seen_late_gives_the_new_face_its_first_frames(
    folder: Path, heads_wheel: Path, retinaface_weights: Path
) -> None:
    """The wipe passes the face before it has changed the picture: the old track has held frames of the new face."""
    write_clip(folder, heads_wheel, ("wipe", 232))
    shares = np.load(folder / "wipe-232.npy")
    found = clips(folder / "wipe-232.mp4", retinaface_weights, detect_every=1)
    tracks = [frames for _, frames in found]
    assert [[round(float(shares[frames].max()), 1), len(frames)] for frames in tracks][-1] == [1.0, 18]
    assert not any((shares[frames] < 0.1).any() and (shares[frames] > 0.9).any() for frames in tracks), tracks
    assert [clip.facts.num_frames for clip, _ in found] == [len(frames) for frames in tracks]


@pytest.mark.parametrize("detect_every", [1, 5])
@pytest.mark.parametrize("kind", SINGLES)
def test_one_person_is_one_track(
    kind: str, detect_every: int, folder: Path, heads_wheel: Path, retinaface_weights: Path
) -> None:
    write_clip(folder, heads_wheel, (kind, 0))
    found = clips(folder / f"{kind}-0.mp4", retinaface_weights, detect_every=detect_every)
    tracks = [frames for clip, frames in found if (clip.facts.mean_score or 0) > 0.8]  # a bun in the hair is a face
    assert len(tracks) == 1
    assert not is_split(tracks)


def test_odd_frames_are_interpolated(folder: Path, heads_wheel: Path, retinaface_weights: Path) -> None:
    write_clip(folder, heads_wheel, ("flash", 1))
    ((clip, _),) = clips(folder / "flash-1.mp4", retinaface_weights, detect_every=1)
    assert (clip.facts.num_frames, clip.facts.num_tracks) == (36, 1)
    assert 2 <= clip.facts.num_interpolated <= 6


def test_a_face_that_ends_otherwise_than_it_began_has_drifted(
    folder: Path, heads_wheel: Path, retinaface_weights: Path
) -> None:
    drifts = {}
    for kind in ("turn", "exposure"):
        write_clip(folder, heads_wheel, (kind, 0))
        ((clip, _),) = clips(folder / f"{kind}-0.mp4", retinaface_weights, detect_every=1)
        drifts[kind] = clip.drift
    assert drifts["exposure"] < 0.3 < 0.5 < drifts["turn"]

"""Who is who: several faces, known in every frame, through the whole of decoding, detecting and tracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.detect.retinaface import RetinaFace
from dfer_data.faces.clip import Clip, ClipFacts
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.sources.base import SourceVideo
from dfer_data.types import FrameFlag, FrameRecord
from tests.dfer_data.tiny import CONFIG, write_video
from tests.scenes import WIDTH_PX, KnownScene, joined, pasted, people, rendered

NUM_FRAMES = 48
_NEAR_PX = 40
Tracks = list[tuple[ClipFacts, list[FrameRecord]]]


def side_by_side(videos: dict[str, Path], wheel: Path) -> KnownScene:
    who = people(videos, num_frames=NUM_FRAMES)
    layers = [("ann", who["ann"], lambda t: (60, 30)), ("carl", who["carl"], lambda t: (340, 30))]
    return pasted(layers, num_frames=NUM_FRAMES)


def one_passes_before_the_other(videos: dict[str, Path], wheel: Path) -> KnownScene:
    who = people(videos, num_frames=NUM_FRAMES)
    layers = [("ann", who["ann"], lambda t: (180, 30)), ("carl", who["carl"], lambda t: (560 - 30 * t, 40))]
    return pasted(layers, num_frames=NUM_FRAMES)


def both_walk_and_meet(videos: dict[str, Path], wheel: Path) -> KnownScene:
    who = people(videos, num_frames=NUM_FRAMES)
    layers = [("carl", who["carl"], lambda t: (9 * t, 40)), ("ann", who["ann"], lambda t: (400 - 9 * t, 30))]
    return pasted(layers, num_frames=NUM_FRAMES)


def a_cut_between_people(videos: dict[str, Path], wheel: Path) -> KnownScene:
    """The other one sits where the first one sat; the wall stays."""
    who = people(videos, num_frames=NUM_FRAMES)
    shots = [pasted([(name, who[name], lambda t: (200, 30))], num_frames=NUM_FRAMES // 2) for name in ("ann", "carl")]
    return joined(*shots)


def coming_and_going(videos: dict[str, Path], wheel: Path) -> KnownScene:
    who = people(videos, num_frames=NUM_FRAMES)
    layers = [
        ("ann", who["ann"], lambda t: (60, 30)),
        ("carl", who["carl"], lambda t: (620 - 300 * np.sin(t / 15), 40)),
    ]
    return pasted(layers, num_frames=NUM_FRAMES)


def five_heads(videos: dict[str, Path], wheel: Path) -> KnownScene:
    def standing(n: int) -> Callable[[int], tuple[float, float, float]]:
        return lambda t: (80 + 118 * n + 2 * np.sin(t + n), 150 + 8 * n, 34 + 2 * n)

    return rendered(wheel, {n: standing(n) for n in range(5)}, num_frames=12)


def heads_that_cross(videos: dict[str, Path], wheel: Path) -> KnownScene:
    paths: dict[int, Callable[[int], tuple[float, float, float]]] = {
        6: lambda t: (320, 150, 42),
        2: lambda t: (560 - 15 * t, 158, 48),
        4: lambda t: (120 + 3 * t, 140, 36),
    }
    return rendered(wheel, paths, num_frames=34)


SCENES = [
    side_by_side,
    one_passes_before_the_other,
    both_walk_and_meet,
    a_cut_between_people,
    coming_and_going,
    five_heads,
    heads_that_cross,
]


@pytest.fixture(scope="module", params=SCENES, ids=lambda one: str(one.__name__))
def scene(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_videos: dict[str, Path],
    heads_wheel: Path,
) -> tuple[str, KnownScene, Path]:
    name = request.param.__name__
    known = request.param(real_videos, heads_wheel)
    return name, known, write_video(tmp_path_factory.mktemp("scenes") / f"{name}.mp4", known.pictures)


def tracks(path: Path, weights: Path, *, detect_every: int) -> Tracks:
    config = replace(CONFIG, all_tracks=True, detect_every=detect_every, det_size_px=640)
    found = []
    detector = RetinaFace(weights, long_side_px=640)
    for one in clips_of_video(path, SourceVideo("v", path.name, 1, None), config=config, detector=detector):
        assert isinstance(one, Clip)
        found.append((one.facts, [face.record for face in one.faces]))
    return found


def persons(records: list[FrameRecord], known: KnownScene) -> list[str]:
    """Whose face each detection of a track is, where that is beyond doubt: one person is near and no other."""
    names = []
    for record in records:
        if record.flags & FrameFlag.DETECTED:
            middle = (record.box[:2] + record.box[2:]) / 2
            there = known.faces[record.frame_index].items()
            far = sorted((float(np.hypot(*(middle - at))), name) for name, at in there)
            names += [far[0][1]] if far[0][0] < _NEAR_PX and all(d > 2 * _NEAR_PX for d, _ in far[1:]) else []
    return names


@pytest.mark.parametrize("detect_every", [1, 5])
def test_a_track_is_one_person(
    scene: tuple[str, KnownScene, Path], retinaface_weights: Path, detect_every: int
) -> None:
    name, known, path = scene
    whose = [persons(records, known) for _, records in tracks(path, retinaface_weights, detect_every=detect_every)]
    assert all(len(set(names)) <= 1 for names in whose), whose
    everybody = {person for seen in known.faces for person in seen}
    longest = {person: max(names.count(person) for names in whose) for person in everybody}
    most = {"five_heads": 12, "heads_that_cross": 34}.get(name, NUM_FRAMES)
    assert all(length >= most / 4 / detect_every for length in longest.values()), longest
    if name in ("side_by_side", "five_heads", "a_cut_between_people"):
        assert len(whose) == len(everybody)


@pytest.mark.parametrize("detect_every", [1, 5])
def test_the_subject_is_the_one_that_stays(
    real_videos: dict[str, Path], retinaface_weights: Path, tmp_path: Path, detect_every: int
) -> None:
    known = one_passes_before_the_other(real_videos, tmp_path)
    path = write_video(tmp_path / "v.mp4", known.pictures)
    config = replace(CONFIG, detect_every=detect_every, det_size_px=640)
    detector = RetinaFace(retinaface_weights, long_side_px=640)
    (clip,) = clips_of_video(path, SourceVideo("v", path.name, 1, None), config=config, detector=detector)
    assert isinstance(clip, Clip)
    assert set(persons([face.record for face in clip.faces], known)) == {"ann"}
    assert known.pictures[0].shape[1] == WIDTH_PX

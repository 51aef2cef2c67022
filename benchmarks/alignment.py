"""Measure how steadily the alignments of `dfer prepare` hold a face, and how far they follow its expression.

    python -m benchmarks.alignment [--people N] [--tracks FOLDER] [--out FILE.json]
    python -m benchmarks.alignment VIDEO [--sheet FILE.jpg]

Rendered heads: the clips of `dfer synth dfew`, and a twin of each clip: the same head in the same motion, light and
grain with a neutral face. What differs between the two alignments is what the expression does to it. Real videos: the
eyes that another detector finds, in the crops of an alignment. `--tracks` keeps the landmarks that were detected, so
that a changed alignment is measured in seconds.

With a VIDEO, the effect of smoothing on its landmarks, and a sheet of its alignments. Jitter is the mean norm of the
landmarks' second difference over time, deviation their mean distance from the detected landmarks.
Lengths are in per cent of the distance of the eyes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from benchmarks.detectors import detector_config, detector_of
from dfer_data.config import PrepareConfig, Request
from dfer_data.detect.base import Detector
from dfer_data.detect.registry import build_detector
from dfer_data.faces.align import AffineMatrices, eye_centres, landmark_template, scale_range, scales
from dfer_data.faces.aligned_faces import FaceMaker, decode
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.request import resolve_request
from dfer_data.sources.base import SourceVideo
from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import perform
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.types import Floats, Image, LandmarkScheme
from dfer_data.weights.fetch import weights_file
from tests.videos import fetch_videos

_COLUMNS, _CELL_PX, _LABEL_PX = 6, 112, 190
_ALIGNMENTS: dict[str, dict[str, Any]] = {
    "template, scale 0.8": {},
    "template, scale 1 (ArcFace)": {"template_scale": 1.0},
    "template, scale 0.6": {"template_scale": 0.6},
    "box, padding 0.2": {"align": "box"},
    "box, padding 0": {"align": "box", "box_padding": 0.0},
    "template, not smoothed": {"smoothing_window_frames": 1},
}
_WINDOWS = (1, 5, 7, 11, 15)
_LONG: dict[str, Any] = {"smoothing_window_frames": 25, "smoothing_order": 1}
_VARIANTS: dict[str, dict[str, Any]] = {
    f"{points}, {scale}": {"align_points": points, "align_scale": scale}
    for points, scale in product(("all", "rigid"), ("frame", "track"))
} | {"rigid, track, mean of 25 frames": {"align_points": "rigid", "align_scale": "track", **_LONG}}
_SCHEMES: dict[str, LandmarkScheme] = {"retinaface": "eyes-nose-mouth", "dlib": "eye-corners-nose-base"}
_NUM_PEOPLE = {"retinaface": 20, "dlib": 8}  # dlib takes four times as long
_NUM_TAKES = {"retinaface": 2, "dlib": 1}
_RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Track:
    """The landmarks of the subject of a clip, as detected."""

    frames: np.ndarray[Any, np.dtype[np.int64]]
    """(N,) positions in the video."""
    landmarks: Floats
    """(N, 5, 2) pixels."""
    true_landmarks: Floats
    """(T, 5, 2) pixels of every frame of a rendered video; empty for a real one."""


@dataclass(frozen=True)
class _Film:
    """A rendered video: a clip of the demo set, or its twin with a neutral face."""

    identity: int
    take: int
    emotion: str
    is_twin: bool


# --- landmarks -------------------------------------------------------------------------------------------------------


def _config(detector: str) -> PrepareConfig:
    """Return the settings of `prepare` without smoothing, with small crops, which are not looked at."""
    return detector_config(detector, smoothing_window_frames=1, size_px=32)


def _detect(path: Path, detector: Detector, name: str, true_landmarks: Floats) -> _Track | None:
    video = SourceVideo("v", path.name, 0, None)
    for clip in clips_of_video(path, video, config=_config(name), detector=detector):
        if isinstance(clip, Clip):
            records = [face.record for face in clip.faces]
            frames = np.array([record.frame_index for record in records])
            return _Track(frames, np.stack([record.landmarks for record in records]), true_landmarks)
    return None


def _films(name: str, *, most_people: int) -> Iterator[_Film]:
    people, takes = range(min(_NUM_PEOPLE[name], most_people)), range(_NUM_TAKES[name])
    for identity, take, emotion in product(people, takes, DFEW_NAMES):
        for is_twin in (False, True) if emotion != "neutral" else (False,):
            yield _Film(identity, take, emotion, is_twin)


def _shoot(shot: _Film, path: Path) -> Floats:
    """Write the video of a film as `dfer synth dfew` does; return its true landmarks (T, 5, 2)."""
    config = SynthConfig()
    rng = np.random.default_rng((config.seed, 2, shot.identity, shot.take, DFEW_NAMES.index(shot.emotion)))
    person = person_of(weights_file("heads"), shot.identity, config.seed)
    performance = perform(shot.emotion, rng)
    shown = "neutral" if shot.is_twin else shot.emotion
    pictures, landmarks = film(person, shown, performance, rng, config)
    encode(path, pictures, crf=int(rng.integers(19, 28)))
    return landmarks


def _rendered_tracks(name: str, *, most_people: int, folder: Path | None) -> dict[_Film, _Track]:
    """Return the tracks of the rendered videos, from the file in `folder` if it has them."""
    path = folder / f"{name}.npz" if folder is not None else None
    kept = dict(np.load(path)) if path is not None and path.is_file() else {}
    detector: Detector | None = None
    tracks: dict[_Film, _Track] = {}
    with tempfile.TemporaryDirectory() as work:
        for shot in _films(name, most_people=most_people):
            key = f"{shot.identity} {shot.take} {shot.emotion} {shot.is_twin}"
            if f"{key} frames" not in kept:
                detector = detector or detector_of(_config(name))
                video = Path(work) / "head.mp4"
                track = _detect(video, detector, name, _shoot(shot, video))
                if track is None:
                    continue
                kept[f"{key} frames"], kept[f"{key} landmarks"] = track.frames, track.landmarks
                kept[f"{key} true"] = track.true_landmarks
            tracks[shot] = _Track(*(kept[f"{key} {part}"] for part in ("frames", "landmarks", "true")))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **kept)
    return tracks


# --- measures --------------------------------------------------------------------------------------------------------


def _aligned(track: _Track, name: str, variant: str) -> tuple[AffineMatrices, Floats]:
    """Return the transforms (N, 2, 3) of a track, and its smoothed landmarks (N, 5, 2)."""
    base = replace(_config(name), size_px=224, smoothing_window_frames=7)
    maker = FaceMaker(replace(base, **_VARIANTS[variant]), scheme=_SCHEMES[name])
    usual = FaceMaker(base, scheme=_SCHEMES[name])
    boxes = np.zeros((len(track.landmarks), 4), np.float32)  # the template looks at landmarks alone
    matrices = maker.matrices(maker.smoothed(boxes, track.landmarks))
    return matrices, usual.smoothed(boxes, track.landmarks)[:, :5]


def _in_crop(matrices: AffineMatrices, points: Floats) -> Floats:
    """Return source points (N, P, 2) in the crops, in per cent of the distance of the template's eyes."""
    eyes = eye_centres(landmark_template("eyes-nose-mouth", size_px=224, scale=0.8), "eyes-nose-mouth")
    placed = np.einsum("nij,npj->npi", matrices[:, :, :2], points.astype(np.float64)) + matrices[:, None, :, 2]
    return np.asarray(100 * placed / np.linalg.norm(eyes[1] - eyes[0]))


def _size(matrices: AffineMatrices, track: _Track, name: str) -> float:
    """Return how large the face is in its crops, over its size with the default alignment."""
    usual, _ = _aligned(track, name, "all, frame")
    return float(np.median(scales(matrices)) / np.median(scales(usual)))


def _height_range(points: Floats) -> float:
    """Return how far points (N, P, 2) move up and down on the whole."""
    return float(np.ptp(points.mean(axis=1)[:, 1]))


def _rendered_row(clip: _Track, twin: _Track, name: str, variant: str) -> dict[str, float]:
    """Measure one clip. The twin's true eyes are those of the head without an expression."""
    (matrices, landmarks), (neutral, _) = (_aligned(track, name, variant) for track in (clip, twin))
    own_eyes = _in_crop(matrices, eye_centres(landmarks, _SCHEMES[name]))
    eyes = twin.true_landmarks[:, :2]
    _, rows, twin_rows = np.intersect1d(clip.frames, twin.frames, return_indices=True)
    shared = eyes[clip.frames[rows]]
    places = [_in_crop(part, shared).mean(axis=1) for part in (matrices[rows], neutral[twin_rows])]
    return {
        "eyes_up_and_down": _height_range(own_eyes),
        "true_eyes_up_and_down": _height_range(_in_crop(matrices, eyes[clip.frames])),
        "scale_range": 100 * scale_range(matrices),
        "scale_by_expression": 100 * float(np.abs(scales(matrices[rows]) / scales(neutral[twin_rows]) - 1).max()),
        "shift_by_expression": float(np.linalg.norm(places[0] - places[1], axis=1).max()),
        "size": _size(matrices, clip, name),
    }


def _rendered_table(tracks: Mapping[_Film, _Track], name: str) -> list[Row]:
    """Return one row per alignment and class: means over clips."""
    rows = []
    pairs = [
        (shot, track, twin)
        for shot, track in tracks.items()
        if not shot.is_twin and (twin := tracks.get(replace(shot, is_twin=shot.emotion != "neutral"))) is not None
    ]
    for variant, emotion in product(_VARIANTS, DFEW_NAMES):
        of_class = [_rendered_row(track, twin, name, variant) for shot, track, twin in pairs if shot.emotion == emotion]
        means = {key: round(float(np.mean([row[key] for row in of_class])), 2) for key in of_class[0]}
        rows.append({"detector": name, "alignment": variant, "class": emotion, "clips": len(of_class), **means})
    return rows


def _point_rows(tracks: Mapping[_Film, _Track], name: str) -> list[Row]:
    """Return per class how far each landmark is from where the twin has it, at most over a clip; means over clips."""
    moved: dict[str, list[Floats]] = defaultdict(list)
    for shot, track in tracks.items():
        twin = tracks.get(replace(shot, is_twin=True))
        if shot.is_twin or shot.emotion == "neutral" or twin is None:
            continue
        _, rows, twin_rows = np.intersect1d(track.frames, twin.frames, return_indices=True)
        smoothed = [_aligned(part, name, "all, frame")[1] for part in (track, twin)]
        eyes = twin.true_landmarks[track.frames[rows], :2]
        distances = np.linalg.norm(smoothed[0][rows] - smoothed[1][twin_rows], axis=2)
        moved[shot.emotion].append((distances / np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=1)[:, None]).max(axis=0))
    means = {emotion: 100 * np.mean(values, axis=0, dtype=np.float64) for emotion, values in moved.items()}
    return [{"detector": name, "class": emotion, "points": row.round(1).tolist()} for emotion, row in means.items()]


def _real_table() -> list[Row]:
    """Return one row per video, detector and alignment; the eyes are those that the other detector finds."""
    tracks: dict[tuple[str, str], _Track] = {}
    for name in _SCHEMES:
        detector = detector_of(_config(name))
        for video, path in fetch_videos().items():
            if (track := _detect(path, detector, name, np.zeros((0, 5, 2), np.float32))) is not None:
                tracks[video, name] = track
    rows: list[Row] = []
    for (video, name), variant in product(tracks, _VARIANTS):
        (other,) = _SCHEMES.keys() - {name}
        witness = tracks[video, other]
        matrices, _ = _aligned(tracks[video, name], name, variant)
        _, own_rows, rows_of_other = np.intersect1d(tracks[video, name].frames, witness.frames, return_indices=True)
        eyes = eye_centres(_aligned(witness, other, "all, frame")[1], _SCHEMES[other])
        placed = _in_crop(matrices[own_rows], eyes[rows_of_other])
        middle, distance = placed.mean(axis=1), np.linalg.norm(placed[:, 1] - placed[:, 0], axis=1)
        low, high = np.percentile(distance, (5, 95))
        values = {
            "scale_range": 100 * scale_range(matrices),
            "eyes_rms": float(np.sqrt(((middle - middle.mean(axis=0)) ** 2).sum(axis=1).mean())),
            "eyes_up_and_down": _height_range(placed),
            "eye_distance_range": 100 * float(high / low - 1),
            "size": _size(matrices, tracks[video, name], name),
        }
        rounded = {key: round(value, 2) for key, value in values.items()}
        rows.append({"video": video, "detector": name, "alignment": variant, "frames": len(placed), **rounded})
    return rows


# --- one video -------------------------------------------------------------------------------------------------------


def prepare_first_clip(video: Path, **settings: Any) -> tuple[Plan, Clip]:
    """Prepare a video with the given settings and return the plan and the first clip."""
    resolved = resolve_request(Request(dataset="folder", source=video.parent, **settings))
    source = next(entry for entry in resolved.plan.listing.videos if entry.path == video.name)
    detector = build_detector(resolved.plan.config, weights=resolved.weights)
    assert detector is not None
    clip = next(clips_of_video(video, source, config=resolved.plan.config, detector=detector))
    assert isinstance(clip, Clip), clip
    return resolved.plan, clip


def row(video: Path, label: str, settings: dict[str, Any]) -> Image:
    """Return a strip of aligned faces with its label."""
    plan, clip = prepare_first_clip(video, **settings)
    faces = list(clip.faces)
    frame_numbers = np.linspace(0, len(faces) - 1, _COLUMNS).round().astype(int)
    pictures = [decode(faces[i].payload, plan.config) for i in frame_numbers]
    cells = [cv2.resize(picture, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_AREA) for picture in pictures]
    label_cell = np.full((_CELL_PX, _LABEL_PX, 3), 24, np.uint8)
    cv2.putText(label_cell, label, (6, _CELL_PX // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (230, 230, 230), 1, cv2.LINE_AA)
    return np.concatenate([label_cell, *cells], axis=1)


def landmarks_of(video: Path, *, window: int) -> Floats:
    """Return the stored landmarks (N, 5, 2), smoothed over `window` frames."""
    _, clip = prepare_first_clip(video, smoothing_window_frames=window)
    return np.stack([face.record.landmarks for face in clip.faces])


def _print_smoothing(video: Path) -> None:
    detected = landmarks_of(video, window=1)
    eye_distance = np.linalg.norm(np.diff(eye_centres(detected, "eyes-nose-mouth"), axis=1)[:, 0], axis=1).mean()
    for window in _WINDOWS:
        points = landmarks_of(video, window=window)
        jitter = np.linalg.norm(np.diff(points, n=2, axis=0), axis=2).mean() / eye_distance * 100
        deviation = np.linalg.norm(points - detected, axis=2).mean() / eye_distance * 100
        print(f"window {window:>2}: jitter {jitter:.2f} %, deviation {deviation:.2f} %")


def _print_rows(rows: Sequence[Row]) -> None:
    for number, values in enumerate(rows):
        if not number or rows[number - 1].keys() != values.keys():
            print("  ".join(values))
        print("  ".join(str(value) for value in values.values()))


def main() -> None:
    """Print the tables and write the figures; with a video, print what smoothing does to it and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?", help="default: the rendered heads and the test videos")
    parser.add_argument("--sheet", type=Path, default=None)
    parser.add_argument("--people", type=int, default=max(_NUM_PEOPLE.values()), help="most rendered people")
    parser.add_argument("--tracks", type=Path, default=None, help="folder that keeps the landmarks of rendered heads")
    parser.add_argument("--out", type=Path, default=_RESULTS / f"alignment-{datetime.now(UTC):%Y-%m-%d}.json")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.video:
        _print_smoothing(options.video)
        if options.sheet:
            sheet = np.concatenate([row(options.video, label, settings) for label, settings in _ALIGNMENTS.items()])
            options.sheet.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), quality=85))
        return
    points: list[Row] = []
    rendered: list[Row] = []
    for name in _SCHEMES:
        tracks = _rendered_tracks(name, most_people=options.people, folder=options.tracks)
        points += _point_rows(tracks, name)
        rendered += _rendered_table(tracks, name)
    document = {"moved_by_expression": points, "rendered": rendered, "real": _real_table()}
    for rows in document.values():
        _print_rows(rows)
    options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

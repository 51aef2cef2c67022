"""Measure on rendered heads what the limits of `prepare --all-tracks` leave out: landmarks, scores, brightness.

    python -m benchmarks.track_limits [--heads 24] [--detector retinaface]

Light: heads at falling gains, their brightness as prepare measures it, and how many reach the default limit.
Size: heads made smaller in a picture of the detector's size, the mean error of their landmarks and their scores.
Turn: heads turned away by a fixed angle, the mean score of their tracks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.detectors import detector_config, detector_of
from dfer_data.config import MIN_BRIGHTNESS, PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.faces.appearance import described
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.faces.track_filter import luma
from dfer_data.sources.base import SourceVideo
from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import APEX, Performance
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.types import Detection, Floats, Image
from dfer_data.weights.fetch import weights_file

_CONFIG = SynthConfig(width_px=480, height_px=320)
_GAINS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03)
_SIDES_PX = (16, 20, 24, 28, 32, 40, 48, 64, 96)
_ANGLES = (0, 45, 75, 90, 110, 130, 150, 180)
_SIDE_PER_EYES = 2.7  # side of RetinaFace's box over the distance of the eyes, on these heads
_NUM_FRAMES = 24
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Print the three tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--detector", default="retinaface")
    parser.add_argument("--out", type=Path, default=_RESULTS / f"track-limits-{datetime.now(UTC):%Y-%m-%d}.json")
    options = parser.parse_args()
    config = detector_config(options.detector, all_tracks=True)
    detector = detector_of(config)
    stills = [_film(number, np.zeros(2, np.float32)) for number in range(options.heads)]
    tables: dict[str, list[dict[str, Any]]] = {
        "light": [_light(gain, stills, detector) for gain in _GAINS],
        "size": [_size(side_px, stills, detector, width_px=config.det_size_px) for side_px in _SIDES_PX],
        "turn": [_turn(angle, options.heads, config, detector) for angle in _ANGLES],
    }
    for rows in tables.values():
        print("\n".join(map(str, rows)))
    document = {"detector": options.detector, "heads": options.heads, **tables}
    options.out.write_text(json.dumps(document, indent=1) + "\n")


def _film(number: int, yaw: Floats) -> tuple[list[Image], Floats]:
    """Film a head with the given turn (T,) in radians; return pictures and landmarks (T, 5, 2)."""
    rng = np.random.default_rng((21, number))
    person = person_of(weights_file("heads"), int(rng.integers(400)), 5)
    zeros = np.zeros(len(yaw), np.float32)
    intensity = np.linspace(0, 1, len(yaw)).astype(np.float32)
    performance = Performance(intensity, zeros, yaw, zeros, zeros, 0)
    return film(person, str(rng.choice(sorted(APEX))), performance, rng, _CONFIG)


def _detections(detector: Detector, pictures: Sequence[Image]) -> Iterator[tuple[Image, Detection]]:
    for picture in pictures:
        for detection in described(picture, detector.detect([picture])[0], scheme=detector.scheme):
            yield picture, detection


def _light(gain: float, stills: Sequence[tuple[list[Image], Floats]], detector: Detector) -> dict[str, float]:
    dimmed = [np.asarray(np.rint(picture * gain), np.uint8) for pictures, _ in stills for picture in pictures]
    values = [luma(one.appearance) for _, one in _detections(detector, dimmed) if one.appearance is not None]
    return {
        "gain": gain,
        "pictures": len(dimmed),
        "found": len(values),
        "least": round(min(values, default=0), 1),
        "median": round(float(np.median(values)), 1) if values else 0.0,
        "reach_limit": sum(value >= MIN_BRIGHTNESS for value in values),
    }


def _size(
    side_px: int, stills: Sequence[tuple[list[Image], Floats]], detector: Detector, *, width_px: int
) -> dict[str, float]:
    """Shrink heads to a side of the box, and compare their landmarks with the true ones."""
    errors, scores, sides, num_pictures = [], [], [], 0
    for pictures, landmarks in stills:
        for picture, points in zip(pictures, landmarks, strict=True):
            eyes_px = float(np.linalg.norm(points[0] - points[1]))
            factor = side_px / (_SIDE_PER_EYES * eyes_px)
            small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
            canvas = np.full((max(width_px * 9 // 16, small.shape[0]), width_px, 3), 110, np.uint8)
            top, left = (canvas.shape[0] - small.shape[0]) // 2, (width_px - small.shape[1]) // 2
            canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
            scale = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]])
            true = (points + 0.5) * scale - 0.5 + [left, top]
            num_pictures += 1
            for _, one in _detections(detector, [canvas]):
                distances = np.linalg.norm(one.landmarks - true, axis=1)
                errors.append(100 * float(distances.mean()) / (eyes_px * factor))
                scores.append(one.score)
                sides.append(float(np.sqrt((one.box[2:] - one.box[:2]).prod())))
    return {
        "pictures": num_pictures,
        "found": len(errors),
        "side_px": round(float(np.mean(sides)), 1) if sides else float(side_px),
        "error_percent_of_eyes": round(float(np.mean(errors)), 1) if errors else 0.0,
        "error_percentile_95": round(float(np.percentile(errors, 95)), 1) if errors else 0.0,
        "mean_score": round(float(np.mean(scores)), 3) if scores else 0.0,
    }


def _turn(angle: int, num_heads: int, config: PrepareConfig, detector: Detector) -> dict[str, object]:
    """Film turned heads and return the mean scores of tracks that hold most of the frames."""
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.mp4"
        for number in range(num_heads):
            pictures, _ = _film(number, np.full(_NUM_FRAMES, np.radians(angle), np.float32))
            encode(path, pictures, crf=20)
            source = SourceVideo("v", path.name, 1, None)
            results = clips_of_video(path, source, config=config, detector=detector)
            facts = [clip.facts for clip in results if isinstance(clip, Clip)]
            scores += [one.mean_score or 0.0 for one in facts if one.num_frames >= _NUM_FRAMES * 2 // 3]
    shares = {f"at_least_{limit}": sum(score >= limit for score in scores) for limit in (0.8, 0.85, 0.9)}
    return {"degrees": angle, "heads": num_heads, "tracks": len(scores), **shares}


if __name__ == "__main__":
    main()

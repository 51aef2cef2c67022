"""Compare the alignments of `dfer prepare` on one video, and the effect of smoothing on its landmarks.

    python -m benchmarks.alignment [VIDEO] [--sheet FILE.jpg]

Jitter is the mean norm of the landmarks' second difference over time, deviation their mean distance from the detected
landmarks; both are in per cent of the inter-ocular distance.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from dfer_data.config import Request
from dfer_data.detect.registry import build_detector
from dfer_data.faces.align import eye_centres
from dfer_data.faces.aligned_faces import decode
from dfer_data.faces.pipeline import Clip, clips_of_video
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.request import resolve_request
from dfer_data.types import Floats, Image
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


def landmarks(video: Path, *, window: int) -> Floats:
    """Return the stored landmarks (N, 5, 2), smoothed over `window` frames."""
    _, clip = prepare_first_clip(video, smoothing_window_frames=window)
    return np.stack([face.record.landmarks for face in clip.faces])


def main() -> None:
    """Print one line per window; write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?", help="default: a test video")
    parser.add_argument("--sheet", type=Path, default=None)
    arguments = parser.parse_args()
    video = arguments.video or fetch_videos()["single_face.mp4"]
    detected = landmarks(video, window=1)
    eye_distance = np.linalg.norm(np.diff(eye_centres(detected, "eyes-nose-mouth"), axis=1)[:, 0], axis=1).mean()
    for window in _WINDOWS:
        points = landmarks(video, window=window)
        jitter = np.linalg.norm(np.diff(points, n=2, axis=0), axis=2).mean() / eye_distance * 100
        deviation = np.linalg.norm(points - detected, axis=2).mean() / eye_distance * 100
        print(f"window {window:>2}: jitter {jitter:.2f} %, deviation {deviation:.2f} %")
    if arguments.sheet:
        sheet = np.concatenate([row(video, label, settings) for label, settings in _ALIGNMENTS.items()])
        arguments.sheet.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(sheet), quality=85))


if __name__ == "__main__":
    main()

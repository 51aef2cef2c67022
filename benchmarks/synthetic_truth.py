"""Measure the detectors on the rendered heads: hit rate and landmark error against the ground truth.

usage: python -m benchmarks.synthetic_truth [--every 4] [--detectors retinaface dlib]
Landmark error of a frame: mean distance of the points over the inter-ocular distance (IOD). RetinaFace: all five
points; dlib has no mouth and marks the base of the nose, so only its two eyes are compared.
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.detectors import detector_config, detector_of
from dfer_data.faces.align import eye_centres
from dfer_data.synth import write_dfew
from dfer_data.video.reader import open_video
from dfer_data.weights.fetch import weights_file


def main() -> None:
    """Render the default dataset and run the detectors on every n-th frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--detectors", nargs="+", default=["retinaface", "dlib"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "dfew"
        start = time.perf_counter()
        summary = write_dfew(root, heads=weights_file("heads"))
        seconds = time.perf_counter() - start
        print(f"rendered {summary.num_clips} clips, {summary.num_frames} frames in {seconds:.1f} s with 2 workers")
        rows = [measure(root, name, every=options.every) for name in options.detectors]
    print(json.dumps({"render_seconds": round(seconds, 1), "num_frames": summary.num_frames, "detectors": rows}))


def measure(root: Path, name: str, *, every: int) -> dict[str, object]:
    """Return hit rate and error percentiles of one detector on a tree written by `dfer synth dfew`."""
    detector = detector_of(detector_config(name, dataset="dfew"))
    num_frames, num_hits, errors, offsets = 0, 0, [], []
    for path in sorted((root / "Clip/original").glob("*.mp4")):
        truth = np.load(root / "ground_truth/landmarks" / f"{path.stem}.npy")
        with open_video(path) as reader:
            frames = [frame for frame in reader.frames() if frame.index % every == 0]
        for frame, detections in zip(frames, detector.detect([frame.image for frame in frames]), strict=True):
            num_frames += 1
            if detections:
                num_hits += 1
                expected = truth[frame.index]
                iod = np.linalg.norm(expected[1] - expected[0])
                has_all_points = detector.scheme == "eyes-nose-mouth"
                landmarks = detections[0].landmarks
                points = landmarks if has_all_points else eye_centres(landmarks, detector.scheme)
                delta = points - expected[: len(points)]
                errors.append(np.linalg.norm(delta, axis=1).mean() / iod)
                offsets.append(delta / iod)
    p50, p95, worst = (float(np.percentile(errors, q)) for q in (50, 95, 100))
    bias = np.mean(offsets, axis=0).round(3).tolist()
    print(
        f"{name}: face in {num_hits} of {num_frames} frames ({100 * num_hits / num_frames:.2f} %), "
        f"landmark error p50 {p50:.3f} p95 {p95:.3f} max {worst:.3f} of the IOD; mean offsets {bias}"
    )
    return {"detector": name, "hit_rate": num_hits / num_frames, "p50": p50, "p95": p95, "max": worst}


if __name__ == "__main__":
    main()

"""Measure how many seconds of video `predict` processes per second: one face at 640 x 360, full LSTPNet at 224 px.

    python -m benchmarks.predict [--rounds 5] [--stride-seconds 0.5] [--json FILE]

The video is real (a test video, played forwards and backwards until it is ten seconds long). The network's weights are
random, because its time does not depend on them. A round is one complete `predict_video` with loaded models; the ratio
is the video's length over that time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.detectors import detector_config, detector_of
from benchmarks.prepare import encode
from dfer_data.video.reader import open_video
from lstpnet import LSTPNet
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.prediction.video import predict_video, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe
from tests.videos import fetch_videos

_NUM_FRAMES, _FPS = 250, 25


def long_video(path: Path) -> None:
    """Write a video of ten seconds of a real face."""
    with open_video(fetch_videos()["single_face.mp4"]) as reader:
        images = [frame.image for frame in reader.frames()]
    loop = [*images, *images[-2:0:-1]]
    encode(path, [loop[i % len(loop)] for i in range(_NUM_FRAMES)])


def main() -> None:
    """Print how many seconds of video `predict` processes per second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stride-seconds", type=float, default=0.5)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    opened = with_folded_norms(OpenedModel(LSTPNet(num_classes=7), tuple("abcdefg"), Recipe(name="dfew")))
    config = detector_config("retinaface", detect_every=5)
    detector = detector_of(config)
    windows = Windows(stride_seconds=arguments.stride_seconds)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "long.mp4"
        long_video(path)
        speeds = []
        for _ in range(arguments.rounds + 1):
            start = time.perf_counter()
            persons = predict_video(
                path, opened, detector=detector, config=config, windows=windows, device=torch.device("cpu")
            )
            (person,) = persons
            speeds.append(_NUM_FRAMES / _FPS / (time.perf_counter() - start))
    ratios = speeds[1:]  # the first round warms up
    speed = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(f"{len(person.moments)} windows in {_NUM_FRAMES / _FPS:.0f} s of video: {speed} times as fast as real time")
    if arguments.json:
        arguments.json.write_text(json.dumps({"ratios": ratios, "num_windows": len(person.moments)}))


if __name__ == "__main__":
    main()

"""Compare converting all of each picture with converting what is used of it: CPU time of `dfer prepare --fast`.

    python -m benchmarks.large_pictures [--frames 72] [--rounds 10] [--json FILE]

Two real videos (fetched by hash) are enlarged to 1920 x 1080 and 1280 x 720, with noise of 2 grey levels that gives
them back a bit rate (3.5 to 4 Mbit/s at 1080p), and encoded as H.264. In every round each contestant makes the faces of
each video in this process, in turn: CPU milliseconds per frame, least and median, and the median ratio to `before` in
the same round. `before` converts and averages whole pictures, and lets FFmpeg start a thread per core for that; `whole`
does with one thread; `in part` is what dfer does with pictures of 1600 x 900 and more. All must give the same bytes.
`stages` splits the time of `in part`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import av
import cv2
import numpy as np

from dfer_data.config import FAST_DETECT_EVERY, Request
from dfer_data.detect.registry import build_detector
from dfer_data.faces import aligned_faces, pipeline
from dfer_data.faces.align import AffineMatrix
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.preparation.request import resolve_request
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Image
from dfer_data.video import planar, reader, shot_cuts
from dfer_data.video.planar import PlanarPicture
from dfer_data.video.reader import VideoReader, open_video
from tests.videos import fetch_videos

_VIDEOS = ("single_face.mp4", "face_noface.mov")
_SIZES = ((1920, 1080), (1280, 720))
_NOISE = 2.0


def write(path: Path, source: Path, size: tuple[int, int], *, num_frames: int) -> None:
    """Enlarge the first frames of a video, add noise that moves from frame to frame, and encode them."""
    rng = np.random.default_rng(0)
    width, height = size
    grain = rng.normal(0, _NOISE, (height + 32, width + 32, 1)).astype(np.float32)
    with av.open(str(path), "w") as container, open_video(source) as video:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", {"crf": "20"}
        for frame, _ in zip(video.frames(), range(num_frames), strict=False):
            large = cv2.resize(frame.image, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
            top, left = rng.integers(0, 32, 2).tolist()
            noisy = np.clip(large + grain[top : top + height, left : left + width], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())


def warp_of_whole(image: Image, matrix: AffineMatrix, *, size_px: int) -> Image:
    """Average all of a picture down, then warp it."""
    shrink = 2 ** max(0, math.floor(-math.log2(max(math.hypot(matrix[0, 0], matrix[1, 0]), 1e-6))))
    if shrink > 1:
        height, width = (max(1, side // shrink) for side in image.shape[:2])
        ratios = (image.shape[1] / width, image.shape[0] / height)
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        linear, half = matrix[:, :2] * ratios, [[0.5], [0.5]]
        matrix = np.concatenate([linear, matrix[:, 2:] + linear @ half - matrix[:, :2] @ half], axis=1)
    return np.asarray(cv2.warpAffine(image, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR), np.uint8)


def never(picture: av.VideoFrame) -> bool:
    """Convert no picture in part."""
    return False


def rgb_by_many_threads(picture: av.VideoFrame) -> Image:
    """Convert a picture by PyAV's defaults."""
    return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


@contextlib.contextmanager
def contestant(name: str) -> Iterator[None]:
    """Convert pictures as the contestant does."""
    with contextlib.ExitStack() as changes:
        changes.enter_context(mock.patch.object(planar, "LEAST_PIXELS", 0))
        if name != "in part":
            changes.enter_context(mock.patch.object(reader, "is_planar", never))
        if name == "before":
            changes.enter_context(mock.patch.object(reader, "rgb_of", rgb_by_many_threads))
            changes.enter_context(mock.patch.object(aligned_faces, "warp", warp_of_whole))
            changes.enter_context(mock.patch.object(pipeline, "warp", warp_of_whole))
        yield


@contextlib.contextmanager
def stages(detector: Any) -> Iterator[dict[str, float]]:
    """Measure the CPU seconds of this thread in each stage."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.thread_time()
        try:
            return run(*arguments, **options)
        finally:
            seconds[name] += time.thread_time() - start

    def pictures(self: VideoReader) -> Iterator[av.VideoFrame]:
        decoded = decode(self)
        while (picture := timed("decode", partial(next, decoded, None))) is not None:
            yield picture

    decode = VideoReader._pictures
    places: list[tuple[Any, str, str]] = [
        (shot_cuts, "overview_of_frame", "overview, conversion included"),
        (PlanarPicture, "whole", "conversion of whole pictures"),
        (PlanarPicture, "part", "conversion of parts"),
        (detector, "detect", "detector, conversion included"),
        (pipeline, "described", "appearance"),
        (aligned_faces, "warp", "warp, conversion of parts included"),
    ]
    with contextlib.ExitStack() as changes:
        changes.enter_context(mock.patch.object(VideoReader, "_pictures", pictures))
        for owner, name, words in places:
            run = getattr(owner, name)

            def measured(*arguments: Any, run: Any = run, words: str = words, **options: Any) -> Any:
                return timed(words, run, *arguments, **options)

            changes.enter_context(mock.patch.object(owner, name, measured))
        yield seconds


def faces(path: Path, detector: Any, config: Any) -> tuple[float, list[bytes]]:
    """Make the faces of a video; return CPU milliseconds per frame and the stored bytes."""
    video = SourceVideo(path.name, path.name, path.stat().st_size, None)
    start, num_frames = time.process_time(), 0
    payloads: list[bytes] = []
    for clip in clips_of_video(path, video, config=config, detector=detector):
        assert isinstance(clip, Clip)
        payloads += [face.payload for face in clip.faces]
        num_frames += clip.facts.num_source_frames
    return 1000 * (time.process_time() - start) / num_frames, payloads


def measure(path: Path, *, num_rounds: int) -> dict[str, Any]:
    """Time the contestants in turn; return a row for each, and the stages."""
    resolved = resolve_request(Request(dataset="folder", source=path.parent, detect_every=FAST_DETECT_EVERY))
    config = resolved.plan.config
    detector = build_detector(config, weights=resolved.weights)
    names = ("before", "whole", "in part")
    times: dict[str, list[float]] = {name: [] for name in names}
    payloads: dict[str, list[bytes]] = {}
    for number in range(num_rounds + 1):
        for name in names if number % 2 else reversed(names):
            with contestant(name):
                milliseconds, payloads[name] = faces(path, detector, config)
            if number:  # the first round warms up
                times[name].append(milliseconds)
    assert payloads["before"] == payloads["whole"] == payloads["in part"]
    with stages(detector) as seconds:
        faces(path, detector, config)
    num_frames = len(payloads["before"])
    return {
        name: {
            "least_cpu_ms_per_frame": round(min(values), 3),
            "cpu_ms_per_frame": round(statistics.median(values), 3),
            "ratio": round(statistics.median(a / b for a, b in zip(values, times["before"], strict=True)), 4),
        }
        for name, values in times.items()
    } | {"stages_ms_per_frame": {name: round(1000 * value / num_frames, 3) for name, value in seconds.items()}}


def main() -> None:
    """Print a line per video, size and contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    sources, rows = fetch_videos(), []
    for size in _SIZES:
        for name in _VIDEOS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{Path(name).stem}.mp4"
                write(path, sources[name], size, num_frames=options.frames)
                row = {"video": name, "size": size, **measure(path, num_rounds=options.rounds)}
            rows.append(row)
            for contestant_name in ("before", "whole", "in part"):
                print(f"{size[0]} x {size[1]} {name:16} {contestant_name:8} {row[contestant_name]}", flush=True)
            print("  stages:", row["stages_ms_per_frame"], flush=True)
    if options.json:
        options.json.write_text(json.dumps({"frames": options.frames, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

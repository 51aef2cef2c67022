"""Sections on dfer as users run it: training, the loader, the detector, `prepare` and `predict` on videos."""

from __future__ import annotations

import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import simplejpeg
import torch

from benchmarks.detectors import detector_config, detector_of
from benchmarks.gpu.check import Check
from dfer_data.config import Request
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.loading.cache_places import CachePlace
from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.loading.loader import ClipLoader
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.tasks import VideoDone
from dfer_data.types import Image
from dfer_data.video.reader import open_video
from dfer_data.weights.fetch import weights_file
from lstpnet.batches.device_prefetch import WaitingTime, on_device
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.device import autocast_dtype
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.video import predict_video, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import resolve_recipe
from lstpnet.training import stage, trainer
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from tests.videos import fetch_videos

_NUM_FRAMES, _CLASSES = 24, 7
_TRAINING_VARIANTS: Sequence[tuple[int, CachePlace, bool]] = (
    (4, "off", False),
    (8, "off", False),
    (8, "device", False),
    (8, "device", True),
)
"""Reading threads, cache, and whether the step is compiled."""


def write_crops(root: Path, *, num_clips: int, size_px: int) -> Path:
    """Write DFEW's tree of crops with smooth moving colours, prepare it unchanged, return the prepared folder."""
    rng = np.random.default_rng(0)
    for number in range(1, num_clips + 1):
        folder = root / "source/Clip/clip_224x224" / f"{number:05d}"
        folder.mkdir(parents=True)
        coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(size_px // 8, 0).repeat(size_px // 8, 1)
        for index in range(_NUM_FRAMES):
            image = np.ascontiguousarray(np.roll(coarse, 3 * index, axis=1))
            (folder / f"{index + 1}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=95))
    for fold in range(1, 6):
        for split in ("train", "test"):
            numbers = [n for n in range(1, num_clips + 1) if (n % 5 + 1 == fold) == (split == "test")]
            path = root / "source/EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{n},{n % _CLASSES + 1}\n" for n in numbers))
    out = root / "dfew-none"
    run_preparation(
        resolve_request(Request(dataset="dfew", source=root / "source", detector="none")), out, num_workers=0
    )
    return out


def training(check: Check) -> list[dict[str, Any]]:
    """Time dfer's trainer, with checkpoints and states, by number of reading threads; then time its test."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = write_crops(Path(folder), num_clips=20 if check.is_tiny else 800, size_px=64 if check.is_tiny else 224)
        variants = _TRAINING_VARIANTS[:1] if check.is_tiny else _TRAINING_VARIANTS
        plan = list(itertools.product(check.sizes_px[:2], variants))
        for size_px, (num_threads, cache, compiles) in sorted(plan, key=lambda each: each[1][2]):
            if check.seconds_left < (150 if compiles else 40):
                continue
            threads = 0 if check.is_tiny else num_threads
            rows.append(_train(check, data, size_px=size_px, num_threads=threads, cache=cache, compiles=compiles))
            print(rows[-1], flush=True)
    return rows


class _NotedWaits(WaitingTime):
    """Notes the wait for each batch: the first ones of an epoch wait for the disk, the others for what is late."""

    def __init__(self, waits: list[float]) -> None:
        super().__init__()
        self._waits = waits

    def taken(self) -> float:
        self._waits.append(super().taken())
        return self._waits[-1]


def _train(
    check: Check, data: Path, *, size_px: int, num_threads: int, cache: CachePlace, compiles: bool
) -> dict[str, Any]:
    changes: dict[str, Any] = {"size_px": size_px, "batch_size": check.batches[0], "epochs": 3, "compile": compiles}
    changes |= {"width_multiplier": check.width_multiplier, "precision": "auto" if check.is_cuda else "f32"}
    resolved = resolve_recipe("dfew", overrides=changes)
    experiment = make_experiment(data, resolved, fold=1, seed=0)
    events: list[EpochDone] = []
    waits: list[float] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(stage, "num_threads", return_value=num_threads),
        mock.patch.object(stage, "WaitingTime", partial(_NotedWaits, waits)),
    ):
        (Path(folder) / "checkpoints").mkdir()
        model = initial_model(experiment, init=None)[0]
        start = time.perf_counter()
        options: dict[str, Any] = {"device": check.device, "on_event": events.append, "cache": cache}
        trained = trainer.fit(experiment, model, folder=Path(folder), **options)
        fit_seconds = time.perf_counter() - start
    start = time.perf_counter()
    predict_clips(
        trained.model,
        experiment.data.root,
        experiment.seen_test_ids,
        recipe=resolved.recipe,
        device=check.device,
        dtype=autocast_dtype(resolved.recipe, check.device),
    )
    test_seconds = time.perf_counter() - start
    last, num_batches = events[-1], len(waits) // len(events)
    return {
        "size_px": size_px,
        "batch": check.batches[0],
        "threads": num_threads,
        "cache": cache,
        "compile": compiles,
        "clips_per_epoch": len(experiment.train_ids),
        "clips_per_second": len(experiment.train_ids) / last.seconds,
        "waiting_share": last.waiting_seconds / last.seconds,
        "waits_ms": [round(seconds * 1e3, 2) for seconds in waits[-num_batches:]],
        "seconds_between_epochs": (fit_seconds - sum(event.seconds for event in events)) / len(events),
        "test_clips_per_second": len(experiment.seen_test_ids) / test_seconds,
        "is_finite": bool(np.isfinite(last.loss)),
    }


def loading(check: Check) -> list[dict[str, Any]]:
    """Time reading clips to the device without computing, by threads, stored size and requested size."""
    rows: list[dict[str, Any]] = []
    for stored_px in (64,) if check.is_tiny else (224, 256):
        with tempfile.TemporaryDirectory() as folder:
            data = write_crops(Path(folder), num_clips=15 if check.is_tiny else 320, size_px=stored_px)
            for size_px in (32,) if check.is_tiny else (224, 112):
                for num_threads in (1, 2) if check.is_tiny else (1, 4, 8, 15):
                    if check.seconds_left < 30:
                        return rows
                    dataset = FaceClipDataset(data, fold=1, size_px=size_px)
                    loader = ClipLoader(
                        dataset, batch_size=check.batches[0], num_threads=num_threads, pins=check.is_cuda
                    )
                    for _ in on_device(loader.epoch(0), check.device):
                        pass
                    start, cpu_start, num_clips = time.perf_counter(), time.process_time(), 0
                    for epoch in (1, 2):
                        num_clips += sum(len(labels) for _, labels, _ in on_device(loader.epoch(epoch), check.device))
                    check.synchronize()
                    rows.append(
                        {
                            "stored_px": stored_px,
                            "size_px": size_px,
                            "threads": num_threads,
                            "clips_per_second": num_clips / (time.perf_counter() - start),
                            "cpu_ms_per_clip": (time.process_time() - cpu_start) / num_clips * 1e3,
                        }
                    )
                    print(rows[-1], flush=True)
    return rows


def _frames(path: Path, *, limit: int) -> list[Image]:
    with open_video(path) as reader:
        return [frame.image for frame, _ in zip(reader.frames(), range(limit), strict=False)]


def detection(check: Check) -> dict[str, Any]:
    """Time the detector's network and all of `detect`; compare with onnxruntime, and batches with single images."""
    from dfer_data.detect.torch_backend import TorchGraph

    path = weights_file("retinaface-mobilenet0.25")
    figures: dict[str, Any] = {}
    dtypes = {"f32": torch.float32} | ({"bf16": torch.bfloat16} if check.is_cuda else {})
    for name, dtype in dtypes.items():
        graph = TorchGraph(path.read_bytes(), device=str(check.device), dtype=dtype)
        for batch in (1,) if check.is_tiny else (1, 4, 16, 64):
            x = torch.randn(batch, 3, 384, 640, device=check.device)
            with torch.inference_mode():
                seconds = check.median_seconds(lambda graph=graph, x=x: graph(x), seconds=0.4)  # type: ignore[misc]
            figures[f"network {name} x{batch} frames/s"] = batch / seconds
    images = _frames(fetch_videos()["single_face.mp4"], limit=4 if check.is_tiny else 32)
    expected = RetinaFace(path).detect(images)
    for device, precision in (("cpu", "f32"), ("cuda", "f32"), ("cuda", "bf16")):
        if device == "cuda" and not check.is_cuda:
            continue
        detector = RetinaFace(path, device=device, precision=precision)  # type: ignore[arg-type]
        detections = detector.detect(images)
        seconds = statistics.median(_elapsed_seconds(lambda d=detector: d.detect(images)) for _ in range(3))  # type: ignore[misc]
        singles = [detector.detect([image])[0] for image in images]
        figures[f"detect {device} {precision}"] = {
            "frames_per_second": len(images) / seconds,
            "px_from_onnxruntime": _max_distance_px(expected, detections),
            "px_of_single_pictures": _max_distance_px(singles, detections),
            "pictures_with_other_number_of_faces": sum(
                len(a) != len(b) for a, b in zip(expected, detections, strict=True)
            ),
        }
    figures["resident_mib"] = psutil.Process().memory_info().rss / 2**20
    if check.is_cuda:
        free, total = torch.cuda.mem_get_info(check.device)
        figures["device_mib_in_use"] = (total - free) / 2**20
    return figures


def _elapsed_seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _max_distance_px(expected: list[Any], detections: list[Any]) -> float | None:
    pairs = [(a[0].landmarks, b[0].landmarks) for a, b in zip(expected, detections, strict=True) if a and b]
    return max((float(np.abs(a - b).max()) for a, b in pairs), default=None)


class _VideoClock:
    """Notes when videos are done: workers start for seconds, which a large dataset does not notice."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def hear(self, event: object) -> None:
        """Note the time of a finished video."""
        if isinstance(event, VideoDone):
            self.times.append(time.perf_counter())

    @property
    def videos_per_second(self) -> float:
        """Rate from the first quarter of the videos to the last one; 0 for fewer than four."""
        skipped = len(self.times) // 4
        seconds = self.times[-1] - self.times[skipped] if skipped else 0.0
        return (len(self.times) - 1 - skipped) / seconds if seconds else 0.0


_PREPARE_VARIANTS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "cpu, 16 workers": (16, {}),
    "cuda f32, 4 workers": (4, {"device": "cuda"}),
    "cuda f32, 8 workers": (8, {"device": "cuda"}),
    "cuda f32, 15 workers": (15, {"device": "cuda"}),
    "cuda bf16, 8 workers": (8, {"device": "cuda", "precision": "bf16"}),
    "cpu --fast, 16 workers": (16, {"detect_every": 5}),
}


def videos(check: Check) -> dict[str, Any]:
    """Time `prepare` end to end on CPU and GPU, then `predict` on a video."""
    figures: dict[str, Any] = {}
    source = fetch_videos()["single_face.mp4"]
    num_frames = len(_frames(source, limit=10_000))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "source"
        num_copies = 2 if check.is_tiny else 128
        for number in range(num_copies):
            (root / f"class-{number % 2}").mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / f"class-{number % 2}" / f"{number:04d}.mp4")
        for name, (num_workers, settings) in _PREPARE_VARIANTS.items():
            if (settings.get("device") == "cuda" and not check.is_cuda) or check.seconds_left < 45:
                continue
            out, start = Path(folder) / "out", time.perf_counter()
            clock = _VideoClock()
            try:
                resolved = resolve_request(Request(dataset="folder", source=root, **settings))
                num_started = 2 if check.is_tiny else num_workers
                summary = run_preparation(resolved, out, num_workers=num_started, on_event=clock.hear)
                seconds = time.perf_counter() - start
                figures[name] = {
                    "frames_per_second": num_copies * num_frames / seconds,
                    "seconds": seconds,
                    "seconds_to_first_video": clock.times[0] - start,
                    "steady_frames_per_second": clock.videos_per_second * num_frames,
                    "clips": dict(summary.num_clips),
                }
            except Exception as error:  # keep the figures measured so far
                figures[name] = {"error": repr(error)[:300]}
            shutil.rmtree(out, ignore_errors=True)
            print(name, figures[name], flush=True)
    figures["predict"] = _time_predict(check, source)
    return figures


def _time_predict(check: Check, source: Path) -> dict[str, Any]:
    opened = with_folded_norms(
        OpenedModel(LSTPNet(7, width_multiplier=check.width_multiplier), tuple("abcdefg"), Recipe(name="dfew"))
    )
    config = detector_config("retinaface", detect_every=5)
    detector = detector_of(config)

    def run() -> None:
        for _ in predict_video(
            source, opened, detector=detector, config=config, windows=Windows(), device=check.device
        ):
            pass

    run()
    seconds = statistics.median(_elapsed_seconds(run) for _ in range(3))
    with open_video(source) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    return {"seconds": seconds, "times_real_time": (times[-1] - times[0]) / seconds}

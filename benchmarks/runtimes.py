"""Compare runtimes on the CPU: onnxruntime and OpenVINO for the detector, PyTorch and both for LSTPNet.

    python -m benchmarks.runtimes [--rounds 5] [--threads 1] [--clips 8] [--only detector network evaluate predict]
                                  [--heads FOLDER] [--run RUN --data PREPARED] [--json FILE]

All contestants run in turn in one process, round after round, after a round that warms up. A line gives the median CPU
time of this process, and the median, least and greatest of the ratios first / contestant per round, of CPU time and of
wall time; on a machine with other work, only those of CPU time tell. `distance`: the greatest difference from
the first contestant: of the detector's landmarks in pixels, of LSTPNet's probabilities. The network has random weights,
as its time does not depend on them; `--run` names a trained run, whose probabilities for the test clips of `--data` are
compared too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

import dfer_data
from benchmarks.detectors import detector_config, detector_of
from benchmarks.gpu.pipeline import write_crops
from benchmarks.model import has_fast_bf16
from benchmarks.predict import long_video
from dfer_data import open_dataset
from dfer_data.detect.backends import onnxruntime_network, openvino_network
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.types import Detection, Image
from dfer_data.video.reader import open_video
from dfer_data.weights.fetch import weights_file
from lstpnet import LSTPNet
from lstpnet.checkpoints.export import export_onnx, fold_batch_norms
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.open_model import OpenedModel, open_model
from lstpnet.evaluation import clip_logits
from lstpnet.evaluation.computation import with_runtime
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.prediction.video import predict_video, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe
from tests.videos import fetch_videos

Numbers = npt.NDArray[np.float32]
Run = Callable[[], Any]
CPU = torch.device("cpu")
CLASSES = tuple("abcdefg")
_HEADS, _FRAMES_PER_VIDEO, _TIMED_FRAMES = 20, 24, 24
_PACKAGED = Path(dfer_data.__file__).parent / "data"
_WHOLE_BATCH = 10**6
_BATCHES = (1, 4)


def contest(
    what: str, runs: Mapping[str, Run], *, rounds: int, per: int = 1
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run all in turn; return a row per contestant, its times divided by `per`, and what each returned."""
    results: dict[str, Any] = {}
    cpu: dict[str, list[float]] = {name: [] for name in runs}
    wall: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time(), time.perf_counter()
            results[name] = run()
            if number:
                cpu[name].append((time.process_time() - start[0]) / per)
                wall[name].append((time.perf_counter() - start[1]) / per)
    first = next(iter(runs))
    rows = []
    for name in runs:
        cpu_ratios, wall_ratios = (
            [a / b for a, b in zip(times[first], times[name], strict=True)] for times in (cpu, wall)
        )
        row = {
            "what": what,
            "name": name,
            "cpu_ms": 1000 * statistics.median(cpu[name]),
            "cpu_ratio": _spread(cpu_ratios),
            "wall_ms": 1000 * statistics.median(wall[name]),
            "wall_ratio": _spread(wall_ratios),
        }
        rows.append(row)
        print(
            f"{what:24} {name:34} {row['cpu_ms']:8.1f} ms of CPU   "
            "{:5.2f}x ({:.2f} to {:.2f})   wall {:5.2f}x ({:.2f} to {:.2f})".format(
                *_spread(cpu_ratios), *_spread(wall_ratios)
            ),
            flush=True,
        )
    return rows, results


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def detector(heads: Path, *, rounds: int) -> list[dict[str, Any]]:
    """Time the detector on real frames, and compare detections on real videos and rendered heads."""
    path = weights_file("retinaface-mobilenet0.25")
    content = path.read_bytes()
    networks = {
        "onnxruntime f32": onnxruntime_network(content),
        "openvino f32": openvino_network(content, precision="f32"),
    }
    if has_fast_bf16():
        networks["openvino bf16"] = openvino_network(content)
    detectors = {}
    for name, network in networks.items():
        with mock.patch("dfer_data.detect.retinaface.network", return_value=network):
            detectors[name] = RetinaFace(path, precision="bf16" if "openvino" in name else "f32")
    batch = np.random.default_rng(0).normal(0, 50, (2, 3, 384, 640)).astype(np.float32)
    frames = _frames(fetch_videos()["single_face.mp4"])[:_TIMED_FRAMES]
    alone = {name: partial(run, batch) for name, run in networks.items()}
    rows, _ = contest("detector's network", alone, rounds=rounds, per=len(batch))
    timed = {name: partial(one.detect, frames) for name, one in detectors.items()}
    rows += contest("detector", timed, rounds=rounds, per=len(frames))[0]
    rendered = sorted(heads.glob("*.mp4"))[:_HEADS]
    for kind, videos in (("real videos", list(fetch_videos().values())), ("rendered heads", rendered)):
        images = [image for video in videos if video.suffix in (".mp4", ".mov") for image in _frames(video)]
        found = {name: one.detect(images) for name, one in detectors.items()}
        first = found["onnxruntime f32"]
        for name in list(found)[1:]:
            rows.append({"what": f"detections in {kind}", "name": name, **_distances(first, found[name])})
            print(rows[-1], flush=True)
    return rows


def _frames(video: Path) -> list[Image]:
    with open_video(video) as reader:
        images = [frame.image for frame in reader.frames()]
    return images[:: max(1, len(images) // _FRAMES_PER_VIDEO)][:_FRAMES_PER_VIDEO]


def _distances(first: Sequence[Sequence[Detection]], second: Sequence[Sequence[Detection]]) -> dict[str, float]:
    """Return the greatest differences of two detectors' faces, and the pictures in which they find other numbers."""
    pictures = list(zip(first, second, strict=True))
    pairs = [pair for one, two in pictures if len(one) == len(two) for pair in zip(one, two, strict=True)]
    return {
        "pictures": len(first),
        "faces": len(pairs),
        "other_number": sum(len(one) != len(two) for one, two in pictures),
        "landmarks_px": max(float(np.abs(a.landmarks - b.landmarks).max()) for a, b in pairs),
        "box_px": max(float(np.abs(a.box - b.box).max()) for a, b in pairs),
        "score": max(abs(a.score - b.score) for a, b in pairs),
    }


def models(folder: Path) -> dict[str, OpenedModel]:
    """Return LSTPNet at full width by each runtime and precision, the first by PyTorch in float32."""
    torch.manual_seed(0)
    network = LSTPNet(num_classes=len(CLASSES)).eval()
    path = folder / "model.onnx"
    if not path.exists():
        export_onnx(fold_batch_norms(network), path)
    plain = OpenedModel(network, CLASSES, Recipe(name="dfew", precision="f32"))
    bf16 = replace(plain, recipe=replace(plain.recipe, precision="bf16"))
    opened = {
        "torch f32": plain,
        "onnxruntime f32": replace(plain, model=_by_onnxruntime(path)),
        "openvino f32": with_runtime(plain, "openvino")[0],
    }
    if has_fast_bf16():
        opened["torch bf16"] = bf16
        opened["openvino bf16"] = with_runtime(bf16, "openvino")[0]
    return opened


def _by_onnxruntime(path: Path) -> ExportedModel:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with mock.patch.object(onnxruntime, "SessionOptions", return_value=options):
        return ExportedModel(path)


def _logits(opened: OpenedModel, clips: torch.Tensor) -> torch.Tensor:
    is_bf16 = opened.recipe.precision == "bf16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        logits: torch.Tensor = opened.model(clips)
    return logits.float()


def network(opened: Mapping[str, OpenedModel], *, rounds: int) -> list[dict[str, Any]]:
    """Time the network alone, batch norms folded, with clips of 16 x 224 x 224."""
    folded = {name: with_folded_norms(model) for name, model in opened.items()}
    rows = []
    for batch in _BATCHES:
        clips = torch.rand(batch, 16, 3, 224, 224)
        runs = {name: partial(_logits, model, clips) for name, model in folded.items()}
        timed, logits = contest(f"network, {batch} clips", runs, rounds=rounds, per=batch)
        rows += [row | {"distance": _far(logits[row["name"]], logits["torch f32"])} for row in timed]
    return rows


def _far(logits: torch.Tensor, expected: torch.Tensor) -> float:
    return float((logits.softmax(dim=1) - expected.softmax(dim=1)).abs().max())


def evaluate(folder: Path, opened: Mapping[str, OpenedModel], *, rounds: int, num_clips: int) -> list[dict[str, Any]]:
    """Time the work of `dfer evaluate`: clips of 224 px read from shards, and LSTPNet as it was trained."""
    data = open_dataset(write_crops(folder / "crops", num_clips=num_clips, size_px=224))
    clip_ids = data.clips["clip_id"].tolist()

    def run(model: OpenedModel, most: int) -> Numbers:
        named = replace(model, class_names=data.class_names)
        with mock.patch.object(clip_logits, "_CPU_CLIPS", most):
            return evaluate_on(named, data, clip_ids, is_masked=False, device=CPU).logits

    first = next(name for name in ("torch bf16", "torch f32") if name in opened)
    runs = {f"{first}, whole batches": partial(run, opened[first], _WHOLE_BATCH)}
    runs = {first: partial(run, opened[first], clip_logits._CPU_CLIPS)} | runs
    runs |= {name: partial(run, model, clip_logits._CPU_CLIPS) for name, model in opened.items() if name not in runs}
    rows, logits = contest("evaluate", runs, rounds=rounds, per=num_clips)
    print(f"whole batches have the same bits: {np.array_equal(logits[first], logits[f'{first}, whole batches'])}")
    expected = torch.from_numpy(logits["torch f32"])
    return [row | {"distance": _far(torch.from_numpy(logits[row["name"]]), expected)} for row in rows]


def predict(folder: Path, opened: Mapping[str, OpenedModel], *, rounds: int) -> list[dict[str, Any]]:
    """Time the work of `dfer predict`: ten seconds of one face at 640 x 360, a window per second."""
    config = detector_config("retinaface", detect_every=5)
    finder = detector_of(config)
    path = folder / "long.mp4"
    long_video(path)

    def run(model: OpenedModel) -> Numbers:
        options: dict[str, Any] = {"detector": finder, "config": config, "windows": Windows(stride_seconds=1.0)}
        (person,) = predict_video(path, model, device=CPU, **options)
        return np.stack([moment.probabilities for moment in person.moments])

    wanted = [name for name in ("torch bf16", "openvino bf16", "onnxruntime f32") if name in opened]
    runs = {name: partial(run, with_folded_norms(opened[name])) for name in (wanted if len(wanted) > 1 else opened)}
    rows, probabilities = contest("predict", runs, rounds=rounds)
    expected = probabilities["onnxruntime f32"]
    return [row | {"distance": float(np.abs(probabilities[row["name"]] - expected).max())} for row in rows]


def trained(run: Path, data: Path) -> list[dict[str, Any]]:
    """Return the scores of a trained run by each runtime and precision, and the distance of its probabilities."""
    dataset, opened = open_dataset(data), open_model(run)
    tested = [clip_id for clip_id, split in dataset.fold("3").items() if split == "test"]
    results, rows = {}, []
    for precision in ("f32", "bf16") if has_fast_bf16() else ("f32",):
        changed = replace(opened, recipe=replace(opened.recipe, precision=precision))
        for runtime in ("torch", "openvino"):
            model, device = with_runtime(changed, runtime, device="cpu")
            result = evaluate_on(model, dataset, tested, is_masked=False, device=device)
            results[f"{runtime} {precision}"] = result
    expected = torch.from_numpy(results["torch f32"].logits)
    for name, result in results.items():
        rows.append(
            {
                "what": f"trained run, {result.scores.num_clips} clips",
                "name": name,
                "war": result.scores.war,
                "other_classes": sum(
                    a != b for a, b in zip(result.predictions, results["torch f32"].predictions, strict=True)
                ),
                "logits": float(np.nanmax(np.abs(result.logits - expected.numpy()))),
                "distance": float(
                    np.nanmax((torch.from_numpy(result.logits).softmax(1) - expected.softmax(1)).abs().numpy())
                ),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run the parts that the options select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=int, default=8)
    parts = ("detector", "network", "evaluate", "predict")
    parser.add_argument("--only", nargs="*", choices=parts, default=parts)
    parser.add_argument("--heads", type=Path, default=_PACKAGED, help="folder of videos of rendered heads")
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []

    def save(more: list[dict[str, Any]]) -> None:
        rows.extend(more)
        if options.json:
            facts = {"threads": options.threads, "rounds": options.rounds, "cpus": os.cpu_count()}
            options.json.write_text(json.dumps({**facts, "rows": rows}, indent=1))

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        opened = models(folder) if {*options.only} - {"detector"} else {}
        if "evaluate" in options.only:
            save(evaluate(folder, opened, rounds=options.rounds, num_clips=options.clips))
        if "predict" in options.only:
            save(predict(folder, opened, rounds=options.rounds))
        if "detector" in options.only:
            save(detector(options.heads, rounds=options.rounds))
        if "network" in options.only:
            save(network(opened, rounds=options.rounds))
    if options.run is not None:
        save(trained(options.run, options.data))


if __name__ == "__main__":
    main()

"""Compare reading clips at another size than the stored one: resize rules, JPEG scales, threads, and a cache.

    python -m benchmarks.clip_sizes [--work DIR] [--clips 60] [--rounds 5] [--only-differences] [--json FILE]

`--work` holds the demo dataset as benchmarks/loader.py makes it; its frames of 224 px are also stored at 256 px,
enlarged by cubic interpolation, as JPEG of quality 95. Every variant reads the sixteen test frames of the same clips
with ClipLoader in one process, in turn in every round: CPU milliseconds per clip (all threads), least and median over
the rounds. `lock` rows decode nothing: each frame sleeps for as long as decoding takes, so that the clips per second of
many threads show what the lock of the interpreter allows on a machine of many cores.
Differences are means and maxima over the channels of all frames, in grey levels of 255: from `resize = area`, and from
Pillow's bilinear filter, which averages as the field's code does, where Pillow is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import simplejpeg

from benchmarks.peers.contestant import prepared
from dfer_data.config import Request
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw
from dfer_data.loading.frame_cache import FrameCache
from dfer_data.loading.loader import ClipLoader
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.types import Image

SIZES = ((224, 224), (256, 224), (224, 160), (224, 112), (224, 64), (256, 112))
VARIANTS = (("area", "full"), ("linear", "full"), ("auto", "full"), ("auto", "scaled"))
THREADS = (1, 2, 8, 16)
_BATCH, _FRAME_SECONDS = 32, 0.00025


def store_at(size_px: int, data: FaceClipDataset, folder: Path) -> Path:
    """Store the clips of `data` as shipped crops of another size, and return the prepared folder."""
    for number, clip_id in enumerate(data.clip_ids, start=1):
        clip = data.prepared.clip(clip_id)
        reader, row = data.prepared.shard(int(clip["shard"])), int(clip["row"])
        target = folder / "source/Clip/clip_224x224" / f"{number:05d}"
        target.mkdir(parents=True)
        for frame in range(reader.num_frames(row)):
            image = cv2.resize(reader.frame(row, frame), (size_px, size_px), interpolation=cv2.INTER_CUBIC)
            jpeg = simplejpeg.encode_jpeg(image, quality=95, colorsubsampling="420")
            (target / f"{frame + 1}.jpg").write_bytes(jpeg)
    for fold in range(1, 6):
        for split in ("train", "test"):
            path = folder / "source/EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            numbers = [n for n in range(1, len(data.clip_ids) + 1) if (n % 5 + 1 == fold) == (split == "test")]
            path.write_text("video_name,label\n" + "".join(f"{n},1\n" for n in numbers))
    request = Request(dataset="dfew", source=folder / "source", detector="none")
    run_preparation(resolve_request(request), folder / "crops", num_workers=0)
    return folder / "crops"


def measured(loader: ClipLoader, num_clips: int) -> tuple[float, float]:
    """Read an epoch; return CPU milliseconds per clip and clips per second."""
    cpu, start = time.process_time(), time.perf_counter()
    for _ in loader.epoch(0):
        pass
    return 1000 * (time.process_time() - cpu) / num_clips, num_clips / (time.perf_counter() - start)


def sleeping_decode(jpeg: Image, *, buffer: Image, **_: Any) -> Image:
    """Take as long as decoding does, without a core."""
    time.sleep(_FRAME_SECONDS)
    return buffer


def rows_of(
    make: Callable[[int, int, str, str], FaceClipDataset], *, num_rounds: int, num_clips: int
) -> list[dict[str, Any]]:
    """Time all variants in turn."""
    loaders: dict[tuple[Any, ...], ClipLoader] = {}
    for stored, size in SIZES:
        for resize, decode in VARIANTS:
            if stored != size or (resize, decode) == ("auto", "full"):
                data = make(stored, size, resize, decode)
                loaders[stored, size, resize, decode, "1 loop"] = ClipLoader(data, batch_size=_BATCH, shuffles=False)
    data = make(224, 224, "auto", "full")
    for num_threads in THREADS:
        for kind in ("threads", "lock"):
            if kind == "lock" or num_threads <= 2:
                loader = ClipLoader(data, batch_size=_BATCH, shuffles=False, num_threads=num_threads)
                loaders[224, 224, "auto", "full", f"{num_threads} {kind}"] = loader
    cached = ClipLoader(data, batch_size=_BATCH, shuffles=False, cache=FrameCache(data))
    loaders[224, 224, "auto", "full", "1 loop, host cache"] = cached
    results: dict[tuple[Any, ...], list[tuple[float, float]]] = {key: [] for key in loaders}
    for round_number in range(num_rounds + 1):
        for key, loader in loaders.items():
            if key[-1].endswith("lock"):
                with mock.patch.object(simplejpeg, "decode_jpeg", sleeping_decode):
                    result = measured(loader, num_clips)
            else:
                result = measured(loader, num_clips)
            if round_number:  # the first one warms up
                results[key].append(result)
    return [
        {
            **dict(zip(("stored_px", "size_px", "resize", "decode", "reader"), key, strict=True)),
            "least_cpu_ms_per_clip": min(cpu for cpu, _ in rounds),
            "cpu_ms_per_clip": statistics.median(cpu for cpu, _ in rounds),
            "clips_per_second": statistics.median(rate for _, rate in rounds),
        }
        for key, rounds in results.items()
    ]


def differences(make: Callable[[int, int, str, str], FaceClipDataset], *, num_clips: int) -> list[dict[str, Any]]:
    """Return how far the variants are from averaging, by OpenCV and by Pillow."""
    rows = []
    for stored, size in (pair for pair in SIZES if pair[0] != pair[1]):
        full = make(stored, stored, "area", "full")
        for resize, decode in VARIANTS:
            data, area = make(stored, size, resize, decode), make(stored, size, "area", "full")
            frames = [data[index].frames.numpy().astype(int) for index in range(num_clips)]
            others = {"area": [area[index].frames.numpy() for index in range(num_clips)]}
            if importlib.util.find_spec("PIL"):
                others["pillow"] = [by_pillow(full[index].frames.numpy(), size) for index in range(num_clips)]
            row: dict[str, Any] = {"stored_px": stored, "size_px": size, "resize": resize, "decode": decode}
            for name, references in others.items():
                gaps = np.abs(np.array(frames) - np.array(references))
                row |= {f"mean_from_{name}": float(gaps.mean()), f"most_from_{name}": int(gaps.max())}
            rows.append(row)
    return rows


def by_pillow(frames: Image, size_px: int) -> Image:
    """Resize frames (T, 3, H, W) by Pillow's bilinear filter, which averages when it shrinks."""
    from PIL import Image as Picture

    resized = [
        Picture.fromarray(frame.transpose(1, 2, 0)).resize((size_px, size_px), Picture.Resampling.BILINEAR)
        for frame in frames
    ]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in resized])


def main() -> None:
    """Print one line per variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only-differences", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = prepared(options.work or Path(folder))
        clip_ids = FaceClipDataset(root, fold=1).clip_ids[: options.clips]
        roots = {224: root, 256: store_at(256, FaceClipDataset(root, clip_ids=clip_ids), Path(folder) / "large")}

        def make(stored: int, size: int, resize: Any, decode: Any) -> FaceClipDataset:
            ids = clip_ids if stored == 224 else tuple(f"{n:05d}" for n in range(1, len(clip_ids) + 1))
            draw = FrameDraw("test", resize=resize, decode=decode)
            return FaceClipDataset(roots[stored], clip_ids=ids, size_px=size, draw=draw)

        times = [] if options.only_differences else rows_of(make, num_rounds=options.rounds, num_clips=len(clip_ids))
        gaps = differences(make, num_clips=min(20, len(clip_ids)))
    for row in times:
        print(
            f"{row['stored_px']} -> {row['size_px']:3} {row['resize']:6} {row['decode']:6} {row['reader']:18} "
            f"{row['least_cpu_ms_per_clip']:6.2f} (median {row['cpu_ms_per_clip']:6.2f}) CPU ms per clip "
            f"{row['clips_per_second']:5.0f} clips/s"
        )
    for row in gaps:
        words = [f"{key.replace('_', ' ')} {value:.2f}" for key, value in row.items() if "from" in key]
        print(f"{row['stored_px']} -> {row['size_px']:3} {row['resize']:6} {row['decode']:6} {', '.join(words)}")
    if options.json:
        options.json.write_text(json.dumps({"times": times, "differences": gaps}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Reading clips: ours beside a folder of JPEG files read with PIL, as papers' code does, and simpler forms of ours.

    python -m benchmarks.loader [--work DIR] [--clips 100] [--rounds 5] [--size 224] [--json FILE]

`--work` holds the demo dataset, prepared by RetinaFace (`dfer synth dfew`, `dfer prepare dfew`); by default it is made
in a temporary folder. All contestants read the sixteen test frames of the same clips, batch by batch, in turn in one
process. CPU milliseconds a clip count every thread and worker. A line's ratio is to the papers' way with the same kind
of output, the median of the rounds with their least and greatest; outputs of a kind are tested for equality first.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import simplejpeg
import torch
from torch.utils.data import DataLoader, Dataset

from dfer_data.dataset import FaceClipDataset, collate
from dfer_data.loader import ClipLoader
from dfer_data.sample import frames_of_clip

BATCH = 4
Read = Callable[[], Iterator[torch.Tensor]]


class Folder(Dataset[torch.Tensor]):
    """Clips as folders of JPEG files, a file a frame; gives (16, 3, H, W)."""

    def __init__(
        self, clips: list[list[Path]], decode: Callable[[Path], np.ndarray[Any, Any]], *, is_float: bool
    ) -> None:
        self._clips, self._decode, self._is_float = clips, decode, is_float

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Read the test frames of one clip."""
        paths = self._clips[index]
        chosen = frames_of_clip(len(paths), part="test", sampler_name="segments-8x2", rng=np.random.default_rng(0))[0]
        pictures = [self._decode(paths[i]) for i in chosen]
        if not self._is_float:
            return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        stacked = torch.from_numpy(np.concatenate(pictures, axis=2))  # (H, W, 16 * 3), as papers' transforms do
        return stacked.permute(2, 0, 1).contiguous().float().div(255).reshape(len(pictures), 3, *stacked.shape[:2])


def by_pil(path: Path) -> np.ndarray[Any, Any]:
    """Decode as papers' code does."""
    return np.asarray(PIL.Image.open(path).convert("RGB"))


def by_simplejpeg(path: Path) -> np.ndarray[Any, Any]:
    """Decode with the library that ours uses."""
    return np.asarray(simplejpeg.decode_jpeg(path.read_bytes()))


def unpacked(data: FaceClipDataset, folder: Path) -> list[list[Path]]:
    """Write the stored JPEGs of all clips as files."""
    clips = []
    for number, clip_id in enumerate(data.clip_ids):
        row = data.prepared.clip(clip_id)
        reader = data.prepared.shard(int(row["shard"]))
        paths = []
        for frame in range(reader.num_frames(int(row["row"]))):
            path = folder / f"{number:05d}" / f"{frame:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(reader.jpeg(int(row["row"]), frame).tobytes())
            paths.append(path)
        clips.append(paths)
    return clips


def contestants(data: FaceClipDataset, clips: list[list[Path]]) -> dict[str, dict[str, Read]]:
    """Return kind of output -> name -> how to read all clips; the first of a kind is the papers' way."""

    def folder(decode: Callable[[Path], np.ndarray[Any, Any]], *, is_float: bool) -> Read:
        return lambda: iter(DataLoader(Folder(clips, decode, is_float=is_float), batch_size=BATCH))

    def ours(*, num_threads: int, is_float: bool = False) -> Read:
        loader = ClipLoader(data, batch_size=BATCH, shuffles=False, num_threads=num_threads)

        def read() -> Iterator[torch.Tensor]:
            pixels = torch.empty(0)
            for batch in loader.epoch(0):
                if not is_float:
                    yield batch.frames
                    continue
                if pixels.shape != batch.frames.shape:
                    pixels = torch.empty_like(batch.frames, dtype=torch.float32)
                yield pixels.copy_(batch.frames).div_(255)

        return read

    return {
        "uint8": {
            "folder, PIL": folder(by_pil, is_float=False),
            "folder, simplejpeg": folder(by_simplejpeg, is_float=False),
            "FaceClipDataset in a DataLoader": lambda: (
                frames for frames, _, _ in DataLoader(data, batch_size=BATCH, collate_fn=collate)
            ),
            "the same, 2 worker processes": lambda: (
                frames for frames, _, _ in DataLoader(data, batch_size=BATCH, collate_fn=collate, num_workers=2)
            ),
            "ClipLoader": ours(num_threads=0),
            "ClipLoader, 1 thread": ours(num_threads=1),
            "ClipLoader, 2 threads": ours(num_threads=2),
        },
        "float32": {
            "folder, PIL": folder(by_pil, is_float=True),
            "ClipLoader": ours(num_threads=0, is_float=True),
            "ClipLoader, 2 threads": ours(num_threads=2, is_float=True),
        },
    }


def drain(read: Read) -> tuple[float, float]:
    """Read all; return CPU seconds, of worker processes too, and wall seconds."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    for _ in read():
        pass
    return cpu_seconds() - cpu, time.perf_counter() - wall


def cpu_seconds() -> float:
    """Return what this process and its ended children have computed."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def prepared(work: Path) -> Path:
    """Return the prepared demo dataset below `work`, made where it is missing."""
    root = work / "prepared" / "dfew-retinaface"
    if not root.is_dir():
        for line in ("synth dfew", "prepare dfew --detector retinaface"):
            subprocess.run([str(Path(sys.executable).with_name("dfer")), *line.split()], cwd=work, check=True)
    return root


def main() -> None:
    """Print a line a contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the conversion to float is then counted alike for all
    with tempfile.TemporaryDirectory() as folder:
        root = prepared(options.work or Path(folder))
        whole = FaceClipDataset(root, fold=1, size_px=options.size)
        data = FaceClipDataset(root, clip_ids=whole.clip_ids[: options.clips], size_px=options.size)
        kinds = contestants(data, unpacked(data, Path(folder) / "frames"))
        rows = []
        seconds: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for kind, reads in kinds.items():
            for read in reads.values():
                for got, wanted in zip(read(), next(iter(reads.values()))(), strict=True):
                    assert torch.equal(got, wanted), kind
        for _ in range(options.rounds):
            for kind, reads in kinds.items():
                for name, read in reads.items():
                    seconds.setdefault((kind, name), []).append(drain(read))
    for (kind, name), mine in seconds.items():
        peer = seconds[kind, "folder, PIL"]
        ratios = [a[0] / b[0] for a, b in zip(peer, mine, strict=True)]
        row = {
            "output": kind,
            "name": name,
            "cpu_ms_per_clip": 1000 * statistics.median(cpu for cpu, _ in mine) / len(data),
            "clips_per_second": len(data) / statistics.median(wall for _, wall in mine),
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
        }
        rows.append(row)
        print(
            f"{kind:8} {name:32} {row['cpu_ms_per_clip']:6.2f} CPU ms a clip  {row['clips_per_second']:6.0f} clips/s  "
            f"{row['ratio']:5.2f}x ({row['least']:.2f} to {row['greatest']:.2f})"
        )
    unequal = [
        a[0] / b[0] for a, b in zip(seconds["float32", "folder, PIL"], seconds["uint8", "ClipLoader"], strict=True)
    ]
    print(f"papers' float32 over our uint8, unequal outputs: {statistics.median(unequal):.2f}x")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

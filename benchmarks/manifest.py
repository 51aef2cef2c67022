"""Time opening a prepared dataset of a million clips and shuffling an epoch; the manifest is random, without images.

    python -m benchmarks.manifest [--clips 1000000] [--rounds 5] [--json FILE]

Every round is a separate process, so only the disk cache is warm. Memory is the peak of the process, and its share
after the imports.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dfer_data.config import PrepareConfig
from dfer_data.shards.layout import CLIPS_NAME, COLUMNS, DATASET_NAME, FOLDS, FORMAT_VERSION, LEDGER_NAME
from dfer_data.storage.files import canonical_json, sha256_file

CLIPS_PER_SHARD = 64
NAMES = ["happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"]


def write(root: Path, *, num_clips: int) -> None:
    """Write the small files of a dataset of `num_clips` clips to `root`; its one fold tests a fifth of them."""
    rng = np.random.default_rng(0)
    numbers = np.arange(num_clips)
    ids = [f"{number:07d}" for number in numbers]
    values: dict[str, Any] = {
        "clip_id": ids,
        "source_clip_id": ids,
        "status": "ok",
        "code": "",
        "label": np.array(NAMES)[rng.integers(0, 7, num_clips)],
        "group": None,
        "votes": None,
        "shard": numbers // CLIPS_PER_SHARD,
        "row": numbers % CLIPS_PER_SHARD,
        "num_frames": rng.integers(8, 200, num_clips),
        "source": [f"videos/{clip_id}.mp4" for clip_id in ids],
        "source_sha256": [rng.bytes(32).hex() for _ in ids],
        "reason": "",
    }
    frame = pd.DataFrame(
        {
            name: pd.array(np.broadcast_to(values.get(name, 1), num_clips), dtype=kind)
            if np.isscalar(values.get(name, 1)) or values.get(name, 1) is None
            else pd.array(values[name], dtype=kind)
            for name, kind in COLUMNS.items()
        }
    )
    (root / FOLDS).mkdir(parents=True)
    frame.to_parquet(root / CLIPS_NAME, engine="pyarrow", index=False)
    splits = np.where(rng.random(num_clips) < 0.2, "test", "train")
    lines = (f"{clip_id},{split}\n" for clip_id, split in zip(ids, splits, strict=True))
    (root / FOLDS / "fold-1.csv").write_text("clip_id,split\n" + "".join(lines))
    shards, files = [], {}
    for number in range(-(-num_clips // CLIPS_PER_SHARD)):
        facts: dict[str, Any] = {"num_bytes": 1 << 28, "sha256": rng.bytes(32).hex()}
        files[f"shards/{number:05d}.safetensors"] = dict(facts)
        files[f"shards/{number:05d}.json"] = {"num_bytes": 1 << 14, "sha256": rng.bytes(32).hex()}
        files[f"preview/{number:05d}.jpg"] = {"num_bytes": 1 << 17, "sha256": rng.bytes(32).hex()}
        num_here = min(CLIPS_PER_SHARD, num_clips - number * CLIPS_PER_SHARD)
        index = {"name": f"{number:05d}", "num_clips": num_here, "index_bytes": 1 << 16, "index_crc32": number}
        shards.append(facts | index)
    (root / LEDGER_NAME).write_bytes(b"")
    for name in (CLIPS_NAME, LEDGER_NAME, f"{FOLDS}/fold-1.csv"):
        files[name] = {"num_bytes": (root / name).stat().st_size, "sha256": sha256_file(root / name)}
    config = PrepareConfig(dataset="folder", detector="retinaface", backbone="mobilenet0.25", weights_sha256="")
    document = {
        "format": "dfer-dataset",
        "format_version": FORMAT_VERSION,
        "dataset": "folder",
        "config": config.as_dict(),
        "config_sha256": config.sha256,
        "class_names": NAMES,
        "layout": "videos",
        "synthetic": False,
        "recipe": "folder",
        "tool_versions": {},
        "counts": {
            "clips": num_clips,
            "frames": int(values["num_frames"].sum()),
            "status": {"ok": num_clips},
            "failures": {},
            "classes": {},
            "folds": {"1": {split: int((splits == split).sum()) for split in ("train", "test")}},
        },
        "shards": shards,
        "files": files,
    }
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (root / DATASET_NAME).write_bytes(canonical_json(document))


def measure(root: Path) -> dict[str, float]:
    """Open the dataset, select a fold's clips and shuffle them, in this process."""
    from dfer_data.loading.clip_dataset import FaceClipDataset
    from dfer_data.loading.loader import ClipLoader

    imports_mib = peak_mib()
    start = time.perf_counter()
    loader = ClipLoader(FaceClipDataset(root, fold=1), batch_size=32)
    opened = time.perf_counter()
    loader.num_batches(1)
    shuffled = time.perf_counter()
    return {
        "open_seconds": opened - start,
        "shuffle_seconds": shuffled - opened,
        "imports_mib": imports_mib,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return the peak memory of this process in MiB; getrusage would include its parent's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main() -> None:
    """Print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--root", type=Path, default=None, help=argparse.SUPPRESS)  # set by the parent for each round
    options = parser.parse_args()
    if options.root is not None:
        print(json.dumps(measure(options.root)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "data", num_clips=options.clips)
        command = [sys.executable, "-m", "benchmarks.manifest", "--root", str(Path(folder) / "data")]
        rounds = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(options.rounds)
        ]
    for name in rounds[0]:
        values = [figures[name] for figures in rounds]
        print(f"{name:18} {statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})")
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=2) + "\n")


if __name__ == "__main__":
    main()

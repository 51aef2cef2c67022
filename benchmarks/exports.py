"""Whether other projects' loaders read exports as dfer reads clips, and how fast frames are exported.

    python -m benchmarks.exports --work DIR --out FILE

1. Each format is exported, and the loaders of the peers (benchmarks/peers/export_readers.py) read every test clip of
   two folds: labels, and the pixels of the sixteen test frames.
2. Frame folders are exported and copied in turn: ratio of the throughputs, with its spread.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.peers.contestant import prepared
from benchmarks.peers.environment import ROOT, python_with
from dfer_data import export, open_dataset

FOLDS = ("1", "3")
FORMATS = ("former-dfer", "videomae", "videomae-mp4", "s2d", "videofolder", "parquet", "webdataset")
PACKAGES = ("datasets==5.2.0", "webdataset==1.0.2", "av", "numpy", "pandas", "pillow", "pyarrow")


def main() -> None:
    """Run both parts and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder with the prepared demo; default: a temporary one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["readers", "throughput"], help="one part; the file keeps the other")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, work = prepared(options.work or Path(folder)), Path(folder)
        result: dict[str, object] = {}
        if options.out and options.out.is_file():
            result = json.loads(options.out.read_text())
        if options.only in (None, "readers"):
            result["readers"] = read_by_peers(root, work)
        if options.only in (None, "throughput"):
            result["throughput"] = throughput(root, work, options.rounds)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def read_by_peers(root: Path, work: Path) -> list[dict[str, object]]:
    """Export in each format and read the test clips of two folds."""
    python = python_with("exports", PACKAGES)
    rows = []
    for name in FORMATS:
        out = work / name
        export(root, format=name.removesuffix("-mp4"), media="mp4" if "mp4" in name else "frames", out=out)
        for fold in FOLDS:
            expected = expect(root, fold, work / f"expected-{fold}")
            command = [python, ROOT / "benchmarks/peers/export_readers.py", name, out, fold, expected]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            rows.append({"format": name, "fold": fold, **json.loads(done.stdout.splitlines()[-1])})
            print(rows[-1], flush=True)
        shutil.rmtree(out)
    return rows


def expect(root: Path, fold: str, folder: Path) -> Path:
    """Write what dfer tests on in a fold: frames and labels."""
    if folder.is_dir():
        return folder
    folder.mkdir()
    dataset = open_dataset(root)
    numbers = {name: number for number, name in enumerate(dataset.class_names)}
    clips = {}
    for clip_id in [clip_id for clip_id, split in dataset.fold(fold).items() if split == "test"]:
        if dataset.clip(clip_id)["status"] == "failed":
            continue
        size_px = int(dataset.document["config"]["size_px"])
        frames = dataset.read_clip(clip_id, size_px=size_px).transpose(0, 2, 3, 1)
        np.save(folder / f"{clip_id}.npy", frames)
        clips[clip_id] = {"label": numbers[dataset.clip(clip_id)["label"]], "frames": dataset.test_frames(clip_id)}
    (folder / "clips.json").write_text(json.dumps(clips))
    return folder


def throughput(root: Path, work: Path, rounds: int) -> dict[str, object]:
    """Export frame folders and copy the same files with `cp -r`, each first in every second round; wall time.

    Each ends when all is on the disk, not when it is in the write cache: else the second would wait for the first.
    """
    reference = work / "reference"
    num_bytes = export(root, format="former-dfer", out=reference).num_bytes
    seconds: dict[str, list[float]] = {"export": [], "copy": []}
    for number in range(rounds):
        for name in ("export", "copy") if number % 2 else ("copy", "export"):
            os.sync()
            begun = time.perf_counter()
            if name == "export":
                export(root, format="former-dfer", out=work / name)
            else:
                subprocess.run(["cp", "-r", str(reference), str(work / name)], check=True)
            os.sync()
            seconds[name].append(time.perf_counter() - begun)
        for name in seconds:
            shutil.rmtree(work / name)
    exported, copied = ([num_bytes / 1e6 / second for second in seconds[name]] for name in seconds)
    ratios = [one / other for one, other in zip(exported, copied, strict=True)]
    result: dict[str, object] = {
        "megabytes": round(num_bytes / 1e6, 1),
        "export_mb_per_s": round(statistics.median(exported), 1),
        "copy_mb_per_s": round(statistics.median(copied), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
    }
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main()

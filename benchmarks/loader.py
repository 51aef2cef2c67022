"""Compare reading clips: dfer, a folder of JPEG files read with PIL (as in papers' code), WebDataset, LitData.

    python -m benchmarks.loader [--work DIR] [--clips 100] [--rounds 5] [--size 224] [--json FILE]

`--work` holds the demo dataset, prepared by RetinaFace (`dfer synth dfew`, `dfer prepare dfew`); by default it is made
in a temporary folder. All contestants read the sixteen test frames of the same clips, batch by batch, each in its own
process that takes its turn every round; a first check verifies that their outputs are equal. CPU milliseconds per clip
include every thread and worker, but not the start of the contestant. The ratio of a line is relative to the papers' way
without workers and with the same kind of output: median, minimum and maximum over the rounds. WebDataset and LitData
get a separate environment in build/peers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.contestant import Contestant, prepared
from benchmarks.peers.environment import python_with
from dfer_data.frame_sampling import frames_of_clip
from dfer_data.loading.clip_dataset import FaceClipDataset

LIBRARIES = ("webdataset==1.0.2", "litdata==0.2.76", "torch==2.13.0", "numpy", "simplejpeg", "setuptools")
PAPERS = {"uint8": "folder-pil", "float32": "folder-pil-float"}
CONTESTANTS = {
    "uint8": [
        *((name, n) for name in ("folder-pil", "folder-simplejpeg") for n in (0, 2)),
        *((name, n) for name in ("webdataset", "litdata", "dataset", "loader") for n in (0, 1, 2)),
        ("decoding-alone", 0),
    ],
    "float32": [("folder-pil-float", 0), ("folder-pil-float", 2), ("loader-float", 0), ("loader-float", 2)],
}


def unpack(data: FaceClipDataset, work: Path) -> None:
    """Write the stored JPEGs of all clips as files, with their sixteen test frames in clips.json."""
    clips = []
    for number, clip_id in enumerate(data.clip_ids):
        row = data.prepared.clip(clip_id)
        reader = data.prepared.shard(int(row["shard"]))
        paths = [f"frames/{number:05d}/{frame:05d}.jpg" for frame in range(reader.num_frames(int(row["row"])))]
        (work / paths[0]).parent.mkdir(parents=True)
        for frame, path in enumerate(paths):
            (work / path).write_bytes(reader.jpeg(int(row["row"]), frame).tobytes())
        rng = np.random.default_rng(0)
        (frame_numbers,) = frames_of_clip(len(paths), part="test", sampler_name="segments-8x2", rng=rng)
        clips.append((paths, frame_numbers.tolist()))
    (work / "clips.json").write_text(json.dumps(clips))
    facts = {"root": str(data.prepared.root.resolve()), "clip_ids": list(data.clip_ids), "size_px": data.size_px}
    (work / "prepared.json").write_text(json.dumps(facts))


def main() -> None:
    """Print one line per contestant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    peers, script = python_with("loader", LIBRARIES), Path(__file__).parent / "peers" / "clip_readers.py"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = prepared(options.work or work)
        fold_data = FaceClipDataset(root, fold=1, size_px=options.size)
        data = FaceClipDataset(root, clip_ids=fold_data.clip_ids[: options.clips], size_px=options.size)
        unpack(data, work)
        contestants = {
            (kind, name, n): Contestant(
                peers if name in ("webdataset", "litdata") else sys.executable, script, name, n, work
            )
            for kind, members in CONTESTANTS.items()
            for name, n in members
        }
        expected: dict[str, float] = {}
        for (kind, name, n), contestant in contestants.items():
            crc32 = contestant.do("check")["crc32"]
            if crc32 != expected.setdefault(kind, crc32):
                raise SystemExit(f"{name} with {n} workers reads other pixels than the first contestant")
        rounds: dict[tuple[str, str, int], list[dict[str, float]]] = {key: [] for key in contestants}
        for _ in range(options.rounds):
            for key, contestant in contestants.items():
                rounds[key].append(contestant.do("go"))
        for contestant in contestants.values():
            contestant.end()
    rows = [row_of(key, results, rounds[key[0], PAPERS[key[0]], 0], len(data)) for key, results in rounds.items()]
    for row in rows:
        print(
            f"{row['output']:8} {row['name']:18} {row['workers']} workers "
            f"{row['cpu_ms_per_clip']:6.2f} CPU ms per clip {row['clips_per_second']:6.0f} clips/s  "
            f"first batch {row['first_batch_seconds']:6.3f} s  "
            f"{row['peak_mib']:5.0f} MiB  {row['ratio']:5.2f}x ({row['least']:.2f} to {row['greatest']:.2f})"
        )
    papers, ours = rounds["float32", "folder-pil-float", 0], rounds["uint8", "loader", 0]
    ratios = [a["cpu_seconds"] / b["cpu_seconds"] for a, b in zip(papers, ours, strict=True)]
    print(
        f"papers' float32 over our uint8, unequal outputs: {statistics.median(ratios):.2f}x "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


def row_of(
    key: tuple[str, str, int], results: list[dict[str, float]], peer: list[dict[str, float]], num_clips: int
) -> dict[str, Any]:
    """Return a contestant's medians and its ratios to the papers' way."""
    ratios = [a["cpu_seconds"] / b["cpu_seconds"] for a, b in zip(peer, results, strict=True)]
    median = {name: statistics.median(result[name] for result in results) for name in results[0]}
    return {
        "output": key[0],
        "name": key[1],
        "workers": key[2],
        "cpu_ms_per_clip": 1000 * median["cpu_seconds"] / num_clips,
        "clips_per_second": num_clips / median["wall_seconds"],
        "first_batch_seconds": median["first_batch_seconds"],
        "peak_mib": median["peak_mib"],
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "greatest": max(ratios),
    }


if __name__ == "__main__":
    main()

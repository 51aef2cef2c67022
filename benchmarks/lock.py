"""CPU time of rebuilding a dataset from its lock, next to preparing it, and the size of the lock.

    python -m benchmarks.lock [--rounds 5] [--copies 6] [--json FILE]

The input is that of benchmarks/prepare.py: frames with a face of three real videos, H.264 at 640 x 360, `--copies`
times. Each round prepares every frame, prepares with `--fast`, and rebuilds both from their locks; the order turns by
one each round. CPU time is that of the whole call in one process (engine `inline`): model file, videos, manifest and,
of a rebuild, the check of the lock, the hashes of the sources and the comparison. Ratios are of one round: median,
least and greatest. Every rebuild must be identical.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.prepare import write_clips
from dfer_data import lock, prepare

SETTINGS: dict[str, dict[str, Any]] = {"every frame": {}, "--fast": {"detect_every": 5}}
AIMS = {"every frame": 1 / 8, "--fast": 1 / 2}
SIZE_AIM = 0.015


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--json", type=Path, help="file of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        num_frames = write_clips(work / "videos", copies=options.copies) * options.copies
        result = {"frames": num_frames, "rounds": options.rounds, **measure(work, options.rounds, num_frames)}
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def measure(work: Path, num_rounds: int, num_frames: int) -> dict[str, Any]:
    """Return CPU milliseconds per frame of each call, the ratios, and the sizes of the locks."""
    sizes = {}
    for name, settings in SETTINGS.items():
        prepare("folder", source=work / "videos", out=work / f"first {name}", engine="inline", **settings)
        summary = lock(work / f"first {name}", lock_of(work, name))
        sizes[name] = {"lock": summary.num_bytes, "share": round(summary.num_bytes / summary.shard_bytes, 4)}
        print(f"{name}: lock of {sizes[name]['share']:.2%} of the shards, aim {SIZE_AIM:.1%}", flush=True)
    calls = [(kind, name) for name in SETTINGS for kind in ("prepare", "rebuild")]
    milliseconds: dict[tuple[str, str], list[float]] = {call: [] for call in calls}
    for number in range(num_rounds):
        shift = number % len(calls)
        for kind, name in calls[shift:] + calls[:shift]:
            milliseconds[kind, name].append(1000 * cpu_seconds(work, kind, name) / num_frames)
    rows = []
    for kind, name in calls:
        base = milliseconds["prepare", name]
        ratios = [one / other for one, other in zip(milliseconds[kind, name], base, strict=True)]
        row = {
            "call": f"{kind}, {name}",
            "cpu_ms_per_frame": round(statistics.median(milliseconds[kind, name]), 2),
            "ratio": round(statistics.median(ratios), 4),
            "ratio_low": round(min(ratios), 4),
            "ratio_high": round(max(ratios), 4),
        }
        aim = f", aim {AIMS[name]:.3f}" if kind == "rebuild" else ""
        print(f"{row}{aim}", flush=True)
        rows.append(row)
    return {"calls": rows, "sizes": sizes}


def lock_of(work: Path, name: str) -> Path:
    """Return the path of a lock."""
    return work / f"{name.strip('-').replace(' ', '-')}.dferlock"


def cpu_seconds(work: Path, kind: str, name: str) -> float:
    """Return the CPU seconds of one call."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    settings = SETTINGS[name] if kind == "prepare" else {"from_lock": lock_of(work, name)}
    begun = time.process_time()
    summary = prepare("folder", source=work / "videos", out=out, engine="inline", **settings)
    seconds = time.process_time() - begun
    assert not summary.num_failed
    assert kind == "prepare" or (summary.rebuilt is not None and summary.rebuilt["equal"]["dataset"])
    return seconds


if __name__ == "__main__":
    main()

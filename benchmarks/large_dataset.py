"""Measure what a large dataset costs besides decoding: planning it, updating it, folds, labels, a withdrawal.

    python -m benchmarks.large_dataset [--clips 40000] [--folder DIR] [--out FILE.json]

Each clip is a folder of one small picture, prepared without a detector, so almost nothing is decoded. Each step runs in
its own process; its wall seconds and its peak memory are listed. The limit is 60 s for the plan, an update with 10
new clips, and folds.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import simplejpeg

from dfer_data.changes.compact import compact
from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import remove_clips
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from dfer_data.preparation.planned import plan_preparation
from dfer_data.preparation.run import prepare

_CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
_NUM_NEW = 10
_CLIPS_PER_PERSON = 40
_SIZE_PX = 32
_LIMIT_SECONDS = 60.0
_LIMITED = ("plan", "update, 10 new", "folds by person")
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Make the source, run the steps, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40_000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=_RESULTS / f"large-dataset-{datetime.now(UTC):%Y-%m-%d}.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        source, out = folder / "source", folder / "out"
        write_clips(source, range(options.clips))
        write_tables(folder, options.clips)
        rows = [_measured("plan", plan, source), _measured("prepare", prepare_all, source, out)]
        write_clips(source, range(options.clips, options.clips + _NUM_NEW))
        rows += [
            _measured("update, 10 new", update, source, out),
            _measured("persons of all", relabelled, out, folder / "persons.csv"),
            _measured("folds by person", folds, out),
            _measured("100 labels", relabelled, out, folder / "labels.csv"),
            _measured("open, read a fold", read_fold, out),
            _measured("remove a person", remove_person, out),
            _measured("compact", compact, out),
        ]
    missed = [row["step"] for row in rows if row["step"] in _LIMITED and float(str(row["seconds"])) > _LIMIT_SECONDS]
    print(f"limit of {_LIMIT_SECONDS:.0f} s: {'missed by ' + ', '.join(map(str, missed)) if missed else 'kept'}")
    options.out.write_text(json.dumps({"clips": options.clips, "steps": rows}, indent=1) + "\n")


def write_clips(source: Path, numbers: range) -> None:
    """Write clips, a folder of one picture each, evenly over the classes; those that are there stay."""
    for number in numbers:
        path = source / clip_id(number) / "000.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.random.default_rng(number).integers(0, 255, (_SIZE_PX, _SIZE_PX, 3)).astype(np.uint8)
            path.write_bytes(simplejpeg.encode_jpeg(picture))


def clip_id(number: int) -> str:
    """Return the id of a clip."""
    return f"{_CLASSES[number % len(_CLASSES)]}/{number:06d}"


def write_tables(folder: Path, num_clips: int) -> None:
    """Write the persons of all clips, and 100 corrected labels."""
    persons = [f"{clip_id(number)},p{number // _CLIPS_PER_PERSON:04d}" for number in range(num_clips + _NUM_NEW)]
    (folder / "persons.csv").write_text("\n".join(["clip_id,group", *persons, ""]))
    labels = [f"{clip_id(number)},{_CLASSES[(number + 1) % len(_CLASSES)]}" for number in range(100)]
    (folder / "labels.csv").write_text("\n".join(["clip_id,label", *labels, ""]))


def plan(source: Path) -> None:
    """List the source and make the plan."""
    plan_preparation("folder", source=source, detector="none", size_px=_SIZE_PX)


def prepare_all(source: Path, out: Path) -> None:
    """Prepare all clips with a worker per core."""
    prepare("folder", source=source, out=out, detector="none", size_px=_SIZE_PX)


def update(source: Path, out: Path) -> None:
    """Bring the dataset in line with its source."""
    prepare("folder", source=source, out=out, detector="none", size_px=_SIZE_PX, update=True)


def relabelled(out: Path, table: Path) -> None:
    """Change what a table says."""
    relabel(out, table)


def folds(out: Path) -> None:
    """Make five folds by person."""
    make_fold_set(out, OwnFolding(num_folds=5), name="persons")


def read_fold(out: Path) -> None:
    """Open the dataset and read a fold."""
    open_dataset(out).fold_index("1", "train", fold_set="persons")


def remove_person(out: Path) -> None:
    """Remove the clips of a person."""
    remove_clips(out, persons=["p0003"], reason="measured")


def _measured(step: str, call: Callable[..., object], *arguments: Path) -> dict[str, object]:
    """Run a step in its own process; return its seconds and its peak memory, print them."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        seconds, peak_mb = pool.submit(_timed, call, arguments).result()
    print(f"{step:<20} {seconds:8.1f} s  {peak_mb:6.0f} MB", flush=True)
    return {"step": step, "seconds": round(seconds, 2), "peak_mb": round(peak_mb)}


def _timed(call: Callable[..., object], arguments: tuple[Path, ...]) -> tuple[float, float]:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

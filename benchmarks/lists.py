"""Time listing a dataset by lists of the field, on a made tree of empty files as large as FERV39k's.

    python -m benchmarks.lists [--clips 38935] [--json FILE]

Each shape is a tree and the paths that a list writes for its clips. CPU seconds of `list_lists`: the folder,
the lists, and the file of each path.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from dfer_data.errors import DferError
from dfer_data.sources.adapters.lists import list_lists

CLASSES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SHAPES = {
    "the same paths": ("{scene}/{label}/{number:04d}.mp4", "{scene}/{label}/{number:04d}.mp4"),
    "absolute, without extension": ("{scene}/{label}/{number:04d}.mp4", "/data/f/{scene}/{label}/{number:04d}"),
    "scenes renamed": ("{scene}/{label}/{number:04d}.mp4", "/data/f/{scene}_x/{label}/{number:04d}.mp4"),
    "40 clips per film": ("film{film:04d}/{part}.mp4", "/data/film{film:04d}/{part}.avi"),
    "40 clips per film, films renamed": ("film{film:04d}/{part}.mp4", "/data/f_{film:04d}/{part}.mp4"),
    "40 clips per film, inner folder renamed": ("film{film:04d}/a/{part}.mp4", "/data/film{film:04d}/b/{part}.mp4"),
    "one name, folders renamed": ("v{index:05d}/clip.mp4", "/data/w{index:05d}/clip.mp4"),
    "one name, half missing": ("v{index:05d}/clip.mp4", "/data/v{double:05d}/clip.mp4"),
}
"""Name -> path of a clip's file, and as its list writes it."""
_SCENES = ("Action", "Crime", "DailyLife", "History")


def write(root: Path, *, num_clips: int, local: str, written: str) -> None:
    """Write the empty files, classes.txt and the two lists of one fold."""
    lines = []
    for index in range(num_clips):
        facts = {"index": index, "double": 2 * index, "film": index // 40, "part": index % 40, "number": index // 28}
        names = {"scene": _SCENES[index % 4], "label": CLASSES[index // 4 % 7]}
        path = root / local.format(**facts, **names)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        lines.append(f"{written.format(**facts, **names)} {index // 4 % 7}\n")
    num_train = 4 * num_clips // 5
    (root / "classes.txt").write_text("\n".join(CLASSES))
    (root / "set_1_train.txt").write_text("".join(lines[:num_train]))
    (root / "set_1_test.txt").write_text("".join(lines[num_train:]))


def measure(local: str, written: str, *, num_clips: int) -> tuple[float, str]:
    """Return the CPU seconds of listing one shape, and what comes out."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), num_clips=num_clips, local=local, written=written)
        start = time.process_time()
        try:
            listing = list_lists(Path(folder), layout="videos")
            outcome = f"{len(listing.videos)} clips, {len(listing.missing)} missing"
        except DferError as error:
            outcome = f"refused: {str(error)[:60]}..."
        return time.process_time() - start, outcome


def main() -> None:
    """Print one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=38_935)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    results = {}
    for name, (local, written) in SHAPES.items():
        seconds, outcome = measure(local, written, num_clips=arguments.clips)
        results[name] = {"cpu_seconds": round(seconds, 2), "outcome": outcome}
        print(f"{name:<40} {seconds:6.2f} s  {outcome}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"clips": arguments.clips, "shapes": results}, indent=1))


if __name__ == "__main__":
    main()

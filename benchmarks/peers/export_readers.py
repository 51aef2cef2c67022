"""Read exports as other projects do, and compare with the frames and labels that dfer trains on.

    python export_readers.py FORMAT EXPORT FOLD EXPECTED

Runs in the peers' environment, which has no dfer. `EXPECTED` is a folder with clips.json (clip id -> label number and
indices of the sixteen test frames, of the test clips of the fold) and ID.npy (those frames, uint8 (16, H, W, 3)).
Prints one line of JSON: clips, wrong labels, clips with other pixels, and the lowest PSNR of a frame in dB.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

Clip = tuple[str, int, list[Any]]
"""Id, label number, frames as uint8 (H, W, 3)."""


def by_pil(content: Path | bytes) -> Any:
    """Decode as papers' code does."""
    return np.asarray(PIL.Image.open(io.BytesIO(content) if isinstance(content, bytes) else content).convert("RGB"))


def frames_below(folder: Path) -> list[Any]:
    """Decode the frames of a folder in the order of their names."""
    return [by_pil(path) for path in sorted(folder.glob("*.jpg"))]


def former_dfer(root: Path, fold: str) -> Iterator[Clip]:
    """Read a list by the rule of Former-DFER: cells between spaces, frames by glob, sorted by name."""
    (path,) = root.glob(f"*_set_{fold}_test.txt")
    for line in path.read_text().splitlines():
        folder, number, label = line.strip().split(" ")
        frames = frames_below(path.parent / folder)
        assert len(frames) == int(number), line
        yield folder.removeprefix("clips/"), int(label), frames


def videomae(root: Path, fold: str) -> Iterator[Clip]:
    """Read a list by the rule of VideoMAE: pandas without a header, separated by a space."""
    import pandas as pd

    folder = root / f"split{int(fold):02d}"
    for name, label in pd.read_csv(folder / "test.csv", header=None, delimiter=" ").values.tolist():
        place = folder / name
        frames = frames_below(place) if place.is_dir() else frames_of_video(place)
        yield place.stem, int(label), frames


def s2d(root: Path, fold: str) -> Iterator[Clip]:
    """Read a CSV with a header."""
    with (root / f"test_set_{fold}.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield row["video_name"], int(row["label"]), frames_below(root / "clips" / row["video_name"])


def frames_of_video(source: Any) -> list[Any]:
    """Decode a video with PyAV."""
    import av

    with av.open(str(source) if isinstance(source, Path) else io.BytesIO(source), "r") as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def videofolder(root: Path, fold: str) -> Iterator[Clip]:
    """Load with the builder of Hugging Face's datasets."""
    import datasets

    folder = root / f"fold-{fold}" if (root / f"fold-{fold}").is_dir() else root
    data = datasets.load_dataset("videofolder", data_dir=str(folder), cache_dir=str(root.parent / "hf-cache"))["test"]
    for row in data.cast_column("video", datasets.Video(decode=False)):
        video = row["video"]
        yield Path(row["clip_file"]).stem, row["label_number"], frames_of_video(video["bytes"] or Path(video["path"]))


def parquet(root: Path, fold: str) -> Iterator[Clip]:
    """Load the configuration of a fold that the card names with Hugging Face's datasets."""
    import datasets

    data = datasets.load_dataset(str(root), f"fold-{fold}", cache_dir=str(root.parent / "hf-cache"))["test"]
    for row in data:
        yield row["clip_id"], row["label_number"], [by_pil(jpeg) for jpeg in row["frames"]]


def webdataset(root: Path, fold: str) -> Iterator[Clip]:
    """Iterate over the shards of a fold with the library webdataset."""
    import webdataset as wds

    names = (root / f"fold-{fold}-test.txt").read_text().split()
    sizes, number = json.loads((root / "sizes.json").read_text()), 0
    for sample in wds.WebDataset([str(root / name) for name in names], shardshuffle=False).decode("rgb8"):
        number += 1
        frames = [sample[name] for name in sorted(name for name in sample if name.endswith(".jpg"))]
        yield sample["json"]["clip_id"], int(sample["cls"]), frames
    assert number == sum(sizes[name] for name in names)


READERS = {
    "former-dfer": former_dfer,
    "videomae": videomae,
    "videomae-mp4": videomae,
    "s2d": s2d,
    "videofolder": videofolder,
    "parquet": parquet,
    "webdataset": webdataset,
}


def main(name: str, export: Path, fold: str, expected: Path) -> None:
    """Compare every test clip of a fold, and print the counts."""
    clips = json.loads((expected / "clips.json").read_text())
    seen, wrong, other, lowest = set(), 0, 0, 200.0
    for clip_id, label, frames in READERS[name](export, fold):
        facts, pictures = clips[clip_id], np.load(expected / f"{clip_id}.npy")
        seen.add(clip_id)
        wrong += label != facts["label"]
        sixteen = np.stack([frames[index] for index in facts["frames"]])
        if not np.array_equal(sixteen, pictures):
            other += 1
            squared = np.square(sixteen.astype(np.float64) - pictures).mean(axis=(1, 2, 3))
            lowest = min(lowest, float((10 * np.log10(255**2 / squared)).min()))
    counts = {"clips": len(seen), "missing": len(clips.keys() - seen), "wrong_labels": wrong, "other_pixels": other}
    print(json.dumps({**counts, "lowest_psnr_db": round(lowest, 2) if other else None}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))

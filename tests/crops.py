"""Small prepared datasets in DFEW's shape, made without detection from crops whose colour is their class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg

from dfer_data import open_dataset
from dfer_data.config import Request
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation

NUM_CLASSES, NUM_FOLDS = 7, 5
SHORT = {8: 5, 15: 12, 22: 3}
"""Clip number -> frames; the others have `LONG` frames. Clip 15 is tested in fold 3, the others are trained on."""
MISSING = (16, 23)
"""Clips without pictures, so without a face: the first is tested in fold 3, the other is trained on."""
LONG = 18
_COLOURS = np.array(
    [[220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 40], [220, 40, 220], [40, 220, 220], [230, 230, 230]]
)


def label_of(number: int) -> int:
    """DFEW's number of a clip's class, from 1."""
    return (number - 1) % NUM_CLASSES + 1


def fold_of(number: int) -> int:
    """The fold that tests a clip."""
    return (number - 1) // NUM_CLASSES % NUM_FOLDS + 1


def write_crops(
    root: Path,
    *,
    num_clips: int = 70,
    num_frames: Callable[[int], int] = lambda number: 0 if number in MISSING else SHORT.get(number, LONG),
    size_px: int = 40,
    is_synthetic: bool = False,
) -> Path:
    """Write `Clip/clip_224x224/00001/*.jpg` and the ten split files; frames of a clip grow brighter."""
    for number in range(1, num_clips + 1):
        folder = root / "Clip/clip_224x224" / f"{number:05d}"
        write_coloured_frames(folder, label_of(number) - 1, num_frames(number), seed=number, size_px=size_px)
    for fold in range(1, NUM_FOLDS + 1):
        for split in ("train", "test"):
            numbers = [n for n in range(1, num_clips + 1) if (fold_of(n) == fold) == (split == "test")]
            path = root / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(["video_name,label\n", *(f"{n},{label_of(n)}\n" for n in numbers)]))
    if is_synthetic:
        (root / "SYNTHETIC.json").write_text(json.dumps({"recipe": "demo"}))
    return root


def write_coloured_frames(folder: Path, colour: int, num_frames: int, *, seed: int, size_px: int = 40) -> None:
    """Write `1.jpg` and so on, which grow brighter; `colour`: number of a class, from 0."""
    rng = np.random.default_rng(seed)
    for index in range(num_frames):
        noise = rng.integers(-20, 20, (size_px, size_px, 3))
        shade = (0.5 + 0.5 * index / LONG) * _COLOURS[colour]
        folder.mkdir(parents=True, exist_ok=True)
        image = np.clip(shade + noise, 0, 255).astype(np.uint8)
        (folder / f"{index + 1}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=90))


def prepare_crops(source: Path, out: Path) -> Path:
    """Prepare a tree of crops as it is."""
    run_preparation(resolve_request(Request(dataset="dfew", source=source, detector="none")), out, num_workers=0)
    return out


def damage(root: Path, *, clip_id: str) -> Path:
    """Flip a bit in every frame of a clip of the first shard."""
    dataset = open_dataset(root)
    row = int(dataset.clip(clip_id)["row"])
    reader, facts = dataset.shard(0), dataset.document["shards"][0]
    path = root / "shards" / f"{facts['name']}.safetensors"
    content = bytearray(path.read_bytes())
    for frame in range(int(reader.clip_offsets[row]), int(reader.clip_offsets[row + 1])):
        content[facts["index_bytes"] + int(reader.tensor("frame_offsets")[frame]) + 300] ^= 1
    path.write_bytes(content)
    return root

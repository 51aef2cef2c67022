"""Small prepared datasets in DFEW's shape, made without detection from crops whose colour is their class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from dfer_data import open_dataset
from dfer_data.prepare import Request, prepare, resolve
from lstpnet.config import Resolved, resolve_recipe
from lstpnet.experiment import Experiment, make_experiment

NUM_CLASSES, NUM_FOLDS = 7, 5
SHORT = {8: 5, 15: 12, 22: 3}
"""Clip number -> frames; the others have `LONG` frames. Clip 15 is tested in fold 3, the others are trained on."""
MISSING = (16, 23)
"""Clips without pictures, so without a face: the first is tested in fold 3, the other is trained on."""
LONG = 18
QUICK = {
    "width_multiplier": 0.125,
    "size_px": 32,
    "input_norm": "none",
    "frame_epochs": 1,
    "epochs": 2,
    "controls": False,
    "precision": "f32",
}
"""Changes to the recipe `demo` that make a run of two seconds."""
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
        rng = np.random.default_rng(number)
        for index in range(num_frames(number)):
            noise = rng.integers(-20, 20, (size_px, size_px, 3))
            shade = (0.5 + 0.5 * index / LONG) * _COLOURS[label_of(number) - 1]
            folder.mkdir(parents=True, exist_ok=True)
            image = np.clip(shade + noise, 0, 255).astype(np.uint8)
            (folder / f"{index + 1}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=90))
    for fold in range(1, NUM_FOLDS + 1):
        for split in ("train", "test"):
            numbers = [n for n in range(1, num_clips + 1) if (fold_of(n) == fold) == (split == "test")]
            path = root / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(["video_name,label\n", *(f"{n},{label_of(n)}\n" for n in numbers)]))
    if is_synthetic:
        (root / "SYNTHETIC.json").write_text(json.dumps({"recipe": "demo"}))
    return root


def prepare_crops(source: Path, out: Path) -> Path:
    """Prepare a tree of crops as it is."""
    prepare(resolve(Request(dataset="dfew", source=source, detector="none")), out, num_workers=0)
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


def quick(**changes: object) -> Resolved:
    """The recipe `demo`, made quick, with changes."""
    return resolve_recipe("demo", overrides={**QUICK, **changes})


@dataclass(frozen=True)
class Done:
    """A run and what it was about."""

    experiment: Experiment
    folder: Path
    results: list[dict[str, Any]]


def train(experiment: Experiment, runs: Path) -> Done:
    """Train on the CPU."""
    import torch

    from lstpnet.train import train_run

    folder = experiment.run_folder(runs)
    return Done(experiment, folder, train_run(experiment, folder, device=torch.device("cpu"))["results"])


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Torch's threads spin while they wait, which on busy cores makes many small calls far slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 clips of seven classes; a test that changes the folder works on a copy."""
    root = tmp_path_factory.mktemp("crops")
    return prepare_crops(write_crops(root / "source"), root / "dfew-none")


@pytest.fixture(scope="session")
def many_crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """350 clips of a single tiny frame each, fifty a class."""
    root = tmp_path_factory.mktemp("many")
    source = write_crops(root / "source", num_clips=350, num_frames=lambda number: 1, size_px=8)
    return prepare_crops(source, root / "dfew-none")


@pytest.fixture
def experiment(crops: Path) -> Experiment:
    """Fold 3 of the crops, quick."""
    return make_experiment(crops, quick(), fold=3, seed=0)


@pytest.fixture(scope="session")
def plain(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished run on fold 3; a test that changes its folder works on a copy."""
    return train(make_experiment(crops, quick(), fold=3, seed=0), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def validated(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The same with clips held out and with controls."""
    changed = quick(val="blocks", controls=True)
    return train(make_experiment(crops, changed, fold=3, seed=0), tmp_path_factory.mktemp("validated"))


@pytest.fixture
def damaged_crops(crops: Path, tmp_path: Path) -> Path:
    """A copy of the crops in which every frame of clip 00001 has a flipped bit."""
    root = Path(shutil.copytree(crops, tmp_path / "damaged" / crops.name))
    return damage(root, clip_id="00001")

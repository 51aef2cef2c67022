"""A tree of crops with classes of different sizes, a claim about it, and weights in the authors' form."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_data.sources.class_labels import DFEW_NAMES
from lstpnet.checkpoints.authors_names import AUTHORS_FILES
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.finished_runs import open_run, score_run
from lstpnet.replication.claim import Claim, claim_of
from lstpnet.training.experiment import make_experiment
from tests.crops import LONG, NUM_CLASSES, NUM_FOLDS, SHORT, fold_of, label_of, prepare_crops, write_crops
from tests.lstpnet.conftest import quick, train

SIDE_PX = 40
ALL = range(1, 71)
IDS = [number for number in ALL if (number - 1) // NUM_CLASSES < 10 - (label_of(number) - 1)]
"""Class k, from 1, has 11 - k clips."""
LabelOf = Callable[[int], int]


def write_splits(source: Path, *, label: LabelOf = label_of, fold: LabelOf = fold_of) -> None:
    for number in range(1, NUM_FOLDS + 1):
        for split in ("train", "test"):
            rows = [f"{n},{label(n)}\n" for n in IDS if (fold(n) == number) == (split == "test")]
            path = source / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{number}.csv"
            path.write_text("".join(["video_name,label\n", *rows]))


def write_tree(root: Path, **options: Any) -> Path:
    frames = {"num_frames": lambda number: SHORT.get(number, LONG) if number in IDS else 0}
    source = write_crops(root, **(frames | options))
    write_splits(source)
    return source


def official_table() -> dict[str, Any]:
    """The numbers of the tree in the form of official.json."""
    folds = [str(number) for number in range(1, NUM_FOLDS + 1)]
    sizes = Counter((str(fold_of(n)), label_of(n)) for n in IDS)
    test = {fold: [sizes[fold, number] for number in range(1, NUM_CLASSES + 1)] for fold in folds}
    short = [
        {"clip_id": f"{n:05d}", "num_frames": k, "label": DFEW_NAMES[label_of(n) - 1], "fold": str(fold_of(n))}
        for n, k in SHORT.items()
    ]
    return {
        "source": "a test",
        "class_names": list(DFEW_NAMES),
        "train": {fold: len(IDS) - sum(test[fold]) for fold in folds},
        "test": test,
        "short_test_clips": short,
        "order": {"kind": "none seen"},
    }


@dataclass(frozen=True)
class Lab:
    """Everything that a lab has."""

    source: Path
    prepared: Path
    weights: Path
    run: Path
    right: int
    of: int

    def claim(self, **changes: Any) -> Claim:
        """The claim about these weights, which the lab reproduces."""
        values: dict[str, Any] = {
            "title": "a network on crops",
            "dataset": "dfew",
            "kind": "checkpoint",
            "date": "2026-11-28",
            "source": "a test",
            "folds": ["3"],
            "crops": "clip_224x224",
            "crop_px": SIDE_PX,
            "network": "former-dfer",
            "size_px": 32,
            "class_names": list(DFEW_NAMES),
            "tolerance_points": 0.1,
            "expected": [{"fold": "3", "right": self.right, "of": self.of, "source": "the training"}],
            "official": official_table(),
        }
        return claim_of(values | changes, where="test")


def save_authors_file(model: torch.nn.Module, path: Path, *, order: list[int] | None = None) -> Path:
    """Save weights as Former-DFER's authors do; `order`: of the classes of the classifier."""
    files = AUTHORS_FILES["former-dfer"]
    tensors = {f"module.{files.authors_name(name)}": tensor.clone() for name, tensor in model.state_dict().items()}
    if order is not None:
        for name in ("module.fc.weight", "module.fc.bias"):
            tensors[name] = tensors[name][order]
    torch.save({"state_dict": tensors, "epoch": torch.tensor(1)}, path)
    return path


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab with the data and the weights; a test that changes a folder works on a copy."""
    root = tmp_path_factory.mktemp("lab")
    source = write_tree(root / "source", size_px=SIDE_PX)
    prepared = prepare_crops(source, root / "dfew-none")
    recipe = quick(model="former-dfer", epochs=12, frame_epochs=0)
    run = train(make_experiment(prepared, recipe, fold=3, seed=0), root / "runs").folder
    (scored,) = score_run(open_run(run)).parts
    weights = save_authors_file(load_trained(run).model, root / "former.pth")
    return Lab(source, prepared, weights, run, int(scored.is_right.sum()), len(scored.labels))


@pytest.fixture
def tree(lab: Lab, tmp_path: Path) -> Path:
    """A copy of the lab's folder, to plant differences in."""
    return Path(shutil.copytree(lab.source, tmp_path / "tree"))

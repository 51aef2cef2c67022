"""Quick runs on the crops, finished and not."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lstpnet.recipe_files import ResolvedRecipe, resolve_recipe
from lstpnet.runs import read_run, write_run
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment, make_experiment
from tests.conftest import one_thread
from tests.crops import damage, prepare_crops, write_crops

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


def quick(**changes: object) -> ResolvedRecipe:
    """The recipe `demo`, made quick, with changes."""
    return resolve_recipe("demo", overrides={**QUICK, **changes})


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for what the thread of a training writes."""
    stop = time.monotonic() + 60
    while not is_true():
        assert time.monotonic() < stop
        time.sleep(0.01)


def is_written(folder: Path, event: EpochDone) -> bool:
    """Whether checkpoint and state of an epoch are on disk."""
    facts = folder / "checkpoints/last.json"
    if not facts.is_file() or not (folder / "state/last.pt").is_file():
        return False
    document = json.loads(facts.read_bytes())
    return (document["stage"], document["epoch"]) == (event.stage, event.epoch)


@dataclass(frozen=True)
class Done:
    """A run and what it was about."""

    experiment: Experiment
    folder: Path
    results: list[dict[str, Any]]


def train(experiment: Experiment, runs: Path) -> Done:
    """Train on the CPU."""
    import torch

    from lstpnet.training.run import train_run

    folder = experiment.run_folder(runs)
    return Done(experiment, folder, train_run(experiment, folder, device=torch.device("cpu"))["results"])


def synthetic_copy(run: Path, folder: Path) -> Path:
    """A copy of a finished run that was trained on rendered heads, as far as run.json says."""
    shutil.copytree(run, folder)
    write_run(folder, replace(read_run(folder), synthetic=True))
    return folder


def without_hashes(folder: Path) -> Path:
    """Make a finished run one of dfer 0.1, which has no hashes."""
    for name, hashes in (("run.json", ("files", "settings_sha256", "sha256")), ("config.json", ("files", "sha256"))):
        document = json.loads((folder / name).read_bytes())
        document |= {"format_version": 1} if name == "run.json" else {}
        (folder / name).write_text(json.dumps({key: document[key] for key in document if key not in hashes}))
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


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
def validated(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished run on fold 3 like `plain`, with clips held out and with controls."""
    changed = quick(val="blocks", controls=True)
    return train(make_experiment(crops, changed, fold=3, seed=0), tmp_path_factory.mktemp("validated"))


@pytest.fixture
def damaged_crops(crops: Path, tmp_path: Path) -> Path:
    """A copy of the crops in which every frame of clip 00001 has a flipped bit."""
    root = Path(shutil.copytree(crops, tmp_path / "damaged" / crops.name))
    return damage(root, clip_id="00001")

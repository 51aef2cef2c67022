"""What a run left in its folder, as tests compare it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lstpnet.runs import read_run
from lstpnet.training.experiment import Experiment, make_experiment
from tests.dfer_data.tiny import tree
from tests.lstpnet.conftest import quick


def experiment_with(crops: Path, *, fold: int = 3, seed: int = 0, **changes: object) -> Experiment:
    return make_experiment(crops, quick(**changes), fold=fold, seed=seed)


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without the times."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


def results_of(folder: Path) -> dict[str, str]:
    """Hashes of what must be the same for the same run."""
    names = ("predictions.parquet", "run.json", "README.md", "checkpoints/last.safetensors")
    return {name: digest for name, digest in tree(folder).items() if name in names}


def is_finished(folder: Path) -> bool:
    return read_run(folder).finished

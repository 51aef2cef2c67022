"""`torchrun ... dfer train`: all processes choose the same epochs, predict together, and end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lstpnet.checkpoints.open_model import open_model
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run
from lstpnet.training.experiment import make_experiment
from lstpnet.training.run import predict_test_clips
from tests.lstpnet.conftest import QUICK, quick

_DFER = Path(sys.executable).with_name("dfer")
_CHOICES = {"select": "test-best", "val": "blocks", "refit": True, "epochs": 3, "frame_epochs": 0, "batch_size": 8}
_SECONDS = 240  # far more than it takes: a process that waits for another one waits for an hour


def train_by_two(crops: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dfer train` in two processes of torchrun, with one thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    command += [str(_DFER), "train", "--fold", "3", "--data", str(crops), "--out", str(out), "--recipe", "demo"]
    command += ["--device", "cpu", "--yes", "--name", "two", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)


def assigned(changes: dict[str, object]) -> list[str]:
    """The changes as `--set` options."""
    words = {key: str(value).lower() if isinstance(value, bool) else value for key, value in changes.items()}
    return [word for key, value in words.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def run_of_two(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that chooses an epoch on held-out and one on test clips, and trains again on all clips."""
    out = tmp_path_factory.mktemp("two")
    done = train_by_two(crops, out, *assigned(QUICK | _CHOICES))
    assert done.returncode == 0, done.stderr
    return next(out.glob("*/two/fold-3/seed-0"))


def test_it_ends_with_every_checkpoint(run_of_two: Path) -> None:
    info = read_run(run_of_two)
    assert info.finished
    assert info.checkpoints == ("last", "best", "test-best", "refit")


def test_the_best_epoch_is_the_first_with_the_best_figure(run_of_two: Path) -> None:
    lines = [json.loads(line) for line in (run_of_two / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["checkpoint"] == "last"]
    select_by = quick(**_CHOICES).recipe.select_by
    for checkpoint, kind in (("best", "val"), ("test-best", "test")):
        figures = [{"war": epoch[f"{kind}_war"], "uar": epoch[f"{kind}_uar"]} for epoch in epochs]
        values = [sum(figure[name] for name in select_by.split("+")) for figure in figures]
        chosen = 1 + values.index(max(values))
        facts = json.loads((run_of_two / f"checkpoints/{checkpoint}.json").read_bytes())
        assert facts["epoch"] == chosen
    best = json.loads((run_of_two / "checkpoints/best.json").read_bytes())["epoch"]
    assert len(lines) - len(epochs) == best  # epochs of the refit


def test_predictions_are_the_bytes_of_one_process(crops: Path, run_of_two: Path) -> None:
    experiment = make_experiment(crops, quick(**_CHOICES), fold=3, seed=0)
    for stored in read_predictions(run_of_two, read_run(run_of_two)):
        model = open_model(run_of_two, checkpoint=stored.checkpoint).model
        (alone,) = predict_test_clips(experiment, model, torch.device("cpu"), checkpoint=stored.checkpoint)
        assert np.array_equal(alone.logits, stored.logits)

"""Two processes train as one with twice the batch, and end with equal weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run
from lstpnet.training.experiment import make_experiment
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick
from tests.workspace import ROOT

CPU = torch.device("cpu")
RANK = """
import json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from lstpnet.training import stage, trainer
from lstpnet.training.distributed import joined_group
from lstpnet.training.experiment import make_experiment
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick

seen, original = [], stage.StageLoop._step
def step(self, frames, labels, batch, **options):
    seen.append(list(batch.clip_ids))
    return original(self, frames, labels, batch, **options)
stage.StageLoop._step = step
fit = trainer._Training.run
def run(self, *args, **options):
    done = fit(self, *args, **options)
    torch.save(done.model.state_dict(), folder / f"rank-{self._group.rank}.pt")
    return done
trainer._Training.run = run

def train_all():
    global folder
    with joined_group(torch.device("cpu")) as (group, device):
        for name, changes in json.loads(sys.argv[3]).items():
            seen.clear()
            folder = Path(sys.argv[2]) / name
            folder.mkdir(exist_ok=True)
            experiment = make_experiment(Path(sys.argv[1]), quick(**changes), fold=3, seed=0)
            done = train_run(experiment, folder / "run", device=device, group=group)
            (folder / f"rank-{group.rank}.json").write_text(json.dumps([seen, done]))

train_all()  # as `dfer train`, it holds no group at the end of the process
"""
FROZEN: dict[str, Any] = {
    "freeze_norms": True,
    "epochs": 1,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "accumulate": 2,
    "randaugment_ops": 2,
    "center": 0.1,
    "weight_decay_on": "matrices",
}


def by_two(crops: Path, folder: Path, trainings: dict[str, dict[str, Any]]) -> None:
    """Train with two processes, once for each name and its changes of the recipe.

    In the folder of each name lies `run`; and of each process, the clips of its batches with its results, and its
    weights.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in (0, 1):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        env = os.environ | place | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", RANK, str(crops), str(folder), json.dumps(trainings)]
        processes.append(subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr


@pytest.fixture(scope="module")
def trained(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    plain = {"batch_size": 8, "frame_epochs": 0, "epochs": 2}
    by_two(crops, folder, {"frozen": FROZEN | {"batch_size": 8}, "plain": plain})
    return folder


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_with_frozen_norms_two_processes_are_one_with_twice_the_batch(
    trained: Path, crops: Path, tmp_path: Path
) -> None:
    """55 clips in batches of 8 and 16: the last step is a small one, with a clip more on one process."""
    experiment = make_experiment(crops, quick(batch_size=16, **FROZEN), fold=3, seed=0)
    train_run(experiment, tmp_path / "alone", device=CPU)
    folders = trained / "frozen/run", tmp_path / "alone"
    assert losses(folders[0]) == pytest.approx(losses(folders[1]), abs=1e-5)
    both, alone = (load_file(folder / "checkpoints/last.safetensors") for folder in folders)
    assert all(torch.allclose(both[name], alone[name], atol=1e-4) for name in alone)
    (mine,), (theirs,) = (read_predictions(folder, read_run(folder)) for folder in folders)
    assert abs(mine.logits - theirs.logits).max() < 1e-3


def test_in_training_mode_every_clip_is_seen_once_and_ranks_stay_equal(trained: Path, crops: Path) -> None:
    folder = trained / "plain"
    found = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    experiment = make_experiment(crops, quick(), fold=3, seed=0)
    batches = [seen for seen, _ in found]
    assert len(batches[0]) == len(batches[1]) == 8
    for epoch in (slice(0, 4), slice(4, 8)):
        clips = [clip_id for seen in batches for batch in seen[epoch] for clip_id in batch]
        assert sorted(clips) == sorted(experiment.train_ids)
    one, other = (torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    parameters = [name for name in one if "running" not in name]
    assert all(torch.equal(one[name], other[name]) for name in parameters)
    assert found[0][1]["results"][0]["n"] == 14
    assert found[1][1] == {"results": []}
    assert json.loads((folder / "run/config.json").read_bytes())["world_size"] == 2

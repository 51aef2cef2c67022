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

from lstpnet.runs import read_predictions, read_run
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
    torch.save(done.model.state_dict(), Path(sys.argv[2]) / f"rank-{self._group.rank}.pt")
    return done
trainer._Training.run = run

with joined_group(torch.device("cpu")) as (group, device):
    experiment = make_experiment(Path(sys.argv[1]), quick(**json.loads(sys.argv[3])), fold=3, seed=0)
    done = train_run(experiment, Path(sys.argv[2]) / "run", device=device, group=group)
    (Path(sys.argv[2]) / f"rank-{group.rank}.json").write_text(json.dumps([seen, done]))
"""


def by_two(crops: Path, folder: Path, **changes: Any) -> list[Any]:
    """Train with two processes; returns, for each, the clips of its batches and its results."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in (0, 1):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        env = os.environ | place | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", RANK, str(crops), str(folder), json.dumps(changes)]
        processes.append(subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("accumulate", [2])
def test_with_frozen_norms_two_processes_are_one_with_twice_the_batch(
    crops: Path, tmp_path: Path, accumulate: int
) -> None:
    """55 clips in batches of 8 and 16: the last step is a small one, with a clip more on one process."""
    changes: dict[str, Any] = {
        "freeze_norms": True,
        "epochs": 1,
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "accumulate": accumulate,
    }
    changes |= {"randaugment_ops": 2, "center": 0.1, "weight_decay_on": "matrices"}
    by_two(crops, tmp_path, batch_size=8, **changes)
    experiment = make_experiment(crops, quick(batch_size=16, **changes), fold=3, seed=0)
    train_run(experiment, tmp_path / "alone", device=CPU)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)
    both, alone = (load_file(tmp_path / name / "checkpoints/last.safetensors") for name in ("run", "alone"))
    assert all(torch.allclose(both[name], alone[name], atol=1e-4) for name in alone)
    (mine,), (theirs,) = (read_predictions(tmp_path / n, read_run(tmp_path / n)) for n in ("run", "alone"))
    assert abs(mine.logits - theirs.logits).max() < 1e-3


def test_in_training_mode_every_clip_is_seen_once_and_ranks_stay_equal(crops: Path, tmp_path: Path) -> None:
    found = by_two(crops, tmp_path, batch_size=8, frame_epochs=0, epochs=2)
    experiment = make_experiment(crops, quick(), fold=3, seed=0)
    batches = [seen for seen, _ in found]
    assert len(batches[0]) == len(batches[1]) == 8
    for epoch in (slice(0, 4), slice(4, 8)):
        clips = [clip_id for seen in batches for batch in seen[epoch] for clip_id in batch]
        assert sorted(clips) == sorted(experiment.train_ids)
    one, other = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    parameters = [name for name in one if "running" not in name]
    assert all(torch.equal(one[name], other[name]) for name in parameters)
    assert found[0][1]["results"][0]["n"] == 14
    assert found[1][1] == {"results": []}
    assert json.loads((tmp_path / "run/config.json").read_bytes())["world_size"] == 2

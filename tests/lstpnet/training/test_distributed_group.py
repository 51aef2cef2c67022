"""What several processes decide is one decision: of the first, or of all; a failure in one ends all."""

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

from dfer_data.errors import UsageError
from lstpnet.training.distributed import ALONE, device_of_process, joined_group
from tests.workspace import ROOT

_CYCLE = """
import atexit
from pathlib import Path

def count_threads():
    names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    print(sum(name == "pt_gloo_runloop" for name in names))

atexit.register(count_threads)
import torch
from lstpnet.training.distributed import joined_group

def run():
    with joined_group(torch.device("cpu")) as (group, device):
        group.summed([1.0])
        cycle = [group]
        cycle.append(cycle)

run()
"""
_RANK = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from lstpnet.training import stage
from lstpnet.training.distributed import joined_group
from lstpnet.training.experiment import make_experiment
from lstpnet.training.launch import PlannedRun, agreed_plan
from lstpnet.training.resume_state import state_path
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick

def fail(*arguments, **options):
    raise ValueError("no such\\nfile")

def outcome(call):
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

class Half(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

    def forward(self, x):
        return self.used(x)

def gradients_of_half(group):
    half = group.wrap(Half(), torch.device("cpu"), uses_all=False)
    for _ in range(2):
        half(torch.full((1, 2), float(group.rank))).sum().backward()
    return [half.module.used.weight.grad.tolist(), half.module.unused.weight.grad]

def run(crops, folder, found):
    with joined_group(torch.device("cpu")) as (group, device):
        rank = group.rank
        found["from first"] = group.from_first(lambda: rank + 10)
        found["failure of the first"] = outcome(lambda: group.from_first(fail))
        found["gathered"] = group.gathered(lambda: rank + 10)
        found["failure of the second"] = outcome(lambda: group.gathered(fail if rank == 1 else lambda: 0))
        found["all true"] = [group.all_true(True), group.all_true(rank == 0)]
        norm = torch.nn.BatchNorm1d(2)
        norm.running_mean += rank + 1
        group.share_buffers(norm)
        found["buffers"] = norm.running_mean.tolist()

        found["gradients"] = gradients_of_half(group)

        experiment = make_experiment(crops, quick(frame_epochs=0, epochs=1), fold=3, seed=0)
        plan = [PlannedRun(experiment, folder / "run", "begun" if rank == 0 else "finished")]
        found["states"] = [run.state for run in agreed_plan(plan, group)]
        other = make_experiment(crops, quick(batch_size=16 + rank), fold=3, seed=0)
        found["other recipes"] = outcome(lambda: agreed_plan([replace(plan[0], experiment=other)], group))

        damaged = state_path(folder / "damaged", "last")
        damaged.parent.mkdir(parents=True, exist_ok=True)
        damaged.write_bytes(b"junk")
        found["damaged state"] = outcome(
            lambda: train_run(experiment, folder / "damaged", device=device, group=group, continues=True)
        )
        original = stage.TrainingLoss.__call__
        stage.TrainingLoss.__call__ = lambda *arguments: original(*arguments) * (float("nan") if rank == 1 else 1)
        found["loss"] = outcome(lambda: train_run(experiment, folder / "loss", device=device, group=group))
    return rank

found = {}
rank = run(Path(sys.argv[1]), Path(sys.argv[2]), found)
names = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
found["threads of gloo"] = sum(name == "pt_gloo_runloop" for name in names)
Path(sys.argv[2], f"rank-{rank}.json").write_text(json.dumps(found))
"""


def by_two(code: str, crops: Path, folder: Path) -> list[str]:
    """Run code in two processes; return what each printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", code, str(crops), str(folder)]
    processes = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    printed = []
    try:
        for process in processes:
            stdout, stderr = process.communicate(timeout=120)
            assert process.returncode == 0, stderr
            printed.append(stdout)
    finally:
        for process in processes:
            process.kill()
    return printed


@pytest.fixture(scope="module")
def outcomes(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("group")
    by_two(_RANK, crops, folder)
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_what_the_first_process_finds_is_what_all_use(outcomes: list[dict[str, Any]]) -> None:
    assert [found["from first"] for found in outcomes] == [10, 10]
    assert [found["buffers"] for found in outcomes] == [[1, 1], [1, 1]]
    assert [found["states"] for found in outcomes] == [["begun"], ["begun"]]


def test_a_model_of_which_a_step_uses_a_part_is_trained(outcomes: list[dict[str, Any]]) -> None:
    """As a pretrained network with a head that a custom model does not use: one process trains it too."""
    assert [found["gradients"] for found in outcomes] == [[[[1, 1], [1, 1]], None]] * 2


def test_no_thread_of_the_group_is_left_that_could_abort_the_end(outcomes: list[dict[str, Any]]) -> None:
    assert [found["threads of gloo"] for found in outcomes] == [0, 0]


def test_nor_where_a_cycle_holds_the_group(crops: Path, tmp_path: Path) -> None:
    """As the traceback of Ctrl+C or SIGTERM does."""
    assert by_two(_CYCLE, crops, tmp_path) == ["0\n", "0\n"]


def test_what_all_find_is_known_to_all(outcomes: list[dict[str, Any]]) -> None:
    assert [found["gathered"] for found in outcomes] == [[10, 11], [10, 11]]
    assert [found["all true"] for found in outcomes] == [[True, False], [True, False]]


def test_a_failure_in_one_process_is_a_failure_in_all(outcomes: list[dict[str, Any]]) -> None:
    first = [found["failure of the first"] for found in outcomes]
    assert first == [
        "ValueError: no such\nfile",
        "WorkerError: the first process of this training failed: no such file",
    ]
    second = [found["failure of the second"] for found in outcomes]
    assert second == ["WorkerError: process 1 of this training failed: no such file", "ValueError: no such\nfile"]


def test_a_state_that_only_the_first_process_reads_fails_in_all(outcomes: list[dict[str, Any]]) -> None:
    words = [found["damaged state"] for found in outcomes]
    assert words[0].startswith("CorruptDataError: ")
    assert words[1].startswith("WorkerError: the first process of this training failed: ")
    assert all("--force trains from the start" in text for text in words)


def test_processes_with_other_recipes_do_not_train(outcomes: list[dict[str, Any]]) -> None:
    assert all(
        found["other recipes"].startswith("UsageError: process 1 of this training has another recipe")
        for found in outcomes
    )


def test_a_loss_that_is_not_finite_in_one_process_stops_all_at_the_same_step(outcomes: list[dict[str, Any]]) -> None:
    words = [found["loss"] for found in outcomes]
    assert words[0].startswith("DferError: the loss became infinite or NaN in another process in the clips stage;")
    assert words[1].startswith("DferError: the loss became nan in the clips stage;")


def test_one_process_alone_asks_nobody() -> None:
    assert ALONE.from_first(lambda: 3) == 3
    assert ALONE.gathered(lambda: 3) == [3]
    assert ALONE.all_true(True)
    assert not ALONE.all_true(False)
    with pytest.raises(ValueError, match="own"):
        ALONE.gathered(lambda: (_ for _ in ()).throw(ValueError("own")))


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Process 1 of torchrun on a machine that seems to have two GPUs; returns which of them it opens."""
    opened: list[Any] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", opened.append)
    monkeypatch.setattr(torch, "zeros", lambda *size, device: opened.append(device))
    return opened


@pytest.mark.parametrize("name", [None, "cuda"])
def test_each_process_opens_its_own_gpu_alone(two_gpus: list[Any], name: str | None) -> None:
    assert device_of_process(name) == torch.device("cuda:1")
    assert two_gpus == [1, torch.device("cuda:1")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cuda:3", "--device cuda:3: under torchrun each process .* CUDA_VISIBLE_DEVICES=3"),
        ("mps", "--device mps: several processes train together on cuda or cpu only"),
    ],
)
def test_a_device_that_processes_cannot_share_is_an_error(two_gpus: list[Any], name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        device_of_process(name)
    assert not two_gpus


def test_more_processes_than_gpus_is_an_error(two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match=r"process 2 of this machine has no GPU: there are 2; .*--nproc-per-node 2"):
        device_of_process()
    assert not two_gpus


def test_without_a_gpu_several_processes_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_of_process() == torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("2", r"has WORLD_SIZE = 2, but not RANK, MASTER_PORT: start dfer with torchrun, .*, or unset WORLD_SIZE to"),
        ("two", "has WORLD_SIZE = 'two', which is no number of processes: unset it"),
    ],
)
def test_an_environment_that_is_not_torchruns_is_one_line(
    monkeypatch: pytest.MonkeyPatch, size: str, words: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for name in ("RANK", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=words), joined_group(torch.device("cpu")):
        pass

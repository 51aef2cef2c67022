"""One stage: compiled and accumulated steps do what plain ones do, and an epoch names the rate of its last step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lstpnet.training.distributed import Group
from lstpnet.training.events import EpochDone, StepDone
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from lstpnet.training.stage import StageLoop
from lstpnet.training.trainer import fit
from tests.lstpnet.conftest import quick

CPU = torch.device("cpu")


def losses(crops: Path, folder: Path, **changes: Any) -> list[float]:
    """Train one epoch of whole clips, and return the mean losses of its batches so far."""
    experiment = make_experiment(crops, quick(frame_epochs=0, epochs=1, **changes), fold=3, seed=0)
    folder.mkdir()
    events: list[EpochDone] = []
    steps: list[float] = []
    fit(
        experiment,
        initial_model(experiment, init=None)[0],
        folder=folder,
        device=CPU,
        on_event=events.append,
        on_step=lambda step: steps.append(step.loss) if isinstance(step, StepDone) else None,
    )
    assert events[0].loss == steps[-1]
    return steps


def test_only_whole_batches_are_compiled(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """55 clips in batches of 8: the last one, of 7, would have to be compiled once more."""
    sizes: list[int] = []

    def compiled(module: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        assert options == {"dynamic": False, "mode": None}

        def run(pixels: torch.Tensor) -> Any:
            sizes.append(len(pixels))
            return module(pixels)

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    plain = losses(crops, tmp_path / "plain")
    assert not sizes
    assert losses(crops, tmp_path / "compiled", compile=True) == plain
    assert sizes == [8] * 6


def test_each_process_has_its_own_draws_which_are_those_of_its_epoch() -> None:
    """So a training of several processes that resumes at an epoch drops what it would have dropped."""

    def draws(rank: int, epoch: int) -> list[float]:
        loop: Any = StageLoop.__new__(StageLoop)
        loop._model, loop._recipe, loop._group = torch.nn.Linear(1, 1), quick().recipe, Group(rank, 2)
        loop._experiment = SimpleNamespace(seed=0)
        loop._begin_training(epoch)
        return torch.rand(3).tolist()

    assert draws(0, 1) == draws(0, 1)
    assert len({str(draws(rank, epoch)) for rank in (0, 1) for epoch in (1, 2)}) == 4


def test_an_epoch_names_the_rate_of_its_last_step(crops: Path, tmp_path: Path) -> None:
    """Not that of the next one, which the last epoch does not have."""
    events: list[EpochDone] = []
    for schedule in ("step", "one-cycle"):
        changes = {"schedule": schedule, "step_epochs": 2, "learning_rate": 0.01, "batch_size": 16}
        experiment = make_experiment(crops, quick(frame_epochs=0, epochs=4, **changes), fold=3, seed=0)
        model = initial_model(experiment, init=None)[0]
        (tmp_path / schedule).mkdir()
        fit(experiment, model, folder=tmp_path / schedule, device=CPU, on_event=events.append)
    assert [event.learning_rate for event in events[:4]] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert events[-1].learning_rate == pytest.approx(0.01 / 25 / 1e4)  # where torch's one-cycle ends


def test_a_training_that_stops_earlier_counts_the_epochs_until_then(crops: Path, tmp_path: Path) -> None:
    """As a refit does; its rates stay those of all epochs."""
    events: list[EpochDone] = []
    steps: list[int] = []
    changes = {"schedule": "one-cycle", "learning_rate": 0.01, "batch_size": 16}
    experiment = make_experiment(crops, quick(frame_epochs=0, epochs=30, **changes), fold=3, seed=0)
    fit(
        experiment,
        initial_model(experiment, init=None)[0],
        folder=tmp_path,
        device=CPU,
        on_event=events.append,
        on_step=lambda step: steps.append(step.num_epochs) if isinstance(step, StepDone) else None,
        stop_after=1,
    )
    assert [event.num_epochs for event in events] == [1]
    assert set(steps) == {1}
    assert events[0].learning_rate < 0.001


def test_small_batches_make_the_step_of_a_large_one(crops: Path, tmp_path: Path) -> None:
    """The last step of 55 clips too: batches of 10 and 5 clips are 15 clips."""
    weights = []
    for batch_size, accumulate in ((20, 1), (10, 2)):
        changes = {"optimizer": "sgd", "schedule": "step", "learning_rate": 0.05, "freeze_norms": True}
        changes |= {"batch_size": batch_size, "accumulate": accumulate, "label_smoothing": 0.1}
        experiment = make_experiment(crops, quick(frame_epochs=0, epochs=1, **changes), fold=3, seed=0)
        folder = tmp_path / str(batch_size)
        folder.mkdir()
        model = initial_model(experiment, init=None)[0]
        fit(experiment, model, folder=folder, device=CPU, on_event=lambda event: None)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert (weights[0] - weights[1]).abs().max() < 1e-5


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_compiled_training_has_the_losses_of_the_plain_one(crops: Path, tmp_path: Path) -> None:
    """Up to rounding, which every step of the optimiser carries on."""
    plain = losses(crops, tmp_path / "plain", learning_rate=1e-4)
    compiled = losses(crops, tmp_path / "compiled", learning_rate=1e-4, compile=True)
    assert compiled == pytest.approx(plain, rel=1e-4)

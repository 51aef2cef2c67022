from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dfer_data.errors import CorruptShardError, DferError
from dfer_data.loading.cache_places import CachePlace
from dfer_data.loading.prepared import PreparedDataset
from lstpnet.batches.augment import augmented
from lstpnet.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lstpnet.device import autocast_dtype, pick_device
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.training import initial_model as initial
from lstpnet.training import stage, trainer
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.initial_model import estimate_seconds, initial_model, network_of_recipe
from lstpnet.training.optim import build_optimizer, build_schedule
from lstpnet.training.resume_state import load_state, state_path
from lstpnet.training.trainer import TrainingResult, fit
from tests.lstpnet.conftest import Done, is_written, quick, wait_until
from tests.workspace import ROOT

CPU = torch.device("cpu")
ONE_STEP = {"frame_epochs": 0, "epochs": 1, "batch_size": 64}
Listener = Callable[[EpochDone], None]


def run(
    experiment: Experiment, folder: Path, *, on_event: Listener = lambda event: None, cache: CachePlace = "auto"
) -> TrainingResult:
    """Train from the start, whatever state an earlier training left in the folder."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    model, _ = initial_model(experiment, init=None)
    return fit(experiment, model, folder=folder, device=CPU, on_event=on_event, cache=cache)


def changed(crops: Path, **changes: object) -> Experiment:
    return make_experiment(crops, quick(**changes), fold=3, seed=0)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stored(experiment: Experiment, folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    model, _ = initial_model(experiment, init=None)
    load_checkpoint(model, folder / "checkpoints" / f"{name}.safetensors")
    return weights(model)


def test_each_epoch_is_an_event_a_line_and_a_checkpoint(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[EpochDone] = []
    monkeypatch.setattr(trainer, "PAUSE_SECONDS", 0)

    def listen(event: EpochDone) -> None:
        events.append(event)
        assert len(metrics(tmp_path)) == len(events)
        wait_until(lambda: is_written(tmp_path, event))

    trained = run(experiment, tmp_path, on_event=listen)
    assert [(event.stage, event.epoch, event.num_epochs) for event in events] == [
        ("frames", 1, 1),
        ("clips", 1, 2),
        ("clips", 2, 2),
    ]
    assert metrics(tmp_path) == [dataclasses.asdict(event) for event in events]
    assert {(event.checkpoint, event.val_war, event.val_uar, event.test_war) for event in events} == {
        ("last", None, None, None)
    }
    assert (trained.best, trained.test_best) == (None, None)
    assert equal(weights(trained.model), stored(experiment, tmp_path))


def test_colours_are_learned(crops: Path, tmp_path: Path) -> None:
    run(changed(crops, frame_epochs=0, epochs=5), tmp_path)
    clips = metrics(tmp_path)
    assert clips[-1]["loss"] < 0.5 * clips[0]["loss"]
    assert clips[-1]["train_accuracy"] > 0.9
    assert all(line["seconds"] > 0 for line in clips)


@pytest.mark.parametrize(
    ("select_by", "best_epoch"), [("war", 2), ("uar", 4), ("war+uar", 1)], ids=["war", "uar", "both"]
)
def test_the_first_of_the_best_epochs_is_kept(crops: Path, tmp_path: Path, select_by: str, best_epoch: int) -> None:
    experiment, seen = changed(crops, val="blocks", epochs=4, select_by=select_by), []
    figures = [(0.5, 0.7), (0.6, 0.5), (0.6, 0.4), (0.1, 0.8)]

    def measure(self: Any, clip_ids: Sequence[str]) -> tuple[float | None, float | None]:
        if self._stage != "clips" or not clip_ids:
            return None, None
        assert self._model.training  # again, after the last validation
        assert tuple(clip_ids) == experiment.val_ids
        self._model.eval()
        seen.append(weights(self._model))
        return figures[len(seen) - 1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstpnet.training.stage.StageLoop._figures", measure)
        trained = run(experiment, tmp_path)
    assert [line["val_war"] for line in metrics(tmp_path)] == [None, *(war for war, _ in figures)]
    assert trained.best is not None
    assert trained.best.epoch == best_epoch
    assert equal(trained.best.weights, seen[best_epoch - 1])
    assert equal(weights(trained.model), seen[3])
    assert trained.test_best is None


def test_validation_figures_are_those_of_the_held_out_clips(validated: Done) -> None:
    lines = [line for line in metrics(validated.folder) if line["stage"] == "clips"]
    num_clips = len(validated.experiment.val_ids)
    assert num_clips == 6
    for line in lines:
        assert line["val_war"] * num_clips == pytest.approx(round(line["val_war"] * num_clips))
        assert line["val_uar"] == pytest.approx(line["val_war"])  # one clip a class


@pytest.mark.parametrize(("num_threads", "cache"), [(2, "off"), (2, "host"), (0, "off")])
def test_loader_threads_and_cache_change_nothing(
    plain: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_threads: int, cache: CachePlace
) -> None:
    monkeypatch.setattr(stage, "num_threads", lambda device: num_threads)
    trained = run(plain.experiment, tmp_path, cache=cache)
    assert equal(weights(trained.model), stored(plain.experiment, plain.folder))


@pytest.mark.parametrize("batch_size", [3, 11, 27, 54])
def test_every_clip_is_seen_once_an_epoch_and_never_alone(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    """55 clips: the last batch would have 1, 0, 1 and 1 clips."""
    seen: list[list[str]] = []

    def watch(frames: torch.Tensor, clip_ids: list[str], *changes: Any, **settings: Any) -> torch.Tensor:
        seen.append(clip_ids)
        return augmented(frames, clip_ids, *changes, **settings)

    monkeypatch.setattr(stage, "augmented", watch)
    monkeypatch.setattr(initial, "network_of_recipe", tiny_model)
    experiment = changed(crops, frame_epochs=0, epochs=2, batch_size=batch_size)
    run(experiment, tmp_path)
    half = len(seen) // 2
    orders = [[clip_id for batch in part for clip_id in batch] for part in (seen[:half], seen[half:])]
    assert [sorted(order) for order in orders] == [list(experiment.train_ids)] * 2
    assert orders[0] != orders[1]
    assert min(len(batch) for batch in seen) >= 2


def tiny_model(recipe: Any, *, num_classes: int, seed: int) -> torch.nn.Module:
    """Takes the mean colour of a clip."""

    class Colour(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(3, num_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(x.mean(dim=(1, 3, 4)))
            return logits

    return Colour()


def test_a_loss_that_is_not_finite_stops_and_leaves_the_last_checkpoint(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(trainer, "PAUSE_SECONDS", 0)

    def poison(event: EpochDone) -> None:
        if (event.stage, event.epoch) == ("clips", 1):
            wait_until(lambda: is_written(tmp_path, event))
            before.update(stored(experiment, tmp_path))
            monkeypatch.setattr(stage, "normalised", lambda frames, norm: frames.float() * float("nan"))

    with pytest.raises(DferError, match="loss became nan in the clips stage; a lower learning_rate helps"):
        run(experiment, tmp_path, on_event=poison)
    assert equal(stored(experiment, tmp_path), before)
    assert len(metrics(tmp_path)) == 2


def test_a_rate_far_too_high_is_said(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(DferError, match="a lower learning_rate helps") as caught:
        run(changed(crops, learning_rate=1e30), tmp_path)
    assert caught.value.exit_code == 1


def test_infinite_weights_are_never_saved(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of an epoch has no loss after it that would tell."""
    original = stage.StageLoop.run_epoch

    def run_epoch(self: Any, epoch: int, **options: Any) -> EpochDone:
        done = original(self, epoch, **options)
        if epoch == 2:
            torch.nn.init.constant_(self._model.fc.bias, float("inf"))
        return done

    monkeypatch.setattr(stage.StageLoop, "run_epoch", run_epoch)
    with pytest.raises(DferError, match="weights became infinite in epoch 2 of the clips stage; a lower learning_rate"):
        run(experiment, tmp_path)
    assert json.loads((tmp_path / "checkpoints/last.json").read_bytes())["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in stored(experiment, tmp_path).values())
    assert len(metrics(tmp_path)) == 2


def test_damage_stops_training_and_names_shard_and_clip(damaged_crops: Path, tmp_path: Path) -> None:
    experiment = make_experiment(damaged_crops, quick(), fold=3, seed=0)
    with pytest.raises(CorruptShardError, match=r"00000\.safetensors: frame \d+ of clip 00001"):
        run(experiment, tmp_path)


def test_fresh_weights_depend_on_the_seed_alone() -> None:
    def fresh(seed: int) -> dict[str, torch.Tensor]:
        return weights(network_of_recipe(quick().recipe, num_classes=7, seed=seed))

    first = fresh(0)
    torch.rand(100)
    assert equal(fresh(0), first)
    assert not equal(fresh(1), first)


def test_training_starts_from_an_init_file(plain: Done, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    save_checkpoint(network_of_recipe(quick().recipe, num_classes=7, seed=5), path, facts={})
    started = weights(initial_model(plain.experiment, init=path)[0])
    assert equal(started, weights(network_of_recipe(quick().recipe, num_classes=7, seed=5)))
    assert not equal(started, weights(initial_model(plain.experiment, init=None)[0]))


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str) -> None:
    words = (
        rf"device {name} cannot be used here: .*; leave --device out to use {pick_device()}, or see `dfer doctor`"
        if name.startswith("cuda")
        else rf"device '{name}' does not exist: name cuda, mps or cpu, or leave --device out to use {pick_device()}$"
    )
    with pytest.raises(DferError, match=words) as caught:
        pick_device(name)
    assert len(str(caught.value).splitlines()) == 1


def test_the_device_is_chosen_or_named() -> None:
    assert pick_device("cpu") == CPU
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == best


@pytest.mark.parametrize(
    ("precision", "has_bf16", "wanted"),
    [
        ("f32", True, None),
        ("bf16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, None),
    ],
)
def test_precision(monkeypatch: pytest.MonkeyPatch, precision: str, has_bf16: bool, wanted: torch.dtype | None) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16, raising=False)
    assert autocast_dtype(quick(precision=precision).recipe, CPU) == wanted


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_lower_precisions_train(crops: Path, tmp_path: Path, precision: str) -> None:
    experiment = changed(crops, precision=precision, frame_epochs=0, epochs=2)
    before = weights(initial_model(experiment, init=None)[0])
    after = weights(run(experiment, tmp_path).model)
    assert metrics(tmp_path)[1]["loss"] < metrics(tmp_path)[0]["loss"]
    assert not torch.equal(after["fc.weight"], before["fc.weight"])


def test_the_estimate_grows_with_the_epochs(crops: Path) -> None:
    short, long = (estimate_seconds(changed(crops, epochs=epochs), device=CPU) for epochs in (1, 100))
    assert 0 < short < long
    assert long > 10 * short
    plain, refit = (changed(crops, epochs=100, val="blocks", val_share=0.5, refit=again) for again in (False, True))
    assert estimate_seconds(refit, device=CPU) > 1.5 * estimate_seconds(plain, device=CPU)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step"])
def test_schedules_end_low(schedule: str) -> None:
    """80 epochs of 2 steps: the two falling ones end near 0, the other one falls twice."""
    recipe = quick(schedule=schedule, learning_rate=1, optimizer="sgd").recipe
    optimizer = build_optimizer(torch.nn.Linear(1, 1), recipe)
    plan = build_schedule(optimizer, recipe, num_epochs=81, steps_per_epoch=2)
    rates = []
    for _ in range(162):
        rates.append(plan.get_last_lr()[0])
        optimizer.step()
        plan.step()
    assert max(rates) == pytest.approx(1.0, abs=0.001)
    if schedule == "step":
        assert [rates[0], rates[79], rates[80], rates[159], rates[160]] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    else:
        assert rates[-1] < 0.001


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step"])
def test_a_single_step_is_enough_for_every_schedule(crops: Path, tmp_path: Path, schedule: str) -> None:
    run(changed(crops, schedule=schedule, **ONE_STEP), tmp_path)
    assert len(metrics(tmp_path)) == 1


def test_training_with_every_augmentation_is_reproducible(crops: Path, tmp_path: Path) -> None:
    settings = {"crop": 0.6, "rotation_degrees": 10, "brightness": 0.3, "erasing": 0.3, "mixup": 0.2, "cutmix": 1.0}
    experiment = changed(crops, frame_epochs=0, epochs=1, class_sampling="balanced", **settings)
    one, other = (weights(run(experiment, tmp_path).model) for _ in range(2))
    assert equal(one, other)
    assert not equal(one, weights(run(changed(crops, frame_epochs=0, epochs=1), tmp_path).model))


@pytest.mark.parametrize("settings", [{"mixup": 0.2}, {"votes_loss": "dirichlet-multinomial"}])
def test_votes_change_what_is_learned_and_mixing_takes_them(
    settings: dict[str, Any], crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every annotator says class 2, whatever the label: so does the model then."""

    def votes(self: PreparedDataset, clip_ids: Sequence[str]) -> Any:
        return np.tile([0, 0, 10, 0, 0, 0, 0], (len(clip_ids), 1))

    monkeypatch.setattr(PreparedDataset, "votes", votes)
    experiment = changed(crops, targets="votes", epochs=3, **settings)
    model = run(experiment, tmp_path).model
    recipe, data = experiment.recipe, experiment.data
    logits = predict_clips(model, data.root, experiment.seen_test_ids, recipe=recipe, device=CPU, dtype=None)
    assert set(logits.argmax(axis=1).tolist()) == {2}


def test_memory_that_is_full_is_one_line_and_leaves_the_last_state(tmp_path: Path, crops: Path) -> None:
    """A real lack of memory, in a process that may not take more than it has after its first epoch."""
    script = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from lstpnet.training.trainer import fit
from tests.lstpnet.conftest import is_written, quick, wait_until

recipe = quick(frame_epochs=1, epochs=1, size_px=224, batch_size=27)
experiment = make_experiment(Path(sys.argv[1]), recipe, fold=3, seed=0)

def on_event(event):
    print("epoch", event.stage, flush=True)
    wait_until(lambda: is_written(Path(sys.argv[2]), event))
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**24, resource.RLIM_INFINITY))

model = initial_model(experiment, init=None)[0]
fit(experiment, model, folder=Path(sys.argv[2]), device=torch.device("cpu"), on_event=on_event)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", script, str(crops), str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ["epoch", "frames"], done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "out of memory on cpu with batch_size 27 at 224 px; halve batch_size" in last
    assert last.startswith("dfer_data.errors.DferError")
    state = load_state(state_path(tmp_path, "last"))
    assert state is not None
    assert (state["stage"], state["epoch"]) == (1, 1)
    assert json.loads((tmp_path / "checkpoints/last.json").read_bytes())["stage"] == "frames"

"""A training that was stopped anywhere, even while it saved, goes on and ends with the very same numbers."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dfer_data.errors import CorruptDataError, DferError, UsageError
from lstpnet.errors import CheckpointError
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run
from lstpnet.training import stage, trainer
from lstpnet.training.earlier_run import run_state
from lstpnet.training.events import ClipsPredicted
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.resume_state import load_state, save_state, state_path
from lstpnet.training.run import train_run
from tests.faults.conftest import SmallDisk, small_disk
from tests.lstpnet.conftest import is_written, quick, wait_until
from tests.workspace import ROOT

__all__ = ["small_disk"]

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 12,
    "accumulate": 2,
    "ema": 0.9,
    "clip_norm": 1.0,
    "mixup": 0.2,
    "crop": 0.7,
    "class_sampling": "balanced",
    "class_weights": "effective",
    "focal_gamma": 1.0,
    "layer_decay": 0.8,
    "val": "blocks",
    "refit": True,
}
NUM_KILLS_SOAK = 100


class Stop(Exception):
    """Stands for whatever ends a process."""


FINE_TUNING: dict[str, Any] = {
    "epochs": 1,
    "frame_epochs": 0,
    "accumulate": 2,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "warmup_learning_rate": 1e-5,
    "min_learning_rate": 1e-5,
    "weight_decay_on": "matrices",
    "randaugment_ops": 4,
    "input_norm": "imagenet",
    "test_size_px": 40,
    "test_crops": 2,
}
WITH_MIXING = {**FINE_TUNING, "mixup": 0.8, "cutmix": 1.0}
WITH_CENTRES = {**FINE_TUNING, "center": 0.01, "clustered": 1.0}


def experiment_of(crops: Path, **changes: Any) -> Experiment:
    return make_experiment(crops, quick(**{**EVERYTHING, **changes}), fold=3, seed=0)


def go_on(experiment: Experiment, folder: Path) -> None:
    """Train as `dfer train` does: go on where there is something to go on from."""
    train_run(experiment, folder, device=CPU, continues=run_state(folder, experiment) == "begun", save_seconds=0)


def outcome(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The metrics without their times, and every byte of predictions and weights."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["waiting_seconds"]
    found: dict[str, Any] = {}
    for part in read_predictions(folder, read_run(folder)):
        found[f"{part.checkpoint} {part.control}"] = part.logits.tobytes()
    for path in sorted((folder / "checkpoints").glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            found[f"{path.name} {name}"] = tensor.numpy().tobytes()
    return lines, found


@pytest.fixture(scope="module")
def whole(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Any]:
    """An experiment with every setting that has a state, and what comes of it undisturbed."""
    experiment, folder = experiment_of(crops), tmp_path_factory.mktemp("whole") / "run"
    go_on(experiment, folder)
    assert not (folder / "state").exists()
    return experiment, outcome(folder)


def stop_after_steps(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], None]:
    """Let the training be stopped by an exception after so many batches; returns how to let it go on."""
    original, count = stage.StageLoop._step, 0

    def step(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > number:
            raise Stop
        return original(self, *args, **options)

    monkeypatch.setattr(stage.StageLoop, "_step", step)
    return lambda: monkeypatch.setattr(stage.StageLoop, "_step", original)


@pytest.mark.parametrize("num_steps", [1, 3, 10])
def test_it_goes_on_from_any_step(
    whole: tuple[Experiment, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_steps: int
) -> None:
    experiment, wanted = whole
    undo = stop_after_steps(monkeypatch, num_steps)
    with pytest.raises(Stop):
        go_on(experiment, tmp_path / "run")
    undo()
    assert run_state(tmp_path / "run", experiment) == ("begun" if num_steps > 1 else "absent")
    if num_steps == 3:  # steps of two batches: saved inside the epoch, after the first
        state = load_state(state_path(tmp_path / "run", "last"))
        assert state is not None
        assert (state["stage"], state["epoch"], state["position"]) == (0, 1, 2)
    go_on(experiment, tmp_path / "run")
    assert outcome(tmp_path / "run") == wanted
    assert len(json.loads((tmp_path / "run/config.json").read_bytes()).get("resumed", [])) == (num_steps > 1)


@pytest.mark.parametrize("changes", [WITH_MIXING, WITH_CENTRES], ids=["mixing", "centres"])
def test_what_fine_tuning_needs_goes_on_too(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    experiment = make_experiment(crops, quick(batch_size=12, **changes), fold=3, seed=0)
    go_on(experiment, tmp_path / "whole")
    undo = stop_after_steps(monkeypatch, 3)
    with pytest.raises(Stop):
        go_on(experiment, tmp_path / "run")
    undo()
    assert run_state(tmp_path / "run", experiment) == "begun"
    go_on(experiment, tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.lstpnet.training import test_resume_state as here
crops, folder, changes = Path(sys.argv[1]), Path(sys.argv[2]), eval(sys.argv[3])
if sys.argv[4] == "while saving":
    import os, signal
    saves, original = 0, torch.save
    def save(state, file):
        global saves
        saves += 1
        if saves == 3:
            file.write(b"half of a state" * 1000)
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        original(state, file)
    torch.save = save
print("ready", flush=True)
here.go_on(here.experiment_of(crops, **changes), folder)
"""


def started(crops: Path, folder: Path, how: str, **changes: Any) -> subprocess.Popen[str]:
    arguments = [str(crops), str(folder), repr(changes), how]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    return process


def test_a_kill_while_saving_leaves_the_state_before(
    whole: tuple[Experiment, Any], crops: Path, tmp_path: Path
) -> None:
    experiment, wanted = whole
    process = started(crops, tmp_path / "run", "while saving")
    assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "run/state/last.pt.part").is_file()
    assert load_state(state_path(tmp_path / "run", "last")) is not None
    go_on(experiment, tmp_path / "run")
    assert outcome(tmp_path / "run") == wanted


def kill_again_and_again(crops: Path, folder: Path, experiment: Experiment, wanted: Any, *, num_kills: int) -> int:
    """Kill trainings at random moments until there were so many kills; each that ends is compared and begun anew."""
    rng, kills, ends = random.Random(5), 0, 0
    while kills < num_kills:
        process = started(crops, folder, "at random")
        try:
            process.wait(timeout=rng.uniform(0.0, 2.5))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        if run_state(folder, experiment) == "finished":
            assert outcome(folder) == wanted
            shutil.rmtree(folder)
            ends += 1
    go_on(experiment, folder)
    assert outcome(folder) == wanted
    return ends + 1


@pytest.mark.soak
def test_a_hundred_kills_at_random_moments(whole: tuple[Experiment, Any], crops: Path, tmp_path: Path) -> None:
    experiment, wanted = whole
    ends = kill_again_and_again(crops, tmp_path / "run", experiment, wanted, num_kills=NUM_KILLS_SOAK)
    print(f"{NUM_KILLS_SOAK} kills, {ends} trainings brought to their end; all equal")


def test_a_full_disk_leaves_state_and_checkpoint_and_it_goes_on(
    whole: tuple[Experiment, Any], small_disk: SmallDisk
) -> None:
    experiment, wanted = whole
    folder = small_disk("size=64m") / "run"
    filler = folder.parent / "filler"

    def fill(event: Any) -> None:
        if event.epoch == 1 and event.stage == "frames":
            wait_until(lambda: is_written(folder, event))
            free = shutil.disk_usage(folder.parent).free
            filler.write_bytes(bytes(max(0, free - (1 << 20))))

    with pytest.raises(DferError, match=r"cannot write .*run: .*intact; make room and run again"):
        train_run(experiment, folder, device=CPU, on_event=fill)
    assert run_state(folder, experiment) == "begun"
    assert load_file(folder / "checkpoints/last.safetensors")
    filler.unlink()
    go_on(experiment, folder)
    assert outcome(folder) == wanted


def test_a_run_that_began_with_other_settings_is_not_gone_on_with(
    whole: tuple[Experiment, Any], crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, _ = whole
    undo = stop_after_steps(monkeypatch, 5)
    with pytest.raises(Stop):
        go_on(experiment, tmp_path / "run")
    undo()
    with pytest.raises(UsageError, match=r"other settings \(ema: 0\.9 there, 0\.5 now\); choose another --out, or --f"):
        run_state(tmp_path / "run", experiment_of(crops, ema=0.5))


@pytest.mark.parametrize("free_kib", [0, 600])
def test_a_disk_that_is_full_after_the_last_epoch_is_one_line(
    crops: Path, small_disk: SmallDisk, free_kib: int
) -> None:
    """There is room for the predictions, or not even for these; none for the checkpoint `best`."""
    experiment = make_experiment(crops, quick(val="blocks", frame_epochs=0, epochs=1), fold=3, seed=0)
    folder = small_disk("size=64m") / "run"
    filler = folder.parent / "filler"

    def fill(step: Any) -> None:
        if isinstance(step, ClipsPredicted) and not filler.exists() and state_is_over(folder):
            filler.write_bytes(bytes(max(0, shutil.disk_usage(folder.parent).free - (free_kib << 10))))

    with pytest.raises(DferError, match=r"cannot write .*run: .*intact; make room and run again"):
        train_run(experiment, folder, device=CPU, on_step=fill)
    filler.unlink()
    assert run_state(folder, experiment) == "begun"
    go_on(experiment, folder)
    assert read_run(folder).checkpoints == ("last", "best")


def state_is_over(folder: Path) -> bool:
    state = load_state(state_path(folder, "last"))
    return state is not None and state["stage"] == 2


@pytest.mark.parametrize("num_processes", [1, 2])
def test_another_number_of_processes_does_not_resume_in_the_middle(
    whole: tuple[Experiment, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_processes: int
) -> None:
    """Twice as many processes take half as many steps: the rate would fall twice as late, and clips be left out."""
    experiment, wanted = whole
    folder = tmp_path / "run"
    undo = stop_after_steps(monkeypatch, 5)
    with pytest.raises(Stop):
        go_on(experiment, folder)
    undo()
    path = state_path(folder, "last")
    state = load_state(path)
    assert state is not None
    save_state(path, state | {"num_processes": num_processes})
    if num_processes == 2:
        with pytest.raises(CheckpointError, match=r"by 2 processes, and this is one by 1: .*start 2, or --force"):
            go_on(experiment, folder)
        return
    go_on(experiment, folder)
    assert outcome(folder) == wanted


@pytest.mark.parametrize("content", [b"", b"junk", None])
def test_a_damaged_state_is_named(
    whole: tuple[Experiment, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    experiment, _ = whole
    undo = stop_after_steps(monkeypatch, 5)
    with pytest.raises(Stop):
        go_on(experiment, tmp_path / "run")
    undo()
    path = state_path(tmp_path / "run", "last")
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(CorruptDataError, match=r"last\.pt is damaged \(.*\); --force trains from the start"):
        go_on(experiment, tmp_path / "run")


def test_a_line_of_metrics_that_a_kill_cut_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept, other = b'{"checkpoint": "last"}\n', b'{"checkpoint": "refit"}\n'
    path.write_bytes(kept + other + other[:9])
    trainer._rewind(path, "refit", None)
    assert path.read_bytes() == kept

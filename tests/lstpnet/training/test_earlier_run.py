"""A run folder that holds an earlier run: finished, killed, failed or damaged, and what training again makes of it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch

import lstpnet
from dfer_data.errors import CorruptDataError, CorruptShardError, DferError, LockedError, UsageError
from dfer_data.storage.files import sha256_file
from lstpnet.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lstpnet.errors import CheckpointError
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.training import stage
from lstpnet.training.earlier_run import remove_old_state, run_state
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment
from lstpnet.training.initial_model import network_of_recipe
from lstpnet.training.run import train_run
from lstpnet.verification.verify_run import verify_run
from tests.dfer_data.tiny import tree
from tests.lstpnet.conftest import QUICK, Done, train
from tests.lstpnet.training.run_results import experiment_with, is_finished, metrics, results_of
from tests.workspace import ROOT

CPU = torch.device("cpu")


@pytest.fixture
def copy(plain: Done, tmp_path: Path) -> Path:
    """A copy of a finished run, in the same place below another folder."""
    return Path(shutil.copytree(plain.folder, plain.experiment.run_folder(tmp_path / "runs")))


def test_the_same_finished_run_is_found(plain: Done, crops: Path) -> None:
    assert run_state(plain.folder, plain.experiment) == "finished"
    assert run_state(plain.folder, experiment_with(crops)) == "finished"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, r"epochs: 2 there, 3 now"),
        ({"val": "blocks", "flip": 0.25}, r"flip: 0\.5 there, 0\.25 now; val: 'none' there, 'blocks' now"),
        ({"seed": 1}, r"seed: 0 there, 1 now"),
        ({"fold": 2}, r"fold: 3 there, 2 now"),
    ],
)
def test_a_finished_run_with_other_settings_is_not_overwritten(
    plain: Done, crops: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=rf"other settings \({words}\); choose another --out, or --force"):
        run_state(plain.folder, experiment_with(crops, **changes))


def test_a_finished_run_on_other_data_is_not_overwritten(plain: Done, many_crops: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a run on other data \(.*\); choose another --out, or --force"):
        run_state(plain.folder, experiment_with(many_crops))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"settings": 3}'])
def test_a_finished_run_with_a_damaged_config_is_not_overwritten(
    plain: Done, copy: Path, content: bytes | None
) -> None:
    (copy / "config.json").unlink()
    if content is not None:
        (copy / "config.json").write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"finished run whose config\.json is missing or damaged .*--force"):
        run_state(copy, plain.experiment)


@pytest.mark.parametrize("left", [(), ("config.json",), ("config.json", "metrics.jsonl")])
def test_what_is_not_finished_is_not_found(plain: Done, tmp_path: Path, left: tuple[str, ...]) -> None:
    for name in left:
        shutil.copy(plain.folder / name, tmp_path)
    assert run_state(tmp_path, plain.experiment) == "absent"


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from lstpnet.recipe_files import resolve_recipe
from lstpnet.training.experiment import make_experiment
from lstpnet.training import trainer
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import is_written, wait_until

trainer.PAUSE_SECONDS = 0

def stop(event):
    if (event.stage, event.epoch) == (sys.argv[4], 1):
        wait_until(lambda: is_written(Path(sys.argv[2]), event))
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
overrides = eval(sys.argv[3])
experiment = make_experiment(Path(sys.argv[1]), resolve_recipe("demo", overrides=overrides), fold=3, seed=0)
train_run(experiment, Path(sys.argv[2]), device=torch.device("cpu"), on_event=stop)
"""


def test_a_killed_run_starts_again_and_ends_as_if_nothing_had_happened(plain: Done, tmp_path: Path) -> None:
    folder = plain.experiment.run_folder(tmp_path)
    arguments = [str(plain.experiment.data.root), str(folder), repr(QUICK), "clips"]
    line = [sys.executable, "-c", KILLED, *arguments]
    done = subprocess.run(line, check=False, capture_output=True, timeout=120, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(metrics(folder)) == 2
    assert run_state(folder, plain.experiment) == "begun"
    assert [run.folder for run in load_runs(find_runs(tmp_path))[1]] == [folder]
    train(plain.experiment, tmp_path)
    assert metrics(folder) == metrics(plain.folder)
    assert results_of(folder) == results_of(plain.folder)
    assert sorted(tree(folder)) == sorted(tree(plain.folder))


def test_training_again_replaces_all_of_the_old_run(validated: Done, plain: Done, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(validated.folder, plain.experiment.run_folder(tmp_path)))
    train(plain.experiment, tmp_path)
    assert results_of(folder) == results_of(plain.folder)
    assert sorted(tree(folder)) == sorted(tree(plain.folder))


def test_a_start_that_does_not_fit_leaves_the_old_run_alone(plain: Done, copy: Path, tmp_path: Path) -> None:
    before = tree(copy)
    path = tmp_path / "start.safetensors"
    path.write_bytes((copy / "checkpoints/last.safetensors").read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"start\.safetensors cannot be read"):
        train_run(plain.experiment, copy, device=CPU, init=path)
    assert tree(copy) == before


def test_a_run_may_start_from_its_own_old_weights(plain: Done, copy: Path) -> None:
    train_run(plain.experiment, copy, device=CPU, init=copy / "checkpoints/last.safetensors")
    assert is_finished(copy)
    assert metrics(copy)[0]["loss"] < metrics(plain.folder)[0]["loss"]
    started = sha256_file(plain.folder / "checkpoints/last.safetensors")
    assert json.loads((copy / "config.json").read_bytes())["settings"]["init_sha256"] == started
    assert f"start weights {started[:12]}" in json.loads((copy / "run.json").read_bytes())["protocol"]
    with pytest.raises(UsageError, match="init_sha256"):
        run_state(copy, plain.experiment)


def test_two_trainings_of_one_run_do_not_mix(plain: Done, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with filelock.FileLock(tmp_path / ".run.lock"), pytest.raises(LockedError, match="another training"):
        train_run(plain.experiment, folder, device=CPU)
    assert not folder.exists()


def test_a_start_is_used(plain: Done, tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    save_checkpoint(network_of_recipe(plain.experiment.recipe, num_classes=7, seed=0), path, facts={})
    train_run(plain.experiment, tmp_path / "run", device=CPU, init=path)
    assert metrics(tmp_path / "run") == metrics(plain.folder)


def test_a_run_that_diverges_stays_unfinished(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(event: EpochDone) -> None:
        if (event.stage, event.epoch) == ("clips", 1):
            monkeypatch.setattr(stage, "normalised", lambda frames, norm: frames.float() * float("nan"))

    with pytest.raises(DferError, match="loss became nan"):
        train_run(experiment, tmp_path, device=CPU, on_event=poison)
    assert not is_finished(tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()
    load_checkpoint(
        network_of_recipe(experiment.recipe, num_classes=7, seed=0), tmp_path / "checkpoints/last.safetensors"
    )


def test_a_network_that_says_nothing_finite_is_no_result(crops: Path, tmp_path: Path) -> None:
    experiment = experiment_with(crops, learning_rate=1e30, frame_epochs=0, epochs=1, batch_size=64)
    with pytest.raises(DferError, match=r"logits are not finite for clip 00\d+.* a lower learning_rate"):
        train_run(experiment, tmp_path, device=CPU)
    assert not is_finished(tmp_path)


def test_damaged_data_ends_the_run_unfinished(damaged_crops: Path, tmp_path: Path) -> None:
    experiment = experiment_with(damaged_crops)
    with pytest.raises(CorruptShardError, match=r"00000\.safetensors: frame \d+ of clip 00001"):
        train_run(experiment, tmp_path, device=CPU)
    assert not is_finished(tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()


KILLED_AT = """
import os, signal, sys
import torch
import lstpnet

def kill(event, arguments):
    if event == sys.argv[4] and str(arguments[0]).endswith(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
sys.addaudithook(kill)
options = {"recipe": "demo", "overrides": eval(sys.argv[3]), "out": sys.argv[2], "device": "cpu"}
lstpnet.train(sys.argv[1], fold=3, **options, force=len(sys.argv) > 6)
"""
"""Python reports each removal to an audit hook before it happens."""


def killed_at(
    removal: tuple[str, str], crops: Path, out: Path, changes: dict[str, Any], *, force: bool = False
) -> None:
    """Train in another process, which is killed when it removes a file or folder: an audit event and a name."""
    arguments = [str(crops), str(out), repr(QUICK | changes), *removal, *["--force"] * force]
    line = [sys.executable, "-c", KILLED_AT, *arguments]
    done = subprocess.run(line, check=False, capture_output=True, timeout=120, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("removal", [("os.remove", "last.pt"), ("os.remove", "refit.pt"), ("os.rmdir", "state")])
def test_a_state_that_a_kill_leaves_in_a_finished_run_is_removed(
    crops: Path, tmp_path: Path, removal: tuple[str, str]
) -> None:
    changes: dict[str, Any] = {"val": "blocks", "refit": True, "frame_epochs": 0, "epochs": 1}
    killed_at(removal, crops, tmp_path, changes)
    (folder,) = find_runs(tmp_path)
    assert (folder / "state").is_dir()
    result = verify_run(folder)
    assert (result.damages, result.notes, is_finished(folder)) == ((), (), True)
    before = tree(folder)
    run = lstpnet.train(crops, fold=3, recipe="demo", overrides=QUICK | changes, out=tmp_path, device="cpu")
    assert run.folder == folder
    assert not (folder / "state").exists()
    assert tree(folder) == {name: digest for name, digest in before.items() if not name.startswith("state/")}


def test_the_state_of_a_training_that_has_the_lock_is_left_alone(copy: Path) -> None:
    (copy / "state").mkdir()
    with filelock.FileLock(copy.with_name(f".{copy.name}.lock")):
        remove_old_state(copy)
        assert (copy / "state").is_dir()
    remove_old_state(copy)
    assert not (copy / "state").exists()


@pytest.mark.parametrize("left", ["checkpoints/best.safetensors", "state/refit.pt", "metrics.jsonl"])
def test_a_kill_while_an_old_run_is_removed_leaves_nothing_of_it(plain: Done, tmp_path: Path, left: str) -> None:
    """The old run had a checkpoint `best`, which the new one has not."""
    folder = plain.experiment.run_folder(tmp_path)
    (folder / left).parent.mkdir(parents=True)
    (folder / left).write_bytes(b"old")
    train(plain.experiment, tmp_path)
    assert results_of(folder) == results_of(plain.folder)
    assert sorted(tree(folder)) == sorted(tree(plain.folder))
    assert verify_run(folder).damages == ()


def test_an_old_run_that_is_partly_removed_is_not_resumed(validated: Done, crops: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(validated.folder, validated.experiment.run_folder(tmp_path)))
    (folder / "state").mkdir()
    (folder / "state/last.pt").write_bytes(b"whole")
    killed_at(("os.remove", "config.json"), crops, tmp_path, {"val": "blocks", "controls": True}, force=True)
    assert (folder / "config.json").exists()
    assert run_state(folder, validated.experiment) == "absent"

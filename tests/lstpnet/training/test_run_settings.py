from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import lstpnet
from dfer_data import open_dataset
from dfer_data.errors import UsageError
from lstpnet.checkpoints.open_model import open_model
from lstpnet.finished_runs import open_run
from lstpnet.recipe import LATER
from lstpnet.runs import read_config, read_run, write_config, write_run
from lstpnet.training.earlier_run import run_state
from lstpnet.training.experiment import make_experiment
from lstpnet.verification.verify_run import verify_run
from tests.changed_datasets import as_of_release, copy_of, refolded, relabelled, rewritten, with_fold_set
from tests.lstpnet.conftest import Done, quick, train

HASHES = ("dataset_sha256", "labels_sha256", "folds_sha256", "fold_set")


@pytest.fixture
def copy(crops: Path, tmp_path: Path) -> Path:
    """A copy of the dataset of the run `plain`."""
    return copy_of(crops, tmp_path)


def state(folder: Path, data: Path) -> str:
    return run_state(folder, make_experiment(data, quick(), fold=3, seed=0))


def as_of_older_dfer(run: Done, data: Path, folder: Path) -> Path:
    """A copy of a run as a dfer before the hashes of labels and folds left it, on a dataset of that time."""
    shutil.copytree(run.folder, folder)
    info, config = read_run(folder), read_config(folder)
    sha256 = open_dataset(data).document["sha256"]
    settings = {key: value for key, value in config["settings"].items() if key not in HASHES}
    names = list(config.pop("files"))
    config.pop("sha256")
    write_config(folder, config | {"settings": settings | {"dataset_sha256": sha256}}, names=names)
    protocol = "; ".join([f"data {sha256[:12]}", *info.protocol.split("; ")[1:]])
    whole = {"dataset_sha256": sha256, "labels_sha256": "", "folds_sha256": "", "protocol": protocol}
    write_run(folder, replace(info, **whole), files=info.files)
    return folder


def as_stored_before(run: Done, folder: Path, **changes: object) -> Path:
    """A copy of a run whose settings lack those that came later, as an earlier version left it."""
    shutil.copytree(run.folder, folder)
    config = read_config(folder)
    names = list(config.pop("files"))
    config.pop("sha256")
    settings = {key: value for key, value in config["settings"].items() if key not in LATER}
    write_config(folder, config | {"settings": settings | changes}, names=names)
    write_run(folder, read_run(folder), files=read_run(folder).files)
    return folder


def test_settings_that_came_later_do_not_disturb_a_run(plain: Done, tmp_path: Path) -> None:
    assert run_state(as_stored_before(plain, tmp_path / "run"), plain.experiment) == "finished"


def test_a_run_with_the_earlier_form_of_clustered_is_reported_and_not_resumed(plain: Done, tmp_path: Path) -> None:
    folder = as_stored_before(plain, tmp_path / "run", clustered=10.0)
    experiment = make_experiment(plain.experiment.data.root, quick(clustered=10), fold=3, seed=0)
    with pytest.raises(
        UsageError, match=r"other settings \(clustered_form: 'ratio' there, 'paper' now\); choose another"
    ):
        run_state(folder, experiment)
    assert len(lstpnet.report(folder).rows) == 1
    assert open_model(folder).recipe.clustered_form == "ratio"


@pytest.mark.parametrize("change", [rewritten, lambda root: with_fold_set(root, "mine")])
def test_another_layout_and_another_set_of_folds_do_not_disturb_a_run(
    plain: Done, copy: Path, change: Callable[[Path], Path]
) -> None:
    data = change(copy)
    assert open_dataset(data).document["sha256"] != plain.experiment.data.document["sha256"]
    assert state(plain.folder, data) == "finished"
    assert verify_run(plain.folder, data=data).damages == ()


@pytest.mark.parametrize(("change", "part"), [(relabelled, "labels"), (refolded, "folds")])
def test_changed_labels_and_folds_are_named_by_resume_and_verify(
    plain: Done, copy: Path, change: Callable[[Path], Path], part: str
) -> None:
    data = change(copy)
    words = rf"the {part} of \S+ changed since that run \({part} \w+ now, \w+ in that run\)"
    with pytest.raises(UsageError, match=rf"holds a run on other data \({words}\); choose another --out, or --force"):
        state(plain.folder, data)
    with pytest.raises(UsageError, match=rf"the {part} of \S+ changed since this run .*; train again, or omit --data"):
        verify_run(plain.folder, data=data)


def test_other_data_and_other_settings_are_both_named(plain: Done, copy: Path) -> None:
    experiment = make_experiment(relabelled(copy), quick(epochs=3), fold=3, seed=0)
    with pytest.raises(UsageError, match=r"on other data \(the labels .*\) and with other settings \(epochs: 2 there"):
        run_state(plain.folder, experiment)


def test_a_run_of_an_older_dfer_fits_its_dataset_and_no_changed_one(plain: Done, copy: Path, tmp_path: Path) -> None:
    data = as_of_release(copy)
    folder = as_of_older_dfer(plain, data, tmp_path / "old")
    assert state(folder, data) == "finished"
    assert verify_run(folder, data=data).damages == ()
    upgraded = rewritten(copy_of(data, tmp_path / "upgraded"))
    for found in (lambda: state(folder, upgraded), lambda: verify_run(folder, data=upgraded)):
        with pytest.raises(UsageError, match=r"was prepared or changed by a newer dfer, and (this|that) run has only"):
            found()


def test_a_run_on_an_own_set_is_trained_resumed_verified_and_reported(copy: Path, tmp_path: Path) -> None:
    data, runs = with_fold_set(copy, "mine"), tmp_path / "runs"
    experiment = make_experiment(data, quick(frame_epochs=0, epochs=1), fold=1, seed=0, fold_set="mine")
    folder = experiment.run_folder(runs)
    train(experiment, runs)
    info = open_run(folder).info
    assert (info.fold_set, info.fold, info.identity) == ("mine", 1, open_dataset(data).identity("mine"))
    assert run_state(folder, experiment) == "finished"
    assert verify_run(folder, data=data).damages == ()
    with_fold_set(data, "mine", start=1)
    with pytest.raises(UsageError, match=r"the folds mine of \S+ changed since this run"):
        verify_run(folder, data=data)
    (row,) = lstpnet.report(runs).rows
    assert (row.fold_set, row.data_key) == ("mine", info.data_key)
    text = lstpnet.report(runs).to_markdown()
    assert "folds of mine" in text
    assert "fold 1 of mine" in row.protocol

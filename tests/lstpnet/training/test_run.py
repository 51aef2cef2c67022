"""A whole run: what it leaves, that it is repeatable, and that nothing of it is lost or mixed up."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw
from dfer_data.types import Image
from lstpnet.batches.normalize import normalised
from lstpnet.checkpoints.checkpoint import load_checkpoint
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.predictions_table import write_predictions
from lstpnet.reporting.build import build_report
from lstpnet.runs import read_run
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment
from lstpnet.training.initial_model import network_of_recipe
from lstpnet.training.run import train_run
from tests.crops import MISSING, label_of
from tests.dfer_data.tiny import tree
from tests.lstpnet.conftest import Done, is_written, quick, train, wait_until
from tests.lstpnet.training.run_results import experiment_with, is_finished, metrics, results_of

CPU = torch.device("cpu")
FACELESS = f"{MISSING[0]:05d}"


def predictions(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "predictions.parquet")


def test_the_folder_of_a_run(validated: Done) -> None:
    assert sorted(tree(validated.folder)) == [
        "README.md",
        "checkpoints/best.json",
        "checkpoints/best.safetensors",
        "checkpoints/last.json",
        "checkpoints/last.safetensors",
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "predictions.parquet",
        "run.json",
    ]
    info = read_run(validated.folder)
    assert (info.finished, info.checkpoints, info.fold, info.seed) == (True, ("last", "best"), 3, 0)
    assert (info.dataset, info.prepared, info.recipe, info.synthetic) == ("dfew", "dfew-none", "demo", False)
    assert (info.n_train, info.n_val) == (49, 6)
    assert info.protocol == validated.experiment.protocol()


def test_the_config_says_what_was_set_and_by_whom(plain: Done) -> None:
    config = json.loads((plain.folder / "config.json").read_bytes())
    assert config["settings"]["epochs"] == 2
    hashes = [config["settings"][name] for name in ("dataset_sha256", "labels_sha256", "folds_sha256")]
    assert hashes == list(astuple(plain.experiment.data.identity()))
    assert config["settings"]["fold_set"] == "official"
    assert (config["settings"]["fold"], config["settings"]["seed"]) == (3, 0)
    assert (config["origins"]["epochs"], config["origins"]["optimizer"]) == ("command line", "recipe demo")
    assert (config["device"], config["settings"]["init_sha256"], config["torch"]) == ("cpu", None, torch.__version__)
    assert config["num_threads"] == torch.get_num_threads()
    assert config["computed_precision"] == "f32"


def test_equal_settings_give_equal_bytes(plain: Done, tmp_path: Path) -> None:
    again = train(plain.experiment, tmp_path)
    assert metrics(again.folder) == metrics(plain.folder)
    assert results_of(again.folder) == results_of(plain.folder)
    assert len(results_of(again.folder)) == 4
    assert again.results == plain.results


@pytest.mark.parametrize("changes", [{"seed": 1}, {"flip": 0.0}, {"learning_rate": 2e-3}])
def test_other_settings_give_other_results(plain: Done, crops: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    class Enough(Exception):
        """Stops after the first epoch."""

    def stop(event: EpochDone) -> None:
        raise Enough

    with pytest.raises(Enough):
        train_run(experiment_with(crops, **changes), tmp_path, device=CPU, on_event=stop)
    assert metrics(tmp_path)[0]["loss"] != metrics(plain.folder)[0]["loss"]


def test_the_loss_falls(plain: Done) -> None:
    frames, *clips = metrics(plain.folder)
    assert (frames["stage"], [line["stage"] for line in clips]) == ("frames", ["clips", "clips"])
    assert clips[1]["loss"] < 0.7 * clips[0]["loss"]


def test_every_test_clip_is_predicted_once_a_checkpoint(plain: Done, validated: Done) -> None:
    for done, checkpoints in ((plain, ["last"]), (validated, ["last", "best"])):
        table = predictions(done.folder)
        for checkpoint in checkpoints:
            rows = table[(table["checkpoint"] == checkpoint) & (table["control"] == "")]
            assert tuple(rows["clip_id"]) == done.experiment.test_ids
            names = [done.experiment.data.class_names[label_of(int(clip_id)) - 1] for clip_id in rows["clip_id"]]
            assert list(rows["label"]) == names
        assert set(table["checkpoint"]) == set(checkpoints)


def test_clips_without_a_face_get_the_train_prior(validated: Done) -> None:
    table = predictions(validated.folder)
    faceless = table[table["clip_id"] == FACELESS]
    assert len(faceless) == 4  # last, best, and last with two controls
    prior = validated.experiment.prior_logits()
    assert all(np.array_equal(row, prior) for row in faceless["logits"])
    assert (table["has_face"] == (table["clip_id"] != FACELESS)).all()


def test_controls_are_predicted_only_when_asked_for(plain: Done, validated: Done) -> None:
    assert set(predictions(plain.folder)["control"]) == {""}
    table = predictions(validated.folder)
    of = {name: set(rows["control"]) for name, rows in table.groupby("checkpoint")}
    assert of == {"last": {"", "repeated-frame", "shuffled-frames"}, "best": {""}}


@pytest.mark.parametrize("checkpoint", ["last", "best"])
def test_the_stored_weights_give_the_stored_logits(validated: Done, checkpoint: str) -> None:
    recipe = validated.experiment.recipe
    model = network_of_recipe(recipe, num_classes=7, seed=9)
    load_checkpoint(model, validated.folder / "checkpoints" / f"{checkpoint}.safetensors")
    ids = [clip_id for clip_id in validated.experiment.test_ids if clip_id != FACELESS]
    logits = predict_clips(model, validated.experiment.data.root, ids, recipe=recipe, device=CPU, dtype=None)
    table = predictions(validated.folder)
    rows = table[(table["checkpoint"] == checkpoint) & (table["control"] == "") & table["has_face"]]
    assert np.array_equal(np.stack(rows["logits"].tolist()), logits)


def test_best_is_the_checkpoint_of_the_best_epoch(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures, kept = iter([(0.9, 0.9), (None, None), (0.1, 0.1), (None, None)]), []

    def keep(event: EpochDone) -> None:
        wait_until(lambda: is_written(tmp_path, event))
        kept.append((tmp_path / "checkpoints/last.safetensors").read_bytes())

    monkeypatch.setattr("lstpnet.training.stage.StageLoop._figures", lambda self, clip_ids: next(figures))
    monkeypatch.setattr("lstpnet.training.trainer.PAUSE_SECONDS", 0)
    train_run(experiment_with(crops, val="blocks", frame_epochs=0), tmp_path, device=CPU, on_event=keep)
    assert (tmp_path / "checkpoints/best.safetensors").read_bytes() == kept[0]
    assert (tmp_path / "checkpoints/last.safetensors").read_bytes() == kept[1] != kept[0]
    assert json.loads((tmp_path / "checkpoints/best.json").read_bytes())["epoch"] == 1
    best, last = (rows["logits"].iloc[0] for _, rows in predictions(tmp_path).groupby("checkpoint"))
    assert not np.array_equal(best, last)


def test_test_best_is_chosen_on_the_test_clips_and_says_so(crops: Path, tmp_path: Path) -> None:
    """It is what several papers do; wherever its figure shows, so does the way it was chosen."""
    experiment = experiment_with(crops, protocol="lstpnet", short="edge", frame_epochs=0, epochs=3, size_px=32)
    done = train(experiment, tmp_path)
    assert [row["checkpoint"] for row in done.results] == ["last", "test-best"]
    lines = metrics(done.folder)
    both = [line["test_war"] + line["test_uar"] for line in lines]
    chosen = json.loads((done.folder / "checkpoints/test-best.json").read_bytes())["epoch"]
    assert both[chosen - 1] == max(both)
    assert done.folder.parts[-3] == "demo+lstpnet"
    protocol = read_run(done.folder).protocol
    assert "test-best: the epoch with the best war+uar ON THE TEST CLIPS" in protocol
    assert "protocol lstpnet (LLFabiann/LSTPNet 6d8364d; its authors show the mean of folds)" in protocol
    assert "differs from it in short edge (lstpnet drop), size_px 32 (lstpnet 224)" in protocol
    row = next(row for row in build_report(*load_runs([done.folder])).rows if row.checkpoint == "test-best")
    assert "chosen on the test clips" in row.note


def test_test_clips_are_not_looked_at_before_the_end_unless_asked_for(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    real = FaceClipDataset.read_into

    def read_into(self: FaceClipDataset, index: int, out: Image) -> None:
        seen.append(self.clip_ids[index])
        real(self, index, out)

    monkeypatch.setattr(FaceClipDataset, "read_into", read_into)
    experiment = experiment_with(crops, val="blocks", refit=True, frame_epochs=1, epochs=2)
    train_run(experiment, tmp_path / "run", device=torch.device("cpu"), cache="off")
    tested = [clip_id for clip_id in seen if clip_id in set(experiment.test_ids)]
    assert Counter(tested) == dict.fromkeys(experiment.seen_test_ids, 3)  # once for last, for best and for refit
    last_train = max(index for index, clip_id in enumerate(seen) if clip_id not in set(experiment.test_ids))
    assert seen.index(tested[0]) < last_train  # the refit trains after the first two are predicted, and without them


def test_a_refit_trains_on_all_of_train_for_the_epochs_chosen(crops: Path, tmp_path: Path) -> None:
    experiment = experiment_with(crops, val="blocks", refit=True, frame_epochs=1, epochs=3)
    done = train(experiment, tmp_path)
    assert [row["checkpoint"] for row in done.results] == ["last", "best", "refit"]
    chosen = json.loads((done.folder / "checkpoints/best.json").read_bytes())["epoch"]
    again = [line for line in metrics(done.folder) if line["checkpoint"] == "refit"]
    assert [(line["stage"], line["epoch"]) for line in again] == [
        ("frames", 1),
        *(("clips", epoch) for epoch in range(1, chosen + 1)),
    ]
    rows = {row.checkpoint: row for row in build_report(*load_runs([done.folder])).rows}
    assert (rows["best"].n_train, rows["best"].n_val) == (49, 6)
    assert (rows["refit"].n_train, rows["refit"].n_val) == (55, 0)
    assert "refit on all of train" in rows["refit"].protocol


def test_several_views_are_averaged_as_probabilities(plain: Done, crops: Path) -> None:
    recipe = quick(sampler="strided-window-1", short="formula").recipe
    model = network_of_recipe(recipe, num_classes=7, seed=9)
    ids = plain.experiment.seen_test_ids
    logits = predict_clips(model, crops, ids, recipe=recipe, device=CPU, dtype=None)
    clips = FaceClipDataset(
        crops, clip_ids=ids, size_px=recipe.size_px, draw=FrameDraw(sampler="strided-window-1", short="formula")
    )
    model.eval()
    for index, row in enumerate(logits):
        frames = clips[index].frames
        assert frames.shape[:2] == (2, 16)
        with torch.no_grad():
            probabilities = model(normalised(frames, norm=recipe.input_norm)).softmax(dim=1).mean(dim=0)
        np.testing.assert_allclose(np.exp(row), probabilities.numpy(), atol=1e-5)


def test_the_report_gives_the_war_and_uar_counted_by_hand(validated: Done) -> None:
    report = build_report(*load_runs(find_runs(validated.folder.parents[3])))
    names = validated.experiment.data.class_names
    table = predictions(validated.folder)
    assert len(report.rows) == len(validated.results) == 2
    for row, result in zip(report.rows, validated.results, strict=True):
        mine = table[(table["checkpoint"] == row.checkpoint) & (table["control"] == "")]
        right = [
            names[int(np.argmax(logits))] == label for logits, label in zip(mine["logits"], mine["label"], strict=True)
        ]
        recalls = [
            np.mean([r for r, label in zip(right, mine["label"], strict=True) if label == name]) for name in names
        ]
        assert row.war == pytest.approx(np.mean(right))
        assert row.uar == pytest.approx(np.mean(recalls))
        assert (row.n, row.n_with_face, row.n_train, row.n_val) == (14, 13, 49, 6)
        assert result == {"checkpoint": row.checkpoint, "war": row.war, "uar": row.uar, "n": 14}
    assert {row.control for row in report.controls} == {"repeated-frame", "shuffled-frames"}


def test_run_json_says_finished_only_after_everything_else(experiment: Experiment, tmp_path: Path) -> None:
    states: list[bool] = []

    def watch(folder: Path, parts: Any) -> Any:
        states.append(read_run(folder).finished)
        files = write_predictions(folder, parts)
        states.append(read_run(folder).finished)
        return files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstpnet.training.run.write_predictions", watch)
        train_run(
            experiment,
            tmp_path / "run",
            device=CPU,
            on_event=lambda event: states.append(is_finished(tmp_path / "run")),
        )
    assert states == [False] * 5
    assert is_finished(tmp_path / "run")


def test_a_fold_with_no_face_in_its_test_part_gets_the_prior_throughout(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_with(crops, frame_epochs=0, epochs=1)
    monkeypatch.setattr(Experiment, "faceless_test_ids", property(lambda self: self.test_ids))
    table = predictions(train(experiment, tmp_path).folder)
    assert not table["has_face"].any()
    assert len({tuple(row) for row in table["logits"]}) == 1

"""A run, and a checkpoint of the authors' code, on a dataset with other classes; and vectors of its clips."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.storage.files import canonical_json
from lstpnet.checkpoints.open_model import open_model
from lstpnet.checkpoints.reference import export_reference
from lstpnet.dataset_identity import data_words
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run
from tests.changed_datasets import copy_of, with_fold_set
from tests.crops import MISSING, prepare_crops, write_crops
from tests.lstpnet.conftest import Done, synthetic_copy

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def other(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops with "fear" called "contempt", as a dataset with a class that the run does not know."""
    root = Path(shutil.copytree(crops, tmp_path_factory.mktemp("other") / "mafw-none"))
    clips = open_dataset(root).clips
    clips.assign(label=clips["label"].replace("fear", "contempt")).to_parquet(root / "clips.parquet", index=False)
    document = json.loads((root / "dataset.json").read_bytes())
    del document["sha256"]
    document["class_names"] = ["contempt", *document["class_names"][:-1]]
    document["files"]["clips.parquet"]["sha256"] = hashlib.sha256((root / "clips.parquet").read_bytes()).hexdigest()
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (root / "dataset.json").write_bytes(canonical_json(document))
    return root


def evaluated(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", *arguments, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_on_its_own_test_part_it_says_what_the_run_says(
    plain: Done, crops: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "p.csv"
    found = evaluated(capsys, str(plain.folder), "--data", str(crops), "--fold", "3", "--out", str(out))
    (part,) = read_predictions(plain.folder, read_run(plain.folder))
    classes = open_dataset(crops).class_names
    right = [classes[int(row.argmax())] == label for row, label in zip(part.logits, part.labels, strict=True)]
    faceless = (~part.has_face).nonzero()[0]
    assert found["n"] == len(right) == 14
    assert found["clips_without_face"] == len(faceless) == 1
    assert found["war"] == pytest.approx(sum(r for i, r in enumerate(right) if i not in faceless) / 14)
    assert main(["report", "--predictions", str(out), "--data", str(crops), "--fold", "3", "--json"]) == 0
    (row,) = [r for r in json.loads(capsys.readouterr().out)["rows"] if r["fold"] == 3][:1]
    assert row["war"] == pytest.approx(found["war"])


def test_an_own_set_of_folds_selects_its_test_clips_and_is_named(
    plain: Done, crops: Path, tmp_path: Path, capsys: Capture
) -> None:
    data, out = with_fold_set(copy_of(crops, tmp_path), "mine"), tmp_path / "p.csv"
    line = [str(plain.folder), "--data", str(data), "--fold", "1", "--fold-set", "mine"]
    found, identity = evaluated(capsys, *line, "--out", str(out)), open_dataset(data).identity("mine")
    assert (found["n"], found["folds"], found["fold_set"]) == (35, ["1"], "mine")
    hashes = tuple(found[name] for name in ("dataset_sha256", "labels_sha256", "folds_sha256"))
    assert hashes == (identity.content_sha256, identity.labels_sha256, identity.folds_sha256)
    line = ["report", "--predictions", str(out), "--data", str(data), "--fold", "1", "--fold-set", "mine"]
    assert main([*line, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["n"], row["war"], row["fold_set"]) == (35, pytest.approx(found["war"]), "mine")
    assert f"p.csv, fold 1 of mine, n_test 35, dataset {data_words(identity)}; " in row["protocol"]


def test_a_set_of_folds_needs_a_fold_or_predictions(plain: Done, crops: Path, capsys: Capture) -> None:
    assert main(["evaluate", str(plain.folder), "--data", str(crops), "--fold-set", "official"]) == 2
    assert "error: --fold-set needs --fold, such as --fold all" in capsys.readouterr().err
    assert main(["report", str(plain.folder), "--fold-set", "official"]) == 2
    assert "error: --fold-set needs --predictions: runs know their folds" in capsys.readouterr().err


def test_clips_that_the_run_was_trained_on_are_counted_and_named(plain: Done, crops: Path, capsys: Capture) -> None:
    splits = open_dataset(crops).fold("3")
    assert main(["evaluate", str(plain.folder), "--data", str(crops), "--json"]) == 0
    output = capsys.readouterr()
    number = json.loads(output.out)["clips_of_its_train_part"]
    assert number == list(splits.values()).count("train")
    words = " ".join(output.err.split())
    assert f"was trained on {number} of {len(splits)} clips, of the train part of fold 3: " in words
    assert "the figures are too high; --fold 3 tests the others" in words
    assert main(["evaluate", str(plain.folder), "--data", str(crops), "--fold", "3", "--json"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["clips_of_its_train_part"] == 0
    assert "train part" not in output.err


def test_folds_that_are_counted_together_are_called_so(plain: Done, crops: Path, capsys: Capture) -> None:
    folds = open_dataset(crops).fold_names()
    assert len(folds) > 1
    assert main(["evaluate", str(plain.folder), "--data", str(crops), "--fold", "all"]) == 0
    words = f"the clips of {len(folds)} folds counted together (not the mean of the folds)"
    assert words in " ".join(capsys.readouterr().out.split())
    assert evaluated(capsys, str(plain.folder), "--data", str(crops), "--fold", "all")["folds_are"] == "pooled"
    assert evaluated(capsys, str(plain.folder), "--data", str(crops), "--fold", "3")["folds_are"] == ""


def test_rendered_heads_are_named_with_the_score(plain: Done, crops: Path, tmp_path: Path, capsys: Capture) -> None:
    run = synthetic_copy(plain.folder, tmp_path / "run")
    rendered = prepare_crops(write_crops(tmp_path / "source", num_clips=35, is_synthetic=True), tmp_path / "rendered")
    for model, data, notes in (
        (plain.folder, crops, []),
        (run, crops, [f"note: {run} was trained on rendered heads: says nothing about real faces"]),
        (plain.folder, rendered, [f"note: {rendered} shows synthetic heads: not comparable with published figures"]),
    ):
        assert main(["evaluate", str(model), "--data", str(data), "--json"]) == 0
        said = capsys.readouterr()
        document = json.loads(said.out)
        assert [line for line in said.err.splitlines() if "train part" not in line and "heads" in line] == notes
        assert (document["synthetic_model"], document["synthetic_data"]) == (model == run, data == rendered)


def test_classes_are_matched_by_name_and_what_is_left_out_is_counted(
    plain: Done, other: Path, crops: Path, capsys: Capture
) -> None:
    found = evaluated(capsys, str(plain.folder), "--data", str(other))
    assert found["left_out"] == {"contempt": 10}
    assert found["n"] == 60
    assert found["classes_without_clips"] == ["fear"]
    assert found["recall"]["fear"] is None
    same = evaluated(capsys, str(plain.folder), "--data", str(crops))
    for name in ("happy", "sad", "disgust"):
        assert found["recall"][name] == same["recall"][name]
    masked = evaluated(capsys, str(plain.folder), "--data", str(other), "--mask")
    assert masked["war"] >= found["war"]
    assert main(["evaluate", str(plain.folder), "--data", str(other)]) == 0
    assert "classes unknown to the model, left out: contempt (10 clips)" in capsys.readouterr().out


def test_openvino_gives_the_same_scores_and_is_named(plain: Done, crops: Path, capsys: Capture) -> None:
    line = [str(plain.folder), "--data", str(crops), "--fold", "3"]
    exact = ["--set", "precision=f32"]
    torch_scores, scores = evaluated(capsys, *line, *exact), evaluated(capsys, *line, *exact, "--runtime", "openvino")
    assert (torch_scores.pop("runtime"), torch_scores.pop("precision")) == ("torch", "f32")
    assert (scores.pop("runtime"), scores.pop("precision")) == ("openvino", "f32")
    assert scores == torch_scores
    assert main(["evaluate", *line, *exact]) == 0
    assert "computed by" not in capsys.readouterr().out
    assert main(["evaluate", *line, "--set", "precision=bf16"]) == 0
    assert "; computed by torch in bf16" in capsys.readouterr().out
    assert main(["evaluate", *line, "--runtime", "openvino", "--device", "cuda"]) == 2
    assert "--runtime openvino computes on the CPU; leave out --device cuda" in capsys.readouterr().err


def test_several_views_and_other_rules_by_option(plain: Done, crops: Path, capsys: Capture) -> None:
    run, data = str(plain.folder), str(crops)
    views = evaluated(capsys, run, "--data", data, "--fold", "3", "--set", "sampler=strided-window-1")
    assert (views["sampler"], views["n"]) == ("strided-window-1", 14)
    strict = evaluated(capsys, run, "--data", data, "--fold", "3", "--protocol", "lstpnet")
    assert (strict["n"], strict["least_frames"], strict["clips_without_face"]) == (12, 16, 0)
    assert main(["evaluate", run, "--data", data, "--set", "size_px=64"]) == 2
    assert (
        "size_px cannot be changed after training; these can: num_frames, sampler, sample_by,"
        in capsys.readouterr().err
    )


def test_the_authors_checkpoint_follows_the_classes_of_its_dataset(
    crops: Path, tmp_path: Path, capsys: Capture
) -> None:
    torch.manual_seed(0)
    torch.save(export_reference(LSTPNet(7)), tmp_path / "theirs.pth")
    data, path = open_dataset(crops), tmp_path / "theirs.pth"
    found = {}
    for name in ("dfew", "ferv39k"):
        opened = open_model(path, trained_on=name)
        result = evaluate_on(opened, data, ["00001", "00002"], is_masked=False, device=torch.device("cpu"))
        found[name] = dict(zip(opened.class_names, result.logits.T.tolist(), strict=True))
    assert found["dfew"]["happy"] == found["ferv39k"]["neutral"]
    assert found["dfew"]["fear"] == found["ferv39k"]["angry"]
    assert main(["evaluate", str(path), "--data", str(crops)]) == 2
    assert "name the dataset it was trained on" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_features_lead_to_the_runs_logits(
    plain: Done, crops: Path, tmp_path: Path, capsys: Capture, suffix: str
) -> None:
    from lstpnet.checkpoints.trained_run import load_trained

    out = tmp_path / f"f.{suffix}"
    assert main(["features", str(plain.folder), "--data", str(crops), "--fold", "3", "--out", str(out)]) == 0
    assert "13 clips of 16 frames, vectors of 64; 1 clip without a face left out" in capsys.readouterr().out
    if suffix == "npz":
        with np.load(out) as found:
            ids, clips, frames = found["clip_ids"].tolist(), found["clips"], found["frames"]
            numbers = found["frame_numbers"].tolist()
    else:
        table = pd.read_parquet(out)
        ids, clips = table["clip_id"].tolist(), np.stack(table["clip"].tolist())
        frames = np.stack([np.stack(one) for one in table["frames"]])
        numbers = [list(row) for row in table["frame_numbers"]]
    assert frames.shape == (13, 16, 64)
    assert numbers == [open_dataset(crops).test_frames(clip_id) for clip_id in ids]
    assert f"{MISSING[0]:05d}" not in ids
    model = load_trained(plain.folder).model
    assert isinstance(model, LSTPNet)
    (part,) = read_predictions(plain.folder, read_run(plain.folder))
    logits = dict(zip(part.clip_ids, part.logits, strict=True))
    mine = model.fc(torch.from_numpy(clips)).detach().numpy()
    assert np.allclose(mine, np.stack([logits[i] for i in ids]), atol=1e-4)


def test_wrong_input(plain: Done, crops: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "there.csv").write_text("x")
    run, data = str(plain.folder), str(crops)
    for arguments, words in (
        (["evaluate", "nowhere", "--data", data], "nowhere: this run or model does not exist; `dfer status` lists"),
        (["evaluate", run, "--data", data, "--out", str(tmp_path / "there.csv")], "there.csv already exists"),
        (["evaluate", run, "--data", data, "--fold", "9"], "has no fold '9'; it has: 1, 2, 3, 4, 5"),
        (["evaluate", run, "--data", data, "--checkpoint", "best"], "has no checkpoint 'best'; it has: last"),
        (
            ["evaluate", run, "--data", data, "--out", "nowhere/p.csv"],
            "folder nowhere does not exist; create it to write p.csv there",
        ),
        (["evaluate", str(tmp_path), "--data", data], f"{tmp_path} is not a run (run.json is missing); make one with"),
        (["evaluate", str(plain.folder.parent), "--data", data], f"name a run below it: {plain.folder}"),
        (["evaluate", run, "--data", str(tmp_path)], "is not a prepared dataset"),
        (["features", run, "--data", data, "--out", "nowhere/f.npz"], "folder nowhere does not exist"),
        (["features", run, "--data", data, "--out", "f.txt"], "f.txt must end in .npz or .parquet"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err

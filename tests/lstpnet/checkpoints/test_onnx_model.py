from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.checkpoints.open_model import open_model, with_changes
from lstpnet.evaluation import cross_dataset
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.run_files import with_own_sha256
from lstpnet.training.experiment import make_experiment
from tests.lstpnet.conftest import Done, quick, train


@pytest.fixture(scope="module")
def trained(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished run of a size that can be exported."""
    changed = quick(frame_epochs=0, epochs=1, size_px=40, test_size_px=48, test_crops=2, input_norm="imagenet")
    return train(make_experiment(crops, changed, fold=3, seed=0), tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def exported(trained: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    assert main(["model", "export", str(trained.folder), "--out", str(path)]) == 0
    return path


def test_an_exported_model_says_what_the_run_says(trained: Done, exported: Path, crops: Path) -> None:
    data = open_dataset(crops)
    clips = cross_dataset.tested_clips(data, folds=["3"], fold_set="official")
    run, graph = (
        evaluate_on(open_model(source), data, clips, is_masked=False, device=torch.device("cpu"))
        for source in (trained.folder, exported)
    )
    assert graph.clip_ids == run.clip_ids
    assert graph.predictions == run.predictions
    np.testing.assert_allclose(graph.logits, run.logits, atol=2e-2)  # the run's may be computed in bf16
    assert graph.scores.war == run.scores.war
    facts = json.loads(exported.with_suffix(".json").read_text())
    assert (facts["test_size_px"], facts["test_crops"]) == (48, 2)
    assert facts["input"].endswith("minus [0.485, 0.456, 0.406], divided by [0.229, 0.224, 0.225]")


def test_test_crops_may_be_changed_after_training(trained: Done) -> None:
    opened = with_changes(open_model(trained.folder), {"test_size_px": 0, "test_crops": 1})
    assert (opened.recipe.test_size_px, opened.recipe.test_crops) == (0, 1)


def test_an_exported_model_knows_that_it_was_trained_on_rendered_heads(exported: Path, tmp_path: Path) -> None:
    assert not open_model(exported).is_synthetic
    copy = Path(shutil.copy(exported, tmp_path / "copy.onnx"))
    facts = json.loads(exported.with_suffix(".json").read_text())
    assert facts["synthetic"] is False
    copy.with_suffix(".json").write_text(json.dumps(with_own_sha256(facts | {"synthetic": True})))
    assert open_model(copy).is_synthetic


def test_what_is_no_exported_model_is_told(exported: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(exported, tmp_path / "alone.onnx"))
    with pytest.raises(UsageError, match=r"alone\.onnx needs the JSON that `dfer model export` wrote next to it"):
        open_model(alone)
    facts = json.loads(exported.with_suffix(".json").read_text())
    (tmp_path / "alone.json").write_text(json.dumps(facts | {"format": "other"}))
    with pytest.raises(UsageError, match="its format is 'other'"):
        open_model(alone)
    (tmp_path / "alone.json").write_text(json.dumps(without_hashes(facts)))
    alone.write_bytes(b"junk")
    with pytest.raises(CorruptDataError, match=r"alone\.onnx is not an ONNX model"):
        open_model(alone)


def without_hashes(facts: dict[str, Any]) -> dict[str, Any]:
    """The JSON as dfer 0.1 wrote it."""
    return {key: facts[key] for key in facts if key not in ("sha256", "model")} | {"format_version": 1}


def test_a_changed_model_or_json_is_refused(exported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(exported, tmp_path / "copy.onnx"))
    facts = json.loads(exported.with_suffix(".json").read_text())
    for changed in (facts | {"synthetic": True}, facts | {"format_version": 1}, facts | {"class_names": ["a", "b"]}):
        copy.with_suffix(".json").write_text(json.dumps(changed))
        with pytest.raises(CorruptDataError, match=r"copy\.json is damaged: it does not match its own sha256; export"):
            open_model(copy)
    copy.with_suffix(".json").write_text(json.dumps(facts))
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(CorruptDataError, match=r"copy\.onnx is damaged: it does not match its sha256; export it again"):
        open_model(copy)


def test_a_model_exported_by_dfer_0_1_is_read(exported: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(exported, tmp_path / "copy.onnx"))
    facts = json.loads(exported.with_suffix(".json").read_text())
    copy.with_suffix(".json").write_text(json.dumps(without_hashes(facts)))
    assert open_model(copy).class_names == tuple(facts["class_names"])

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lstpnet
from dfer_data import open_dataset
from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.checkpoints.export import description
from lstpnet.checkpoints.open_model import open_model, with_changes
from lstpnet.evaluation import cross_dataset
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.recipe import Recipe
from lstpnet.run_files import with_own_sha256


@pytest.fixture
def exported(exported_run: Path) -> Path:
    return exported_run / "last.onnx"


def test_an_exported_model_says_what_the_run_says(exported: Path, crops: Path) -> None:
    data = open_dataset(crops)
    clips = cross_dataset.tested_clips(data, folds=["3"], fold_set="official")
    run, graph = (
        evaluate_on(open_model(source), data, clips, is_masked=False, device=torch.device("cpu"))
        for source in (exported.parent, exported)
    )
    assert graph.clip_ids == run.clip_ids
    assert graph.predictions == run.predictions
    np.testing.assert_allclose(graph.logits, run.logits, atol=2e-2)  # the run's may be computed in bf16
    assert graph.scores.war == run.scores.war


def test_the_json_states_crops_and_pixels(exported: Path) -> None:
    recipe = Recipe(name="a", size_px=40, test_size_px=48, test_crops=2, input_norm="imagenet")
    model = lstpnet.build_model("lstpnet", 7, width_multiplier=0.125)
    options = {"class_names": ["a"] * 7, "protocol": "", "is_synthetic": False}
    facts = description(model, exported, recipe=asdict(recipe), **options)  # type: ignore[arg-type]
    assert (facts["test_size_px"], facts["test_crops"]) == (48, 2)
    assert facts["input"].endswith("minus [0.485, 0.456, 0.406], divided by [0.229, 0.224, 0.225]")


def test_an_exported_model_of_several_labels_gives_each_class_its_own_probability(
    exported: Path, tmp_path: Path
) -> None:
    """And it leaves out the short clips that the run leaves out."""
    copy = Path(shutil.copy(exported, tmp_path / "copy.onnx"))
    model = lstpnet.build_model("lstpnet", 7, width_multiplier=0.125)
    recipe = asdict(Recipe(name="a", size_px=40, targets="labels", min_frames=9))
    options = {"class_names": list("abcdefg"), "protocol": "", "is_synthetic": False}
    document = description(model, copy, recipe=recipe, **options)  # type: ignore[arg-type]
    copy.with_suffix(".json").write_text(json.dumps(document))
    clips = torch.rand(2, 16, 3, 40, 40)
    opened = open_model(copy)
    wanted = opened.model(clips).sigmoid().numpy()
    np.testing.assert_allclose(lstpnet.load_model(copy, device="cpu").predict(clips), wanted, atol=1e-5)
    assert opened.recipe.least_frames == 9


def test_test_crops_may_be_changed_after_training(exported_run: Path) -> None:
    opened = with_changes(open_model(exported_run), {"test_size_px": 48, "test_crops": 2})
    assert (opened.recipe.test_size_px, opened.recipe.test_crops) == (48, 2)


def test_an_exported_model_knows_that_it_was_trained_on_rendered_heads(exported: Path, tmp_path: Path) -> None:
    assert not open_model(exported).is_synthetic
    copy = Path(shutil.copy(exported, tmp_path / "copy.onnx"))
    facts = json.loads(exported.with_suffix(".json").read_text())
    assert facts["synthetic"] is False
    copy.with_suffix(".json").write_text(json.dumps(with_own_sha256(facts | {"synthetic": True})))
    assert open_model(copy).is_synthetic


def test_what_is_no_exported_model_is_told(exported: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(exported, tmp_path / "alone.onnx"))
    with pytest.raises(UsageError, match=r"alone\.onnx needs the JSON .* \(\S+alone\.json: No such file"):
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

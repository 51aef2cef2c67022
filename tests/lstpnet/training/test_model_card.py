"""The card of a run: its figures are those of the predictions, and it can be typed off."""

from __future__ import annotations

import re
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, recall_score

from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import RunInfo, read_run
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.model_card import model_card
from tests.dfer_data.shards.test_dataset_card import metadata_of, rows_of
from tests.lstpnet.conftest import Done, quick


def card_of(run: Done) -> str:
    return (run.folder / "README.md").read_text(encoding="utf-8")


def figures_of(run: Done, checkpoint: str) -> tuple[float, float]:
    """WAR and UAR by scikit-learn."""
    table = pd.read_parquet(run.folder / "predictions.parquet")
    table = table[(table.checkpoint == checkpoint) & (table.control == "")]
    names = np.array(read_run(run.folder).class_names)
    guesses = names[np.stack(table.logits.to_list()).argmax(axis=1)]
    return accuracy_score(table.label, guesses), recall_score(table.label, guesses, average="macro")


def test_the_block_of_figures_is_what_the_predictions_give(validated: Done) -> None:
    metadata = metadata_of(card_of(validated))
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert model["name"] == "demo, fold 3, seed 0"
    assert result["task"]["type"] == metadata["pipeline_tag"] == "video-classification"
    assert result["dataset"] == {
        "type": "dfew",
        "name": "DFEW as face clips",
        "config": "fold-3",
        "split": "test",
        "revision": validated.experiment.data.identity().content_sha256,
        "args": {"num_clips": 14},
    }
    last, best = figures_of(validated, "last"), figures_of(validated, "best")
    assert [(metric["name"], metric["type"]) for metric in result["metrics"]] == [
        ("WAR (last)", "accuracy"),
        ("UAR (last)", "recall"),
        ("WAR (best)", "accuracy"),
        ("UAR (best)", "recall"),
    ]
    assert [metric["value"] for metric in result["metrics"]] == pytest.approx([*last, *best], abs=1e-6)
    rows = rows_of(card_of(validated), "checkpoint")
    assert list(rows) == ["last", "last (repeated-frame)", "last (shuffled-frames)", "best"]
    assert f"| last | {100 * last[0]:.2f} | {100 * last[1]:.2f} | 14 |" in card_of(validated)


def test_what_it_was_made_from_stands_there(plain: Done) -> None:
    facts = rows_of(card_of(plain), "what")
    network = load_trained(plain.folder).model
    assert facts["parameters"] == f"{sum(each.numel() for each in network.parameters()):,}"
    hashes = {name: value for name, value in facts.items() if name.endswith("sha256 in its dataset.json")}
    assert set(hashes.values()) == set(astuple(plain.experiment.data.identity()))
    assert facts["sha256 of its settings"] == plain.experiment.recipe.sha256
    assert facts["clips: train, held out, test"] == "55, 0, 14"
    assert rows_of(card_of(plain), "setting")["epochs"] == "2"
    assert "Test clips without a face: 1;" in card_of(plain)
    assert plain.experiment.protocol().replace("_", r"\_") in card_of(plain)


def test_the_lines_of_python_load_the_run(plain: Done) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", card_of(plain), flags=re.DOTALL)
    names: dict[str, Any] = {}
    with torch.inference_mode():
        exec(code.replace("FOLDER", str(plain.folder)), names)
    assert names["logits"].shape == (1, 7)


def card_with(run: Done, experiment: Experiment | None = None, **changes: Any) -> str:
    """The card of a run that was otherwise."""
    info = read_run(run.folder)
    parts = list(read_predictions(run.folder, info))
    checkpoint = changes.pop("checkpoint", None)
    if checkpoint:
        parts.append(replace(parts[0], checkpoint=checkpoint))
    return model_card(experiment or run.experiment, replace(info, **changes), parts, num_parameters=1)


def test_what_was_chosen_on_the_test_clips_is_marked_and_in_no_block(plain: Done) -> None:
    card = card_with(plain, checkpoint="test-best")
    assert "test-best (chosen on the test clips: not comparable)" in rows_of(card, "checkpoint")
    names = [metric["name"] for metric in metadata_of(card)["model-index"][0]["results"][0]["metrics"]]
    assert names == ["WAR (last)", "UAR (last)"]


def test_rendered_heads_own_models_and_odd_names_are_told(plain: Done, crops: Path) -> None:
    own = make_experiment(crops, quick(model="my_models:build"), fold=3, seed=0)
    card = card_with(plain, own, synthetic=True, recipe="<b>|x", prepared="a`b")
    assert r"A custom model (my\_models:build)" in card
    assert "dfer predict VIDEO --trust-model --model FOLDER\n" in card
    assert 'load_trained(Path("FOLDER"), trust_model=True)\n' in card
    assert r"Both run the code of the custom model, my\_models:build: read it first." in card
    assert "**Trained on rendered heads: its figures say nothing about people.**" in card
    assert card.count(r"\<b\>\|x") == 2
    assert "<b>" not in card.split("---\n", 2)[2]
    assert metadata_of(card)["model-index"][0]["name"] == "<b>|x, fold 3, seed 0"
    assert "- It has never seen a person." in card


def test_it_is_the_same_for_the_same_run(plain: Done) -> None:
    info: RunInfo = read_run(plain.folder)
    parts: tuple[Predictions, ...] = read_predictions(plain.folder, info)
    count = sum(each.numel() for each in load_trained(plain.folder).model.parameters())
    assert model_card(plain.experiment, info, parts, num_parameters=count) == card_of(plain)

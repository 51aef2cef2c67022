"""The attention to each frame: what the number is, where it is kept, what has none, how it is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.checkpoints.export import fold_batch_norms
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.evaluation.clip_logits import predict_attending, predict_clips
from lstpnet.evaluation.frame_attention import frame_weights, logits_and_weights, sees_default_frames, why_no_attention
from lstpnet.finished_runs import load_runs
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.attention_figure import FIGURE_WIDTH_PX, FOOT_PX, HEAD_PX, ROW_PX, draw_attention
from lstpnet.prediction.video import Person, WindowPrediction
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.html.clip_table import drilldown_of
from lstpnet.runs import read_run
from lstpnet.training.experiment import make_experiment
from tests.crops import MISSING
from tests.lstpnet.conftest import Done, quick, train

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> LSTPNet:
    torch.manual_seed(0)
    return LSTPNet(width_multiplier=0.125).eval()


def weights_of(model: LSTPNet, clips: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return logits_and_weights(model, clips)[1]


def test_weights_are_shares_and_the_logits_are_the_models_own(model: LSTPNet) -> None:
    clips = torch.rand(3, 16, 3, 40, 40)
    with torch.inference_mode():
        logits, weights = logits_and_weights(model, clips)
        assert torch.equal(logits, model(clips))
        maps = model.attention_maps(clips)
        torch.testing.assert_close(weights, maps.mean(dim=3).mean(dim=2).mean(dim=0))  # rows, heads, layers
    assert weights.shape == (3, 16)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def test_who_is_looked_at_counts_and_not_who_looks() -> None:
    maps = torch.zeros(1, 1, 1, 4, 4)
    maps[..., 2] = 1.0  # every frame looks at the third alone
    assert frame_weights(maps).tolist() == [[0, 0, 1, 0]]


def test_a_frame_unlike_the_others_changes_where_attention_goes(model: LSTPNet) -> None:
    torch.manual_seed(1)
    clip = torch.rand(1, 1, 3, 40, 40).repeat(1, 16, 1, 1, 1)
    changed = clip.clone()
    changed[:, 5] = 1 - clip[:, 5]
    same, other = weights_of(model, clip)[0], weights_of(model, changed)[0]
    assert (same[3:13] - 1 / 16).abs().max() < 1e-3  # but at the ends, whose neighbours are padding
    moved = (other - same).abs()
    assert int(moved.argmax()) == 5
    assert moved.max() > 4 * moved[8:].max() > 0


def test_folded_batch_norms_leave_it_as_it_is(model: LSTPNet) -> None:
    clips = torch.rand(1, 16, 3, 40, 40)
    torch.testing.assert_close(weights_of(fold_batch_norms(model), clips), weights_of(model, clips))


def test_who_has_none_says_why() -> None:
    recipe, small = quick().recipe, 0.125
    assert why_no_attention(LSTPNet(width_multiplier=small), recipe) == ""
    for temporal in ("transformer", "lstm", "gru", "mean"):
        why = why_no_attention(LSTPNet(width_multiplier=small, temporal=temporal), recipe)
        assert why == f"a model with temporal '{temporal}' has no attention over time"
    assert "not another network" in why_no_attention(torch.nn.Linear(1, 1), recipe)
    strided = replace(recipe, sampler="strided-window-4")
    assert "has 2 views per clip" in why_no_attention(LSTPNet(width_multiplier=small), strided)


def test_a_run_keeps_it_for_every_test_clip_with_a_face(validated: Done) -> None:
    table = pd.read_parquet(validated.folder / "predictions.parquet")
    has_it = table["attention"].notna()
    assert has_it.equals(table["has_face"] & (table["control"] == ""))
    assert set(table[has_it]["checkpoint"]) == {"last", "best"}
    shares = np.stack(table["attention"][has_it].to_list())
    assert shares.shape[1] == 16
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    network, experiment = load_trained(validated.folder).model, validated.experiment
    assert isinstance(network, LSTPNet)
    ids, recipe = experiment.seen_test_ids, experiment.recipe
    logits, weights = predict_attending(network, experiment.data.root, ids, recipe=recipe, device=CPU, dtype=None)
    last = table[has_it & (table["checkpoint"] == "last")].set_index("clip_id")
    np.testing.assert_allclose(np.stack(last.loc[list(ids)]["attention"].to_list()), weights, atol=1e-6)
    assert np.array_equal(
        logits, predict_clips(network, experiment.data.root, ids, recipe=recipe, device=CPU, dtype=None)
    )


@pytest.mark.parametrize("changes", [{"temporal": "mean"}, {"sampler": "uniform"}, {"short": "loop"}])
def test_a_run_without_it_is_written_as_ever(crops: Path, tmp_path: Path, changes: dict[str, str]) -> None:
    """With another sampler the frames of a filmstrip are not those that the model saw."""
    experiment = make_experiment(crops, quick(epochs=1, frame_epochs=0, **changes), fold=3, seed=0)
    assert not sees_default_frames(experiment.recipe) or "temporal" in changes
    done = train(experiment, tmp_path)
    assert "attention" not in pd.read_parquet(done.folder / "predictions.parquet").columns
    runs, _ = load_runs([done.folder])
    report = build_report(runs)
    (view,) = drilldown_of(report.systems, report.runs).views
    assert {len(clip) for clip in view.clips} == {5}


def test_the_report_has_it_in_thousandths(plain: Done) -> None:
    runs, _ = load_runs([plain.folder])
    report = build_report(runs)
    found = drilldown_of(report.systems, report.runs)
    table = pd.read_parquet(plain.folder / "predictions.parquet").set_index("clip_id")
    for clip, _, _, has_face, _, *attention in found.views[0].clips:
        clip_id = found.datasets[0].ids[clip]
        assert has_face == (clip_id != f"{MISSING[0]:05d}") == bool(attention)
        if attention:
            assert np.abs(np.array(attention[0]) / 1000 - table.loc[clip_id]["attention"]).max() < 5.01e-4


def test_it_comes_back_as_it_was_written_and_damage_is_named(plain: Done, tmp_path: Path) -> None:
    info = read_run(plain.folder)
    (part,) = read_predictions(plain.folder, info)
    assert part.attention is not None
    write_predictions(tmp_path, [part])
    info = replace(info, files={})
    (again,) = read_predictions(tmp_path, info)
    np.testing.assert_array_equal(again.attention, part.attention)
    for wrong in (part.attention * 2, -part.attention, part.attention[1:]):
        with pytest.raises(UsageError, match="attention"):
            replace(part, attention=wrong)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    table["attention"] = [row if row is None or i else row[:9] for i, row in enumerate(table["attention"])]
    table.to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(CorruptDataError, match=r"attention rows of different lengths: \[9, 16\] frames"):
        read_predictions(tmp_path, info)


def person(*, num_moments: int, num_shown: int, num_frames: int) -> Person:
    """Windows of which the first `num_shown` have their frames; frame 3 gets half of the attention."""
    shares = np.full(num_frames, 0.5 / (num_frames - 1), np.float32)
    shares[3] = 0.5
    frames = np.full((num_frames, 3, 40, 40), 200, np.uint8)
    of_classes = np.array([0.9, 0.1], np.float32)
    moments = [
        WindowPrediction(float(i), i + 1.0, of_classes, shares, frames if i < num_shown else None)
        for i in range(num_moments)
    ]
    return Person(0, tuple(moments), ())


@pytest.mark.parametrize(("num_shown", "num_frames", "cell_px"), [(1, 16, 72), (3, 16, 72), (2, 8, 72), (2, 24, 48)])
def test_the_picture_has_a_line_a_window_and_pales_what_gets_little(
    tmp_path: Path, num_shown: int, num_frames: int, cell_px: int
) -> None:
    path = tmp_path / "p.png"
    shown = person(num_moments=4, num_shown=num_shown, num_frames=num_frames)
    draw_attention(shown, ("a$b$", "_c"), path, title="$v$.mp4")
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (HEAD_PX + num_shown * ROW_PX + FOOT_PX, FIGURE_WIDTH_PX, 3)
    for row in range(num_shown):
        middle = HEAD_PX + row * ROW_PX + 72 - cell_px // 2
        cells = picture[middle, 140 + cell_px // 2 :: cell_px][:num_frames].mean(axis=1)
        pale = num_frames * 0.5 / (num_frames - 1)
        expected = [255 - (255 - 200) * (1.0 if i == 3 else pale) for i in range(num_frames)]
        assert np.abs(cells - expected).max() < 2

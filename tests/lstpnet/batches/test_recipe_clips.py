"""The recipe's resize rule reaches every reader of clips, and the protocol line names what it does."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data import FaceClipDataset, open_dataset
from dfer_data.config import PrepareConfig
from dfer_data.faces.aligned_faces import decode
from lstpnet.batches.normalize import normalised
from lstpnet.batches.recipe_clips import frame_draw, size_words
from lstpnet.evaluation import clip_logits
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import stored_recipe
from tests.lstpnet.conftest import quick

CPU = torch.device("cpu")


def config(size_px: int) -> PrepareConfig:
    return PrepareConfig(size_px=size_px, detector="retinaface", backbone="", dataset="dfew", weights_sha256="")


@pytest.mark.parametrize(
    ("size_px", "changes", "words"),
    [
        (224, {}, "224 px"),
        (64, {}, "64 px (from 224 px, resize area)"),
        (160, {}, "160 px (from 224 px, resize linear)"),
        (160, {"decode": "scaled"}, "160 px (from 224 px, resize linear)"),
        (160, {"resize": "area"}, "160 px (from 224 px, resize area)"),
        (256, {"resize": "area", "decode": "scaled"}, "256 px (from 224 px, resize linear)"),
        (112, {"decode": "scaled"}, "112 px (from 224 px, decode scaled, resize auto)"),
    ],
)
def test_the_protocol_line_names_what_happens_to_aligned_faces(
    size_px: int, changes: dict[str, Any], words: str
) -> None:
    assert size_words(Recipe(name="a", size_px=size_px, **changes), config(224)) == words


def test_the_protocol_line_names_the_rule_for_crops_of_any_size(crops: Path) -> None:
    assert "; 32 px (crops of other sizes: resize auto); " in quick_experiment(crops).protocol()
    assert "resize linear, decode scaled)" in quick_experiment(crops, resize="linear", decode="scaled").protocol()


def quick_experiment(root: Path, **changes: Any) -> Any:
    from lstpnet.training.experiment import make_experiment

    return make_experiment(root, quick(**changes), fold=3, seed=0)


def test_a_recipe_stored_before_there_were_rules_means_area() -> None:
    settings = asdict(Recipe(name="old"))
    del settings["resize"], settings["decode"]
    recipe = stored_recipe(settings)
    assert (recipe.resize, recipe.decode) == ("area", "full")
    assert (frame_draw(recipe).resize, frame_draw(Recipe(name="new")).resize) == ("area", "auto")


def test_predicted_clips_are_resized_by_the_recipe(crops: Path) -> None:
    recipe = replace(quick().recipe, resize="area")
    torch.manual_seed(0)
    model = LSTPNet(7, width_multiplier=0.125).eval()
    ids = ["00001", "00002"]
    logits = clip_logits.predict_clips(model, crops, ids, recipe=recipe, device=CPU, dtype=None)
    other = replace(recipe, resize="linear")
    assert not np.allclose(logits, clip_logits.predict_clips(model, crops, ids, recipe=other, device=CPU, dtype=None))
    clips = FaceClipDataset(crops, clip_ids=ids, size_px=recipe.size_px, draw=frame_draw(recipe, sampling="test"))
    pixels = normalised(torch.stack([clips[index].frames for index in range(2)]), norm=recipe.input_norm)
    with torch.inference_mode():
        np.testing.assert_allclose(logits, model(pixels).numpy(), atol=1e-4)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_threads_predict_the_same(crops: Path, monkeypatch: pytest.MonkeyPatch, num_threads: int) -> None:
    torch.manual_seed(0)
    model, recipe = LSTPNet(7, width_multiplier=0.125).eval(), replace(quick().recipe, batch_size=4)
    ids = FaceClipDataset(crops, fold=3, split="test").clip_ids
    alone = clip_logits.predict_clips(model, crops, ids, recipe=recipe, device=CPU, dtype=None)
    used = []

    def threads(device: torch.device) -> int:
        used.append(device)
        return num_threads

    monkeypatch.setattr(clip_logits, "num_threads", threads)
    again = clip_logits.predict_clips(model, open_dataset(crops), ids, recipe=recipe, device=CPU, dtype=None)
    assert np.array_equal(again, alone)
    assert used == [CPU]


def test_a_face_of_a_video_is_decoded_at_the_scale_of_a_stored_one(crops: Path) -> None:
    data = open_dataset(crops)
    reader = data.shard(0)
    jpeg = reader.jpeg(0, 0)  # 40 x 40 pixels
    assert decode(jpeg.tobytes(), config(64), least_px=20).shape == (20, 20, 3)
    assert decode(jpeg.tobytes(), config(64), least_px=32).shape == decode(jpeg.tobytes(), config(64)).shape

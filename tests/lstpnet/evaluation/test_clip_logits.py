from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from dfer_data import read_clip
from dfer_data.errors import CorruptShardError
from lstpnet.batches.normalize import normalised
from lstpnet.evaluation.clip_logits import Control, _parts, predict_clips
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.initial_model import network_of_recipe
from tests.lstpnet.conftest import quick

IDS = ("00015", "00003", "00050", "00004", "00022")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return network_of_recipe(quick().recipe, num_classes=7, seed=0)


def predict(
    model: nn.Module, crops: Path, *, ids: tuple[str, ...] = IDS, control: Control = "", batch_size: int = 2
) -> npt.NDArray[np.float32]:
    recipe = quick(batch_size=batch_size).recipe
    return predict_clips(model, crops, ids, recipe=recipe, device=CPU, dtype=None, control=control)


def shown(model: LSTPNet, crops: Path, clip_id: str, frames: list[int]) -> npt.NDArray[np.float32]:
    """Logits of a clip whose test frames are shown in this order."""
    clip = torch.from_numpy(read_clip(crops, clip_id, size_px=32))[frames][None]
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = model.eval()(normalised(clip, norm="none")).numpy()[0]
    return logits


def test_logits_come_in_the_order_asked_for_and_from_the_test_frames(model: LSTPNet, crops: Path) -> None:
    logits = predict(model, crops)
    assert logits.shape == (5, 7)
    assert logits.dtype == np.float32
    wanted = np.stack([shown(model, crops, clip_id, list(range(16))) for clip_id in IDS])
    np.testing.assert_allclose(logits, wanted, atol=1e-5)
    np.testing.assert_allclose(predict(model, crops, ids=IDS[::-1]), wanted[::-1], atol=1e-5)
    assert np.ptp(wanted, axis=0).max() > 1e-3


def test_the_batch_size_does_not_matter(model: LSTPNet, crops: Path) -> None:
    np.testing.assert_allclose(predict(model, crops, batch_size=2), predict(model, crops, batch_size=8), atol=1e-5)


def test_it_is_deterministic_and_leaves_the_weights_alone(model: LSTPNet, crops: Path) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    assert np.array_equal(predict(model, crops), predict(model, crops))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_repeated_frame_shows_one_frame_sixteen_times(model: LSTPNet, crops: Path) -> None:
    wanted = np.stack([shown(model, crops, clip_id, [8] * 16) for clip_id in IDS])
    np.testing.assert_allclose(predict(model, crops, control="repeated-frame"), wanted, atol=1e-5)


def test_shuffled_frames_are_the_same_frames_in_a_fixed_order(model: LSTPNet, crops: Path) -> None:
    logits = predict(model, crops, control="shuffled-frames")
    assert np.array_equal(predict(model, crops, control="shuffled-frames"), logits)
    np.testing.assert_allclose(predict(model, crops, ids=IDS[2:3], control="shuffled-frames"), logits[2:3], atol=1e-5)
    assert np.abs(logits - predict(model, crops)).max() > 1e-5


def test_no_clips_are_no_logits(model: LSTPNet, crops: Path) -> None:
    assert len(predict(model, crops, ids=())) == 0


def test_bf16_is_close_to_f32(model: LSTPNet, crops: Path) -> None:
    half = predict_clips(model, crops, IDS, recipe=quick().recipe, device=CPU, dtype=torch.bfloat16)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, predict(model, crops), atol=0.1)


def test_damage_is_named(model: LSTPNet, damaged_crops: Path) -> None:
    with pytest.raises(CorruptShardError, match=r"00000\.safetensors: frame \d+ of clip 00001"):
        predict(model, damaged_crops, ids=("00001",))


def test_a_cpu_computes_a_batch_in_small_parts_and_never_one_clip_of_several() -> None:
    for num_clips in range(1, 70):
        parts = _parts(num_clips, CPU)
        assert [row for part in parts for row in range(num_clips)[part]] == list(range(num_clips))
        sizes = {len(range(num_clips)[part]) for part in parts}
        assert max(sizes) <= 4
        assert min(sizes) >= min(2, num_clips)
        assert _parts(num_clips, torch.device("cuda")) == [slice(0, num_clips)]


@torch.no_grad()
def test_the_parts_of_a_batch_have_the_logits_of_the_whole() -> None:
    torch.manual_seed(0)
    model, clips = LSTPNet(num_classes=3, width_multiplier=0.125).eval(), torch.rand(7, 16, 3, 32, 32)
    parts = [model(clips[part]) for part in _parts(7, CPU)]
    torch.testing.assert_close(torch.cat(parts), model(clips), atol=1e-5, rtol=0)

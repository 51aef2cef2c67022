from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from dfer_data.types import Detection, Image, LandmarkScheme
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.video import Person, apart, cut, predict_video, with_folded_norms
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe
from tests.dfer_data.tiny import CONFIG, face, pictures, write_video

CPU = torch.device("cpu")


class Brightness(torch.nn.Module):
    """Says `dark` or `bright` by the mean of what it sees, and remembers the shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map (B, T, 3, H, W) to (B, 2)."""
        self.shapes.append(tuple(clips.shape))
        bright = clips.mean(dim=(1, 2, 3, 4))
        return torch.stack([0.5 - bright, bright - 0.5], dim=1) * 20


class Standing:
    """Finds a face at fixed places, one of them until a frame only."""

    def __init__(self, *, until: int | None = None) -> None:
        self._until, self._num_frames = until, 0

    @property
    def scheme(self) -> LandmarkScheme:
        return "eyes-nose-mouth"

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        found = []
        for _ in images:
            both = [face(10, 30, side=30), face(56, 30, side=30)]
            found.append(both if self._until is None or self._num_frames < self._until else both[:1])
            self._num_frames += 1
        return found


@pytest.fixture
def opened() -> OpenedModel:
    return OpenedModel(
        Brightness(), ("dark", "bright"), Recipe(name="own", size_px=48, input_norm="none", precision="f32")
    )


def persons(path: Path, opened: OpenedModel, detector: Standing, windows: Windows) -> list[Person]:
    return list(predict_video(path, opened, detector=detector, config=CONFIG, windows=windows, device=CPU))


def test_every_person_has_windows_of_time(tmp_path: Path, opened: OpenedModel) -> None:
    noise = np.random.default_rng(0).integers(0, 40, (2, 12, 12, 3))
    dark, bright = (np.kron(picture, np.ones((8, 8, 1))).astype(np.uint8) for picture in (noise[0], 215 + noise[1]))
    path = write_video(tmp_path / "v.mp4", [dark] * 25 + [bright] * 25)  # 2 s, a cut in the middle
    found = persons(path, opened, Standing(), Windows(0.6, 0.2))
    assert [person.number for person in found] == [0, 1, 2, 3]  # two before the cut, two after it
    assert [person.num_frames for person in found] == [25] * 4
    for person, is_bright in zip(found, (False, False, True, True), strict=True):
        assert len(person.moments) == 3
        assert [round(moment.start_seconds - person.moments[0].start_seconds, 2) for moment in person.moments] == [
            0.0,
            0.2,
            0.36,
        ]
        assert all((moment.probabilities.argmax() == 1) == is_bright for moment in person.moments)
        np.testing.assert_allclose(person.mean_probabilities.sum(), 1, atol=1e-5)
    assert isinstance(opened.model, Brightness)
    assert {shape[1:] for shape in opened.model.shapes} == {(16, 3, 48, 48)}


def test_windows_have_the_crops_of_the_recipe(tmp_path: Path, opened: OpenedModel) -> None:
    path = write_video(tmp_path / "v.mp4", pictures(1) * 20)
    recipe = replace(opened.recipe, test_size_px=60, test_crops=2)
    cropped = OpenedModel(Brightness(), opened.class_names, recipe)
    (first, *_), (whole, *_) = (persons(path, one, Standing(), Windows()) for one in (cropped, opened))
    assert isinstance(cropped.model, Brightness)
    assert cropped.model.shapes == [(2, 16, 3, 48, 48)] * 2
    np.testing.assert_allclose(first.moments[0].probabilities.sum(), 1, atol=1e-5)
    assert not np.array_equal(first.moments[0].probabilities, whole.moments[0].probabilities)


def test_who_is_seen_too_shortly_is_nobody(tmp_path: Path, opened: OpenedModel) -> None:
    path = write_video(tmp_path / "v.mp4", pictures(1) * 30)
    assert len(persons(path, opened, Standing(until=7), Windows())) == 1
    (first, second) = persons(path, opened, Standing(until=12), Windows())
    assert (len(first.moments), first.num_frames) == (1, 30)
    assert (len(second.moments), second.num_frames) == (1, 12)


@settings(max_examples=80)
@given(
    st.lists(st.floats(0.01, 0.2), min_size=0, max_size=80),
    st.floats(0.1, 3.0),
    st.floats(0.05, 2.0),
)
def test_windows_cover_all_of_a_face_and_none_is_longer(steps: list[float], window: float, stride: float) -> None:
    times = np.cumsum([0.0, *steps]).tolist()
    bounds = cut(times, Windows(window, stride))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == len(times)
    assert bounds == sorted(set(bounds))
    assert all(times[stop - 1] - times[first] <= window + 1e-6 for first, stop in bounds)
    if stride <= window:
        assert {row for first, stop in bounds for row in range(first, stop)} == set(range(len(times)))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=30), st.integers(0, 5))
def test_filmstrips_are_of_windows_that_do_not_overlap(pieces: list[tuple[int, int]], most: int) -> None:
    bounds = sorted({(first, first + length) for first, length in pieces})
    chosen = apart(bounds, most=most)
    assert len(chosen) <= most
    assert chosen == [pair for pair in bounds if pair in chosen]
    assert chosen[:1] == bounds[: min(1, most)]
    assert all(stop <= first for (_, stop), (first, _) in pairwise(chosen))
    widest = apart(bounds, most=100)
    assert all(any(first < stop and begin < end for begin, end in widest) for first, stop in bounds)


def test_attention_is_there_when_it_is_asked_for(tmp_path: Path) -> None:
    torch.manual_seed(0)
    recipe = Recipe(name="own", size_px=48, input_norm="none", precision="f32")
    opened = with_folded_norms(OpenedModel(LSTPNet(2, width_multiplier=0.125).eval(), ("a", "b"), recipe))
    path = write_video(tmp_path / "v.mp4", pictures(1) * 50)
    options: dict[str, Any] = {"detector": Standing(), "config": CONFIG, "windows": Windows(0.6, 0.2), "device": CPU}
    plain = list(predict_video(path, opened, **options))
    asked = list(predict_video(path, opened, **options, num_filmstrips=2))
    assert len(plain) == len(asked) == 2
    for before, after in zip(plain, asked, strict=True):
        assert all(moment.attention is None and moment.frames is None for moment in before.moments)
        for one, other in zip(before.moments, after.moments, strict=True):
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
            assert other.attention is not None
            assert float(other.attention.sum()) == pytest.approx(1, abs=1e-5)
        shown = [moment for moment in after.moments if moment.frames is not None]
        assert len(shown) == 2
        assert shown[0].end_seconds < shown[1].start_seconds
        assert {moment.frames.shape for moment in shown if moment.frames is not None} == {(16, 3, 48, 48)}


def test_windows_of_no_length_are_refused() -> None:
    with pytest.raises(
        UsageError, match=r"--window-seconds 0: must be a number more than 0; --stride-seconds -1: must be"
    ):
        Windows(0, -1)

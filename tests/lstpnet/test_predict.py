from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.errors import UsageError
from dfer_data.types import Detection, Image, LandmarkScheme
from lstpnet.config import Recipe
from lstpnet.cross_dataset import Opened
from lstpnet.predict import Person, Windows, cut, predict_video
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
def opened() -> Opened:
    return Opened(Brightness(), ("dark", "bright"), Recipe(name="own", size_px=48, input_norm="none", precision="f32"))


def persons(path: Path, opened: Opened, detector: Standing, windows: Windows) -> list[Person]:
    return list(predict_video(path, opened, detector=detector, config=CONFIG, windows=windows, device=CPU))


def test_every_person_has_windows_of_time(tmp_path: Path, opened: Opened) -> None:
    half = [np.full((96, 96, 3), value, np.uint8) for value in [20] * 25 + [235] * 25]
    path = write_video(tmp_path / "v.mp4", half)  # 2 s; the change of light is no cut of faces, but of the picture
    found = persons(path, opened, Standing(), Windows(0.6, 0.2))
    assert [person.number for person in found] == [0, 1, 2, 3]  # two before the cut, two after it
    assert [person.num_frames for person in found] == [25] * 4
    for person, bright in zip(found, (False, False, True, True), strict=True):
        assert len(person.moments) == 3
        assert [round(moment.start_seconds - person.moments[0].start_seconds, 2) for moment in person.moments] == [
            0.0,
            0.2,
            0.36,
        ]
        assert all((moment.probabilities.argmax() == 1) == bright for moment in person.moments)
        np.testing.assert_allclose(person.mean_probabilities.sum(), 1, atol=1e-5)
    assert isinstance(opened.model, Brightness)
    assert {shape[1:] for shape in opened.model.shapes} == {(16, 3, 48, 48)}


def test_who_is_seen_too_shortly_is_nobody(tmp_path: Path, opened: Opened) -> None:
    path = write_video(tmp_path / "v.mp4", pictures(30))
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


def test_windows_of_no_length_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--window-seconds 0: more than 0 .*; --stride-seconds -1: more than 0"):
        Windows(0, -1)

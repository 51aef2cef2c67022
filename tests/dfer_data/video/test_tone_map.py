from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Image
from dfer_data.video.reader import open_video
from dfer_data.video.tone_curves import ToneMap
from tests.dfer_data.hdr import write_hdr
from tests.dfer_data.tiny import pictures, write_video

KINDS: tuple[Literal["PQ", "HLG"], ...] = ("PQ", "HLG")


@pytest.fixture(scope="module")
def head(heads_wheel: Path) -> Image:
    """A rendered head in front of a wall with colours; more rows than one band of the tone mapper."""
    y, x = np.mgrid[:180, :240]
    wall = np.stack([60 + x // 2, 60 + y // 2, 190 - x // 2], axis=-1).astype(np.uint8)
    scene = Scene(wall, (120.0, 80.0), 50.0, np.array([0, 0, 1], np.float32), 0.5, np.ones(3, np.float32))
    return render(sample_person(load_heads(heads_wheel), identity=3, seed=0), scene, Pose({}, 0.1, 0, 0, (0, 0)))[0]


def decode(path: Path, *, tone_map: ToneMap) -> tuple[list[Image], str]:
    with open_video(path, tone_map=tone_map) as reader:
        images = [frame.image for frame in reader.frames()]
        assert not reader.is_partial
        return images, reader.hdr


def difference(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", ["libx265", "libx264"])
def test_a_head_filmed_in_hdr_gets_its_brightness_and_colours_back(
    tmp_path: Path, head: Image, kind: Literal["PQ", "HLG"], codec: str
) -> None:
    path = write_hdr(tmp_path / "a.mp4", [head] * 3, kind=kind, codec=codec)
    (stored, *_), name = decode(path, tone_map="none")
    assert name == kind
    mapped, _ = decode(path, tone_map="mobius")
    assert len(mapped) == 3
    face = np.s_[60:130, 95:145]
    assert difference(mapped[0][face], head[face]) < 3 < 9 < difference(stored[face], head[face])
    assert difference(mapped[0], head) < 3
    contrast = head[face].std()
    assert abs(mapped[0][face].std() - contrast) < 0.03 * contrast < 0.2 * contrast < contrast - stored[face].std()


@pytest.mark.parametrize("kind", KINDS)
def test_highlights_keep_their_order_up_to_the_peak(tmp_path: Path, kind: Literal["PQ", "HLG"]) -> None:
    ramp = np.repeat(np.repeat(np.arange(0, 256, 2, dtype=np.uint8)[None, :, None], 64, 0), 3, 2)
    path = write_hdr(tmp_path / "a.mp4", [ramp], kind=kind, gain=4.0)
    curves: tuple[ToneMap, ...] = ("mobius", "hable")
    rows = {}
    for curve in curves:
        (image,), _ = decode(path, tone_map=curve)
        row = rows[curve] = image[8:56, ::8].mean(axis=(0, 2))
        assert (np.diff(row) > 0).all()
        assert 230 < row[-1] < 256
    assert (rows["hable"][2:-2] < rows["mobius"][2:-2]).all()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_other_videos_are_not_changed(tmp_path: Path, codec: str) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(4), codec=codec)
    (stored, name), (mapped, _) = decode(path, tone_map="none"), decode(path, tone_map="mobius")
    assert name == ""
    np.testing.assert_array_equal(np.stack(stored), np.stack(mapped))

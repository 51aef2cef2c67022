"""Scenes with several faces whose identities are known in every frame, out of real videos and of rendered heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Image
from dfer_data.video.reader import open_video

WIDTH_PX, HEIGHT_PX = 640, 360
_MIDDLES = {"ann": (86, 150), "carl": (127, 150)}  # of the faces in their cut-outs
Place = tuple[float, float]


@dataclass(frozen=True, eq=False)
class KnownScene:
    """Pictures, and where each person's face is in each of them."""

    pictures: list[Image]
    """(360, 640, 3) uint8 RGB."""
    faces: list[Mapping[str, Place]]
    """For each picture: person -> centre of the face in pixels, even where it is hidden or outside."""


def people(videos: Mapping[str, Path], *, num_frames: int) -> dict[str, list[Image]]:
    """Return upright cut-outs (300, 240, 3) about the faces of two real people: `ann` and `carl`."""
    return {
        "ann": _cut_out(videos["single_face.mp4"], num_frames, left=0.32, right=0.86),
        "carl": _cut_out(videos["carphone_pristine.mp4"], num_frames, left=0.14, right=0.79),
    }


def _cut_out(path: Path, num_frames: int, *, left: float, right: float) -> list[Image]:
    with open_video(path) as reader:
        frames = [frame.image for frame in reader.frames()][:num_frames]
    width = frames[0].shape[1]
    cut = [frame[:, int(left * width) : int(right * width)] for frame in frames]
    return [np.asarray(cv2.resize(one, (240, 300), interpolation=cv2.INTER_AREA), np.uint8) for one in cut]


def pasted(layers: Sequence[tuple[str, list[Image], Callable[[int], Place]]], *, num_frames: int) -> KnownScene:
    """Paste moving cut-outs on a plain wall, the later ones in front; a place is that of the left top corner."""
    pictures: list[Image] = []
    faces: list[Mapping[str, Place]] = []
    for t in range(num_frames):
        picture = np.full((HEIGHT_PX, WIDTH_PX, 3), (120, 130, 140), np.uint8)
        there: dict[str, Place] = {}
        for person, frames, place in layers:
            x, y = (round(value) for value in place(t))
            _paste(picture, frames[min(t, len(frames) - 1)], x, y)
            there[person] = (x + _MIDDLES[person][0], y + _MIDDLES[person][1])
        pictures.append(picture)
        faces.append(there)
    return KnownScene(pictures, faces)


def _paste(picture: Image, small: Image, x: int, y: int) -> None:
    left, top = max(0, x), max(0, y)
    right, bottom = min(WIDTH_PX, x + small.shape[1]), min(HEIGHT_PX, y + small.shape[0])
    if left < right and top < bottom:
        picture[top:bottom, left:right] = small[top - y : bottom - y, left - x : right - x]


def joined(*scenes: KnownScene) -> KnownScene:
    """Show scenes one after the other, with a cut between them."""
    return KnownScene([p for scene in scenes for p in scene.pictures], [f for scene in scenes for f in scene.faces])


def rendered(
    wheel: Path, paths: Mapping[int, Callable[[int], tuple[float, float, float]]], *, num_frames: int
) -> KnownScene:
    """Render heads: identity -> x, y of the middle of the eyes and pixels per decimetre, by frame."""
    model = load_heads(wheel)
    persons = {identity: sample_person(model, identity=identity, seed=3) for identity in paths}
    wall = np.full((HEIGHT_PX, WIDTH_PX, 3), (110, 118, 128), np.uint8)
    light = np.array([0.2, 0.3, 0.93], np.float32)
    pictures: list[Image] = []
    faces: list[Mapping[str, Place]] = []
    for t in range(num_frames):
        picture, there = wall, {}
        for identity in sorted(paths, key=lambda one: paths[one](t)[2]):
            x, y, scale = paths[identity](t)
            scene = Scene(picture, (x, y), scale, light, 0.5, np.ones(3, np.float32))
            picture, landmarks = render(
                persons[identity], scene, Pose({}, 0.1 * np.sin(t / 9 + identity), 0, 0, (0, 0))
            )
            middle = (float(landmarks[:, 0].mean()), float(landmarks[:, 1].mean()))
            there[str(identity)] = middle
        pictures.append(picture)
        faces.append(there)
    return KnownScene(pictures, faces)

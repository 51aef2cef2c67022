"""Render the clips of `benchmarks.identity`: two people who meet in a transition or a cut, one person disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from dfer_data.synth.config import SynthConfig
from dfer_data.synth.expressions import APEX, Performance, perform
from dfer_data.synth.studio import encode, film, person_of
from dfer_data.types import Floats, Image

_NUM_FRAMES = 36
_NUM_PEOPLE = 400
_CONFIG = SynthConfig(width_px=480, height_px=320)
SAME_SCENE = "same-background"
Pictures = list[Image]


@dataclass(frozen=True, eq=False)
class _Shot:
    """A person filmed for a clip."""

    pictures: Pictures
    landmarks: Floats
    """(T, 5, 2) pixels."""


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two people filmed at nearly the same place."""

    first: Pictures
    second: Pictures
    middle: Floats
    """(2,) pixels: the middle of the face."""


def write_clip(folder: Path, heads: Path, clip: tuple[str, int]) -> None:
    """Render a clip and the share of the second person in each of its frames, unless both exist."""
    kind, number = clip
    path = folder / f"{kind}-{number}.mp4"
    if path.with_suffix(".npy").exists():
        return
    rng = np.random.default_rng((77, [*PAIRS, *SINGLES].index(kind), number))
    if kind in PAIRS:
        one, other = (int(number) for number in rng.choice(_NUM_PEOPLE, 2, replace=False))
        pictures, shares = PAIRS[kind](_pair(one, other, heads, rng, same_scene=kind == SAME_SCENE), rng)
    else:
        pictures = SINGLES[kind](int(rng.integers(_NUM_PEOPLE)), heads, rng)
        shares = np.zeros(len(pictures), np.float32)
    encode(path, pictures, crf=20)
    np.save(path.with_suffix(".npy"), shares)


def _shot(identity: int, heads: Path, rng: np.random.Generator, *, scene_seed: int, yaw: Floats | None = None) -> _Shot:
    """Film a person in the room and the light of `scene_seed`."""
    person = person_of(heads, identity, 5)
    emotion = str(rng.choice(sorted(APEX)))
    acted = perform(emotion, rng)
    time = np.linspace(0, 1, _NUM_FRAMES)
    intensity, blink, own_yaw, pitch, roll = (
        np.interp(time, np.linspace(0, 1, len(course)), course).astype(np.float32)
        for course in (acted.intensity, acted.blink, acted.yaw, acted.pitch, acted.roll)
    )
    performance = Performance(intensity, blink, own_yaw if yaw is None else yaw, pitch, roll, acted.onset)
    pictures, landmarks = film(person, emotion, performance, np.random.default_rng(scene_seed), _CONFIG)
    return _Shot(pictures, landmarks)


def _pair(one: int, other: int, heads: Path, rng: np.random.Generator, *, same_scene: bool = False) -> _Pair:
    """Film two people, the second moved to the first one's place."""
    seeds = [int(seed) for seed in rng.integers(0, 2**31, 2)]
    first = _shot(one, heads, rng, scene_seed=seeds[0])
    second = _shot(other, heads, rng, scene_seed=seeds[0] if same_scene else seeds[1])
    middle = first.landmarks[_NUM_FRAMES // 2].mean(axis=0)
    if same_scene:
        return _Pair(first.pictures, second.pictures, np.asarray(middle, np.float32))
    moved = middle - second.landmarks[_NUM_FRAMES // 2].mean(axis=0) + rng.uniform(-8, 8, 2)
    matrix = np.array([[1, 0, moved[0]], [0, 1, moved[1]]], np.float32)
    size = (_CONFIG.width_px, _CONFIG.height_px)
    shifted = [
        np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT_101), np.uint8)
        for picture in second.pictures
    ]
    return _Pair(first.pictures, shifted, np.asarray(middle, np.float32))


def _mixed(one: Image, other: Image, share: float | Floats) -> Image:
    weights = np.asarray(share, np.float32)
    weights = weights[..., None] if weights.ndim else weights
    return np.asarray(np.rint(one * (1 - weights) + other * weights), np.uint8)


def _dissolve(pair: _Pair, rng: np.random.Generator) -> tuple[Pictures, Floats]:
    length = int(rng.integers(12, 25))
    start = (_NUM_FRAMES - length) // 2
    shares = np.clip((np.arange(_NUM_FRAMES) - start + 1) / (length + 1), 0, 1).astype(np.float32)
    return [_mixed(a, b, share) for a, b, share in zip(pair.first, pair.second, shares.tolist(), strict=True)], shares


def _wipe(pair: _Pair, rng: np.random.Generator) -> tuple[Pictures, Floats]:
    length, is_upright = int(rng.integers(6, 21)), bool(rng.integers(2))
    start = (_NUM_FRAMES - length) // 2
    side = _CONFIG.width_px if is_upright else _CONFIG.height_px
    place = np.arange(side, dtype=np.float32)
    axis_middle, half_head = float(pair.middle[0 if is_upright else 1]), 70.0
    pictures, shares = [], []
    for t, (a, b) in enumerate(zip(pair.first, pair.second, strict=True)):
        edge = float(np.clip((t - start + 1) / (length + 1), 0, 1)) * (side + 16) - 8
        line = np.clip((edge - place) / 8 + 0.5, 0, 1).astype(np.float32)
        mask = np.broadcast_to(line[None, :] if is_upright else line[:, None], a.shape[:2])
        pictures.append(_mixed(a, b, np.ascontiguousarray(mask)))
        shares.append(float(np.clip((edge - axis_middle + half_head) / (2 * half_head), 0, 1)))
    return pictures, np.array(shares, np.float32)


def _fade(pair: _Pair, rng: np.random.Generator) -> tuple[Pictures, Floats]:
    length, black = int(rng.integers(4, 11)), int(rng.integers(0, 4))
    middle = _NUM_FRAMES // 2
    pictures, shares = [], []
    for t, (a, b) in enumerate(zip(pair.first, pair.second, strict=True)):
        is_second = t >= middle
        away = t - middle - black / 2 if is_second else middle - 1 - t - black / 2
        gain = float(np.clip((away + 0.5) / length, 0, 1))
        pictures.append(np.asarray(np.rint((b if is_second else a) * gain), np.uint8))
        shares.append(float(is_second))
    return pictures, np.array(shares, np.float32)


def _cut(pair: _Pair, rng: np.random.Generator, *, gain: float = 1.0) -> tuple[Pictures, Floats]:
    start = int(rng.integers(12, _NUM_FRAMES - 11))
    pictures = [np.asarray(np.rint(p * gain), np.uint8) for p in [*pair.first[:start], *pair.second[start:]]]
    return pictures, (np.arange(_NUM_FRAMES) >= start).astype(np.float32)


def _flash(identity: int, heads: Path, rng: np.random.Generator) -> Pictures:
    """One to three odd frames, twice: white, black, green, or the picture washed out."""
    shot = _shot(identity, heads, rng, scene_seed=int(rng.integers(2**31)))
    colour = ((255, 255, 255), (0, 0, 0), (0, 135, 0), (255, 250, 240))[int(rng.integers(4))]
    strength = float(rng.choice([1.0, 1.0, 0.8]))
    plain = np.broadcast_to(np.array(colour, np.uint8), shot.pictures[0].shape)
    starts, length = (int(rng.integers(6, 14)), int(rng.integers(19, 27))), int(rng.integers(1, 4))
    odd = {start + i for start in starts for i in range(length)}
    return [_mixed(p, plain, strength) if t in odd else p for t, p in enumerate(shot.pictures)]


def _exposure(identity: int, heads: Path, rng: np.random.Generator) -> Pictures:
    """The gain changes at one frame, sometimes back later."""
    shot = _shot(identity, heads, rng, scene_seed=int(rng.integers(2**31)))
    gain, start = float(rng.choice([0.35, 0.5, 0.7, 1.4, 1.8, 2.2])), int(rng.integers(8, 16))
    stop = start + int(rng.integers(6, 40))
    changed = [np.asarray(np.clip(np.rint(p * gain), 0, 255), np.uint8) for p in shot.pictures]
    return [changed[t] if start <= t < stop else p for t, p in enumerate(shot.pictures)]


def _turn(identity: int, heads: Path, rng: np.random.Generator) -> Pictures:
    """Turn by 90 degrees in 10 to 20 frames: to profile, from one side to the other, or to profile and back."""
    side, length = float(rng.choice([-1, 1])), int(rng.integers(10, 21))
    begin, end = ((0.0, 90.0), (-45.0, 45.0), (0.0, 90.0))[way := int(rng.integers(3))]
    share = np.clip((np.arange(_NUM_FRAMES) - 6) / length, 0, 1)
    if way == 2:
        share = np.clip(1 - np.abs(np.arange(_NUM_FRAMES) - 18) / 12, 0, 1)
    yaw = np.radians(side * (begin + (end - begin) * share * share * (3 - 2 * share))).astype(np.float32)
    return _shot(identity, heads, rng, scene_seed=int(rng.integers(2**31)), yaw=yaw).pictures


def _pan(identity: int, heads: Path, rng: np.random.Generator, *, extent: tuple[float, float] = (0.3, 0.5)) -> Pictures:
    """Pan over a share of the picture in 12 to 24 frames while the head turns by up to 40 degrees."""
    side, length, width = float(rng.choice([-1, 1])), int(rng.integers(12, 25)), _CONFIG.width_px
    share = np.clip((np.arange(_NUM_FRAMES) - 5) / length, 0, 1)
    share = share * share * (3 - 2 * share)
    yaw = np.radians(rng.uniform(-40, 40) * (2 * share - 1)).astype(np.float32)
    shot = _shot(identity, heads, rng, scene_seed=int(rng.integers(2**31)), yaw=yaw)
    middle = float(shot.landmarks[..., 0].mean()) / width - 0.5
    shifts = width * ((share - 0.5) * side * rng.uniform(*extent) - middle)
    matrices = [np.array([[1, 0, shift], [0, 1, 0]], np.float32) for shift in shifts]
    size = (width, _CONFIG.height_px)
    return [
        np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REFLECT_101), np.uint8)
        for picture, matrix in zip(shot.pictures, matrices, strict=True)
    ]


def _hand(identity: int, heads: Path, rng: np.random.Generator) -> Pictures:
    """A hand moves over half of the face, stays, and leaves."""
    shot = _shot(identity, heads, rng, scene_seed=int(rng.integers(2**31)))
    colour = np.array(((224, 178, 150), (182, 130, 100), (112, 76, 58))[int(rng.integers(3))], np.float32)
    side, length = float(rng.choice([-1, 1])), int(rng.integers(3, 7))
    start, stay = int(rng.integers(5, 10)), int(rng.integers(4, 12))
    target = np.array([rng.uniform(-20, 20), rng.uniform(5, 30)])
    pictures = []
    for t, picture in enumerate(shot.pictures):
        there = np.clip(min(t - start, start + 2 * length + stay - t) / length, 0, 1)
        if there > 0:
            middle = shot.landmarks[t].mean(axis=0) + target + (1 - there) * np.array([side * 160, 120])
            picture = picture.copy()
            shade = (colour * rng.uniform(0.97, 1.03)).tolist()
            cv2.ellipse(picture, tuple(np.rint(middle).astype(int).tolist()), (42, 30), side * 30, 0, 360, shade, -1)
            for finger in range(4):
                tip = middle + np.array([-side * 45, -18 + 13 * finger])
                points = [tuple(np.rint(point).astype(int).tolist()) for point in (middle, tip)]
                cv2.line(picture, points[0], points[1], [0.93 * value for value in shade], 12, cv2.LINE_AA)
        pictures.append(picture)
    return pictures


PAIRS: Mapping[str, Callable[[_Pair, np.random.Generator], tuple[Pictures, Floats]]] = {
    "dissolve": _dissolve,
    "wipe": _wipe,
    "fade": _fade,
    "cut-1.0": _cut,
    "cut-0.5": partial(_cut, gain=0.5),
    "cut-0.3": partial(_cut, gain=0.3),
    "cut-0.2": partial(_cut, gain=0.2),
    SAME_SCENE: _cut,
}
SINGLES: Mapping[str, Callable[[int, Path, np.random.Generator], Pictures]] = {
    "flash": _flash,
    "exposure": _exposure,
    "turn": _turn,
    "hand": _hand,
    "pan": _pan,
    "small-pan": partial(_pan, extent=(0.05, 0.2)),
}

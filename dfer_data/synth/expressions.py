"""Seven emotions as face units over time (after the Facial Action Coding System), blinks and small head motions.

Every clip starts neutral. Surprise and fear have the same units at the same strengths and differ only in their course:
surprise is sudden and short, fear rises slowly and is held. So only the course, not a single frame, separates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Course = npt.NDArray[np.float32]
"""(T,) float32 strength over the frames of a clip, 0 = neutral."""

FPS = 25


def _both_sides(**units: float) -> dict[str, float]:
    return {name + side: strength for name, strength in units.items() for side in ("Left", "Right")}


_STARTLED = _both_sides(browOuterUp=0.9, eyeWide=1.0, mouthStretch=0.3) | {"browInnerUp": 0.9, "jawOpen": 0.6}

APEX: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "happy": _both_sides(cheekSquint=0.8, mouthSmile=1.0, eyeSquint=0.3) | {"jawOpen": 0.08},
        "sad": _both_sides(mouthFrown=1.5, browDown=0.2, eyeSquint=0.35, mouthLowerDown=0.15)
        | {"browInnerUp": 1.5, "mouthShrugLower": 0.6},
        "neutral": {},
        "angry": _both_sides(browDown=1.25, eyeSquint=0.4, mouthPress=0.9, noseSneer=0.3),
        "surprise": _STARTLED,
        "disgust": _both_sides(noseSneer=1.3, mouthUpperUp=1.0, browDown=0.35, eyeSquint=0.5, cheekSquint=0.4),
        "fear": _STARTLED,
    }
)
"""Emotion -> face unit -> strength at full intensity."""


@dataclass(frozen=True, eq=False)
class Performance:
    """Motion of a head in one clip."""

    intensity: Course
    """Strength of the emotion's units."""
    blink: Course
    """0 open, 1 shut."""
    yaw: Course
    """Radians; positive turns the face to the picture's right."""
    pitch: Course
    """Radians; positive nods down."""
    roll: Course
    """Radians."""
    onset: float
    """Start of the expression as a share of the clip; for the ground-truth table."""


def perform(emotion: str, rng: np.random.Generator) -> Performance:
    """Sample a performance of 18 to 26 frames; all randomness comes from `rng`."""
    num_frames = int(rng.integers(18, 27))
    strength = float(rng.uniform(0.95, 1.35))
    onset, intensity = _course(emotion, np.linspace(0, 1, num_frames), rng)
    return Performance(
        (intensity * strength).astype(np.float32) if emotion != "neutral" else np.zeros(num_frames, np.float32),
        _blink(num_frames, rng),
        _sway(num_frames, rng, spread=0.16, speed=0.010),
        _sway(num_frames, rng, spread=0.07, speed=0.006),
        _sway(num_frames, rng, spread=0.05, speed=0.004),
        onset,
    )


def _course(
    emotion: str, time: npt.NDArray[np.float64], rng: np.random.Generator
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return the onset and the course (T,) 0..1 over time 0..1, with eased ramps.

    Surprise and fear have the same apex and reach it by the middle of the clip, so that no frame there separates them:
    surprise is sudden and short, fear rises slowly and stays.
    """
    if emotion == "surprise":
        onset = float(rng.uniform(0.30, 0.44))
        course = _ramp(time, onset, 0.07) * (1 - _ramp(time, onset + 0.26, 0.14))
    elif emotion == "fear":
        onset = float(rng.uniform(0.03, 0.12))
        course = _ramp(time, onset, float(rng.uniform(0.36, 0.46)))
    else:
        onset = float(rng.uniform(0.03, 0.3))
        course = _ramp(time, onset, float(rng.uniform(0.12, 0.3))) * (1 - _ramp(time, rng.uniform(0.85, 1.2), 0.15))
    return onset, course


def _ramp(time: npt.NDArray[np.float64], start: float, length: float) -> npt.NDArray[np.float64]:
    share = np.clip((time - start) / length, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def _blink(num_frames: int, rng: np.random.Generator) -> Course:
    """Return one blink of about a fifth of a second at a random time, in two of three clips."""
    course = np.zeros(num_frames, np.float32)
    start = int(rng.integers(3, num_frames - 5))
    if rng.random() < 2 / 3:
        course[start : start + 4] = (0.5, 1.0, 0.8, 0.3)
    return course


def _sway(num_frames: int, rng: np.random.Generator, *, spread: float, speed: float) -> Course:
    """Return a smooth random walk of an angle, within +-2 spreads."""
    steps = np.convolve(rng.normal(0, speed, num_frames + 8), np.full(9, 1 / 3), mode="valid")
    path = rng.uniform(-spread, spread) + np.cumsum(steps)
    return np.clip(path, -2 * spread, 2 * spread).astype(np.float32)

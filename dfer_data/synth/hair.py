"""Hair and caps: the part of the head that they cover, their thickness, and sheets that hang off or protrude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfer_data.synth.heads import Points, VertexIndices

HAIRS = ("short", "long", "cap", "buzz", "bun")

_DEPTH = np.array([-0.6, 0.15, 0.55, 0.78, 1.0, 1.2, 1.45])
_HAIRLINE = np.array([6.55, 6.9, 7.0, 7.5, 7.86, 7.96, 8.02])
_CAP_EDGE = np.array([7.1, 7.45, 7.7, 7.78, 7.84, 7.86, 7.88])
_THICKNESS = {"short": 0.1, "long": 0.07, "cap": 0.12, "buzz": 0.03, "bun": 0.05}


@dataclass(frozen=True, eq=False)
class HairSheet:
    """A rectangular grid of extra vertices."""

    points: Points
    """(R, C, 3) float32."""
    colour: Points
    """(3,) RGB 0..255."""
    gloss: float = 0.06
    """Strength of the highlight."""
    depth_bias: float = 0.0
    """Added to the depth when polygons are sorted."""
    streaks: float = 0.0
    """Variation of the colour from column to column, 0..1."""
    moves: Mapping[str, Points] = field(default_factory=dict)
    """Face unit -> (R * C, 3) displacement; empty if no unit moves the sheet."""

    def quads(self, *, first_vertex: int) -> VertexIndices:
        """Return the polygons ((R-1)(C-1), 4) int32 if the points are numbered from `first_vertex`."""
        rows, columns = self.points.shape[:2]
        number = first_vertex + np.arange(rows * columns).reshape(rows, columns)
        corners = (number[1:, :-1], number[1:, 1:], number[:-1, 1:], number[:-1, :-1])
        return np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)

    def colours(self) -> Points:
        """Return the colours ((R-1)(C-1), 3) of the polygons."""
        rows, columns = self.points.shape[0] - 1, self.points.shape[1] - 1
        column = np.tile(np.arange(columns), rows)
        wave = 1 + self.streaks * (0.6 * np.sin(column * 2.4) + 0.4 * np.sin(column * 5.1))
        return np.asarray(self.colour * wave[:, None], np.float32)


def scalp_share(base: Points, hair: str) -> npt.NDArray[np.float32]:
    """Return the share (...,) of hair or cap at points (..., 3) of the base mesh, 0..1, soft at the edge."""
    line = _CAP_EDGE if hair == "cap" else _HAIRLINE
    height = base[..., 1] - np.interp(base[..., 2], _DEPTH, line)
    softness = 0.02 if hair == "cap" else 0.09
    return np.asarray(np.clip(height / softness + 0.5, 0, 1) * (base[..., 1] > 6.3), np.float32)


def thickness(base: Points, hair: str) -> npt.NDArray[np.float32]:
    """Return how far points (V, 3) of the base mesh are lifted (V,), in decimetres; more on top than at the sides."""
    top = np.clip((base[:, 1] - 7.0) / 1.2, 0.35, 1)
    return np.asarray(top * _THICKNESS[hair], np.float32)


def strands(colour: Points, base: Points, phase: Points) -> Points:
    """Return colours (..., 3) at points (..., 3) of the base mesh that vary around the head like strands."""
    angle = np.arctan2(base[..., 0], base[..., 2] - 0.3) + 0.15 * base[..., 1]
    waves = sum(np.sin(angle * frequency + shift) for frequency, shift in zip((19, 31, 47), phase, strict=True))
    return np.asarray(colour * (1 + 0.07 * np.asarray(waves))[..., None], np.float32)


def sheets(hair: str, *, top_y: float, colour: Points, cap: Points) -> list[HairSheet]:
    """Return the extra geometry of a style; `top_y` is the highest point of the head."""
    if hair == "long":
        return [HairSheet(_curtain(bottom_y=5.4), colour, streaks=0.22)]
    if hair == "bun":
        return [HairSheet(_knot(middle_y=top_y + 0.08), colour, streaks=0.12)]
    if hair == "cap":
        return [HairSheet(_visor(), cap * 0.78, depth_bias=0.05)]
    return []


def _curtain(*, bottom_y: float) -> Points:
    """Return long hair (10, 41, 3) around the back and the sides of the head, over the ears."""
    angle = np.linspace(-2.3, 2.3, 41)  # from the back of the head
    height = np.linspace(8.1, bottom_y, 10)
    flare = np.interp(height, [bottom_y, 6.3, 7.3, 7.8, 8.1], [1.02, 0.9, 0.86, 0.76, 0.6])
    x = np.sin(angle)[None] * flare[:, None]
    z = 0.42 - np.cos(angle)[None] * flare[:, None]
    y = np.broadcast_to(height[:, None], x.shape)
    return np.stack([x, y, z], axis=-1).astype(np.float32)


def _knot(*, middle_y: float) -> Points:
    """Return a bun (8, 13, 3) towards the back of the crown."""
    polar, turn = np.linspace(0.05, np.pi - 0.05, 8), np.linspace(0, -2 * np.pi, 13)
    x = np.sin(polar)[:, None] * np.cos(turn)[None]
    z = np.sin(polar)[:, None] * np.sin(turn)[None]
    y = np.broadcast_to(np.cos(polar)[:, None], x.shape)
    return (np.stack([x, y, z], axis=-1) * (0.38, 0.32, 0.38) + (0, middle_y, 0.0)).astype(np.float32)


def _visor() -> Points:
    """Return the brim of a cap (4, 17, 3) over the forehead."""
    across = np.linspace(-1, 1, 17)
    inner = np.stack([0.66 * across, 7.9 + 0 * across, 1.5 - 0.55 * across**2], axis=1)
    outer = np.stack([0.7 * across, 7.78 - 0.1 * across**2, 2.15 - 0.95 * across**2], axis=1)
    steps = np.linspace(0, 1, 4)[:, None, None]
    return (inner * (1 - steps) + outer * steps + (0, 0.03, 0) * np.sin(np.pi * steps)).astype(np.float32)

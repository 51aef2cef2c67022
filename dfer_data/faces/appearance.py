"""Describe a face and the picture around it in a few numbers, enough to see that another person has taken its place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import Appearance, Detection, Floats, Image, LandmarkScheme
from dfer_data.video.shot_cuts import OVERVIEW_HEIGHT, OVERVIEW_WIDTH, differences, overview

_SIZE_PX, _SCALE = 8, 0.8  # the face and little of its surroundings
_MAX_SIDE_PX = 4096.0  # disordered landmarks could ask for a huge square
_RANK = 0.4  # of the difference that counts: an expression or a hand changes less than half of a face
_HEAD, _NEAR = 1.6, 3.2  # half sides of boxes about the face, in those of its box: the surroundings are between
_BUST, _MOST = 2.0, 0.6  # half side of the box that changes with the person, and the rank of the change that counts
_MIN_CELLS = 8
_MIN_FACE_CHANGE, _MIN_BUST_CHANGE = 0.06, 0.12  # a hand, a light; of someone else mostly 0.09 and 0.22 or more
_MIN_PERSON_CHANGE = 0.13  # from one frame to the next
_MIN_SCENE_FACE_CHANGE, _MIN_SURROUNDINGS_CHANGE = 0.15, 0.25
_AROUND = 0.65  # rank of the change of the surroundings: a wipe that has passed the face has changed half of them
_MAX_MIXED_REST = 0.2  # of a picture's contrast, not explained by the two it mixes: at most 0.11, in a pan 0.45 or more
_MAX_WIPED_REST = 0.09  # of two pictures' difference, unlike both: at most 0.06 in a wipe, in a pan 0.13 or more
_MIXED, _WIPED = (-0.1, 0.8), (0.2, 0.8)  # shares of either picture in the middle of a transition


def described(image: Image, found: Sequence[Detection], *, scheme: LandmarkScheme) -> list[Detection]:
    """Return the detections of a picture with their appearance added."""
    picture = overview(image) if found else image
    return [
        replace(
            detection,
            appearance=Appearance(
                _face(image, detection.landmarks, scheme=scheme),
                picture,
                _away(detection.box, width_px=image.shape[1], height_px=image.shape[0]),
            ),
        )
        for detection in found
    ]


def distance(one: Appearance | None, other: Appearance | None) -> float:
    """Return by how much most of two faces differs, in units of their contrast; 0 where one is unknown.

    From one frame to the next a face changes by at most 0.4 while it turns or a hand moves over it; over 24 frames
    it changes by at most 0.3 while it keeps facing the camera. Two people differ by 0.2 or more, mostly by 0.4.
    """
    return 0.0 if one is None or other is None else _ranked(differences(one.face, other.face), _RANK)


def change_of_bust(one: Appearance | None, other: Appearance | None) -> float:
    """Return by how much most of a head with hair and neck differs; 0 where one is unknown."""
    if one is None or other is None:
        return 0.0
    changed = differences(one.overview, other.overview)
    bust = changed[other.away < _BUST]
    return _ranked(bust if len(bust) else changed, _MOST)


def change_of_person(one: Appearance | None, other: Appearance | None, *, least: float = _MIN_PERSON_CHANGE) -> float:
    """Return the share that a change reaches of what makes another person; see `person_share`. 0 if one is unknown."""
    return person_share(distance(one, other), change_of_bust(one, other), least=least)


def person_share(face: float, bust: float, *, least: float = _MIN_PERSON_CHANGE) -> float:
    """Return the share that changes of face and bust reach of what makes another person: someone else from 1 on.

    The lowest of the shares that the face, the bust and their geometric mean reach of their limits; `least` is that of
    the mean. Someone else on the same background changes the mean by 0.11 or more, mostly by 0.17 or more; a hand that
    comes at once by at most 0.12.
    """
    return min(face / _MIN_FACE_CHANGE, bust / _MIN_BUST_CHANGE, math.sqrt(face * bust) / least)


def is_other_scene(anchor: Appearance | None, between: Iterable[Image], now: Appearance | None) -> bool:
    """Return whether a face and the picture around it have been replaced in a dissolve, a wipe or a fade.

    Both have changed, and one of the overviews `between` shows both scenes: it is a weighted sum of the first and the
    last, or made of parts of each. Where the camera pans and the head turns, face and surroundings change as well, but
    through other pictures.
    """
    if anchor is None or now is None or distance(anchor, now) < _MIN_SCENE_FACE_CHANGE:
        return False
    changed = differences(anchor.overview, now.overview)
    around = changed[(now.away > _HEAD) & (now.away < _NEAR)]
    if _ranked(around if len(around) >= _MIN_CELLS else changed, _AROUND) < _MIN_SURROUNDINGS_CHANGE:
        return False
    return any(_shows_both(anchor.overview, picture, now.overview) for picture in between)


def _shows_both(first: Image, middle: Image, last: Image) -> bool:
    """Return whether a small picture is a mixture of two others, or made of parts of each."""
    start, picture, end = (np.asarray(image, np.float32) for image in (first, middle, last))
    sources = np.stack([start.ravel(), end.ravel(), np.ones(start.size, np.float32)], axis=1)
    values = picture.ravel()
    weights = np.linalg.lstsq(sources, values, rcond=None)[0]
    rest = float((values - sources @ weights).std()) / (float(values.std()) + 1.0)
    if rest < _MAX_MIXED_REST and all(_MIXED[0] < weight < _MIXED[1] for weight in weights[:2].tolist()):
        return True
    change = end - start
    place = ((picture - start) * change).sum(axis=2) / np.maximum((change * change).sum(axis=2), 1e-3)
    place = np.clip(place, 0, 1)[..., None]  # of each cell on the way from one picture to the other
    apart = np.linalg.norm(change, axis=2)
    share = float(apart[place[..., 0] > 0.5].sum()) / max(float(apart.sum()), 1e-6)
    rest = float(np.linalg.norm(picture - start - place * change)) / max(float(np.linalg.norm(apart)), 1e-6)
    return rest < _MAX_WIPED_REST and _WIPED[0] < share < _WIPED[1]


def _ranked(values: Floats, share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    flat, rank = values.ravel(), int(share * values.size)
    return float(np.partition(flat, rank)[rank])


def _face(image: Image, landmarks: Floats, *, scheme: LandmarkScheme) -> Image:
    """Return the square around a face's landmarks (5, 2) as a tiny (8, 8, 3) picture."""
    matrix = similarity(landmarks, landmark_template(scheme, size_px=_SIZE_PX, scale=_SCALE))
    side = min(_SIZE_PX / max(float(np.hypot(*matrix[:, 0])), 1e-6), _MAX_SIDE_PX)
    centre = np.linalg.solve(matrix[:, :2], _SIZE_PX / 2 - matrix[:, 2])
    left, top, right, bottom = np.concatenate([centre - side / 2, centre + side / 2]).round().astype(int).tolist()
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if not inside.size:
        return np.zeros((_SIZE_PX, _SIZE_PX, 3), np.uint8)
    edges = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    padded = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE) if any(edges) else inside
    return np.asarray(cv2.resize(padded, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _away(box: Floats, *, width_px: int, height_px: int) -> Floats:
    """Return how far each cell of the overview is from the middle of a face, in half sides of its box."""
    middle, half = (box[:2] + box[2:]) / 2, np.maximum((box[2:] - box[:2]) / 2, 1e-3)
    x = (np.arange(OVERVIEW_WIDTH) + 0.5) * (width_px / OVERVIEW_WIDTH)
    y = (np.arange(OVERVIEW_HEIGHT) + 0.5) * (height_px / OVERVIEW_HEIGHT)
    across, down = np.abs(x - middle[0]) / half[0], np.abs(y - middle[1]) / half[1]
    return np.asarray(np.maximum(across[None, :], down[:, None]), np.float32)

"""dlib's HOG face detector with its 5-point landmark predictor (King 2009; Kazemi and Sullivan, CVPR 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import dlib
import numpy as np

from dfer_data.detect.base import resize, scaling_to_long_side
from dfer_data.types import Detection, Floats, Image, LandmarkScheme
from dfer_data.weights.model_bytes import opened_model

_UPSAMPLE = 1  # finds faces from 40 px at the detector's size; without it many small ones are missed
_FACE_PX = 320  # dlib returns whole pixels: the predictor runs on a face enlarged to this, so a step is about 0.1 px
# dlib's order: outer and inner corner of the eye on the picture's right, of the other eye, base of the nose.
_ORDER = (2, 3, 1, 0, 4)  # -> left to right in the picture: outer, inner, inner, outer, nose base


class Dlib:
    """The detector; single-threaded."""

    def __init__(
        self, weights: Path, *, long_side_px: int = 640, score_threshold: float = 0.0, sha256: str = ""
    ) -> None:
        """Load the landmark predictor from a file that is read once; `sha256`: hash that it must have, empty: any.

        Raises UsageError if `weights` is not a predictor, WeightsError for another hash.
        """
        self._find = dlib.get_frontal_face_detector()
        self._predict = opened_model(weights, dlib.shape_predictor, what="a dlib shape predictor", sha256=sha256)
        self._long_side_px = long_side_px
        self._score_threshold = score_threshold

    @property
    def scheme(self) -> LandmarkScheme:
        """Four eye corners from the picture's left to right, then the base of the nose."""
        return "eye-corners-nose-base"

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        """See Detector.detect."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> list[Detection]:
        scaling = scaling_to_long_side(image, long_side_px=self._long_side_px)
        resized = resize(image, scaling)
        rectangles, scores, _ = self._find.run(resized, _UPSAMPLE, self._score_threshold)
        detections = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            box = np.array([rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()], np.float32)
            landmarks = scaling.to_source(self._landmarks(resized, box))
            detections.append(Detection(scaling.to_source(box.reshape(2, 2)).reshape(4), float(score), landmarks))
        detections.sort(key=lambda detection: -detection.score)
        return [detection for detection in detections if detection.is_finite]

    def _landmarks(self, image: Image, box: Floats) -> Floats:
        """Return (5, 2) float32 landmarks of the face in `box` (4,), predicted on an enlarged crop."""
        scale = _FACE_PX / float(box[2] - box[0] + 1)
        margin = 0.5 * (box[2] - box[0] + 1)  # the predictor looks a little outside the box
        left, top = box[0] - margin, box[1] - margin
        side = round((2 * margin + box[2] - box[0] + 1) * scale)
        matrix = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
        crop = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        edge = round(margin * scale)
        face = dlib.rectangle(edge, edge, edge + _FACE_PX - 1, edge + _FACE_PX - 1)
        shape = self._predict(np.asarray(crop, np.uint8), face)
        points = np.array([[shape.part(i).x, shape.part(i).y] for i in _ORDER], np.float64)
        return np.asarray((points + 0.5) / scale - 0.5 + (left, top), np.float32)

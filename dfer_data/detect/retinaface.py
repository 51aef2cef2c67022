"""RetinaFace (Deng et al., CVPR 2020) with a MobileNet 0.25 or a ResNet-50 backbone, decoded in floats.

The network returns raw regressions per anchor; this module adds anchors, decoding and non-maximum suppression. Other
packages round landmarks to whole pixels, which alone adds visible jitter to aligned faces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from dfer_data.config import Device, Precision
from dfer_data.detect.backends import Backbone, network
from dfer_data.detect.base import (
    Candidates,
    InputFormat,
    PictureNetwork,
    Scaling,
    box_iou,
    resize,
    scaling_to_long_side,
)
from dfer_data.types import Detection, Floats, Image, LandmarkScheme

_STRIDES_AND_SIZES_PX = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
_VARIANCE_CENTRE, _VARIANCE_SIZE = 0.1, 0.2
_PAD_MULTIPLE_PX = 32


@dataclass(frozen=True)
class _Backbone:
    """Input format and batches of a backbone."""

    format: InputFormat
    """What it expects of a picture."""
    max_batch: Mapping[Device, int]
    """Most pictures per batch on each device."""
    is_fixed: bool
    """Whether every batch has that size on a CPU too, because results could change with the batch size."""


_BACKBONES: Mapping[Backbone, _Backbone] = MappingProxyType(
    {
        "mobilenet0.25": _Backbone(
            InputFormat(mean_rgb=(127.0, 117.0, 104.0), scale_rgb=None, is_bgr=True),
            max_batch={"cpu": 2, "cuda": 16},  # one CPU thread is no faster with more; each picture takes 14 MiB
            is_fixed=False,
        ),
        "resnet50": _Backbone(  # ImageNet's mean and standard deviation
            InputFormat(
                mean_rgb=(0.485 * 255, 0.456 * 255, 0.406 * 255),
                scale_rgb=(1 / (0.229 * 255), 1 / (0.224 * 255), 1 / (0.225 * 255)),
                is_bgr=False,
            ),
            max_batch={"cpu": 1, "cuda": 16},
            is_fixed=True,
        ),
    }
)


class RetinaFace:
    """The detector; on a CPU in one thread."""

    def __init__(
        self,
        weights: Path,
        *,
        long_side_px: int = 640,
        score_threshold: float = 0.7,
        nms_iou: float = 0.4,
        backbone: Backbone = "mobilenet0.25",
        device: Device = "cpu",
        precision: Precision = "f32",
        sha256: str = "",
    ) -> None:
        """Load the network from a file that is read once; `sha256`: hash that it must have, empty: any.

        Raises UsageError for other weights, a missing package or missing hardware, WeightsError for another hash.
        """
        self._network = network(weights, backbone=backbone, device=device, precision=precision, sha256=sha256)
        self._backbone = _BACKBONES[backbone]
        self._max_batch = self._backbone.max_batch[device]
        self._is_fixed = self._backbone.is_fixed or precision == "bf16" or device == "cuda"
        self._long_side_px = long_side_px
        self._score_threshold = score_threshold
        self._nms_iou = nms_iou

    @property
    def scheme(self) -> LandmarkScheme:
        """Eyes, nose tip, mouth corners; the eye on the picture's left comes first."""
        return "eyes-nose-mouth"

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        """See Detector.detect."""
        detections: list[list[Detection]] = []
        start = 0
        while start < len(images):  # consecutive pictures of equal size share a batch
            stop = start + 1
            while stop < min(len(images), start + self._max_batch) and images[stop].shape == images[start].shape:
                stop += 1
            detections += self._detect_batch(images[start:stop])
            start = stop
        return detections

    def _detect_batch(self, images: Sequence[Image]) -> list[list[Detection]]:
        scaling = scaling_to_long_side(images[0], long_side_px=self._long_side_px)
        num_pictures = self._max_batch if self._is_fixed else len(images)
        resized = [resize(image, scaling) for image in images]
        height, width = (-(-side // _PAD_MULTIPLE_PX) * _PAD_MULTIPLE_PX for side in resized[0].shape[:2])
        shape = (num_pictures, 3, height, width)
        if isinstance(self._network, PictureNetwork):
            found = self._network(np.stack(resized), shape, self._backbone.format, least_score=self._score_threshold)
        else:
            outputs = self._network(_network_input(resized, shape, self._backbone.format))
            found = [
                _candidates(boxes, scores, landmarks, least_score=self._score_threshold)
                for boxes, scores, landmarks in list(zip(*outputs, strict=True))[: len(images)]
            ]
        anchors = _anchors(height, width)
        return [self._decode(rows, anchors=anchors, scaling=scaling) for rows in found]

    def _decode(self, found: Candidates, *, anchors: Floats, scaling: Scaling) -> list[Detection]:
        """Turn the anchors of one picture into detections in source pixels."""
        order = np.argsort(-found.scores, kind="stable")
        kept, scores = anchors[found.anchors[order]], found.scores[order]
        xyxy = decode_boxes(found.boxes[order], kept)
        points = decode_landmarks(found.landmarks[order], kept)
        detections = []
        for i in non_maximum_suppression(xyxy, iou=self._nms_iou):
            box = scaling.to_source(xyxy[i].reshape(2, 2)).reshape(4)
            detections.append(Detection(box, float(scores[i]), scaling.to_source(points[i])))
        return [detection for detection in detections if detection.is_finite]


def _candidates(boxes: Floats, scores: Floats, landmarks: Floats, *, least_score: float) -> Candidates:
    """Return the anchors of one picture whose face score is high enough; (A, 4), (A, 2), (A, 10) float32."""
    kept = np.flatnonzero(scores[:, 1] >= least_score)
    return Candidates(kept, boxes[kept], scores[kept, 1], landmarks[kept])


def _network_input(images: Sequence[Image], shape: tuple[int, int, int, int], wanted: InputFormat) -> Floats:
    """Stack equal-sized RGB pictures as (B, 3, H, W) float32, scaled; padded with 0 at right, below, behind."""
    height, width = images[0].shape[:2]
    batch = np.zeros(shape, np.float32)
    for i, image in enumerate(images):
        for channel, values in enumerate(cv2.split(image)):
            plane = batch[i, 2 - channel if wanted.is_bgr else channel, :height, :width]
            mean = np.array([wanted.mean_rgb[channel], 0, 0, 0])  # four numbers: one value for all pixels
            cv2.subtract(values, mean, dst=plane, dtype=cv2.CV_32F)
            if wanted.scale_rgb is not None:
                plane *= np.float32(wanted.scale_rgb[channel])
    return batch


@lru_cache(maxsize=8)
def _anchors(height_px: int, width_px: int) -> Floats:
    """Return anchors (A, 4) float32 in pixels: centre x, centre y, width, height; row by row, small size first."""
    anchors_by_stride = []
    for stride, sizes in _STRIDES_AND_SIZES_PX:
        rows, columns = -(-height_px // stride), -(-width_px // stride)
        y, x, size = np.meshgrid(np.arange(rows), np.arange(columns), np.array(sizes), indexing="ij")
        anchors_by_stride.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, size, size], axis=-1).reshape(-1, 4))
    return np.concatenate(anchors_by_stride).astype(np.float32)


def decode_boxes(regressions: Floats, anchors: Floats) -> Floats:
    """Decode (N, 4) regressions on (N, 4) anchors to (N, 4) float32 left, top, right, bottom in network pixels."""
    centre = anchors[:, :2] + anchors[:, 2:] * regressions[:, :2] * _VARIANCE_CENTRE
    half = anchors[:, 2:] * np.exp(regressions[:, 2:] * _VARIANCE_SIZE) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def decode_landmarks(regressions: Floats, anchors: Floats) -> Floats:
    """Decode (N, 10) regressions on (N, 4) anchors to (N, 5, 2) float32 points in network pixels."""
    offsets = regressions.reshape(-1, 5, 2) * _VARIANCE_CENTRE
    return (anchors[:, None, :2] + anchors[:, None, 2:] * offsets).astype(np.float32)


def non_maximum_suppression(boxes: Floats, *, iou: float) -> list[int]:
    """Return the rows of (N, 4) boxes, best first, that no better kept box overlaps by more than `iou`."""
    kept: list[int] = []
    remaining = np.arange(len(boxes))
    while remaining.size:
        best, *_ = remaining
        kept.append(int(best))
        candidates = remaining[1:]
        remaining = candidates[box_iou(boxes[best], boxes[candidates]) <= iou]
    return kept

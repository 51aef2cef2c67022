"""Embeddings of stored faces by dlib's face recognition network (King 2017): one vector per clip.

The network gets a chip of 150 pixels per face, cut out of the stored face where dlib would cut it out of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.detect.registry import landmark_scheme
from dfer_data.errors import UsageError
from dfer_data.faces.align import AffineMatrix, box_corners, similarity
from dfer_data.faces.aligned_faces import FaceMaker
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.reader import ShardReader
from dfer_data.storage.files import atomic_file
from dfer_data.types import Floats, FrameFlag, Image, LandmarkScheme
from dfer_data.weights.assets import asset
from dfer_data.weights.fetch import weights_file
from dfer_data.weights.model_bytes import opened_model

EMBEDDING_WEIGHTS = "dlib-face-embedding"
NUM_EMBEDDED = 3
"""Faces per clip. More take longer: `python -m benchmarks.audit_identity` measures three and five."""
SECONDS_PER_CLIP = 0.25
"""About what embedding takes on one core."""
EMBEDDING_SIZE = 128
Embeddings = Mapping[str, Floats]
"""Clip id -> (128,) float32: mean of the embeddings of some of its faces."""
_CHIP_PX = 150
# Means of dlib's 68 points and its own five points, with its padding of 0.25 (get_face_chip_details).
_ON_CHIP: Mapping[LandmarkScheme, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        "eyes-nose-mouth": ((47.55, 46.6), (100.48, 46.6), (74.01, 76.56), (50.41, 103.02), (97.61, 103.02)),
        "eye-corners-nose-base": ((37.06, 46.37), (58.41, 47.91), (89.61, 47.9), (110.96, 46.35), (74.01, 87.78)),
    }
)


class FaceEmbedder:
    """The network and where a dataset's faces are in its pictures."""

    def __init__(self, dataset: PreparedDataset, *, num_faces: int = NUM_EMBEDDED) -> None:
        """Load the network, which is fetched when it is used for the first time; `num_faces`: per clip.

        Raises UsageError for shipped crops, which have no landmarks, and WeightsError.
        """
        config = PrepareConfig.from_dict(dataset.document["config"])
        if config.detector == "none":
            raise UsageError(
                f"--identity: the faces of {dataset.root} are shipped crops without landmarks; prepare the videos with "
                "a detector, or leave the option out"
            )
        import dlib

        self._num_faces = num_faces
        self._network = opened_model(
            weights_file(EMBEDDING_WEIGHTS),
            dlib.face_recognition_model_v1,
            what="dlib's face embedding",
            sha256=asset(EMBEDDING_WEIGHTS).sha256,
        )
        scheme = landmark_scheme(config.detector)
        self._maker, self._target = FaceMaker(config, scheme=scheme), np.array(_ON_CHIP[scheme], np.float32)

    def of_clip(self, reader: ShardReader, row: int) -> Floats:
        """Return the embedding (128,) float32 of the clip in a row of a shard. Raises CorruptShardError."""
        vectors = self._network.compute_face_descriptor(self.chips(reader, row))
        return np.asarray(np.mean([np.asarray(vector, np.float64) for vector in vectors], axis=0), np.float32)

    def chips(self, reader: ShardReader, row: int) -> list[Image]:
        """Return the most frontal face of each part of a clip as (150, 150, 3) uint8 RGB."""
        rows = slice(*reader.clip_offsets[row : row + 2])
        landmarks: Floats = reader.tensor("landmarks")[rows]
        corners = box_corners(reader.tensor("box")[rows])
        matrices = self._maker.matrices(np.concatenate([landmarks, corners], axis=1))
        to_chip = [similarity(points, self._target) for points in landmarks]
        errors = np.array(
            [_error(points, matrix, self._target) for points, matrix in zip(landmarks, to_chip, strict=True)]
        )
        errors[(reader.tensor("flags")[rows] & FrameFlag.DETECTED) == 0] += _CHIP_PX  # last choice
        parts = np.array_split(np.arange(len(landmarks)), min(self._num_faces, len(landmarks)))
        frames = [int(part[np.argmin(errors[part])]) for part in parts]
        return [_chip(reader.frame(row, frame), matrices[frame], to_chip[frame]) for frame in frames]


def _error(points: Floats, matrix: AffineMatrix, target: Floats) -> float:
    """Return how far landmarks (5, 2) are from those of a frontal face, in pixels of the chip."""
    return float(np.linalg.norm(points @ matrix[:, :2].T + matrix[:, 2] - target, axis=1).mean())


def _chip(face: Image, to_face: AffineMatrix, to_chip: AffineMatrix) -> Image:
    """Return the chip of a stored face, from where source pixels are in the face and in the chip."""
    whole = np.vstack([to_face, (0, 0, 1)])
    matrix = (np.vstack([to_chip, (0, 0, 1)]) @ np.linalg.inv(whole))[:2]
    return np.asarray(cv2.warpAffine(face, matrix, (_CHIP_PX, _CHIP_PX), flags=cv2.INTER_LINEAR), np.uint8)


def embeddings_of(
    dataset: PreparedDataset,
    *,
    work: Path | None = None,
    num_faces: int = NUM_EMBEDDED,
    on_clip: Callable[[], None] = lambda: None,
) -> dict[str, Floats]:
    """Return clip id -> embedding, in the order of ids, of all clips with faces.

    `work`: folder in which the embeddings of finished shards are kept; None: nothing is stored. `num_faces`: per clip.
    Raises UsageError for
    faces without landmarks, WeightsError, CorruptShardError.
    """
    embedder = FaceEmbedder(dataset, num_faces=num_faces)
    clips = dataset.clips[dataset.clips["shard"].notna()]
    embeddings: dict[str, Floats] = {}
    for number, rows in clips.groupby("shard"):
        facts = dataset.document["shards"][int(number)]
        path = None if work is None else work / f"{facts['sha256']}-faces.npy"
        vectors = None if path is None else _kept_vectors(path, num_clips=facts["num_clips"])
        if vectors is None:
            reader = dataset.open_shard(int(number))
            vectors = np.zeros((facts["num_clips"], EMBEDDING_SIZE), np.float32)
            for row in rows["row"]:
                vectors[row] = embedder.of_clip(reader, int(row))
                on_clip()
            if path is not None:
                with atomic_file(path) as file:
                    np.save(file, vectors)
        embeddings.update(zip(rows["clip_id"], vectors[rows["row"].astype(int)], strict=True))
    return dict(sorted(embeddings.items()))


def _kept_vectors(path: Path, *, num_clips: int) -> Floats | None:
    """Return the embeddings of a shard of an interrupted audit; None where there are none."""
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vectors if vectors.shape == (num_clips, EMBEDDING_SIZE) and vectors.dtype == np.float32 else None

"""With the network itself: it is fetched as the detectors' weights are."""

from __future__ import annotations

import shutil
from pathlib import Path

import dlib
import numpy as np
import pytest

import dfer_data
from dfer_data.auditing import face_embedding
from dfer_data.auditing.face_embedding import FaceEmbedder, embeddings_of
from dfer_data.errors import UsageError
from dfer_data.faces.align import similarity
from dfer_data.loading.prepared import open_dataset
from dfer_data.video.reader import open_video
from tests.dfer_data.auditing.scene import add_film, film
from tests.dfer_data.crop_source import CropSource

HEAD = Path(dfer_data.__file__).parent / "data" / "head.mp4"


@pytest.fixture(scope="module", params=["retinaface", "dlib"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    (root / "source" / "happy").mkdir(parents=True)
    shutil.copy(HEAD, root / "source" / "happy" / "a.mp4")
    dfer_data.prepare(
        "folder", source=str(root / "source"), out=str(root / "out"), detector=request.param, workers=1, engine="inline"
    )
    return root / "out"


def test_chips_are_those_that_dlib_cuts_out_of_the_picture(prepared: Path) -> None:
    dataset = open_dataset(prepared)
    embedder, reader = FaceEmbedder(dataset), dataset.shard(0)
    chips = embedder.chips(reader, 0)
    assert len(chips) == min(face_embedding.NUM_EMBEDDED, reader.num_frames(0))
    with open_video(HEAD) as video:
        pictures = [frame.image for frame in video.frames()]
    best = []
    for chip in chips:
        errors = []
        for points, number in zip(reader.tensor("landmarks"), reader.tensor("frame_index"), strict=True):
            matrix = similarity(points, embedder._target)
            expected = face_embedding._chip(pictures[number], np.eye(2, 3), matrix)
            errors.append(np.abs(chip.astype(int) - expected).mean())
        best.append(min(errors))
    assert max(best) < 4  # JPEG and two warps, not another place


def test_an_embedding_is_near_that_of_dlib_for_the_whole_picture(prepared: Path) -> None:
    dataset = open_dataset(prepared)
    embedder = FaceEmbedder(dataset)
    (embedding,) = embeddings_of(dataset).values()
    with open_video(HEAD) as video:
        picture = next(iter(video.frames())).image
    predictor = dlib.shape_predictor(str(dfer_data.weights.fetch.weights_file("dlib-5-landmarks")))
    box = dlib.get_frontal_face_detector()(picture, 1)[0]
    expected = np.array(embedder._network.compute_face_descriptor(picture, predictor(picture, box)))
    assert np.linalg.norm(embedding - expected) < 0.35
    assert np.linalg.norm(expected) == pytest.approx(np.linalg.norm(embedding), rel=0.1)


def test_an_interrupted_run_keeps_embeddings_only_where_asked(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = open_dataset(prepared)
    expected = embeddings_of(dataset, work=tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npy"]
    monkeypatch.setattr(FaceEmbedder, "of_clip", lambda *arguments: pytest.fail("embedded again"))
    kept = embeddings_of(dataset, work=tmp_path)
    assert {name: vector.tobytes() for name, vector in kept.items()} == {k: v.tobytes() for k, v in expected.items()}


def test_shipped_crops_are_refused(tmp_path: Path) -> None:
    source = CropSource(tmp_path / "source")
    add_film(source, "happy/a", film(0, 0))
    source.prepare(tmp_path / "out", size_px=64)
    with pytest.raises(UsageError, match="shipped crops without landmarks"):
        FaceEmbedder(open_dataset(tmp_path / "out"))

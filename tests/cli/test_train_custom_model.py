from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.cli.training import Capture, crops, done, error_line, train, trained, work

__all__ = ["crops", "done", "trained", "work"]

pytestmark = pytest.mark.usefixtures("one_torch_thread")
MINE = """
import torch

class Colours(torch.nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc = torch.nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean(dim=(1, 3, 4)))

def build(num_classes):
    return Colours(num_classes)

def wrong(num_classes):
    return Colours(num_classes + 1)

def refuses(num_classes):
    return torch.nn.Linear(5, num_classes)

class OverTime(Colours):
    def forward(self, x):
        if x.shape[1] == 1:
            raise ValueError("one frame has no motion")
        return super().forward(x)

def over_time(num_classes):
    return OverTime(num_classes)

class NotFinite(Colours):
    def forward(self, x):
        return super().forward(x) / 0

def not_finite(num_classes):
    return NotFinite(num_classes)

class Normed(Colours):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.norm = torch.nn.BatchNorm1d(num_classes)

    def forward(self, x):
        return self.norm(super().forward(x))

def normed(num_classes):
    return Normed(num_classes)

number = 3

def without_argument():
    return Colours(7)

class AsksADictionary(Colours):
    def forward(self, x):
        return {}["x"]

def asks_a_dictionary(num_classes):
    return AsksADictionary(num_classes)

class Probabilities(Colours):
    def forward(self, x):
        return super().forward(x).softmax(dim=1)

def probabilities(num_classes):
    return Probabilities(num_classes)
"""


def test_a_model_of_ones_own_gets_loader_protocol_and_report(work: Path, capsys: Capture) -> None:
    (work / "my_models.py").write_text(MINE)
    assert train("--model", "my_models:build", "--out", "mine") == 0
    assert capsys.readouterr().out.endswith("   next: dfer report mine\n")
    assert main(["report", "mine", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[0]["n"] == 14
    (folder,) = (path.parent for path in Path("mine").rglob("run.json"))
    settings = json.loads((folder / "config.json").read_bytes())["settings"]
    assert settings["model"] == "my_models:build"
    assert len(settings["model_sha256"]) == 64
    assert main(["model", "export", str(folder)]) == 2
    assert "holds a custom model" in error_line(capsys)


def test_a_custom_model_has_its_run_next_to_that_of_lstpnet_with_the_same_recipe(done: Path) -> None:
    (done / "my_models.py").write_text(MINE)
    before = {path.parent for path in Path("runs").rglob("run.json")}
    assert train("--model", "my_models:build") == 0
    (folder,) = {path.parent for path in Path("runs").rglob("run.json")} - before
    (lstpnet,) = before
    assert folder.parts[-3] == f"{lstpnet.parts[-3]}-my_models.build"


def test_a_custom_model_meets_no_single_frames_unless_they_are_asked_for(work: Path, capsys: Capture) -> None:
    (work / "my_models.py").write_text(MINE)
    small = ["--set", "epochs=1", "--set", "size_px=32", "--set", "precision=f32", "--device", "cpu"]
    line = ["--recipe", "demo", "--model", "my_models:over_time", *small]
    assert train(*line, small=False) == 0
    assert "no stage on single frames for a custom model; --frame-epochs N trains one\n" in capsys.readouterr().out
    stages = [json.loads(line)["stage"] for line in next(Path("runs").rglob("metrics.jsonl")).read_text().splitlines()]
    assert stages == ["clips"]
    assert train(*line, "--frame-epochs", "1", "--out", "other", small=False) == 2
    said = error_line(capsys)
    assert "shape (2, 1, 3, 32, 32): ValueError: one frame has no motion (my_models.py, line 24); " in said
    assert "the stage on single frames needs this: frame_epochs = 0 leaves it out" in said
    assert not Path("other").exists()


@pytest.mark.parametrize("batch_size", [2, 54])
def test_a_model_with_batch_norm_over_clips_meets_no_batch_of_one(work: Path, batch_size: int) -> None:
    """The 55 train clips leave one for a last batch, which joins the batch before it."""
    (work / "my_models.py").write_text(MINE)
    assert train("--model", "my_models:normed", "--batch-size", str(batch_size)) == 0
    (path,) = Path("runs").rglob("run.json")
    assert json.loads(path.read_bytes())["n_train"] == 55


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_models", "unknown model 'my_models'; known: lstpnet"),
        ("nowhere:build", "module 'nowhere' is neither in the working folder nor installed"),
        ("my_models:nothing", "has no attribute 'nothing'"),
        ("my_models:number", "number is not callable"),
        ("my_models:wrong", "returns (2, 8) for 2 clips; expected logits of shape (2, 7)"),
        ("my_models:not_finite", "returns numbers that are not finite for clips of the training"),
        ("my_models:refuses", "does not accept clips of shape (2, 16, 3, 32, 32)"),
        ("my_models:without_argument", "without_argument(num_classes=7) fails: TypeError: without_argument() got an"),
        ("my_models:asks_a_dictionary", "of shape (2, 16, 3, 32, 32): KeyError: 'x' (my_models.py, line "),
        ("my_models:probabilities", "returns probabilities: the numbers of a clip sum to 1; return logits"),
        ("broken:build", "broken.py cannot be imported: ZeroDivisionError: division by zero (broken.py, line 1)"),
        ("my_models.py", "'my_models.py' is a file: name the module and what builds the network in it, as in my_"),
        ("./nets/my_models.py:build", "expected package.module:build, such as nets.my_models:build"),
        ("my_models.py:build", "expected package.module:build, such as my_models:build"),
        ("Former_DFER", "unknown model 'Former_DFER' (did you mean former-dfer?); known: lstpnet"),
    ],
)
def test_a_model_of_ones_own_that_does_not_do(work: Path, capsys: Capture, name: str, words: str) -> None:
    (work / "my_models.py").write_text(MINE)
    (work / "broken.py").write_text("1 / 0\n")
    assert train("--model", name) == 2
    assert words in error_line(capsys)
    assert not (work / "runs").exists()

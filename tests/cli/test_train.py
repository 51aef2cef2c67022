"""`dfer train` as its users meet it: what it chooses by itself, what it says, what it refuses, what it leaves alone."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
import torch

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.extras import install_command
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from lstpnet.runs import read_run, write_run
from tests.crops import damage, prepare_crops, write_crops
from tests.dfer_data import tiny

SMALL = [
    *("--set", "width_multiplier=0.125", "--set", "size_px=32", "--set", "epochs=1"),
    *("--set", "frame_epochs=0", "--set", "precision=f32", "--device", "cpu"),
]
RUN = Path("runs/dfew-none/dfew/fold-3/seed-0")
Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
    code: int = main(["train", "--fold", "3", *(SMALL if small else []), *arguments])
    return code


def error_line(capsys: Capture) -> str:
    """The one line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return str(line)


def test_the_only_dataset_and_its_own_recipe_are_taken(work: Path, capsys: Capture) -> None:
    assert train() == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    device, protocol, faceless, last, following = captured.out.splitlines()
    assert faceless == "test clips without a face: 00016"
    assert device.startswith("device cpu; about ")
    assert device.endswith("recipe dfew")
    assert protocol.startswith("protocol: data ")
    assert "official fold 3; n_train 55; n_test 14 (1 without a face" in protocol
    assert last.startswith("last: WAR ")
    assert last.endswith("  n 14")
    assert following == f"{RUN}   next: dfer report"
    assert json.loads((RUN / "run.json").read_bytes())["finished"] is True
    assert main(["report"]) == 0
    war = last.split("WAR ")[1].split()[0]
    table = capsys.readouterr().out
    assert f" {war} " in table
    assert "test clips without a face, fold 3: 00016\n" in table


def test_rendered_heads_are_trained_by_their_own_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    prepare_crops(write_crops(tmp_path / "source", is_synthetic=True), tmp_path / "prepared/heads")
    monkeypatch.chdir(tmp_path)
    assert train("--set", "controls=false") == 0
    assert capsys.readouterr().err == "note: heads shows synthetic heads: not comparable with published figures\n"
    info = json.loads((tmp_path / "runs/heads/demo/fold-3/seed-0/run.json").read_bytes())
    assert (info["recipe"], info["synthetic"]) == ("demo", True)


def test_val_blocks_adds_best(work: Path, capsys: Capture) -> None:
    assert train("--val", "blocks", "--seed", "2", "--out", "elsewhere") == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()[3:5]] == ["last", "best"]
    assert "n_train 49" in out
    assert (work / "elsewhere/dfew-none/dfew/fold-3/seed-2/checkpoints/best.safetensors").is_file()


def test_select_val_best_holds_out_blocks_and_refit_follows(work: Path, capsys: Capture) -> None:
    assert train("--select", "val-best", "--refit") == 0
    out = capsys.readouterr().out
    assert [line.split(":")[0] for line in out.splitlines()[3:6]] == ["last", "best", "refit"]


def test_a_protocol_has_a_folder_of_its_own_and_test_best_says_what_it_is(work: Path, capsys: Capture) -> None:
    assert train() == 0
    assert train("--protocol", "former-dfer") == 0
    out = capsys.readouterr().out
    assert "protocol former-dfer (zengqunzhao/Former-DFER" in out
    assert "differs from it in size_px 32 (former-dfer 112)" in out
    assert re.search(r"^test-best: WAR \S+  UAR \S+  n 14  \(chosen on the test clips\)$", out, flags=re.MULTILINE)
    assert (work / "runs/dfew-none/dfew+former-dfer/fold-3/seed-0/run.json").is_file()
    assert main(["report"]) == 0
    table = capsys.readouterr().out
    assert "dfew+former-dfer" in table
    assert "test-best: the epoch was chosen on the test clips" in table


def test_settings_of_the_folder_are_used_and_flags_beat_them(work: Path) -> None:
    shutil.move("prepared/dfew-none", "faces")
    Path("mine.toml").write_text("epochs = 1\nwidth_multiplier = 0.125\nsize_px = 32\n")
    Path("dfer.toml").write_text('[train]\ndata = "faces"\nrecipe = "mine.toml"\nout = "results"\n')
    assert main(["train", "--fold", "3", "--device", "cpu", "--set", "precision=f32"]) == 0
    config = json.loads(Path("results/faces/mine/fold-3/seed-0/config.json").read_bytes())
    assert (config["origins"]["epochs"], config["origins"]["precision"]) == ("recipe mine", "command line")
    assert train("--recipe", "demo", "--out", "others", "--set", "controls=false") == 0
    assert Path("others/faces/demo/fold-3/seed-0/run.json").is_file()


def test_json_is_one_document_and_all_else_goes_to_stderr(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)
    assert train("--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"run": str(RUN), "already_done": True, "result": None}
    assert "already done" in captured.err
    assert tiny.tree(RUN) == before
    assert train("--json", "--seed", "1") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["already_done"], document["run"]) == (False, str(RUN.with_name("seed-1")))
    (result,) = document["result"]["results"]
    assert (result["checkpoint"], result["n"]) == ("last", 14)
    assert 0 <= result["war"] <= 1
    assert "protocol: " in captured.err


def test_the_same_command_again_says_already_done(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)
    assert train() == 0
    captured = capsys.readouterr()
    assert f"{RUN}: already done with the same settings (--force trains again)" in captured.out
    assert captured.err == ""
    assert tiny.tree(RUN) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "epochs=2"], "epochs: 1 there, 2 now"),
        (["--val", "blocks"], "val: 'none' there, 'blocks' now"),
    ],
)
def test_other_settings_name_the_difference_and_change_nothing(
    done: Path, capsys: Capture, arguments: list[str], words: str
) -> None:
    before = tiny.tree(RUN)
    assert train(*arguments) == 2
    line = error_line(capsys)
    assert words in line
    assert "choose another --out, or --force" in line
    assert tiny.tree(RUN) == before


def test_force_trains_again(done: Path, capsys: Capture) -> None:
    (RUN / "note.txt").write_text("of the old run")
    before = tiny.tree(RUN)["predictions.parquet"]
    assert train("--force") == 0
    assert "already done" not in capsys.readouterr().out
    assert not (RUN / "note.txt").exists()
    assert tiny.tree(RUN)["predictions.parquet"] == before
    assert train("--force", "--set", "learning_rate=0.005") == 0
    assert json.loads((RUN / "config.json").read_bytes())["settings"]["learning_rate"] == 0.005


def test_an_unfinished_run_is_trained_again(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)["predictions.parquet"]
    (RUN / "predictions.parquet").unlink()
    write_run(RUN, replace(read_run(RUN), finished=False, checkpoints=()))
    assert train() == 0
    assert "last: WAR " in capsys.readouterr().out
    assert tiny.tree(RUN)["predictions.parquet"] == before


def test_two_datasets_are_listed_with_their_commands(work: Path, capsys: Capture) -> None:
    shutil.copytree("prepared/dfew-none", "prepared/another")
    assert train() == 2
    line = error_line(capsys)
    for name in ("another", "dfew-none"):
        assert f"dfer train --data prepared/{name} --fold 3 --set" in line
    assert not (work / "runs").exists()
    assert train("--data", "prepared/another") == 0
    assert (work / "runs/another").is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--fold", "6"], 2, ["prepared/dfew-none has no fold '6'; it has: 1, 2, 3, 4, 5"]),
        (["--fold-set", "mine"], 2, ["prepared/dfew-none has no set of folds 'mine'; it has: official"]),
        (["--data", "prepared/nowhere"], 2, ["prepared/nowhere is not a prepared dataset (no such folder)", "prepare"]),
        (["--data", "prepared"], 2, ["prepared is not a prepared dataset", "it holds prepared/dfew-none: name one"]),
        (
            ["--recipe", "imagenet"],
            2,
            ["unknown recipe 'imagenet'; shipped: afew, cremad, demo, demo-networks, dfew, dfew-c3d"],
        ),
        (["--recipe", "nowhere.toml"], 2, ["nowhere.toml: no such file"]),
        (["--val", "fold"], 2, ["val = 'fold': must be none, blocks, groups, random or official"]),
        (["--val", "groups"], 2, ["clip 00001 has no group (person); use --val blocks"]),
        (["--refit"], 2, ["refit = true needs held-out clips", "--val blocks"]),
        (["--protocol", "vgg"], 2, ["protocol = 'vgg': must be default, lstpnet"]),
        (["--set", "epochs"], 2, ["--set epochs: expected KEY=VALUE"]),
        (
            ["--set", "epoch=1", "--set", "lr=1"],
            2,
            ["--set: unknown settings epoch (did you mean epochs?), lr (did you mean learning_rate?); known: fold_set"],
        ),
        (["--set", "width_multiplier=0.3"], 2, ["width_multiplier = 0.3: must be a multiple of 0.125"]),
        (
            ["--set", "epochs=x", "--set", "flip=y"],
            2,
            ["epochs = 'x': must be a whole number", "flip = 'y': must be a number"],
        ),
        (["--set", "min_frames=99"], 2, ["fold 3 has no train clip"]),
        (["--device", "gpu"], 2, ["device 'gpu' does not exist: name cuda, mps or cpu, or leave --device out"]),
        (["--init", "nowhere.safetensors"], 1, ["no weights file at nowhere.safetensors"]),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(
    work: Path, capsys: Capture, arguments: list[str], code: int, words: list[str]
) -> None:
    assert train(*arguments) == code
    line = error_line(capsys)
    for word in words:
        assert word in line
    assert not (work / "runs").exists()


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--save-minutes", "-1"]])
def test_values_that_are_no_numbers_or_too_small(work: Path, capsys: Capture, arguments: list[str]) -> None:
    assert train(*arguments) == 2
    assert arguments[0] in capsys.readouterr().err


def test_folds_and_seeds_that_are_no_numbers(crops: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(crops)
    assert main(["train", "--fold", "3,x", "--seeds", "0,-1"]) == 2
    line = error_line(capsys)
    assert line.startswith(
        "error: --fold 'x' is not a whole number; --seeds '-1' is not a whole number; expected as in --fold 3, "
    )


def test_without_a_dataset_the_next_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train() == 2
    assert "no prepared dataset under prepared/; make one with `dfer prepare dfew" in error_line(capsys)


def test_a_dataset_without_labels(work: Path, tmp_path: Path, capsys: Capture) -> None:
    tiny.write_video(tmp_path / "source/one.mp4", tiny.pictures(2))
    request = Request(dataset="folder", source=tmp_path / "source", det_size_px=96)
    run_preparation(resolve_request(request), Path("prepared/mine"), num_workers=0)
    assert train("--data", "prepared/mine", "--recipe", "demo") == 2
    assert "prepared/mine has no labels: training needs one per clip" in error_line(capsys)


def test_a_flipped_byte_names_shard_and_clip(work: Path, capsys: Capture) -> None:
    damage(Path("prepared/dfew-none"), clip_id="00001")
    assert train() == 4
    line = error_line(capsys)
    assert "prepared/dfew-none/shards/00000.safetensors: frame " in line
    assert " of clip 00001 does not match its CRC-32" in line
    assert json.loads((RUN / "run.json").read_bytes())["finished"] is False


def test_a_flipped_byte_leaves_finished_runs_alone(done: Path, capsys: Capture) -> None:
    before = tiny.tree(RUN)
    damage(Path("prepared/dfew-none"), clip_id="00001")
    assert train() == 0
    assert train("--seed", "1") == 4
    assert "clip 00001" in error_line(capsys)
    assert tiny.tree(RUN) == before


def test_a_cut_start_is_named_and_the_old_run_stays(done: Path, capsys: Capture) -> None:
    whole = (RUN / "checkpoints/last.safetensors").read_bytes()
    Path("start.safetensors").write_bytes(whole[: len(whole) // 2])
    before = tiny.tree(RUN)
    assert train("--init", "start.safetensors", "--force") == 1
    assert "start.safetensors cannot be read as safetensors" in error_line(capsys)
    assert tiny.tree(RUN) == before


def test_a_start_of_another_width_is_named(done: Path, capsys: Capture) -> None:
    start = str(RUN / "checkpoints/last.safetensors")
    assert train("--init", start, "--out", "wide", "--set", "width_multiplier=0.25") == 1
    line = error_line(capsys)
    assert f"{start} (lstpnet) does not fit this network (width_multiplier 0.25)" in line
    assert "backbone.conv1.weight has shape (8, 3, 7, 7), not (16, 3, 7, 7)" in line
    assert not Path("wide").exists()


def test_hours_on_a_cpu_need_a_yes(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("lstpnet.training.initial_model.estimate_seconds", lambda experiment, device: 3.0 * 3600)
    assert train() == 2
    captured = capsys.readouterr()
    assert captured.err == "error: training would take about 3.0 h on this CPU; add --yes to start it\n"
    assert captured.out.startswith("device cpu; about 3.0 h; recipe dfew\n")
    assert not (work / "runs").exists()
    assert train("--yes") == 0
    assert (RUN / "run.json").is_file()


@pytest.mark.parametrize("command", [["train", "--fold", "3"], ["demo", "--out", "new"]])
def test_without_torch_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, command: list[str]
) -> None:
    original = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else original(name, package)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    assert main(command) == 2
    expected = f"error: training needs PyTorch, which is not installed: {install_command('train')}"
    assert error_line(capsys) == expected
    assert list(tmp_path.iterdir()) == []
    assert isinstance(torch, ModuleType)


def test_several_folds_and_seeds_are_runs_of_their_own(work: Path, capsys: Capture) -> None:
    assert main(["train", "--fold", "1,3", "--seeds", "0,1", *SMALL, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    folders = [f"runs/dfew-none/dfew/fold-{fold}/seed-{seed}" for fold in (1, 3) for seed in (0, 1)]
    assert [run["run"] for run in runs] == folders
    assert all(run["result"]["results"][0]["n"] == 14 for run in runs)
    assert main(["train", "--fold", "1,2,3", "--seeds", "0,1", *SMALL, "--json"]) == 0
    shown = capsys.readouterr()
    again = json.loads(shown.out)["runs"]
    assert [run["already_done"] for run in again] == [True, True, False, False, True, True]
    assert "runs/dfew-none/dfew/fold-2/seed-1: run 4 of 6\n" in shown.err


def test_all_folds_is_every_official_one(work: Path, capsys: Capture) -> None:
    assert main(["train", "--fold", "all", "--resume", *SMALL]) == 2
    assert "--resume: there is no unfinished run with these settings (runs/dfew-none/dfew/fold-1/seed-0)" in error_line(
        capsys
    )


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
        ("Former_DFER", "unknown model 'Former_DFER' (did you mean former-dfer?); known: lstpnet"),
    ],
)
def test_a_model_of_ones_own_that_does_not_do(work: Path, capsys: Capture, name: str, words: str) -> None:
    (work / "my_models.py").write_text(MINE)
    (work / "broken.py").write_text("1 / 0\n")
    assert train("--model", name) == 2
    assert words in error_line(capsys)
    assert not (work / "runs").exists()


def test_a_class_that_train_lacks_is_a_warning_and_a_note_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    source = write_crops(tmp_path / "source")
    split = source / "EmoLabel_DataSplit/train(single-labeled)/set_3.csv"
    split.write_text("".join(line for line in split.read_text().splitlines(keepends=True) if not line.endswith(",2\n")))
    (tmp_path / "prepared").mkdir()
    prepare_crops(source, tmp_path / "prepared/dfew-none")
    monkeypatch.chdir(tmp_path)
    assert train() == 0
    said = capsys.readouterr()
    assert said.err.count("note: fold 3: train has no clip of sad: its 2 test clips will be predicted wrongly\n") == 1
    assert main(["report", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["note"] == "fold 3: train has no clip of sad (2 of test)"

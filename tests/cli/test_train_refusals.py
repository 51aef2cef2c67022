from __future__ import annotations

import importlib.util
import json
import shutil
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
from tests.cli.training import RUN, Capture, crops, done, error_line, train, trained, work
from tests.crops import damage
from tests.dfer_data import tiny

__all__ = ["crops", "done", "trained", "work"]

pytestmark = pytest.mark.usefixtures("one_torch_thread")


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
        (["--init", "nowhere.safetensors"], 2, ["no weights file at nowhere.safetensors"]),
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


@pytest.mark.parametrize(
    ("option", "number", "words"),
    [
        ("--seed", 2**64, f"seed {2**64}: must be a whole number from 0 to {2**64 - 1}"),
        ("--seeds", "1" * 5000, "--seeds '1111"),
        ("--fold", "1" * 5000, "--fold '1111"),
    ],
    ids=["seed", "seeds", "fold"],
)
def test_folds_and_seeds_that_are_too_large(
    crops: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, option: str, number: int | str, words: str
) -> None:
    monkeypatch.chdir(crops)
    fold = [] if option == "--fold" else ["--fold", "3"]
    assert main(["train", *fold, option, str(number)]) == 2
    assert words in error_line(capsys)


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

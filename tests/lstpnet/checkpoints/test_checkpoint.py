from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from lstpnet.checkpoints import checkpoint
from lstpnet.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lstpnet.errors import CheckpointError
from lstpnet.models.lstpnet import LSTPNet

FACTS = {"stage": "clips", "epoch": 3}


def model(*, seed: int = 0, width_multiplier: float = 0.125, num_classes: int = 7) -> LSTPNet:
    torch.manual_seed(seed)
    return LSTPNet(num_classes, width_multiplier=width_multiplier)


def same(a: LSTPNet, b: LSTPNet) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[key], other[key]) for key in mine)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.safetensors"
    save_checkpoint(model(), path, facts=FACTS)
    return path


def test_weights_come_back_bit_for_bit(saved: Path) -> None:
    other = model(seed=1)
    other.train()
    other(torch.rand(2, 16, 3, 32, 32))  # the running figures of the norms are weights too
    save_checkpoint(other, saved.with_name("best.safetensors"), facts=FACTS)
    found = model()
    load_checkpoint(found, saved.with_name("best.safetensors"))
    assert same(found, other)
    assert not same(found, model())
    load_checkpoint(found, saved)
    assert same(found, model())
    assert json.loads(saved.with_suffix(".json").read_bytes()) == FACTS


def test_nothing_is_left_beside_the_files(saved: Path) -> None:
    save_checkpoint(model(seed=1), saved, facts={"epoch": 4})
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.json", "last.safetensors"]
    assert json.loads(saved.with_suffix(".json").read_bytes()) == {"epoch": 4}


def test_the_file_is_plain_safetensors_and_no_pickle(saved: Path) -> None:
    tensors = safetensors.torch.load_file(saved)
    assert tensors.keys() == model().state_dict().keys()


@pytest.mark.parametrize("keep", [0, 7, 100, 0.5, -1])
def test_a_cut_file_is_refused_in_one_line_naming_it(saved: Path, keep: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(keep if isinstance(keep, int) else keep * len(content))])
    assert_refused(saved, "cannot be read as safetensors")


@pytest.mark.parametrize("content", [b"<!doctype html><title>Please log in</title>", b"PK\x03\x04" + bytes(200)])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    assert_refused(path, "it is truncated or not a checkpoint")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "cannot be read")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    assert_refused(tmp_path / "last.safetensors", "no checkpoint at")


@pytest.mark.parametrize("shape", [{"width_multiplier": 0.25}, {"num_classes": 8}])
def test_another_network_is_refused(tmp_path: Path, shape: dict[str, float]) -> None:
    path = tmp_path / "other.safetensors"
    torch.manual_seed(0)
    save_checkpoint(model(**shape), path, facts={})  # type: ignore[arg-type]
    assert_refused(path, "does not fit this recipe's network")


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"fc.weight": torch.zeros(7, 64)}, path)
    assert_refused(path, "does not fit this recipe's network")


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model(), path)
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert len(message.splitlines()) == 1
    assert len(message) < 600


def test_a_crash_while_writing_leaves_the_last_good_checkpoint(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(model: LSTPNet, path: str) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "save_model", half)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(model(seed=1), saved, facts={"epoch": 4})
    assert_is_the_first(saved)


def test_a_crash_before_the_rename_leaves_the_last_good_checkpoint(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(model(seed=1), saved, facts={"epoch": 4})
    assert_is_the_first(saved)
    save_checkpoint(model(seed=1), saved, facts={"epoch": 4})
    assert sorted(os.listdir(saved.parent)) == ["last.json", "last.safetensors"]


def assert_is_the_first(path: Path) -> None:
    found = model(seed=2)
    load_checkpoint(found, path)
    assert same(found, model())
    assert json.loads(path.with_suffix(".json").read_bytes()) == FACTS

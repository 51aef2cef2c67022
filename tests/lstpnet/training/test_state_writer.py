"""Saves are copies, the newest is on disk at the end, and an error of a write reaches the training."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.training import state_writer
from lstpnet.training.resume_state import load_state, state_path
from lstpnet.training.state_writer import Save, StateWriter, host_copy
from tests.lstpnet.conftest import wait_until


def save_of(number: int, *, has_weights: bool = True) -> Save:
    weights = {"weight": torch.full((3,), float(number))} if has_weights else None
    return Save(state={"number": number}, weights=weights, facts={"epoch": number} if has_weights else None)


def number_on_disk(folder: Path) -> int | None:
    state = load_state(state_path(folder, "last"))
    return None if state is None else int(state["number"])


def test_the_first_save_is_written_at_once_and_the_newest_of_the_others_at_the_end(tmp_path: Path) -> None:
    numbers = []
    original = StateWriter._write

    def write(self: StateWriter, save: Save) -> None:
        numbers.append(save.state["number"])
        original(self, save)

    with pytest.MonkeyPatch.context() as patch, StateWriter(tmp_path, "last", pause_seconds=600) as writer:
        patch.setattr(StateWriter, "_write", write)
        writer.put(save_of(0))
        wait_until(lambda: number_on_disk(tmp_path) == 0)
        for number in range(1, 6):
            writer.put(save_of(number))
        assert number_on_disk(tmp_path) == 0
    assert numbers == [0, 5]
    assert number_on_disk(tmp_path) == 5
    assert load_file(tmp_path / "checkpoints/last.safetensors")["weight"].tolist() == [5, 5, 5]


def test_after_the_pause_it_writes_by_itself(tmp_path: Path) -> None:
    with StateWriter(tmp_path, "last", pause_seconds=0.2) as writer:
        start = time.monotonic()
        writer.put(save_of(0))
        wait_until(lambda: number_on_disk(tmp_path) == 0)
        writer.put(save_of(1))
        wait_until(lambda: number_on_disk(tmp_path) == 1)
        assert time.monotonic() - start >= 0.2


def test_a_state_within_an_epoch_does_not_replace_the_checkpoint_that_waits(tmp_path: Path) -> None:
    with StateWriter(tmp_path, "last", pause_seconds=600) as writer:
        writer.put(save_of(0))
        wait_until(lambda: number_on_disk(tmp_path) == 0)
        writer.put(save_of(1))
        writer.put(save_of(2, has_weights=False))
    state = load_state(state_path(tmp_path, "last"))
    assert state is not None
    assert state["number"] == 2
    assert load_file(tmp_path / "checkpoints/last.safetensors")["weight"].tolist() == [1, 1, 1]
    assert {name: facts.sha256 for name, facts in writer.files.items()} == {
        name: facts["sha256"] for name, facts in state["files"].items()
    }


def test_the_training_does_not_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = threading.Event()
    monkeypatch.setattr(state_writer, "save_state", lambda path, state: may_write.wait(60))
    with StateWriter(tmp_path, "last", pause_seconds=0) as writer:
        for number in range(3):  # would wait for ever if one of them waited
            writer.put(save_of(number))
        may_write.set()


def fail(path: Path, state: Any) -> None:
    raise OSError(28, "No space left on device")


def test_an_error_of_a_write_is_raised_by_the_next_save_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_writer, "save_state", fail)
    with pytest.raises(OSError, match="No space left"), StateWriter(tmp_path, "last") as writer:
        writer.put(save_of(0))
    with pytest.raises(OSError, match="No space left"):
        writer.put(save_of(1))


def test_the_error_that_ended_the_training_is_the_one_that_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_writer, "save_state", fail)

    def train() -> None:
        with StateWriter(tmp_path, "last") as writer:
            writer.put(save_of(0))
            raise KeyError

    with pytest.raises(KeyError):
        train()


def test_a_copy_keeps_its_values_types_and_ties() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    model[2].weight = model[0].weight
    copies: dict[Any, torch.Tensor] = {}
    clone = host_copy({"state": model.state_dict(), "steps": [torch.tensor(1.0), 2, (3, "x")], "none": None}, copies)
    again = host_copy(model.state_dict(), copies)
    before = clone["state"]["0.weight"].clone()
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert torch.equal(clone["state"]["0.weight"], before)
    assert clone["state"]["0.weight"] is clone["state"]["2.weight"] is again["0.weight"]
    assert isinstance(clone["state"], type(model.state_dict()))
    assert clone["state"]._metadata == model.state_dict()._metadata  # type: ignore[attr-defined]
    assert clone["steps"][1:] == [2, (3, "x")]
    assert clone["none"] is None


def test_a_checkpoint_of_a_copy_has_the_bytes_of_that_of_the_model(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    model[2].weight = model[0].weight
    save_checkpoint(model, tmp_path / "model.safetensors", facts={})
    with StateWriter(tmp_path, "last") as writer:
        writer.put(Save(state={}, weights=host_copy(model.state_dict()), facts={}))
    written = (tmp_path / "checkpoints/last.safetensors").read_bytes()
    assert written == (tmp_path / "model.safetensors").read_bytes()

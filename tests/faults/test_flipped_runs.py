"""Single bits of a run folder are flipped: `dfer verify` finds each one, and no reader takes a changed value over."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import lstpnet
from dfer_data.errors import CorruptDataError, DferError
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.reporting.run_facts import run_sections
from lstpnet.runs import read_epochs
from lstpnet.training.events import EpochDone
from lstpnet.training.resume_state import load_state, state_path
from lstpnet.training.run import train_run
from lstpnet.verification.verify_run import verify_run
from tests.lstpnet.conftest import Done, quick, train
from tests.lstpnet.training.test_resume_state import Stop

NUM_FLIPS = 60
NUM_FLIPS_SOAK = 500
FOR_PEOPLE = ("README.md", "curves.png")
"""No reader uses them, so a flip there changes no table; `dfer verify` reports it as a note."""


@pytest.fixture(scope="module")
def done(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A finished run with two checkpoints."""
    from lstpnet.training.experiment import make_experiment

    experiment = make_experiment(crops, quick(frame_epochs=0, epochs=1, val="blocks"), fold=3, seed=0)
    return train(experiment, tmp_path_factory.mktemp("run"))


def everything(folder: Path) -> dict[str, Any]:
    """What all readers make of a run: its tables, how it was made, its curves, and the weights of its checkpoints."""
    document = lstpnet.report(folder)
    (run,) = document.report.runs
    weights = {name: load_trained(folder, checkpoint=name).model.state_dict() for name in ("last", "best")}
    tables = [document.to_json(), run_sections([run]), read_epochs(folder, run.info)]
    return {"tables": tables, "weights": weights}


def is_same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    weights = [(found["weights"][name], wanted["weights"][name]) for name in ("last", "best")]
    return found["tables"] == wanted["tables"] and all(
        torch.equal(mine[key], theirs[key]) for mine, theirs in weights for key in theirs
    )


def flip_bit(path: Path, rng: random.Random) -> bytes:
    """Flip one bit of a file; returns the bytes before."""
    intact = path.read_bytes()
    changed = bytearray(intact)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    path.write_bytes(changed)
    return intact


def flip_again_and_again(run: Path, copy: Path, *, number: int, seed: int) -> Counter[str]:
    """Flip one bit of one file, look, and mend it; returns what the readers did."""
    shutil.copytree(run, copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    wanted, rng = everything(copy), random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(number):
        path = rng.choice(files)
        name = path.relative_to(copy).as_posix()
        intact = flip_bit(path, rng)
        try:
            result = verify_run(copy)
            if name in FOR_PEOPLE:
                assert any(note.startswith(f"{name} ") for note in result.notes)
            else:
                assert name in {damage.file for damage in result.damages}, name
        except DferError as error:  # a run.json that says to be unfinished, or of a newer dfer
            assert name == "run.json", (name, error)  # noqa: PT017
        try:
            assert is_same(everything(copy), wanted), f"{name}: other figures or weights without an error"
            seen[f"harmless: {name}"] += 1
        except DferError:
            seen["refused"] += 1
        path.write_bytes(intact)
    assert verify_run(copy).damages == ()
    return seen


def assert_harmless_for_a_reason(seen: Counter[str]) -> None:
    """Readers may pass over files that they do not use, and over another spelling of an equal JSON value."""
    unread = {"README.md", "curves.png", "checkpoints/last.json", "checkpoints/best.json"}
    equal_values = {"config.json", "run.json"}
    assert {name.removeprefix("harmless: ") for name in seen if name != "refused"} <= unread | equal_values


def test_flipped_bits_are_found_and_change_no_figure(done: Done, tmp_path: Path) -> None:
    seen = flip_again_and_again(done.folder, tmp_path / "copy", number=NUM_FLIPS, seed=1)
    assert_harmless_for_a_reason(seen)
    assert seen["refused"] >= NUM_FLIPS // 3


@pytest.mark.soak
def test_five_hundred_flipped_bits(done: Done, tmp_path: Path) -> None:
    seen = flip_again_and_again(done.folder, tmp_path / "copy", number=NUM_FLIPS_SOAK, seed=2)
    assert_harmless_for_a_reason(seen)
    print(f"\n{NUM_FLIPS_SOAK} flips: all found by dfer verify; the readers: {dict(seen)}")


@pytest.fixture
def begun(done: Done, tmp_path: Path) -> Path:
    """The folder of a training that was stopped after its first epoch."""

    def stop(event: EpochDone) -> None:
        raise Stop

    with pytest.raises(Stop):
        train_run(done.experiment, tmp_path / "begun", device=torch.device("cpu"), on_event=stop)
    return tmp_path / "begun"


def test_no_flipped_bit_of_a_training_state_is_taken_over(begun: Path) -> None:
    path, rng = state_path(begun, "last"), random.Random(3)
    for _ in range(20):
        intact = flip_bit(path, rng)
        with pytest.raises(CorruptDataError, match=r"state/last\.pt is damaged \(.*\); --force trains from the start"):
            load_state(path)
        path.write_bytes(intact)
    assert load_state(path) is not None


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json"])
def test_a_training_does_not_resume_over_a_flipped_bit(begun: Path, done: Done, name: str) -> None:
    content = (begun / name).read_bytes()
    (begun / name).write_bytes(content.replace(b"1", b"3", 1))
    with pytest.raises(CorruptDataError, match=rf"{name} .*damaged.*"):
        train_run(done.experiment, begun, device=torch.device("cpu"), continues=True)


def test_a_checkpoint_damaged_before_a_resume_does_not_get_a_matching_hash(begun: Path, done: Done) -> None:
    """Its hash is that of the bytes that training wrote, not of those on disk when run.json is written."""
    path = begun / "checkpoints/last.safetensors"
    flip_bit(path, random.Random(4))
    train_run(done.experiment, begun, device=torch.device("cpu"), continues=True)
    assert {damage.file for damage in verify_run(begun).damages} == {"checkpoints/last.safetensors"}
    with pytest.raises(CorruptDataError, match=r"last\.safetensors is damaged: it does not match its sha256"):
        load_trained(begun)

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data import open_dataset
from tests.dfer_data.crop_source import source_of

Capture = pytest.CaptureFixture[str]


def test_sets_are_made_listed_and_removed(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    source_of(tmp_path / "source", *(f"happy/{name}" for name in "abcd")).prepare(out)
    assert main(["folds", str(out)]) == 0
    assert capsys.readouterr().out == f"{out} has no folds; make some: dfer folds {out} --folds 5 --group-by clip\n"
    assert main(["folds", str(out), "--folds", "2", "--group-by", "clip", "--name", "mine"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["set", "made", "by", "fold", "train", "test"],
        *(["mine", "2", "folds", "by", "clip,", "seed", "0", fold, "2", "2"] for fold in "12"),
    ]
    assert main(["folds", str(out), "--json"]) == 0
    sets = json.loads(capsys.readouterr().out)["fold_sets"]
    assert sets["mine"]["folds"] == {"1": {"train": 2, "test": 2}, "2": {"train": 2, "test": 2}}
    assert main(["folds", str(out), "--folds", "2", "--remove", "mine"]) == 2
    assert main(["folds", str(out), "--anew", "--remove", "mine"]) == 2
    assert main(["folds", str(out), "--remove", "mine"]) == 0
    assert "the set mine is removed" in capsys.readouterr().out
    assert not (out / "folds/mine").exists()
    assert main(["folds", str(out), "--folds", "2"]) == 2
    assert "subject is unknown for happy/a, happy/b, happy/c and 1 more" in capsys.readouterr().err


def test_the_command_that_messages_name_works_without_persons(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out put"
    source_of(tmp_path / "source", *(f"{label}/{name}" for label in ("happy", "sad") for name in "abc")).prepare(out)
    assert main(["folds", str(out)]) == 0
    command = shlex.split(capsys.readouterr().out.partition("make some: ")[2])
    assert main(command[1:]) == 0
    assert capsys.readouterr().out.count("5 folds by clip, seed 0") == 5


def test_loso_is_a_number_of_folds(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    source_of(tmp_path / "source", *(f"happy/{name}" for name in ("c10", "c9", "c1"))).prepare(out)
    assert main(["folds", str(out), "--folds", "loso", "--group-by", "clip"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["own", "one", "fold", "per", "clip", fold, "2", "1"] for fold in "123"
    ]
    folds = [open_dataset(out).fold(fold, fold_set="own") for fold in "123"]
    assert [clip for fold in folds for clip in fold if fold[clip] == "test"] == ["happy/c1", "happy/c9", "happy/c10"]
    for wrong in ("lso", "1", "1001"):
        assert main(["folds", str(out), "--folds", wrong, "--name", "b"]) == 2
        assert "a whole number from 2 to 1000 or loso" in capsys.readouterr().err

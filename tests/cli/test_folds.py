from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.crop_source import source_of

Capture = pytest.CaptureFixture[str]


def test_sets_are_made_listed_and_removed(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    source_of(tmp_path / "source", *(f"happy/{name}" for name in "abcd")).prepare(out)
    assert main(["folds", str(out)]) == 0
    assert capsys.readouterr().out == f"{out} has no folds; make some: dfer folds {out} --folds 5\n"
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
    assert main(["folds", str(out), "--folds", "2"]) == 2
    assert "subject is unknown for happy/a, happy/b, happy/c and 1 more" in capsys.readouterr().err

"""`dfer status`: which places it shows, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.crop_source import source_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a prepared dataset, one without anything, and a run that has begun."""
    monkeypatch.chdir(tmp_path)
    source = source_of(Path("source"), "happy/1", "sad/2")
    (Path("source/sad/2/000.jpg")).write_text("not a picture")
    source.prepare(Path("prepared/faces"))
    Path("prepared/empty").mkdir()
    Path("runs/faces/demo/fold-1/seed-0").mkdir(parents=True)
    return tmp_path


def test_prepared_and_runs_of_the_working_folder_are_the_default(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "prepared/faces: finished, 2 of 2 videos, 2 of 2 shards",
        "  failed: BAD_PICTURE 1",
        "  next: no folds: cannot be trained on; `dfer folds prepared/faces --folds 5 --group-by clip` adds them",
        "runs/faces/demo/fold-1/seed-0: stopped at epoch 0",
        "next: the same `dfer train` or `dfer sweep` resumes what has stopped",
    ]
    assert printed.err == ""


def test_an_empty_folder_of_datasets_does_not_hide_the_runs(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "other/prepared").mkdir(parents=True)
    monkeypatch.chdir(here / "other")
    assert main(["status"]) == 2
    assert "no prepared dataset and no run in prepared" in capsys.readouterr().err
    Path("runs/faces/demo/fold-1/seed-0").mkdir(parents=True)
    assert main(["status"]) == 0
    assert "stopped at epoch 0" in capsys.readouterr().out


def test_json_has_all_facts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "runs", "prepared/faces", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(item["place"], item["state"], item["num_clips"]) for item in document["datasets"]] == [
        ("prepared/faces", "finished", {"BAD_PICTURE": 1, "ok": 1})
    ]
    assert [(item["state"], item["epoch"]) for item in document["runs"]] == [("stopped", 0)]


def test_a_place_without_anything_is_an_error(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status", "absent"]) == 2
    assert "absent is not there" in capsys.readouterr().err
    assert main(["status", "prepared/empty"]) == 2
    assert "no prepared dataset and no run in prepared/empty" in capsys.readouterr().err
    monkeypatch.chdir(here / "source")
    assert main(["status"]) == 2
    assert "no folder prepared or runs here" in capsys.readouterr().err

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from dfer_cli.main import main
from dfer_data.loading.prepared import open_dataset
from lstpnet.withdrawal import copies
from tests.dfer_data.crop_source import source_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source_of(tmp_path / "source", "happy/a", "happy/b", "sad/c").prepare(tmp_path / "out")
    return tmp_path / "out"


def test_a_dry_run_and_a_command_without_consent_change_nothing(data: Path, capsys: Capture) -> None:
    before = (data / "dataset.json").read_bytes()
    assert main(["remove", str(data), "--clip", "happy/a", "--reason", "asked", "--dry-run"]) == 0
    assert "clips to remove: 1 (happy/a)" in capsys.readouterr().out
    assert main(["remove", str(data), "--clip", "happy/a", "--reason", "asked"]) == 2
    assert "add --yes to confirm" in capsys.readouterr().err
    assert main(["remove", str(data), "--reason", "asked", "--yes"]) == 2
    assert "say what to remove: --clip ID, --person P or --file LIST" in capsys.readouterr().err
    assert (data / "dataset.json").read_bytes() == before


@pytest.mark.parametrize(
    ("answer", "code", "line"),
    [(None, 2, "nothing was changed"), (typer.Abort(), 130, "interrupted; nothing was changed")],
)
def test_a_question_that_is_not_answered_with_yes_changes_nothing(
    data: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, answer: Exception | None, code: int, line: str
) -> None:
    def confirm(*question: object, **options: object) -> bool:
        if answer is not None:  # Ctrl+C
            raise answer
        return False

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(typer, "confirm", confirm)
    before = (data / "dataset.json").read_bytes()
    assert main(["remove", str(data), "--clip", "happy/a", "--reason", "asked"]) == code
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert (data / "dataset.json").read_bytes() == before


def test_clips_of_a_list_go_and_the_source_is_mentioned(data: Path, capsys: Capture) -> None:
    (data.parent / "list.txt").write_text("happy/a\n")
    arguments = ["remove", str(data), "--file", str(data.parent / "list.txt"), "--clip", "sad/c", "--reason", "asked"]
    assert main([*arguments, "--yes"]) == 0
    out = capsys.readouterr().out
    assert f"{data}: 2 clips removed" in out
    assert "--exclude FILE" in out
    assert open_dataset(data).clips["clip_id"].tolist() == ["happy/b"]


def test_json_is_one_document(data: Path, capsys: Capture) -> None:
    gone = data.parent / "gone.txt"
    arguments = ["remove", str(data), "--clip", "sad/c", "--reason", "asked", "--exclude", str(gone), "--yes", "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["clips"], document["reason"]) == (["sad/c"], "asked")
    assert gone.read_text() == "sad/c\n"


def test_a_list_that_cannot_be_written_is_refused_before_a_copy_is_changed(data: Path, capsys: Capture) -> None:
    table = data.parent / "tables" / "scores.csv"
    table.parent.mkdir()
    table.write_text("clip_id,score\nsad/c,2\n")
    line = ["remove", str(data), "--clip", "sad/c", "--reason", "asked", "--also", str(table.parent), "--yes"]
    assert main([*line, "--exclude", str(data.parent / "nowhere/gone.txt")]) == 2
    assert "nowhere does not exist; create it to write gone.txt there" in capsys.readouterr().err
    assert table.read_text() == "clip_id,score\nsad/c,2\n"
    assert "sad/c" in open_dataset(data).clips["clip_id"].tolist()


def test_a_copy_that_cannot_be_changed_keeps_the_clips_in_the_dataset(
    data: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "scores.csv").write_text("clip_id,score\nhappy/a,1\nsad/c,2\n")
    command = ["remove", str(data), "--clip", "sad/c", "--reason", "asked", "--also", str(tables), "--yes"]

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(copies, "write_atomically", refuse)
    assert main(command) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"error: {data} keeps the clips, because not every copy could be changed: {tables / 'scores.csv'}: " in said
    assert "run the same command again" in said
    assert "sad/c" in open_dataset(data).clips["clip_id"].tolist()
    monkeypatch.undo()
    assert main(command) == 0
    assert "sad/c" not in open_dataset(data).clips["clip_id"].tolist()
    assert (tables / "scores.csv").read_text() == "clip_id,score\nhappy/a,1\n"


def test_copies_elsewhere_are_listed_and_rewritten(data: Path, tmp_path: Path, capsys: Capture) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "scores.csv").write_text("clip_id,score\nhappy/a,1\nsad/c,2\n")
    (tables / "notes.txt").write_text("look at sad/c again\n")
    command = ["remove", str(data), "--clip", "sad/c", "--reason", "asked", "--also", str(tables)]
    assert main([*command, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert f"rewrite: {tables / 'scores.csv'}" in out
    assert f"leave: {tables / 'notes.txt'}" in out
    assert main([*command, "--yes"]) == 0
    assert f"left: {tables / 'notes.txt'}" in capsys.readouterr().out
    assert (tables / "scores.csv").read_text() == "clip_id,score\nhappy/a,1\n"
    assert "--also DIR" not in capsys.readouterr().out

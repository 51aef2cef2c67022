"""`dfer demo` without its minutes: what it would run, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dfer_cli.main import main
from tests.workspace import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = ["synth dfew", "prepare dfew --detector retinaface", "train --fold 3", "report"]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Path]]:
    """The command lines that were started instead of run, and where; `prepare` fails in a folder called `bad`."""
    lines: list[tuple[str, Path]] = []

    def run(command: list[str], *, cwd: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
        lines.append((" ".join(command[4:]), cwd))
        is_bad = cwd.name == "bad" and command[4] == "prepare"
        return subprocess.CompletedProcess(command, 5 if is_bad else 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", run)
    return lines


def test_each_command_is_shown_before_it_runs_in_the_folder(
    ran: list[tuple[str, Path]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", "new"]) == 0
    assert ran == [(line, Path("new")) for line in LINES]
    out = capfd.readouterr().out
    assert [line.removeprefix("$ dfer ") for line in out.splitlines() if line.startswith("$")] == LINES
    assert "nothing about real expressions" in out


def test_the_lines_are_those_of_the_readme_in_its_order() -> None:
    places = [README.find(f"\n$ dfer {line}\n") for line in LINES]
    assert -1 not in places
    assert places == sorted(places)


def test_the_folder_has_a_name_of_its_own(ran: list[tuple[str, Path]]) -> None:
    assert main(["demo"]) == 0
    assert {folder for _, folder in ran} == {Path("dfer-demo")}


def test_an_empty_folder_will_do(ran: list[tuple[str, Path]]) -> None:
    Path("empty").mkdir()
    assert main(["demo", "--out", "empty"]) == 0
    assert len(ran) == 4


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_not_empty_is_refused_and_left_alone(
    ran: list[tuple[str, Path]], capsys: pytest.CaptureFixture[str], is_folder: bool
) -> None:
    path = Path("full/notes.txt") if is_folder else Path("full")
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    assert main(["demo", "--out", "full"]) == 2
    wanted = "error: full exists and is not an empty folder; remove it or choose another --out\n"
    assert capsys.readouterr().err == wanted
    assert ran == []
    assert path.read_text() == "mine"


def test_a_command_that_fails_ends_the_demo(ran: list[tuple[str, Path]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", "bad"]) == 1
    assert "`dfer prepare dfew --detector retinaface` ended with exit code 5" in capsys.readouterr().err
    assert [line for line, _ in ran] == LINES[:2]

"""The README's commands and Python run, in order, in one working folder, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dfer_data
from tests.workspace import run_dfer

_ROOT = Path(__file__).parents[1]
_TEXT = (_ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _TEXT, flags=re.DOTALL)


def _commands() -> list[str]:
    return [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines() if line[:2] == "$ "]


def _tested(workspace: Path) -> list[str]:
    fold = dfer_data.open_dataset(workspace / "prepared/dfew-retinaface").fold("3")
    return [clip_id for clip_id, split in fold.items() if split == "test"]


def test_every_command_line_runs(workspace: Path, real_videos: dict[str, Path]) -> None:
    videos = workspace / "videos"
    videos.mkdir(exist_ok=True)
    shutil.copy(real_videos["single_face.mp4"], videos)
    (workspace / "mine.csv").write_text("clip_id,prediction\n" + "".join(f"{i},happy\n" for i in _tested(workspace)))
    commands = _commands()
    assert len(commands) >= 9
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "dfer"
        if arguments == ["synth", "dfew"]:
            continue  # the workspace was made by this very line
        done = run_dfer(*arguments, cwd=workspace)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_python_runs(workspace: Path) -> None:
    for block in _blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\(16, 3, 224, 224\)|loss \d", done.stdout)


def test_the_output_shown_is_the_output_printed(workspace: Path) -> None:
    for command in ("verify --deep prepared/dfew-retinaface",):
        shown = _TEXT.split(f"$ dfer {command}\n")[1].splitlines()[0]
        assert shown in run_dfer(*command.split(), cwd=workspace).stdout


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", _TEXT, flags=re.MULTILINE))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (_ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", _TEXT))))
def test_links_lead_somewhere(path: str) -> None:
    assert (_ROOT / path).exists()

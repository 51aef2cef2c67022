"""The README's commands and Python run, in order, in one working folder, and its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dfer_data
from tests.test_acceptance import landmark_errors
from tests.workspace import ROOT, run_dfer

_TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


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
            continue  # the workspace has fewer clips; test_the_demo_at_full_size runs the very line
        done = run_dfer(*arguments, cwd=workspace)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_python_runs(workspace: Path) -> None:
    for block in _blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\(16, 3, 224, 224\)|loss \d", done.stdout)


def _shown(command: str) -> list[str]:
    """The lines that the README shows below a command."""
    return _TEXT.split(f"$ dfer {command}\n")[1].split("```")[0].split("\n$ ")[0].splitlines()


def _shape(line: str) -> str:
    """A line with its numbers taken out."""
    return re.sub(r"\d+(\.\d+)?", "N", line)


@pytest.mark.parametrize("name", ["synth dfew", "prepare dfew --detector retinaface"])
def test_the_output_shown_has_the_shape_of_the_output_printed(workspace: Path, name: str) -> None:
    printed = (workspace / f"{name.split()[0]}.txt").read_text().splitlines()
    assert [_shape(line) for line in _shown(name)] == [_shape(line) for line in printed]


@pytest.mark.soak
def test_the_demo_at_full_size(tmp_path: Path) -> None:
    """The four lines as they stand in the README, at full size, with the very figures that it shows."""
    done = run_dfer("demo", "--out", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for command in ("synth dfew", "prepare dfew --detector retinaface"):
        for line in _shown(command):
            assert line in done.stdout
    verified = run_dfer("verify", "--deep", "prepared/dfew-retinaface", cwd=tmp_path / "demo").stdout
    assert _shown("verify --deep prepared/dfew-retinaface")[0] in verified
    (war,) = re.findall(r"^last: WAR (\S+)", done.stdout, flags=re.MULTILINE)
    assert float(war) >= 70
    assert np.percentile(landmark_errors(tmp_path / "demo"), 95) <= 0.10


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", _TEXT, flags=re.MULTILINE))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", _TEXT))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()

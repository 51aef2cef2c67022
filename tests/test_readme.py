"""The README is short; its commands and Python run, in order, in one working folder; its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.test_acceptance import landmark_errors
from tests.workspace import ROOT, run_dfer

_TEXT = (ROOT / "README.md").read_text(encoding="utf-8")

_BUSY = "; other programs keep the cores busy: --threads 1 may be faster"
"""What `dfer train` adds while other tests run."""


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _TEXT, flags=re.DOTALL)


def _commands() -> list[str]:
    return [line.removeprefix("$ ") for block in _blocks("console") for line in block.splitlines() if line[:2] == "$ "]


def _in_activated_environment(command: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell that has only activated the environment, as the README says."""
    line = f"source {shlex.quote(str(Path(sys.prefix) / 'bin/activate'))} && {command}"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {"PATH": os.defpath}
    return subprocess.run(
        ["bash", "-c", line], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


def _shown(command: str) -> list[str]:
    """The lines that the README shows below a command."""
    return _TEXT.split(f"$ dfer {command}\n")[1].split("```")[0].split("\n$ ")[0].splitlines()


def _shape(line: str) -> str:
    """A line with its numbers and the width of its columns taken out."""
    return re.sub(r"\d+(,\d{3})*(\.\d+)?", "N", " ".join(line.split()))


def test_it_is_short() -> None:
    assert len(_TEXT.split()) <= 900


def _train_briefly(folder: Path) -> None:
    """Let `dfer train` in a working folder take the recipe `demo` with two epochs instead of twenty."""
    recipe = (ROOT / "lstpnet/recipes/demo.toml").read_text(encoding="utf-8")
    (folder / "demo.toml").write_text(re.sub(r"^((?:frame_)?epochs) = \d+$", r"\1 = 1", recipe, flags=re.MULTILINE))
    (folder / "dfer.toml").write_text('[train]\nrecipe = "demo.toml"\n')


def test_every_command_line_runs(workspace: Path) -> None:
    _train_briefly(workspace)
    commands = _commands()
    assert [command.split()[1] for command in commands] == ["synth", "prepare", "train", "report", "look"]
    for command in commands[1:]:  # the workspace has fewer clips; test_the_demo_at_full_size runs the very first line
        done = _in_activated_environment(command, cwd=workspace)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed = {_shape(line.replace(_BUSY, "")) for line in done.stdout.splitlines()}
        if command.startswith("dfer prepare"):  # done already when the workspace was made
            printed = {_shape(line) for line in (workspace / "prepare.txt").read_text().splitlines()}
        assert {_shape(line) for line in _shown(command.removeprefix("dfer "))} <= printed
    assert "<svg" in (workspace / "look.html").read_text() or "data:image" in (workspace / "look.html").read_text()


def test_the_python_runs(workspace: Path) -> None:
    for block in _blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=workspace, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\(16, 3, 224, 224\) .*\[8, 3, 8, 224, 224\]", done.stdout)


@pytest.mark.soak
def test_the_demo_at_full_size(tmp_path: Path) -> None:
    """The four lines as they stand in the README, at full size, with the very figures that it shows."""
    done = run_dfer("demo", "--out", "demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line in _shown("prepare dfew --detector retinaface"):
        assert line in done.stdout
    verified = run_dfer("verify", "--deep", "prepared/dfew-retinaface", cwd=tmp_path / "demo").stdout
    assert "intact" in verified
    (war,) = re.findall(r"^last: WAR (\S+)", done.stdout, flags=re.MULTILINE)
    assert float(war) >= 70
    assert np.percentile(landmark_errors(tmp_path / "demo"), 95) <= 0.10


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", _TEXT, flags=re.MULTILINE))
def test_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", _TEXT))))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()

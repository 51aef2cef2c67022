"""Shell completion, as the scripts of `dfer --install-completion` ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXECUTABLE = Path(sys.executable).with_name("dfer")


def answer(instruction: str, **variables: str) -> str:
    """What `dfer` prints for a shell that completes."""
    done = subprocess.run(
        [EXECUTABLE],
        env={**os.environ, "_DFER_COMPLETE": instruction, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_and_names() -> None:
    lines = {
        "dfer model ex": ["export"],
        "dfer train --sampler seg": ["segments-8x2", "segments-16x1"],
        "dfer prepare df": ["dfew"],
        "dfer predict --win": ["--window-seconds"],
    }
    script = answer("source_bash")
    for line in lines:
        words = line.split()
        script += f"\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _dfer_completion {EXECUTABLE}"
        script += '\necho "${COMPREPLY[*]}"'
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == list(lines.values())


def test_zsh_completes_with_the_help_of_each() -> None:
    assert "compdef _dfer_completion dfer" in answer("source_zsh")
    described = answer("complete_zsh", _TYPER_COMPLETE_ARGS="dfer weights fe")
    assert described.strip() == """_arguments '*: :(("fetch":"Fetch model files into the cache."))'"""
    assert '"demo"' in answer("complete_zsh", _TYPER_COMPLETE_ARGS="dfer recipes show d")

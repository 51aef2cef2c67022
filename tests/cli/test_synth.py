"""`dfer synth`, as its users see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_cli.main import main
from dfer_data.sources.catalog import SHAPES


def test_synth_refuses_a_dataset_that_it_cannot_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", "casme"]) == 2
    assert capsys.readouterr().err == f"error: synth cannot imitate dataset 'casme'; known: {', '.join(SHAPES)}\n"
    assert main(["synth", "mafw", "--identities", "10"]) == 2
    assert "--identities is only for dfew" in capsys.readouterr().err


def test_speech_without_espeak_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], heads_wheel: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["synth", "mafw", "--sound", "speech"]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: --sound speech: espeak-ng is not installed; install it (`apt-get install")
    assert main(["synth", "mafw", "--sound", "song"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_synth_says_that_it_is_synthetic_and_what_comes_next(workspace: Path) -> None:
    made, warning, following = (workspace / "synth.txt").read_text().splitlines()
    assert made.startswith("data/dfew: 35 clips of 10 rendered heads (")
    assert warning.startswith("They are synthetic: ")
    assert following == "next: dfer prepare dfew --detector retinaface"

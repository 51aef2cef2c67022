from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.lstpnet.prediction.test_trained_runs import INFO, write_finished

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my video.mp4").write_bytes(b"<html>")


def test_without_a_run_on_real_faces_the_next_steps_are_named(capsys: Capture) -> None:
    write_finished(Path("runs/synth/fold-1/seed-0"), replace(INFO, synthetic=True))
    assert main(["predict", "my video.mp4"]) == 2
    said = capsys.readouterr().err
    assert "no finished run below runs/ was trained on real faces" in said
    assert "train one with `dfer train`" in said


def test_of_several_runs_each_has_its_complete_command(capsys: Capture) -> None:
    for seed in (0, 1):
        write_finished(Path(f"runs/real one/fold-1/seed-{seed}"), replace(INFO, seed=seed))
    assert main(["predict", "my video.mp4", "--csv", "p.csv"]) == 2
    *choices, error = capsys.readouterr().err.splitlines()
    assert [shlex.split(line) for line in choices] == [
        ["dfer", "predict", "--model", f"runs/real one/fold-1/seed-{seed}", "my video.mp4", "--csv", "p.csv"]
        for seed in (0, 1)
    ]
    assert "2 finished runs below runs/ trained on real faces" in error


def test_the_only_run_on_real_faces_is_taken(capsys: Capture) -> None:
    """Its weights here are no weights, so opening it fails, which names it."""
    write_finished(Path("runs/real/fold-1/seed-0"), INFO)
    write_finished(Path("runs/synth/fold-1/seed-0"), replace(INFO, synthetic=True))
    assert main(["predict", "my video.mp4"]) != 0
    note = "note: model: runs/real/fold-1/seed-0, the only finished run below runs/ that was trained on real faces\n"
    assert note in capsys.readouterr().err

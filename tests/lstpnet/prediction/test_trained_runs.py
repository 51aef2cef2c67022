from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lstpnet.prediction.trained_runs import runs_on_real_faces
from lstpnet.runs import PREDICTIONS_NAME, RUN_NAME, RunInfo, write_run
from tests.lstpnet.small_run import run_info

INFO = run_info(class_names=("happy", "sad"), n_train=2, protocol="")


def write_finished(folder: Path, info: RunInfo, *, checkpoint: str = "last") -> Path:
    """Write a run as far as its choice goes: neither predictions nor weights are real."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / PREDICTIONS_NAME).write_bytes(b"predictions")
    (folder / f"checkpoints/{checkpoint}.safetensors").write_bytes(b"weights")
    write_run(folder, info)
    return folder


def test_only_finished_runs_on_real_faces_with_the_checkpoint_count(tmp_path: Path) -> None:
    real = write_finished(tmp_path / "runs/a/fold-1/seed-0", INFO)
    best = write_finished(tmp_path / "runs/a/fold-1/seed-1", replace(INFO, seed=1), checkpoint="best")
    write_finished(tmp_path / "runs/b/fold-1/seed-0", replace(INFO, synthetic=True))
    write_finished(tmp_path / "runs/c/fold-1/seed-0", replace(INFO, finished=False))
    damaged = write_finished(tmp_path / "runs/d/fold-1/seed-0", INFO)
    (damaged / RUN_NAME).write_text("{}")
    (tmp_path / "runs/e/fold-1/seed-0").mkdir(parents=True)
    assert runs_on_real_faces(tmp_path / "runs") == [real]
    assert runs_on_real_faces(tmp_path / "runs", checkpoint="best") == [best]
    assert runs_on_real_faces(tmp_path / "none") == []

"""A write that fails in the middle, whoever makes it, leaves no file under its name, cut or not, and no rest."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from safetensors import SafetensorError

from dfer_cli._support.predict_results import write_csv
from dfer_cli.evaluate import _write as write_logits
from dfer_cli.evaluate import _write_features
from dfer_data.draw.annotated_video import write_annotated
from dfer_data.types import FrameRecord
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.checkpoints.export import export_onnx
from lstpnet.evaluation.cross_dataset import CrossResult
from lstpnet.evaluation.features import Features
from lstpnet.metrics import confusion_matrix, score
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.attention_figure import draw_attention
from lstpnet.prediction.timeline import draw_timeline
from lstpnet.prediction.video import Person, WindowPrediction
from lstpnet.training.resume_state import save_state
from tests.dfer_data.tiny import pictures, write_video
from tests.workspace import ROOT

_MOST_BYTES = 700
CLASSES = ("dark", "bright")


@contextlib.contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Let every write beyond so many bytes of a file fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def person() -> Person:
    shares = np.array([0.25, 0.75], np.float32)
    frames = np.zeros((16, 3, 32, 32), np.uint8)
    moments = tuple(
        WindowPrediction(float(i), i + 1.0, shares, np.full(16, 1 / 16, np.float32), frames) for i in range(4)
    )
    record = FrameRecord(0, 0.0, np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0, 0)
    return Person(0, moments, (record,))


def features() -> Features:
    clip_ids = tuple(f"clip-{number}" for number in range(50))
    vectors, numbers = np.zeros((50, 16, 8), np.float32), np.zeros((50, 16), np.int32)
    return Features(clip_ids, ("dark",) * 50, np.zeros((50, 8), np.float32), vectors, numbers)


def predict_csv(path: Path) -> None:
    problem = {"video": "v.mp4", "persons": [], "problem": "p" * 80, "code": "CRASHED", "hint": ""}
    write_csv(path, [problem] * 50, CLASSES, is_synthetic=False)


def annotated(path: Path) -> None:
    write_annotated(path.with_name("source.mp4"), path, {})


def logits(path: Path) -> None:
    scores = score(confusion_matrix([0] * 50, [0] * 50, num_classes=2))
    ids = tuple(f"clip-{number}" for number in range(50))
    result = CrossResult(ids, ("dark",) * 50, ("dark",) * 50, np.zeros((50, 2), np.float32), scores, {}, ())
    write_logits(path, result, CLASSES, has_same_classes=True)


def exported(path: Path) -> None:
    """Export a graph that was made already: torch takes a minute."""
    size = [1, 16, 3, 64, 64]
    clips, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name in ("clips", "logits"))
    weights = helper.make_tensor("weights", TensorProto.FLOAT, [500], np.zeros(500, np.float32))
    graph = helper.make_graph([helper.make_node("Identity", ["clips"], ["logits"])], "g", [clips], [logits], [weights])
    program = SimpleNamespace(model_proto=helper.make_model(graph))
    with patch("torch.onnx.export", return_value=program), patch("lstpnet.checkpoints.export.exported_program"):
        export_onnx(LSTPNet(num_classes=2, width_multiplier=0.125), path, size_px=64)


WRITERS: dict[str, Callable[[Path], object]] = {
    "predict.csv": predict_csv,
    "timeline.png": lambda path: draw_timeline([person()], CLASSES, path, title="v"),
    "attention.png": lambda path: draw_attention(person(), CLASSES, path, title="v"),
    "annotated.mp4": annotated,
    "features.npz": lambda path: _write_features(path, features()),
    "features.parquet": lambda path: _write_features(path, features()),
    "logits.csv": logits,
    "model.onnx": exported,
    "state.pt": lambda path: save_state(path, {"weights": torch.zeros(1000)}),
    "last.safetensors": lambda path: save_checkpoint(torch.nn.Linear(50, 50), path, facts={}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path, name: str) -> None:
    if name == "annotated.mp4":
        write_video(tmp_path / "source.mp4", pictures(10))
    before = sorted(path.name for path in tmp_path.iterdir())
    with files_of_at_most(_MOST_BYTES), pytest.raises((OSError, SafetensorError)):
        WRITERS[name](tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    WRITERS[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size > _MOST_BYTES


def test_no_command_and_no_model_writes_a_file_by_itself() -> None:
    """All writers of whole files use `atomic_file` or `write_atomically`."""
    plain = re.compile(r"\.write_(text|bytes)\(|open\([^)]*[\"'][wx]b?[\"']|savefig\((?!buffer)|to_csv\([a-z_]+(,|\))")
    sources = [path for name in ("cli", "lstpnet") for path in (ROOT / name).rglob("*.py")]
    lines = [(path, line) for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 10_000
    assert [f"{path}: {line}" for path, line in lines if plain.search(line) and "def " not in line] == []

"""A resumed prediction is of the same model: its weights, and the code that runs with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstpnet.checkpoints.custom_model import build_own
from lstpnet.prediction.finished_videos import model_sha256

CODE = "import torch\n\n\ndef build(num_classes):\n    return torch.nn.Linear(3, num_classes)\n"


def test_other_code_for_a_run_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("run")
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "checkpoints/last.safetensors").write_bytes(b"weights")
    own = model_sha256(run, checkpoint="last")
    hashes = []
    for text in (CODE, CODE + "# changed\n", CODE):
        Path("my_code.py").write_text(text)
        build_own("my_code:build", num_classes=7)
        hashes.append(model_sha256(run, checkpoint="last", custom_model="my_code:build"))
    assert len({own, *hashes}) == 3
    assert hashes[0] == hashes[2]

"""Every family of networks in the trainer: it learns, resumes with the same bits, and its run is used like another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lstpnet
from dfer_cli.main import main
from lstpnet.checkpoints.export import export_onnx
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick

CPU = torch.device("cpu")
FAMILIES: dict[str, dict[str, Any]] = {
    "r3d_18": {"depth": 1},
    "hara-r3d18": {"depth": 1},
    "c3d": {"width_multiplier": 0.0625 * 2, "size_px": 112},
    "former-dfer": {"depth": 1},
    "videomae-b16": {"depth": 1, "drop_path": 0.1},
    "m3dfel": {"depth": 1},
    "i3d": {"size_px": 224},
    "p3d63": {"depth": 1, "size_px": 160},
    "reslstm": {"depth": 1, "size_px": 112},
    "gca": {"depth": 1, "size_px": 112, "auxiliary": 0.05, "width_multiplier": 0.25},
    "nr-dfernet": {"depth": 1, "size_px": 112, "neutral_class": 2},
    "lgi-former": {"depth": 1, "size_px": 160},
}
"""One network of each family -> settings of a narrow form."""
FAST = {"frame_epochs": 0, "epochs": 2, "batch_size": 8, "learning_rate": 2e-3}
SLOW = pytest.mark.soak


def experiment_of(crops: Path, name: str) -> Experiment:
    return make_experiment(crops, quick(**(FAST | {"model": name} | FAMILIES[name])), fold=3, seed=0)


class Stopped(Exception):
    """Stops a training after an epoch."""


def stop(event: EpochDone) -> None:
    if event.epoch == 1:
        raise Stopped


LATER = ("i3d", "p3d63", "reslstm", "gca", "nr-dfernet", "lgi-former")
"""Networks of large frames, whose tests take long."""


@pytest.mark.parametrize(
    "name",
    [
        *("former-dfer", "r3d_18", "videomae-b16", "m3dfel"),
        *(pytest.param(name, marks=SLOW) for name in ("c3d", *LATER)),
    ],
)
def test_a_training_that_stopped_resumes_with_the_same_bits_and_its_run_is_used(
    name: str, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = experiment_of(crops, name)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    (figures,) = train_run(experiment, whole, device=CPU)["results"]
    with pytest.raises(Stopped):
        train_run(experiment, halved, device=CPU, on_event=stop)
    train_run(experiment, halved, device=CPU, continues=True)
    weights = "checkpoints/last.safetensors"
    assert (whole / weights).read_bytes() == (halved / weights).read_bytes()
    assert figures["n"] == 14
    epochs = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    model = lstpnet.load_model(whole, device="cpu")
    found = model.features(crops, ["00001"])
    assert (found.frames is None) == (name not in ("former-dfer", "reslstm"))
    assert main(["evaluate", str(whole), "--data", str(crops), "--fold", "3", "--device", "cpu"]) == 0
    assert f"WAR {100 * figures['war']:.2f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        *("videomae-b16", "gca"),
        *(pytest.param(name, marks=SLOW) for name in FAMILIES if name not in ("videomae-b16", "gca")),
    ],
)
def test_a_network_is_exported_and_onnxruntime_gives_its_logits(name: str, tmp_path: Path) -> None:
    settings = {key: value for key, value in FAMILIES[name].items() if key not in ("size_px", "auxiliary")}
    size_px = FAMILIES[name].get("size_px", 64)
    torch.manual_seed(0)
    model = lstpnet.build_model(name, 5, **({"width_multiplier": 0.125} | settings)).eval()
    export_onnx(model, tmp_path / "model.onnx", size_px=size_px)
    clips = torch.rand(3, 16, 3, size_px, size_px)
    with torch.no_grad():
        np.testing.assert_allclose(ExportedModel(tmp_path / "model.onnx")(clips), model(clips), atol=1e-4)


@SLOW
@pytest.mark.parametrize("name", FAMILIES)
def test_a_narrow_form_learns_the_colours_of_the_crops(name: str, crops: Path, tmp_path: Path) -> None:
    changes = FAST | {"model": name, "epochs": 12} | FAMILIES[name]
    (figures,) = train_run(make_experiment(crops, quick(**changes), fold=3, seed=0), tmp_path / "run", device=CPU)[
        "results"
    ]
    assert figures["war"] > 2 / 7

"""Every network in the trainer, in a narrow form: it learns, resumes with the same bits, and its run is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lstpnet
from dfer_cli.main import main
from dfer_data.errors import UsageError
from lstpnet.checkpoints.export import MIN_EXPORT_PX, export_onnx
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.open_model import open_model
from lstpnet.models.catalogue import DEFAULT_MODEL, NETWORKS
from lstpnet.models.clip_network import ClipNetwork, FrameNetwork
from lstpnet.prediction.video import predict_video
from lstpnet.prediction.video_settings import Windows
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import Experiment, make_experiment
from lstpnet.training.run import train_run
from tests.dfer_data.tiny import CONFIG, pictures, write_video
from tests.lstpnet.conftest import quick
from tests.lstpnet.models.test_clip_network import NARROW, narrow
from tests.lstpnet.prediction.test_video import Standing
from tests.lstpnet.training.test_distributed import by_two

CPU = torch.device("cpu")
FAST = {"frame_epochs": 0, "epochs": 4, "batch_size": 8, "learning_rate": 5e-3}
MORE: dict[str, dict[str, Any]] = {
    "lgi-former": {"epochs": 10},
    "i3d": {"epochs": 22, "batch_size": 2, "learning_rate": 2e-3},
}
"""Networks that learn more slowly; i3d's batch norms take 1 % of each step and fit after some hundred steps."""
FRESH = [name for name, facts in NETWORKS.items() if not facts.needs_start_weights]
FAST_PX = 32
"""Networks that take no frames as small as these are trained in the long tests."""
ALIKE = ("r2plus1d_18", "mc3_18", "hara-r3d18")
"""Networks of the blocks of r3d_18 with other convolutions, which the long tests train too."""


def networks(*fast: str) -> list[Any]:
    """All networks that train from fresh weights; only those of `fast` are for the short tests."""
    return [pytest.param(name, marks=() if name in fast else pytest.mark.soak) for name in FRESH]


def changes_of(name: str) -> dict[str, Any]:
    settings, (num_frames, _) = NARROW[name]
    facts = NETWORKS[name]
    auxiliary = {"auxiliary": 0.05} if facts.has_auxiliary else {}
    return (
        FAST
        | MORE.get(name, {})
        | settings
        | auxiliary
        | {"model": name, "num_frames": num_frames, "size_px": facts.least_px}
    )


def experiment_of(crops: Path, name: str) -> Experiment:
    return make_experiment(crops, quick(**changes_of(name)), fold=3, seed=0)


class Stopped(Exception):
    """Stops a training after an epoch."""


def stop(event: EpochDone) -> None:
    if event.epoch == 2:
        raise Stopped


@pytest.mark.parametrize(
    "name", networks(*(name for name in FRESH if NETWORKS[name].least_px <= FAST_PX and name not in ALIKE))
)
def test_it_learns_resumes_with_the_same_bits_and_its_run_is_used(
    name: str, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = experiment_of(crops, name)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    (figures,) = train_run(experiment, whole, device=CPU)["results"]
    assert figures["n"] == 14
    assert figures["war"] > 2 / 7  # twice what chance gives
    with pytest.raises(Stopped):
        train_run(experiment, halved, device=CPU, on_event=stop)
    train_run(experiment, halved, device=CPU, continues=True)
    weights = "checkpoints/last.safetensors"
    assert (whole / weights).read_bytes() == (halved / weights).read_bytes()

    opened = open_model(whole)
    features = lstpnet.load_model(whole, device="cpu").features(crops, ["00001"])
    assert isinstance(opened.model, ClipNetwork)
    assert (features.frames is None) == (not isinstance(opened.model, FrameNetwork))
    assert main(["evaluate", str(whole), "--data", str(crops), "--fold", "3", "--device", "cpu"]) == 0
    assert f"WAR {100 * figures['war']:.2f}" in capsys.readouterr().out
    video = write_video(tmp_path / "v.mp4", pictures(1) * 25)
    persons = list(
        predict_video(video, opened, detector=Standing(), config=CONFIG, windows=Windows(0.6, 0.2), device=CPU)
    )
    assert len(persons) == 2
    assert all(np.isfinite(moment.probabilities).all() for person in persons for moment in person.moments)
    assert all(person.mean_probabilities.sum() == pytest.approx(1, abs=1e-4) for person in persons)


@pytest.mark.parametrize("name", networks("videomae-b16"))
def test_a_network_is_exported_and_onnxruntime_gives_its_logits(name: str, tmp_path: Path) -> None:
    model, clips = narrow(name)
    size_px = clips.shape[-1]
    if name == DEFAULT_MODEL and size_px < MIN_EXPORT_PX:
        with pytest.raises(UsageError, match="a model for 32 px cannot be exported; the minimum is 33 px"):
            export_onnx(model, tmp_path / "model.onnx", size_px=size_px)
        return
    export_onnx(model.eval(), tmp_path / "model.onnx", num_frames=clips.shape[1], size_px=size_px)
    with torch.no_grad():
        np.testing.assert_allclose(ExportedModel(tmp_path / "model.onnx")(clips), model(clips), atol=1e-4)


@pytest.mark.soak
@pytest.mark.parametrize("name", FRESH)
def test_two_processes_train_a_network_and_end_with_equal_weights(name: str, crops: Path, tmp_path: Path) -> None:
    by_two(crops, tmp_path, {name: changes_of(name) | {"epochs": 1}})
    folder = tmp_path / name
    assert json.loads((folder / "rank-0.json").read_text())[1]["results"][0]["n"] == 14
    one, other = (torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[key], other[key]) for key in one if "running" not in key)
    (epoch,) = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    assert epoch["loss"] < 10

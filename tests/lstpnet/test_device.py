"""Number types are what their names say, only while a model computes; memory that does not suffice is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data import open_dataset
from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import DferError
from lstpnet import device
from lstpnet.checkpoints.open_model import open_model
from lstpnet.device import autocast_dtype, readable_out_of_memory
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.evaluation.features import features_of
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.loaded_model import load_model
from tests.lstpnet.conftest import Done, quick

CPU = torch.device("cpu")


def flags() -> tuple[bool, bool]:
    """Whether CUDA's matrix products and convolutions may round to TF32."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(params=[(False, True), (True, False), (True, True)])
def user_flags(request: pytest.FixtureRequest) -> Iterator[tuple[bool, bool]]:
    """Flags that the caller of dfer has set."""
    before = flags()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = request.param
    yield request.param
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("is_tf32", [False, True])
def test_float32_on_cuda_is_ieee_or_tf32_and_the_flags_come_back(user_flags: tuple[bool, bool], is_tf32: bool) -> None:
    seen = []

    def compute() -> None:
        with float32_products("cuda", is_tf32=is_tf32):
            seen.append(flags())
            raise KeyError

    with pytest.raises(KeyError):
        compute()
    assert seen == [(is_tf32, is_tf32)]
    assert flags() == user_flags


def test_on_other_devices_nothing_changes(user_flags: tuple[bool, bool]) -> None:
    with float32_products("cpu", is_tf32=False):
        assert flags() == user_flags


@pytest.mark.parametrize("precision", ["f32", "tf32"])
def test_float32_and_tf32_train_without_autocast(precision: str) -> None:
    recipe = quick(precision=precision).recipe
    assert autocast_dtype(recipe, CPU) is None
    assert autocast_dtype(recipe, torch.device("cuda")) is None


def test_on_a_cpu_tf32_is_float32(plain: Done) -> None:
    model = open_model(plain.folder).model
    root, ids = plain.experiment.data.root, plain.experiment.seen_test_ids[:2]
    logits = [
        predict_clips(model, root, ids, recipe=quick(precision=name).recipe, device=CPU, dtype=None)
        for name in ("f32", "tf32")
    ]
    assert np.array_equal(logits[0], logits[1])


def out_of_memory(*arguments: Any, **options: Any) -> None:
    """What a GPU without memory raises."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has ...")


@pytest.mark.parametrize("task", ["evaluate", "features", "predict"])
def test_memory_that_does_not_suffice_is_one_line_whatever_predicts(
    plain: Done, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    opened = open_model(plain.folder)
    assert isinstance(opened.model, LSTPNet)
    data, ids, recipe = open_dataset(plain.experiment.data.root), plain.experiment.seen_test_ids, opened.recipe
    loaded = load_model(plain.folder, device="cpu")
    tasks: dict[str, Callable[[], Any]] = {
        "evaluate": lambda: evaluate_on(opened, data, ids, is_masked=False, device=CPU),
        "features": lambda: features_of(opened.model, data, ids, recipe=recipe, device=CPU),  # type: ignore[arg-type]
        "predict": lambda: loaded.predict(np.zeros((16, 3, 32, 32), np.uint8)),
    }
    monkeypatch.setattr(torch.nn.Conv2d, "forward", out_of_memory)
    with pytest.raises(DferError) as caught:
        tasks[task]()
    assert str(caught.value).startswith("out of memory on cpu while predicting clips of 32 px; ")
    assert "\n" not in str(caught.value)


def test_another_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), readable_out_of_memory(CPU, doing="now", remedy="wait"):
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize(
    ("kind", "cores", "processes", "threads"),
    [("cuda", 16, "1", 8), ("cuda", 6, "1", 5), ("cuda", 1, "1", 1), ("cuda", 16, "4", 3), ("cpu", 16, "1", 0)],
)
def test_reading_threads_follow_the_cores_of_a_process(
    monkeypatch: pytest.MonkeyPatch, kind: str, cores: int, processes: str, threads: int
) -> None:
    monkeypatch.setattr(device, "num_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert device.num_threads(torch.device(kind)) == threads

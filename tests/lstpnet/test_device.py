"""Number types are what their names say, only while a model computes; memory that does not suffice is one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data import open_dataset, processes
from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import DferError
from lstpnet import device
from lstpnet.checkpoints.open_model import open_model
from lstpnet.device import are_cores_taken, autocast_dtype, computed_precision, readable_out_of_memory, reproducible
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.evaluation.features import features_of
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.loaded_model import load_model
from lstpnet.training import trainer
from lstpnet.training.experiment import make_experiment
from lstpnet.training.run import train_run
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


@pytest.mark.parametrize("is_native", [True, False])
def test_the_precision_that_is_computed_depends_on_the_device(is_native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: is_native)
    found = {name: computed_precision(quick(precision=name).recipe, CPU) for name in ("auto", "bf16", "f16", "tf32")}
    assert found == {"auto": "bf16" if is_native else "f32", "bf16": "bf16", "f16": "f16", "tf32": "f32"}
    assert computed_precision(quick(precision="tf32").recipe, torch.device("cuda")) == "tf32"


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


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",  # no room to page-lock
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_memory_that_a_library_of_the_gpu_lacks_is_memory_too(words: str) -> None:
    with (
        pytest.raises(DferError, match="out of memory on cpu now; wait"),
        readable_out_of_memory(CPU, doing="now", remedy="wait"),
    ):
        raise RuntimeError(words)


def test_clips_beyond_any_memory_are_memory_too() -> None:
    with (
        pytest.raises(DferError, match="out of memory on cpu now; wait"),
        readable_out_of_memory(CPU, doing="now", remedy="wait"),
    ):
        torch.zeros(2, 16, 3, 2**62, 2**62)


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


def reproducible_flags() -> tuple[bool, bool, bool, str | None]:
    """What PyTorch and cuBLAS are told about reproducible algorithms."""
    cudnn = torch.backends.cudnn
    is_strict = torch.are_deterministic_algorithms_enabled()
    return is_strict, cudnn.deterministic, cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")


@pytest.mark.parametrize("workspace", [None, ":16:8"])
def test_reproducible_algorithms_are_on_only_within_the_block(
    monkeypatch: pytest.MonkeyPatch, workspace: str | None
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = reproducible_flags()
    seen = []

    def compute() -> None:
        with reproducible(torch.device("cuda"), is_on=True):
            seen.append(reproducible_flags())
            raise KeyError

    with pytest.raises(KeyError):
        compute()
    assert seen == [(True, True, False, workspace or ":4096:8")]
    assert reproducible_flags() == before
    for device_, is_on in ((CPU, True), (torch.device("cuda"), False)):
        with reproducible(device_, is_on=is_on):
            assert reproducible_flags() == before


def test_an_operation_without_a_reproducible_algorithm_is_one_line() -> None:
    """MaxUnpool2d is one on every device."""

    def compute() -> None:
        with reproducible(torch.device("cuda"), is_on=True):
            torch.nn.functional.max_unpool2d(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.long), [2])

    with pytest.raises(DferError, match=r"deterministic = true: .* does not have a deterministic .*; set it to fal"):
        compute()


def test_training_and_prediction_on_cuda_compute_reproducibly_if_the_recipe_says_so(
    plain: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[bool] = []

    @contextlib.contextmanager
    def noted(device: torch.device, *, is_on: bool) -> Iterator[None]:
        seen.append(is_on)
        yield

    monkeypatch.setattr(trainer, "reproducible", noted)
    monkeypatch.setattr(device, "reproducible", noted)
    experiment = make_experiment(plain.experiment.data.root, quick(deterministic=True), fold=3, seed=0)
    model = train_run(experiment, tmp_path / "run", device=CPU)
    assert model["results"] == plain.results
    assert seen == [True, True]


def test_the_cores_are_taken_where_twice_as_many_programs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(processes, "num_cores", lambda: 4)
    for load, is_taken in ((7.9, False), (8.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert are_cores_taken(CPU) == is_taken
    assert not are_cores_taken(torch.device("cuda"))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 1)
        assert not are_cores_taken(CPU)
    monkeypatch.delattr(os, "getloadavg")  # Windows has none
    assert not are_cores_taken(CPU)

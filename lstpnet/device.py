"""Choose the device, its number type and the number of reading threads for training and testing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import DferError, UsageError
from dfer_data.processes import are_cores_busy, num_cores
from lstpnet.recipe import Recipe

_CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
MOST_THREADS = 8
"""Threads that read clips: with 15 of 16 cores an H200's machine read fewer clips per second than with 8."""


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the first available of CUDA, MPS, CPU.

    Raises UsageError for a name that is no device, DferError if it is not available.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"device {name!r} does not exist: name cuda, mps or cpu, or leave --device out to use {pick_device()}"
        ) from error
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        remedy = f"leave --device out to use {pick_device()}, or see `dfer doctor`"
        raise DferError(f"device {name} cannot be used here: {reason}; {remedy}") from error
    return device


def device_name(device: torch.device) -> str:
    """Return the name of a CUDA GPU, as its driver gives it, or the kind of another device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def num_threads(device: torch.device) -> int:
    """Return how many threads read clips ahead; none unless the device is a CUDA GPU, since a CPU computes itself.

    One per core of this process, of which torchrun may have started several, but one core is left to the thread that
    starts the steps, and threads beyond MOST_THREADS wait for each other.
    """
    if device.type != "cuda":
        return 0
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_THREADS, num_cores() // processes - 1))


def are_cores_taken(device: torch.device) -> bool:
    """Return whether several threads would compute on a CPU on which twice as many programs run as it has cores.

    Each waits for the others there, which have no turn; the bf16 convolutions of PyTorch do so in a loop.
    """
    return device.type == "cpu" and torch.get_num_threads() > 1 and are_cores_busy()


def autocast_dtype(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """Return the recipe's autocast type; `auto`: bfloat16 where the device supports it. None means float32."""
    if recipe.precision in ("f32", "tf32"):
        return None
    if recipe.precision in ("bf16", "f16"):
        return torch.bfloat16 if recipe.precision == "bf16" else torch.float16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and native() else None


def computed_precision(recipe: Recipe, device: torch.device) -> str:
    """Return the number format in which PyTorch computes the recipe on a device: f32, tf32, bf16 or f16."""
    if (dtype := autocast_dtype(recipe, device)) is not None:
        return "bf16" if dtype == torch.bfloat16 else "f16"
    return "tf32" if recipe.precision == "tf32" and device.type == "cuda" else "f32"


@contextlib.contextmanager
def reproducible(device: torch.device, *, is_on: bool) -> Iterator[None]:
    """Compute on a CUDA GPU only with algorithms that give equal numbers in every run.

    Restores PyTorch's flags, which hold for the whole process, at the end. Changes nothing unless `is_on`, or on other
    devices, where equal runs give equal numbers anyway. The first matrix product of the process should be in the block:
    cuBLAS reads its setting then.
    Raises DferError for an operation that has no such algorithm.
    """
    if not is_on or device.type != "cuda":
        yield
        return
    cudnn, workspace = torch.backends.cudnn, os.environ.get(_CUBLAS_WORKSPACE)
    previous = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    previous_cudnn = cudnn.deterministic, cudnn.benchmark
    os.environ.setdefault(_CUBLAS_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DferError(f"deterministic = true: {reason}; set it to false, or use --device cpu") from error
    finally:
        torch.use_deterministic_algorithms(previous[0], warn_only=previous[1])
        cudnn.deterministic, cudnn.benchmark = previous_cudnn
        if workspace is None:
            os.environ.pop(_CUBLAS_WORKSPACE, None)


@contextlib.contextmanager
def readable_out_of_memory(device: torch.device, *, doing: str, remedy: str) -> Iterator[None]:
    """Turn an error of memory, of a GPU or of the CPU, into a DferError of one line: `doing`, then `remedy`."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        words = (
            *("not enough memory", "can't allocate memory", "Storage size calculation overflowed"),
            *("CUDA error: out of memory", "STATUS_ALLOC_FAILED"),
        )
        if not isinstance(error, torch.OutOfMemoryError) and not any(word in str(error) for word in words):
            raise
        raise DferError(f"out of memory on {device} {doing}; {remedy}") from error


@contextlib.contextmanager
def predicting(recipe: Recipe, device: torch.device, *, dtype: torch.dtype | None, remedy: str = "") -> Iterator[None]:
    """Compute without gradients in the recipe's number type; raises DferError, one line, when memory is out.

    `dtype`: of autocast, as `autocast_dtype` returns it; None computes in float32. `remedy`: the next step when memory
    is out; empty: a smaller batch_size.
    """
    with contextlib.ExitStack() as stack:
        doing = f"while predicting clips of {recipe.size_px} px"
        default = f"use a smaller batch_size (now {recipe.batch_size}), or --device cpu"
        stack.enter_context(readable_out_of_memory(device, doing=doing, remedy=remedy or default))
        stack.enter_context(float32_products(device.type, is_tf32=recipe.precision == "tf32"))
        stack.enter_context(reproducible(device, is_on=recipe.deterministic))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast(device.type, dtype=dtype, enabled=dtype is not None))
        yield

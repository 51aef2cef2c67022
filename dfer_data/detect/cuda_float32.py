"""Say in which type a CUDA GPU multiplies float32 numbers; PyTorch's own default is TF32 for convolutions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def float32_products(device_type: str, *, is_tf32: bool) -> Iterator[None]:
    """Multiply float32 numbers on a CUDA GPU in TF32 (10 bits of fraction) or as IEEE float32 (23 bits).

    Restores PyTorch's flags, which hold for the whole process, at the end. Changes nothing on other devices.
    """
    if device_type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    previous = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = is_tf32
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = previous

"""The detector's float32 on a CUDA GPU is what its precision says; here the flags alone can be looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dfer_data.detect import torch_backend
from dfer_data.detect.backends import check_packages
from dfer_data.detect.base import InputFormat
from dfer_data.errors import UsageError


@pytest.mark.parametrize(("precision", "is_tf32"), [("f32", False), ("tf32", True)])
def test_the_detector_computes_in_the_type_of_its_precision(
    monkeypatch: pytest.MonkeyPatch, precision: Any, is_tf32: bool
) -> None:
    seen = []

    class Graph:
        """Takes the place of a network on a GPU, and looks at the flags."""

        def __init__(self, content: bytes, *, device: str, dtype: torch.dtype) -> None:
            assert dtype == torch.float32

        def __call__(self, batch: torch.Tensor) -> list[torch.Tensor]:
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return [torch.zeros(len(batch), 5, size) for size in (4, 2, 10)]

    monkeypatch.setattr(torch_backend, "TorchGraph", Graph)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *places, **options: tensor)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    network = torch_backend.torch_network(b"", device="cuda", precision=precision)
    wanted = InputFormat((0, 0, 0), None, is_bgr=True)
    found = network(np.zeros((2, 8, 8, 3), np.uint8), (4, 3, 8, 8), wanted, least_score=0.5)
    assert [len(candidates.anchors) for candidates in found] == [0, 0]
    assert seen == [(is_tf32, is_tf32)]
    assert before == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)


@pytest.mark.parametrize("backbone", ["mobilenet0.25", "resnet50"])
def test_tf32_on_a_cpu_is_an_error(backbone: str) -> None:
    with pytest.raises(UsageError, match="--precision tf32 is a number format of CUDA GPUs"):
        check_packages("cpu", "tf32", backbone=backbone)

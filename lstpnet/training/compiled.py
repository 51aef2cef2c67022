"""Compile a module for one batch size, with one clear error if this machine cannot compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dfer_data.errors import DferError


def compiled(module: nn.Module, device: torch.device, *, sums_gradients: bool = False) -> Callable[[torch.Tensor], Any]:
    """Return the module compiled for one batch size; on CUDA a step is then one CUDA graph, a single launch.

    `sums_gradients`: the gradients of several batches are added up before a step. A CUDA graph writes gradients to the
    same memory in each run, over the sum so far, so then there is none.
    It is compiled when it is first called, which raises DferError if that fails, such as without a C++ compiler.
    """
    from torch._dynamo.exc import TorchDynamoException  # takes a second to import

    is_graph = device.type == "cuda" and not sums_gradients
    run = torch.compile(module, dynamic=False, mode="reduce-overhead" if is_graph else None)

    def run_or_explain(pixels: torch.Tensor) -> Any:
        try:
            return run(pixels)
        except TorchDynamoException as error:
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
            raise DferError(
                f"torch.compile failed on this machine: {reason}; it needs a C++ compiler, such as g++; leave out "
                "compile = true, or install one and run again"
            ) from error

    return run_or_explain

"""The rule that makes the weights and clips of the golden figures out of a seed; the figures themselves."""

from __future__ import annotations

import functools
import json
import math
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent


class Entry(NamedTuple):
    name: str
    shape: list[int]
    kind: str
    alias_of: str | None


@functools.cache
def golden() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((FOLDER / "lstpnet.json").read_text())
    return figures


@functools.cache
def entries() -> tuple[Entry, ...]:
    return tuple(Entry(*row) for row in json.loads((FOLDER / "lstpnet_state_dict.json").read_text()))


@functools.cache
def filled_state_dict() -> dict[str, Tensor]:
    """The 226 tensors by the authors' names; not to be changed in place."""
    tensors: dict[str, Tensor] = {}
    for entry in entries():
        tensors[entry.name] = tensors[entry.alias_of] if entry.alias_of else _fill(entry)
    return tensors


def clips(size_px: int) -> Tensor:
    """(2, 16, 3, size, size) float32 in 0..1."""
    generator = np.random.Generator(np.random.PCG64(golden()["seed"]))
    return torch.from_numpy(generator.random(size=(2, 16, 3, size_px, size_px), dtype=np.float32))


def _fill(entry: Entry) -> Tensor:
    if entry.kind == "num_batches_tracked":
        return torch.tensor(0)
    seed = zlib.crc32(entry.name.encode()) ^ golden()["seed"]
    x = np.random.Generator(np.random.PCG64(seed)).standard_normal(entry.shape, dtype=np.float32)
    match entry.kind:
        case "weight":
            x *= np.float32(1 / math.sqrt(math.prod(entry.shape[1:])))  # a product, not a quotient: the last bit counts
        case "norm_weight":
            x = 1 + np.float32(0.1) * x
        case "running_var":
            x = 1 + np.float32(0.1) * np.abs(x)
        case "bias" | "running_mean":
            x *= np.float32(0.1)
    return torch.from_numpy(x)

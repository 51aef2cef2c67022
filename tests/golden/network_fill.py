"""The rule that makes the weights and clips of the networks' golden figures out of a seed."""

from __future__ import annotations

import functools
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "networks"
FILES = {
    "r3d_18": "r3d_18",
    "r2plus1d_18": "r2plus1d_18",
    "mc3_18": "mc3_18",
    "hara-r3d18": "hara_r3d18",
    "c3d": "c3d",
    "former-dfer": "former_dfer",
    "videomae-b16": "videomae_b16_160",
    "m3dfel": "m3dfel",
    "i3d": "i3d",
    "p3d63": "p3d63",
    "reslstm": "reslstm",
    "gca": "gca_ial",
    "nr-dfernet": "nr_dfernet",
    "lgi-former": "lgi_former",
    "videomae-b16 at 224": "videomae_b16_224",
}
"""Network -> its file of figures."""


@functools.cache
def figures(name: str) -> dict[str, Any]:
    """The content of a file of figures."""
    document: dict[str, Any] = json.loads((FOLDER / f"{FILES[name]}.json").read_text())
    return document


def authors_tensors(name: str, case: str = "", *, seed: int | None = None) -> dict[str, Tensor]:
    """The filled state dict by the authors' names; a case of its own depth has its own."""
    document = figures(name)
    entries = document.get(f"state_dict_{case}", document["state_dict"])
    return {key: _fill(key, shape, seed=document["seed"] if seed is None else seed) for key, shape, *_ in entries}


def input_clips(name: str, case: str, *, seed: int | None = None) -> Tensor:
    """The clips of a case, (B, 16, 3, H, W) float32 in 0..1."""
    document = figures(name)
    generator = np.random.Generator(np.random.PCG64(document["seed"] if seed is None else seed))
    clips = torch.from_numpy(generator.random(size=document["cases"][case]["input_shape"], dtype=np.float32))
    return clips.transpose(1, 2) if document.get("time_dim") == 2 else clips


def _fill(key: str, shape: list[int], *, seed: int) -> Tensor:
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return torch.tensor(0)
    x = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()) ^ seed)).standard_normal(shape, dtype=np.float32)
    if last == "running_var":
        x = 1 + np.float32(0.1) * np.abs(x)
    elif last == "running_mean" or "bias" in last:
        x *= np.float32(0.1)
    elif "weight" in last and len(shape) >= 2:
        x *= np.float32(1 / math.sqrt(math.prod(shape[1:])))  # a product, not a quotient: the last bit counts
    elif "weight" in last:
        x = 1 + np.float32(0.1) * x
    else:
        x *= np.float32(0.5)
    return torch.from_numpy(x)

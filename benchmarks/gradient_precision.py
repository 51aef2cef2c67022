"""Measure how far bf16 gradients of LSTPNet are from float32's, and how far rounding the weights alone moves them.

    python -m benchmarks.gradient_precision [--out FILE.json]

Relative Euclidean distance per parameter, median over the parameters but biases, of one training step of four clips on
the CPU: of autocast to bf16, and of float32 with weights that were rounded to bf16 once. No bf16 step can be expected
to be nearer than the second. Clips of white noise, as in the GPU check, and of smooth pictures that change a little.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lstpnet.models.lstpnet import LSTPNet

_RESULTS = Path(__file__).parent / "results"
_NUM_CLIPS, _NUM_FRAMES, _SIZE_PX, _WIDTH = 4, 16, 64, 0.25


def main() -> None:
    """Measure both kinds of clips, print a line each, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=_RESULTS / f"gradient-precision-{datetime.now(UTC):%Y-%m-%d}.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, clips in (("noise", _noise()), ("smooth", _smooth())):
        torch.manual_seed(0)
        model = LSTPNet(7, width_multiplier=_WIDTH)
        rounded = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in rounded.parameters():
                parameter.copy_(parameter.bfloat16().float())
        expected = _gradients(model, clips, is_bf16=False)
        row = {
            "clips": name,
            "bf16": _median_distance(_gradients(model, clips, is_bf16=True), expected),
            "weights_rounded": _median_distance(_gradients(rounded, clips, is_bf16=False), expected),
        }
        rows.append(row)
        print(f"{name:<8} bf16 {row['bf16']:.3f}   float32 with weights rounded to bf16 {row['weights_rounded']:.3f}")
    facts = {"clips": _NUM_CLIPS, "size_px": _SIZE_PX, "width_multiplier": _WIDTH, "torch": torch.__version__}
    options.out.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def _noise() -> Tensor:
    """Return clips of white noise, (4, 16, 3, size, size) float32 in 0..1."""
    return torch.rand(_NUM_CLIPS, _NUM_FRAMES, 3, _SIZE_PX, _SIZE_PX, generator=torch.Generator().manual_seed(1))


def _smooth() -> Tensor:
    """Return clips of smooth pictures that change a little from frame to frame."""
    generator = torch.Generator().manual_seed(1)
    still = torch.rand(_NUM_CLIPS, 1, 3, 8, 8, generator=generator)
    moving = still + 0.1 * torch.rand(_NUM_CLIPS, _NUM_FRAMES, 3, 8, 8, generator=generator)
    frames = F.interpolate(moving.flatten(0, 1), size=(_SIZE_PX, _SIZE_PX), mode="bicubic")
    return frames.view(_NUM_CLIPS, _NUM_FRAMES, 3, _SIZE_PX, _SIZE_PX)


def _gradients(model: LSTPNet, clips: Tensor, *, is_bf16: bool) -> dict[str, Tensor]:
    """Return the gradients of one step by name, but of biases: before a batch norm they are rounding alone."""
    trained = copy.deepcopy(model).train()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16):
        logits = trained(clips).float()
    F.cross_entropy(logits, torch.arange(_NUM_CLIPS)).backward()
    named = ((name, parameter.grad) for name, parameter in trained.named_parameters() if "bias" not in name)
    return {name: gradient.float() for name, gradient in named if gradient is not None}


def _median_distance(gradients: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    return statistics.median(float((gradients[name] - value).norm() / value.norm()) for name, value in expected.items())


if __name__ == "__main__":
    main()

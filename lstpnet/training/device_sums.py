"""Sums of a training that stay on the device, so that a GPU is never waited for within a step.

A GPU computes behind the program's back: a program that reads a value waits until everything before it is done. So the
losses and the number of right clips are added up on the device and read now and then. A loss that is not finite must
not reach the weights meanwhile: from then on the optimiser takes no step, which the device decides by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import distributed

from lstpnet.training.distributed import Group

_BATCHES_UNREAD = 16  # on a GPU


@dataclass
class EpochTotals:
    """Sums of an epoch over the clips of this process."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0


def batches_between_readings(device: torch.device) -> int:
    """Return after how many batches the sums are read: after each on a CPU, where reading costs nothing."""
    return _BATCHES_UNREAD if device.type == "cuda" else 1


class DeviceSums:
    """Adds up losses and right predictions on the device, and notes the first loss that is not finite."""

    def __init__(self, device: torch.device) -> None:
        precise = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        self._loss = torch.zeros((), dtype=precise, device=device)
        self._right = torch.zeros((), dtype=precise, device=device)
        self._bad_loss = torch.zeros((), dtype=precise, device=device)
        self.is_bad = torch.zeros((), device=device)
        """() float32: 1 from the first loss on that is not finite, on a GPU in any process, else 0."""

    def add(self, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor, *, group: Group) -> None:
        """Add the mean loss () and the predictions (B, num_classes) of a batch with labels (B,)."""
        value = loss.detach().to(self._loss.dtype)
        self._loss += value * len(labels)
        self._right += (logits.detach().argmax(1) == labels).sum()
        is_first_bad = ~torch.isfinite(value) & (self._bad_loss == 0)
        self._bad_loss = torch.where(is_first_bad, value, self._bad_loss)
        self.is_bad = torch.maximum(self.is_bad, is_first_bad.to(self.is_bad.dtype))
        if group.world_size > 1 and value.device.type == "cuda":  # on CPUs, the next reading asks the others
            distributed.all_reduce(self.is_bad, distributed.ReduceOp.MAX)

    def read_into(self, totals: EpochTotals, *, group: Group) -> str:
        """Add the sums to `totals` and reset them; return the words for a loss that was not finite, else nothing."""
        loss, right, bad_loss = torch.stack([self._loss, self._right, self._bad_loss]).tolist()
        totals.loss += loss
        totals.right += int(right)
        self._loss.zero_()
        self._right.zero_()
        is_finite = math.isfinite(bad_loss)
        if group.all_true(is_finite):
            return ""
        return "infinite or NaN in another process" if is_finite else str(bad_loss)

"""Center loss (Wen, Zhang, Li and Qiao, ECCV 2016): a clip's vector is pulled to the centre of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from lstpnet.training.distributed import ALONE, Group

CENTER_RATE = 0.5
"""Alpha of the paper's experiments: share of its step that a centre takes per batch."""


class CenterLoss:
    """Half the mean squared distance of vectors to the centres of their classes, which follow the vectors.

    The centres are no parameters. They start at 0, and after each batch a centre moves by the paper's Equation 4:
    c -= alpha * sum over the batch's n clips of its class of (c - x) / (1 + n). With several processes, the sums and n
    are those of all of them. The paper adds up over the batch, its cross-entropy too; both are means here, so that a
    weight means the same.
    """

    def __init__(self, num_classes: int, *, group: Group = ALONE) -> None:
        self._num_classes, self._group = num_classes, group
        self._centers: Tensor | None = None  # (num_classes, D), from the first batch on

    def __call__(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss () of features (B, D) with labels (B,), then move the centres of their classes."""
        if self._centers is None:
            self._centers = features.new_zeros(self._num_classes, features.shape[1])
        self._centers = self._centers.to(features.device)
        loss = (features - self._centers[labels]).square().sum(dim=1).mean() / 2
        self._centers = self._moved(self._centers, features.detach(), labels)
        return loss

    def state(self) -> dict[str, Any]:
        """Return the centres, (num_classes, D); None before the first batch."""
        return {"centers": self._centers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._centers = state["centers"]

    def _moved(self, centers: Tensor, features: Tensor, labels: Tensor) -> Tensor:
        """Return the centres after a batch; a new tensor, because the loss keeps the old one for its gradients."""
        is_of_class = functional.one_hot(labels, self._num_classes).to(features.dtype)  # (B, num_classes)
        # a matrix product adds up in one order, which index_add_ on a GPU does not
        sums = torch.cat([is_of_class.T @ features, is_of_class.sum(dim=0)[:, None]], dim=1)
        if self._group.world_size > 1:
            distributed.all_reduce(sums)
        numbers = sums[:, -1:]
        steps = (numbers * centers - sums[:, :-1]) / (1 + numbers)
        return centers - CENTER_RATE * steps

"""Drop path: in training, a residual branch is left out for some clips (stochastic depth, Huang et al., ECCV 2016)."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """Set a residual branch to 0 for each clip with a probability, and scale the other clips to the same mean.

    In eval mode, and with probability 0, it changes nothing and draws nothing.
    """

    def __init__(self, probability: float = 0.0) -> None:
        """`probability`: of leaving the branch out, 0 or more and less than 1."""
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"drop path {probability}: must be 0 or more and less than 1")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ...) to (B, ...)."""
        if not self.training or self.probability == 0:
            return x
        kept = 1 - self.probability
        is_kept = x.new_empty(len(x), *(1,) * (x.ndim - 1)).bernoulli_(kept)
        return x * is_kept / kept

    def extra_repr(self) -> str:
        """Return the probability."""
        return f"{self.probability:g}"


def drop_path_rates(greatest: float, *, depth: int) -> list[float]:
    """Return the probability of each of `depth` blocks: from 0 in the first to `greatest` in the last, evenly."""
    return [greatest * number / max(1, depth - 1) for number in range(depth)]

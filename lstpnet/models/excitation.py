"""What stands at the places of the TCE: something that weighs the channels of each frame's feature maps.

Feature maps are (B*T, C, H, W), the frames of a clip in a row.
"""

from __future__ import annotations

from torch import Tensor, nn


class Excitation(nn.Module):
    """Base; a subclass gives `gate`, or, if it weighs more than channels, `excite` and `pooled`."""

    def gate(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the weights (B*T, C) of the channels of feature maps."""
        raise NotImplementedError

    def excite(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the weighted feature maps (B*T, C, H, W)."""
        return x * self.gate(x, num_frames)[:, :, None, None]

    def pooled(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the mean over the picture of the weighted maps, (B*T, C), without making them."""
        return self.gate(x, num_frames) * x.mean(dim=(2, 3))

    def forward(self, x: Tensor, num_frames: int) -> Tensor:
        """Return the weighted feature maps (B*T, C, H, W)."""
        return self.excite(x, num_frames)

"""ClipNetwork: what every network of the registry offers to training, evaluation and export."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from dfer_data.errors import UsageError
from lstpnet.models.catalogue import input_faults


class ClipNetwork(nn.Module):
    """A network that maps clips (B, T, 3, H, W) to logits (B, num_classes).

    A subclass computes `pooled`, and has the classifier that `classifier` names. `name` is its key in the catalogue,
    which declares the clips that it takes; `settings` are the arguments that it was built with.
    """

    classifier: ClassVar[str] = "fc"
    """Name of the attribute that computes the scores (B, num_classes) from the features (B, D)."""

    def __init__(self, name: str, num_classes: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        if num_classes < 1:
            raise UsageError(f"num_classes is {num_classes}; it must be at least 1")
        self.name, self.num_classes, self.settings = name, num_classes, dict(settings)
        self.is_dirichlet = False
        """Whether the logits are log(softplus(scores) + 1), the logarithms of a Dirichlet's parameters.

        Their softmax is the mean of that Dirichlet. The setting `votes_loss` of training asks for it.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of clips.

        Args:
            x: (B, T, 3, H, W) float RGB, of a size and a number of frames that the network takes.

        Returns:
            (B, num_classes) float.

        Raises:
            ValueError: `x` has a different shape, or is not floating-point.
        """
        self.check_clips(x)
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Return the same as `forward` without checking the shape of `x`, because an exported graph cannot check it."""
        return self.classify(self.pooled(x))

    def features(self, x: Tensor) -> Tensor:
        """Return the input of the classifier, (B, D) float; `x` as in `forward`."""
        self.check_clips(x)
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the features of clips without checking their shape."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of `features` (B, D)."""
        scores = self.scores(features)
        return (functional.softplus(scores) + 1).log() if self.is_dirichlet else scores

    def scores(self, features: Tensor) -> Tensor:
        """Return the output of the classifier, (B, num_classes), for `features` (B, D)."""
        out: Tensor = getattr(self, self.classifier)(features)
        return out

    def with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (B, D), and the auxiliary classifier's logits (B, num_classes); `x` as in `forward`."""
        raise NotImplementedError

    def check_clips(self, x: Tensor) -> None:
        """Reject input that would give meaningless output, or fail later with an unclear error."""
        if x.ndim != 5 or x.shape[2] != 3 or 0 in x.shape:
            raise ValueError(f"clips have shape {tuple(x.shape)}; expected (batch, frames, 3, height, width)")
        if faults := list(input_faults(self.name, num_frames=x.shape[1], sizes_px=x.shape[3:])):
            raise ValueError(f"clips have shape {tuple(x.shape)}: {'; '.join(dict.fromkeys(faults))}")
        if not x.is_floating_point():
            raise ValueError(f"clips are {x.dtype}; convert to float and divide by 255")


class FrameNetwork(ClipNetwork):
    """A network that computes a vector of each frame on the way.

    A subclass computes `frame_vectors` and `features_of_frames`.
    """

    def pooled(self, x: Tensor) -> Tensor:
        """Return the features of clips without checking their shape."""
        return self.features_of_frames(self.frame_vectors(x))

    def frame_features(self, x: Tensor) -> Tensor:
        """Return the vector of each frame, (B, T, D) float; `x` as in `forward`."""
        self.check_clips(x)
        return self.frame_vectors(x)

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the same as `frame_features` without checking the shape of `x`."""
        raise NotImplementedError

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, D) of `frame_features` (B, T, D); the two numbers D may differ."""
        raise NotImplementedError


def scaled(channels: int, width_multiplier: float) -> int:
    """Return a number of channels times `width_multiplier`, at least 1."""
    return max(1, round(channels * width_multiplier))


def exact_gradients(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Return a context in which a CPU computes 3-D convolutions in float32 when gradients are wanted.

    Under bf16 autocast, oneDNN's gradients of their weights hold garbage, infinity and NaN where the maps have 2 frames
    of a few pixels (torch 2.13, x86 with AMX). The forward pass alone is right.
    """
    if x.device.type == "cpu" and torch.is_grad_enabled():
        return torch.autocast("cpu", enabled=False)
    return contextlib.nullcontext()


def channels_before_time(x: Tensor) -> Tensor:
    """Return clips (B, T, 3, H, W) as (B, 3, T, H, W) in the memory order that 3-D convolutions compute fastest.

    Stored clips have that order already, so that nothing is copied.
    """
    return x.transpose(1, 2).contiguous(memory_format=torch.channels_last_3d)

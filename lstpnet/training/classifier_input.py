"""The vectors that a model's classifier reads, and auxiliary logits, for the losses that use them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dfer_data.errors import UsageError
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.recipe import Recipe

_NO_CLASSIFIER = (
    "clustered and center read the vectors before the classifier, and the model's last part is not a linear layer with "
    "one output per class; set them to 0, or choose another model"
)
EARLIER_FORM = (
    "clustered_form = 'ratio' is in runs of earlier versions only, and is neither the paper's loss nor its authors' "
    "code; use 'paper' or 'code'"
)


def check_losses(recipe: Recipe, model: nn.Module, *, num_classes: int) -> None:
    """Raise UsageError if the recipe has a loss over vectors that this model cannot give, or that is not computed."""
    if recipe.clustered > 0 and recipe.clustered_form == "ratio":
        raise UsageError(EARLIER_FORM)
    if (recipe.clustered > 0 or recipe.center > 0) and not isinstance(model, ClipNetwork):
        classifier_of(model, num_classes=num_classes)


def classifier_of(model: nn.Module, *, num_classes: int) -> nn.Linear:
    """Return the last linear layer of a model. Raises UsageError if it does not give one number per class."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers or layers[-1].out_features != num_classes:
        raise UsageError(_NO_CLASSIFIER)
    return layers[-1]


class WithClassifierInput(nn.Module):
    """A model that returns its logits, the vectors from which its classifier computed them, and auxiliary logits."""

    model: nn.Module

    def __init__(self, model: nn.Module, *, num_classes: int, has_auxiliary: bool = False) -> None:
        """Wrap a model; `has_auxiliary`: return auxiliary logits, which only a ClipNetwork has.

        Raises UsageError if the model has no linear classifier.
        """
        super().__init__()
        self.add_module("model", model)
        self._has_auxiliary = has_auxiliary
        self._inputs: list[Tensor] = []
        self._hook: Any = None
        if not isinstance(model, ClipNetwork):
            self._hook = classifier_of(model, num_classes=num_classes).register_forward_pre_hook(self._keep)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map clips (B, T, 3, H, W) to logits (B, num_classes), vectors (B, D), and auxiliary logits if wanted."""
        if isinstance(self.model, ClipNetwork) and self._has_auxiliary:
            features, auxiliary = self.model.with_auxiliary(x)
            return self.model.classify(features), features, auxiliary
        if isinstance(self.model, ClipNetwork):
            features = self.model.features(x)
            return self.model.classify(features), features
        self._inputs.clear()
        logits: Tensor = self.model(x)
        (vectors,) = self._inputs
        self._inputs.clear()
        return logits, vectors

    def close(self) -> None:
        """Let the model go: it no longer keeps the vectors."""
        if self._hook is not None:
            self._hook.remove()

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not layer.training:
            return  # an evaluation between two epochs, which does not ask for them
        (vectors,) = inputs
        if not isinstance(vectors, torch.Tensor) or vectors.ndim != 2 or self._inputs:
            raise UsageError(_NO_CLASSIFIER)  # per frame, or called twice
        self._inputs.append(vectors)

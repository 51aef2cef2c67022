"""How much of the LSTformer's attention each frame of a clip gets: one number a frame, the sixteen sum to 1.

A layer's attention map says, for each head, how much each frame (row) looks at each frame (column). What is shown is
the mean over layers, heads and rows: the classifier sees the mean over all frames, so every row counts alike. Evenly
spread it is 1 / 16 a frame. Near frames are mixed by convolutions whose weights are the same for every clip: there is
nothing in them to show. Where attention goes is not why a model decides (Jain and Wallace, NAACL 2019).
"""

from __future__ import annotations

from torch import Tensor, nn

from dfer_data.frame_sampling import DEFAULT_SAMPLER, DEFAULT_SHORT, sampler
from lstpnet.models.lstformer import LSTformer
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe


def why_no_attention(model: nn.Module, recipe: Recipe) -> str:
    """Say why a model has no weight of each frame to show; empty where it has."""
    if not isinstance(model, LSTPNet):
        return "only LSTPNet itself can be looked into, no model of one's own and none that was exported"
    if not isinstance(model.head, LSTformer):
        return f"a model with temporal {model.settings['temporal']!r} has no attention over time"
    num_views = sampler(recipe.sampler).num_views
    return f"sampler {recipe.sampler} shows a model {num_views} views of a clip" if num_views > 1 else ""


def sees_stored_frames(recipe: Recipe) -> bool:
    """Whether a test clip is seen as the sixteen frames that its shard names, which are those of a filmstrip."""
    return recipe.sampler == DEFAULT_SAMPLER and recipe.short in (DEFAULT_SHORT, "drop")


def logits_and_weights(model: LSTPNet, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the model says, (B, num_classes), and the weight of each frame, (B, T) float32.

    The backbone runs once; the logits are those of `model(clips)`. Raises ValueError as `LSTPNet.attention_maps` does.
    """
    vectors = model.frame_features(clips)  # (B, T, dim)
    return model.logits_of_frames(vectors), frame_weights(model.maps_of_frames(vectors))


def frame_weights(maps: Tensor) -> Tensor:
    """Return the mean over layers, heads and rows of attention maps: (layers, B, heads, T, T) to (B, T) float32."""
    return maps.float().mean(dim=(0, 2, 3))

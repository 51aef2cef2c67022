"""The share of the LSTformer's attention that each frame of a clip gets: one number per frame; they sum to 1.

A layer's attention map holds, for each head, the attention of each frame (row) to each frame (column). The share is the
mean over layers, heads and rows, because the classifier uses the mean over all frames, so every row has the same
weight. Uniform attention is 1 / T per frame of T. The convolutions that mix near frames have the same weights for every
clip, so they are not shown. Attention does not explain a model's decision (Jain and Wallace, NAACL 2019).
"""

from __future__ import annotations

from torch import Tensor, nn

from dfer_data.frame_sampling import DEFAULT_SAMPLER, DEFAULT_SHORT
from lstpnet.batches.view_crops import num_test_views
from lstpnet.models.lstformer import LSTformer
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe


def why_no_attention(model: nn.Module, recipe: Recipe) -> str:
    """Return why a model has no attention per frame; empty if it has."""
    if not isinstance(model, LSTPNet):
        return "only LSTPNet computed by torch has attention to show, not another network or an exported one"
    if not isinstance(model.head, LSTformer):
        return f"a model with temporal {model.config.temporal!r} has no attention over time"
    num_views = num_test_views(recipe)
    return (
        f"sampler {recipe.sampler} with test_crops {recipe.test_crops} has {num_views} views per clip"
        if num_views > 1
        else ""
    )


def sees_default_frames(recipe: Recipe) -> bool:
    """Whether the model sees the test frames that `PreparedDataset.read_clip` returns, which a filmstrip shows."""
    is_default = recipe.sampler == DEFAULT_SAMPLER and recipe.sample_by == "frames"
    return is_default and recipe.short in (DEFAULT_SHORT, "drop")


def logits_and_weights(model: LSTPNet, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits, (B, num_classes), and the weight of each frame, (B, T) float32.

    The backbone runs once; the logits are those of `model(clips)`. Raises ValueError as `LSTPNet.attention_maps` does.
    """
    vectors = model.frame_features(clips)  # (B, T, dim)
    return model.logits_of_frames(vectors), frame_weights(model.maps_of_frames(vectors))


def frame_weights(maps: Tensor) -> Tensor:
    """Return the mean over layers, heads and rows of attention maps: (layers, B, heads, T, T) to (B, T) float32."""
    return maps.float().mean(dim=(0, 2, 3))

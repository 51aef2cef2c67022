"""The views of a test clip: the sampler's choices of frames, times the crops of each."""

from __future__ import annotations

import torch
from torch import Tensor

from dfer_data.frame_sampling import sampler
from lstpnet.recipe import Recipe


def num_test_views(recipe: Recipe) -> int:
    """Return how many views of a test clip are predicted and averaged; each costs as much as a clip."""
    return sampler(recipe.sampler, clip_frames=recipe.num_frames).num_views * recipe.test_crops


def read_size_px(recipe: Recipe) -> int:
    """Return the side at which test frames are read, before they are cropped."""
    return recipe.test_size_px or recipe.size_px


def cropped_views(views: Tensor, recipe: Recipe) -> Tensor:
    """Return the crops of views (B, V, T, 3, S, S) as views (B, V * crops, T, 3, size_px, size_px).

    S is `read_size_px`. One crop is in the middle; several run from the top left corner to the bottom right one.
    """
    size_px, num_crops = recipe.size_px, recipe.test_crops
    room = views.shape[-1] - size_px
    if room == 0:
        return views
    starts = [room // 2] if num_crops == 1 else [room * number // (num_crops - 1) for number in range(num_crops)]
    crops = [views[..., start : start + size_px, start : start + size_px] for start in starts]
    return torch.stack(crops, dim=2).flatten(1, 2)


def view_words(recipe: Recipe) -> str:
    """Return the part of a protocol line about the views, which begins with a comma; empty for one whole view."""
    count = num_test_views(recipe)
    words = f", {count} test views averaged" if count > 1 else ""
    if recipe.test_size_px <= recipe.size_px:
        return words
    place = "centre" if recipe.test_crops == 1 else f"{recipe.test_crops} diagonal"
    return f"{words}, {place} crop{'s' * (recipe.test_crops > 1)} of {recipe.test_size_px} px test frames"

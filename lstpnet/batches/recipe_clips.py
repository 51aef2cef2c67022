"""Read clips as a recipe says: which frames, resized how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dfer_data.config import PrepareConfig
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.video.resize import LEAST_SHRINK, averages
from lstpnet.batches.view_crops import read_size_px
from lstpnet.protocol import placement
from lstpnet.recipe import Recipe


def frame_draw(recipe: Recipe, *, sampling: Sampling | None = None, seed: int = 0) -> FrameDraw:
    """Return which frames of a clip the recipe reads and how it resizes them.

    `sampling`: as in FrameDraw; `seed`: of the training frames.
    """
    return FrameDraw(
        sampling=sampling,
        sampler=recipe.sampler,
        short=recipe.short,
        seed=seed,
        sample_by=recipe.sample_by,
        reference_fps=recipe.reference_fps,
        resize=recipe.resize,
        decode=recipe.decode,
    )


def clips_of_recipe(
    data: PreparedDataset | Path,
    clip_ids: Sequence[str],
    recipe: Recipe,
    *,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> FaceClipDataset:
    """Return clips with as many frames, of the size and by the draw of the recipe; arguments as in `frame_draw`.

    With the sampling `test`, the size is that before `cropped_views`.
    Raises what FaceClipDataset raises.
    """
    return FaceClipDataset(
        data,
        clip_ids=clip_ids,
        num_frames=recipe.num_frames,
        size_px=read_size_px(recipe) if sampling == "test" else recipe.size_px,
        draw=frame_draw(recipe, sampling=sampling, seed=seed),
    )


def sampler_words(recipe: Recipe) -> str:
    """Return the part of a protocol line about which frames are read: the sampler, and how many if not 16."""
    number = "" if recipe.num_frames == CLIP_FRAMES else f" of {recipe.num_frames} frame{'s' * (recipe.num_frames > 1)}"
    return f"{recipe.sampler}{number}{placement(recipe.sample_by, recipe.reference_fps)}"


def size_words(recipe: Recipe, config: PrepareConfig) -> str:
    """Return the part of a protocol line about the side of a frame and how stored frames get it.

    `config`: of the prepared dataset.
    """
    words, shrink = f"{recipe.size_px} px", config.size_px / recipe.size_px
    if config.align == "given" and config.store == "frames":
        scaled = f", decode {recipe.decode}" if recipe.decode == "scaled" else ""
        return f"{words} (crops of other sizes: resize {recipe.resize}{scaled})"
    if shrink == 1:
        return words
    if recipe.decode == "scaled" and config.store == "frames" and shrink >= LEAST_SHRINK:
        return f"{words} (from {config.size_px} px, decode scaled, resize {recipe.resize})"
    size = (config.size_px, config.size_px)
    rule = "area" if averages(size, size_px=recipe.size_px, rule=recipe.resize) else "linear"
    return f"{words} (from {config.size_px} px, resize {rule})"

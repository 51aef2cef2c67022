"""Read clips as a recipe says: which frames, resized how."""

from __future__ import annotations

from dfer_data.config import PrepareConfig
from dfer_data.loading.clip_dataset import FrameDraw, Sampling
from dfer_data.video.resize import LEAST_SHRINK, averages
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

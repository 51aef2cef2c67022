"""Names that shell completion offers for arguments; each function imports what it needs, as completion must be fast."""

from __future__ import annotations


def known_datasets() -> list[str]:
    """Return the datasets that `dfer prepare` knows."""
    from dfer_data.sources.catalog import catalog

    return list(catalog())


def rendered_datasets() -> list[str]:
    """Return the datasets that `dfer synth` imitates."""
    from dfer_data.sources.catalog import SHAPES

    return list(SHAPES)


def shipped_recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return []
    from lstpnet.recipe_files import recipe_names

    return list(recipe_names())


def model_files() -> list[str]:
    """Return the names of the files that `dfer weights fetch` knows."""
    from dfer_data.weights.assets import assets

    return [asset.name for asset in assets()]

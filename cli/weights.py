"""`dfer weights`: list, fetch and locate the model files in the cache."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.storage.files import sha256_file
from dfer_data.weights.fetch import weights_file

from ._support import console
from ._support.command_help import HelpCommand, command_group
from ._support.completions import model_files
from ._support.options import JsonFlag

if TYPE_CHECKING:
    from dfer_data.weights.manual import Release

weights_app = command_group("List, fetch and locate model files.")


@weights_app.command("list", cls=HelpCommand)
def list_weights(as_json: JsonFlag = False) -> None:
    """List the known model files and their state in the cache."""
    from dfer_data.weights import manual as releases
    from dfer_data.weights.assets import assets
    from dfer_data.weights.fetch import (
        cache_state,
        cached_path,
        weights_folder,
    )

    rows = [
        dataclasses.asdict(asset) | {"path": str(cached_path(asset.name)), "state": cache_state(asset.name)}
        for asset in assets()
    ]
    rows += [_describe_release(release) for release in releases.RELEASES]
    if as_json:
        console.print_json({"cache": str(weights_folder()), "weights": rows})
        return
    cells = [(r["name"], r["state"], _size(r["num_bytes"]), r["purpose"], r["terms"]) for r in rows]
    console.print_table(("name", "state", "size", "purpose", "terms"), cells)
    console.say(f"cache: {weights_folder()}")


def _describe_release(release: Release) -> dict[str, Any]:
    """Return the facts of a file that users put into the cache by hand; hash and size are computed from the file."""
    from dfer_data.weights.fetch import (
        weights_folder,
    )

    path = weights_folder() / release.filename
    is_cached = path.is_file()
    return dataclasses.asdict(release) | {
        "path": str(path),
        "state": "cached" if is_cached else "missing",
        "num_bytes": path.stat().st_size if is_cached else None,
        "sha256": sha256_file(path) if is_cached else None,
    }


def _size(num_bytes: int | None) -> str:
    return "-" if num_bytes is None else f"{num_bytes / 1e6:.1f} MB"


@weights_app.command("fetch", cls=HelpCommand)
def fetch_weights(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names from `dfer weights list`.", autocompletion=model_files),
    ] = None,
) -> None:
    """Fetch model files into the cache.

    Without names, it fetches what detectors and the demo need. Intact files are kept.
    """
    from dfer_data.weights.assets import assets
    from dfer_data.weights.fetch import (
        check_weights_name,
        fetch_weights,
    )

    weights_names = names or [asset.name for asset in assets() if asset.is_for_everyone]
    for name in weights_names:
        check_weights_name(name)
    sizes = {asset.name: asset.num_bytes for asset in assets()}
    megabytes = [round(sizes.get(name, 0) / 1e6) for name in weights_names]
    paths = []
    with console.progress("fetching", unit="MB") as advance:
        for number, name in enumerate(weights_names):
            advance(sum(megabytes[:number]), sum(megabytes), doing=f"fetching {name}")
            paths.append(fetch_weights(name))
        advance(sum(megabytes), sum(megabytes))
    for name, path in zip(weights_names, paths, strict=True):
        console.say(f"{name}: {path}")


@weights_app.command("path", cls=HelpCommand)
def path_of_weights(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name from `dfer weights list`.", autocompletion=model_files)
    ],
) -> None:
    """Print the path of a model file; fetch it first if needed."""
    typer.echo(weights_file(name))

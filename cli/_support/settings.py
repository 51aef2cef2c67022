"""Settings of a working folder. A flag beats the environment, which beats `dfer.toml`, which beats the default."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.preparation.run_settings import PREPARE_SETTINGS
from dfer_data.settings import InFile, check, settings_of
from dfer_data.storage.files import read_regular_text
from dfer_data.wording import counted
from lstpnet.training.training_settings import TrainingSettings

FILE_NAME = "dfer.toml"
_TABLES: dict[str, tuple[type, ...]] = {"prepare": PREPARE_SETTINGS, "train": (TrainingSettings,)}
"""Table -> dataclasses of its keys."""


def load_settings(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Read `dfer.toml` in `folder` (default: the working folder): table -> key -> value; empty without the file.

    Paths are relative to the working folder. Raises UsageError for an invalid TOML file, or with every unknown table,
    unknown key and wrong value at once.
    """
    path = (folder or Path()) / FILE_NAME
    try:
        content = tomllib.loads(read_regular_text(path))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError, OSError) as error:  # of TOML, of UTF-8, or of a number that is too long
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    known = " ".join(f"[{name}]" for name in _TABLES)
    faults = [f"unknown table [{name}], known: {known}" for name in content if name not in _TABLES]
    tables = {}
    for name in _TABLES:
        tables[name], table_faults = _read_table(name, content.get(name, {}))
        faults += table_faults
    if faults:
        raise UsageError(f"{path} has {counted(len(faults), 'fault')}: " + "; ".join(faults))
    return tables


def settings_to_use(table: str, given: Collection[str], folder: Path | None = None) -> dict[str, Any]:
    """Return the values of a table for a command that writes, whose options `given` name some of the settings.

    The file may come from someone else. Unless an option names them, places that are written to must be in its folder,
    and it names no Ray cluster, whose processes run each other's code.
    Raises UsageError as `load_settings` does, and with every value that leads out of the folder.
    """
    values = load_settings(folder).get(table, {})
    declared = {name: item for kind in _TABLES[table] for name, item in settings_of(kind).items()}
    faults = [
        f"[{table}] {fault} (give {declared[name].flag} on the command line to use it)"
        for name, value in values.items()
        if name not in given and (fault := _reach_fault(name, value, declared[name].in_file, folder or Path()))
    ]
    if faults:
        raise UsageError(f"{(folder or Path()) / FILE_NAME}, which may be someone else's: " + "; ".join(faults))
    return values


def _read_table(table: str, content: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the values of a table and its faults."""
    if not isinstance(content, dict):
        return {}, [f"{table} must be a table, [{table}]"]
    owners = {name: kind for kind in _TABLES[table] for name, item in settings_of(kind).items() if not item.once}
    faults = [
        f"[{table}] unknown key {key!r}{did_you_mean(key, owners)}, known: {' '.join(owners)}"
        for key in content
        if key not in owners
    ]
    faults += [f"[{table}] {key} = '' must not be empty" for key, value in content.items() if value == ""]
    values: dict[str, Any] = {}
    for kind in _TABLES[table]:
        own, own_faults, _ = check(kind, {key: value for key, value in content.items() if owners.get(key) is kind})
        values |= {key: _expanded(value) for key, value in own.items()}
        faults += [f"[{table}] {fault}" for fault in own_faults]
    return values, faults


def _reach_fault(name: str, value: Any, in_file: InFile, folder: Path) -> str:
    """Return why a file may not give this value; empty if it may."""
    if in_file == "never":
        return f"{name} = {str(value)!r} is for the command line only"
    if in_file == "any" or not isinstance(value, str | Path) or _is_inside(str(value), folder):
        return ""
    return f"{name} = {str(value)!r} leads out of its folder"


def _is_inside(place: str, folder: Path) -> bool:
    """Return whether a path names a place in the folder, links followed."""
    path = Path(place)
    if "://" in place or place.startswith("~") or path.is_absolute() or {"..", "\\"} & {*path.parts, *place}:
        return False
    try:
        with contextlib.suppress(FileNotFoundError):
            (folder / path).resolve(strict=True)  # refuses a circle of links in every version of Python
        return (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a circle of links, a NUL
        return False


def _expanded(value: Any) -> Any:
    """Return a value with `~` of a path expanded; unchanged for an unknown user."""
    with contextlib.suppress(RuntimeError):
        return value.expanduser() if isinstance(value, Path) else value
    return value


def dataset_folder(dataset: str, *, given: Path | None = None, from_file: Path | None = None) -> Path:
    """Return a dataset's folder: `--source`, `$DFER_DATA/NAME`, `[prepare] source` or `data/NAME`, in this order."""
    if given is not None:
        return given
    if root := os.environ.get("DFER_DATA"):
        return Path(root).expanduser() / dataset
    return from_file or Path("data") / dataset

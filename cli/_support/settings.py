"""Settings of a working folder. A flag beats the environment, which beats `dfer.toml`, which beats the default."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from dfer_data.config import PREPARE_SETTINGS
from dfer_data.errors import UsageError, did_you_mean
from dfer_data.settings import check, settings_of
from lstpnet.recipe import TrainingSettings

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
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    known = " ".join(f"[{name}]" for name in _TABLES)
    faults = [f"unknown table [{name}], known: {known}" for name in content if name not in _TABLES]
    tables = {}
    for name in _TABLES:
        tables[name], table_faults = _read_table(name, content.get(name, {}))
        faults += table_faults
    if faults:
        raise UsageError(f"{path} has {len(faults)} fault{'s' if len(faults) > 1 else ''}: " + "; ".join(faults))
    return tables


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
        values |= {key: value.expanduser() if isinstance(value, Path) else value for key, value in own.items()}
        faults += [f"[{table}] {fault}" for fault in own_faults]
    return values, faults


def dataset_folder(dataset: str, *, given: Path | None = None, from_file: Path | None = None) -> Path:
    """Return a dataset's folder: `--source`, `$DFER_DATA/NAME`, `[prepare] source` or `data/NAME`, in this order."""
    if given is not None:
        return given
    if root := os.environ.get("DFER_DATA"):
        return Path(root).expanduser() / dataset
    return from_file or Path("data") / dataset

"""Settings of a working folder. A flag beats the environment, which beats `dfer.toml`, which beats the default."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dfer_data.errors import UsageError

FILE_NAME = "dfer.toml"
_TYPE_WORDS = {"str": "a string", "Path": "a path as a string", "int": "a whole number, 1 or more"}


@dataclass(frozen=True)
class PrepareSettings:
    """The table `[prepare]`; None for keys that the file lacks. Paths are relative to the working folder."""

    source: Path | None = None
    """Folder of the dataset's videos and annotations."""
    out: Path | str | None = None
    """Folder or URL of the prepared dataset."""
    detector: str | None = None
    """Name of the face detector."""
    backbone: str | None = None
    """Name of the detector's backbone."""
    workers: int | None = None
    """Worker processes, 1 or more."""


@dataclass(frozen=True)
class TrainSettings:
    """The table `[train]`; None for keys that the file lacks. Paths are relative to the working folder."""

    data: Path | str | None = None
    """Folder or URL of the prepared dataset."""
    recipe: str | None = None
    """Name of a shipped recipe, or a path to one."""
    out: Path | None = None
    """Folder of the runs."""


@dataclass(frozen=True)
class Settings:
    """The content of `dfer.toml`."""

    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    """Settings of `dfer prepare`."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """Settings of `dfer train`."""


_TABLES = {"prepare": PrepareSettings, "train": TrainSettings}
_T = TypeVar("_T", PrepareSettings, TrainSettings)


def load_settings(folder: Path | None = None) -> Settings:
    """Read `dfer.toml` in `folder` (default: the working folder); without the file, no setting is set.

    Raises UsageError for an invalid TOML file, or with every unknown table, unknown key and wrong type at once.
    """
    path = (folder or Path()) / FILE_NAME
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    faults = [f"unknown table [{name}], known: [prepare] [train]" for name in content if name not in _TABLES]
    prepare = _read_table(PrepareSettings, "prepare", content.get("prepare", {}), faults=faults)
    train = _read_table(TrainSettings, "train", content.get("train", {}), faults=faults)
    if faults:
        raise UsageError(f"{path} has {len(faults)} fault{'s' if len(faults) > 1 else ''}: " + "; ".join(faults))
    return Settings(prepare=prepare, train=train)


def _read_table(kind: type[_T], table: str, content: Any, *, faults: list[str]) -> _T:
    """Return the table as its dataclass; add its faults to `faults`."""
    from dfer_data.storage.files import is_url

    if not isinstance(content, dict):
        faults.append(f"{table} must be a table, [{table}]")
        return kind()
    # Annotations are strings: "Path | None" -> "Path".
    type_names = {item.name: str(item.type).partition(" ")[0] for item in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in type_names:
            faults.append(f"[{table}] unknown key {key!r}, known: {' '.join(type_names)}")
        elif not _fits(value, type_names[key]):
            faults.append(f"[{table}] {key} = {value!r} must be {_TYPE_WORDS[type_names[key]]}")
        else:
            is_path = type_names[key] == "Path" and not is_url(value)
            values[key] = Path(value).expanduser() if is_path else value
    return kind(**values)


def _fits(value: Any, type_name: str) -> bool:
    if type_name == "int":
        return type(value) is int and value >= 1
    return isinstance(value, str) and value != ""


def dataset_folder(dataset: str, *, flag: Path | None = None, settings: Settings) -> Path:
    """Return a dataset's folder: `--source`, `$DFER_DATA/NAME`, `[prepare] source` or `data/NAME`, in this order."""
    if flag is not None:
        return flag
    if root := os.environ.get("DFER_DATA"):
        return Path(root).expanduser() / dataset
    return settings.prepare.source or Path("data") / dataset

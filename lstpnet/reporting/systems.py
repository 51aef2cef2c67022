"""Systems side by side: one line for each recipe on each prepared dataset, and the settings in which they differ.

A system is what one compares: prepared data (detector, alignment), recipe, checkpoint. Its line is that which rests on
most: the mean over seeds, else over folds, else the single fold. Settings come from the run folders' config.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.render.tables import Section, per_cent
from lstpnet.reporting.rows import Row, grouped, protocol_notes
from lstpnet.runs import CONFIG_NAME, Run

Key = tuple[str, str, str]
"""Prepared folder, its dataset's hash, recipe."""
_NEVER_COMPARED = ("name", "fold", "seed", "dataset_sha256")
_HEADLINE = (
    *("dataset", "prepared", "dataset_sha256", "recipe", "checkpoint", "fold", "folds", "seed", "seeds"),
    *("n", "war", "uar", "fold_std", "seed_std"),
)
UNKNOWN = "-"
"""In the place of a setting that a run folder does not state."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One line of the comparison."""

    name: str
    """What tells it apart from the other systems of the report."""
    row: Row
    """Its headline figures."""
    settings: Mapping[str, Any]
    """The settings in which the systems of this dataset differ; `-` where this one's folder does not say."""
    mixed: tuple[str, ...]
    """Settings in which its own runs differ from each other: it is then no single experiment."""
    is_stated: bool
    """Some of its run folders have a config.json."""

    def as_dict(self) -> dict[str, Any]:
        """Return the system as JSON values."""
        row = self.row.as_dict()
        return {
            "name": self.name,
            **{name: row[name] for name in _HEADLINE},
            "settings": dict(self.settings),
            "mixed_settings": list(self.mixed),
        }


def read_settings(run: Run) -> Mapping[str, Any]:
    """Return a run's settings; empty without config.json. Raises CorruptDataError for one that cannot be read."""
    path = run.folder / CONFIG_NAME
    try:
        settings = json.loads(path.read_bytes())["settings"]
        if not isinstance(settings, dict):
            raise ValueError("its settings are no table")
        return MappingProxyType(settings)
    except FileNotFoundError:
        return MappingProxyType({})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{path} is damaged: {error!r}; train this run again with --force") from error


def headline_rows(rows: Sequence[Row]) -> list[Row]:
    """Return for each recipe, data and checkpoint the row that rests on most; seeds with other folds have their own."""
    found = []
    for group in grouped(rows, system_key):
        means = [row for row in group if row.seed == "mean"]
        covered = {seed for row in means for seed in row.seeds}
        rest = [row for row in group if isinstance(row.seed, int) and row.seed not in covered]
        for same_seed in grouped(rest, lambda row: row.seed):
            means += [row for row in same_seed if row.fold == "mean"] or same_seed
        found += means
    return found


def system_key(row: Row) -> tuple[Any, ...]:
    """Return what the rows of one system share."""
    return row.prepared, row.dataset_sha256, row.recipe, row.checkpoint, row.control


def systems_of(rows: Sequence[Row], runs: Sequence[Run]) -> tuple[System, ...]:
    """Return the systems behind rows without controls, in their order. Raises CorruptDataError for a config.json."""
    settings: dict[Key, list[Mapping[str, Any]]] = {}
    for run in runs:
        key = (run.info.prepared, run.info.dataset_sha256, run.info.recipe)
        settings.setdefault(key, []).append(read_settings(run))
    headlines = headline_rows(rows)
    names = names_of(headlines)
    found: list[System] = []
    for group in grouped(zip(names, headlines, strict=True), lambda item: item[1].dataset):
        keys = [(row.prepared, row.dataset_sha256, row.recipe or "") for _, row in group]
        merged = {key: _merged(settings.get(key, [])) for key in keys}
        differing = _differing([values for values, _ in merged.values()])
        for (name, row), key in zip(group, keys, strict=True):
            values, mixed = merged[key]
            mine = {setting: values.get(setting, UNKNOWN) for setting in differing}
            found.append(System(name=name, row=row, settings=mine, mixed=mixed, is_stated=bool(values)))
    return tuple(found)


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return a short name for each row: the recipe, and what else is needed to tell the rows apart."""
    parts = [[_text(value) for value in (row.prepared, row.dataset_sha256[:8], row.recipe)] for row in rows]
    several = [len({part[place] for part in parts}) > 1 for place in range(3)]
    several[1] = len({(part[0], part[1]) for part in parts}) > len({part[0] for part in parts})
    several[2] = True
    tails = [[row.checkpoint or ""] if len({other.checkpoint for other in rows}) > 1 else [] for row in rows]
    names = [
        " ".join([*("/".join(word for word, shown in zip(part, several, strict=True) if shown),), *tail])
        for part, tail in zip(parts, tails, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} seed {row.seed} fold {row.fold}"
        for name, row in zip(names, rows, strict=True)
    ]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _merged(settings: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a system's settings, and the names of those that its runs do not agree on (their values as a list)."""
    known = [values for values in settings if values]
    names = [name for name in dict.fromkeys(name for values in known for name in values) if name not in _NEVER_COMPARED]
    merged, mixed = {}, []
    for name in names:
        values = list(dict.fromkeys(values.get(name, UNKNOWN) for values in known))
        merged[name] = values[0] if len(values) == 1 else values
        mixed += [name] if len(values) > 1 else []
    return merged, tuple(mixed)


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings whose values are not the same in all systems that state any."""
    known = [values for values in settings if values]
    names = dict.fromkeys(name for values in known for name in values)
    return [name for name in names if any(values.get(name) != known[0].get(name) for values in known)]


def systems_section(systems: Sequence[System], *, short: bool = False) -> Section:
    """Return the table of one dataset's systems; `short` without the deviations."""
    rows = [system.row for system in systems]
    columns = {"system": [system.name for system in systems]}
    for name in systems[0].settings:
        columns[name] = [setting_text(system.settings[name]) for system in systems]
    columns["folds"] = [" ".join(map(str, row.folds)) for row in rows]
    columns["seeds"] = [" ".join(map(str, row.seeds)) or "-" for row in rows]
    columns["n"] = [str(row.n) for row in rows]
    for name in ("war", "uar"):
        columns[name.upper()] = [per_cent(getattr(row, name)) for row in rows]
    for kind in () if short else ("fold_std", "seed_std"):
        for name in ("war", "uar"):
            values = [per_cent((getattr(row, kind) or {}).get(name)) for row in rows]
            columns[f"{name.upper()} {kind.replace('_', ' ')}"] = values
    kept = {name: cells for name, cells in columns.items() if set(cells) != {"-"} or name in systems[0].settings}
    title = f"side by side, {rows[0].dataset}: per cent"
    return Section(title, tuple(kept), tuple(zip(*kept.values(), strict=True)), tuple(_notes(systems)))


def _notes(systems: Sequence[System]) -> list[str]:
    names = list(systems[0].settings)
    notes = protocol_notes([(system.name, system.row.protocol) for system in systems])
    notes += [f"settings that differ: {', '.join(names)}"] if names else []
    if not names and all(system.is_stated for system in systems):
        notes.append("no setting differs")
    if silent := [system.name for system in systems if not system.is_stated]:
        notes.append(f"settings not known, {CONFIG_NAME} is missing: {', '.join(silent)}")
    notes += [
        f"the runs of {system.name} differ among themselves in {', '.join(system.mixed)}: not one experiment"
        for system in systems
        if system.mixed
    ]
    if len({(row.folds, row.n) for row in (system.row for system in systems)}) > 1:
        notes.append("the lines do not all rest on the same test clips: compare `folds` and `n` first")
    return notes + list(dict.fromkeys(system.row.note for system in systems if system.row.note))


def setting_text(value: Any) -> str:
    """Return a setting's value for a table."""
    if isinstance(value, list):
        return ", ".join(map(setting_text, value))
    if value is None or value == "":
        return UNKNOWN
    return str(value).lower() if isinstance(value, bool) else str(value)

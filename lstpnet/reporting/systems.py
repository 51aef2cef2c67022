"""Compare systems: one line per recipe and prepared dataset, and the settings in which they differ.

A system is prepared data (detector, alignment), a recipe and a checkpoint. Its line is the row with the most data
behind it: the mean over seeds, else over folds, else the single fold. Settings come from the run folders' config.json.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from dfer_data.render.tables import Section, per_cent
from dfer_data.settings import with_absent
from lstpnet.dataset_identity import DataKey, folds_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.models.catalogue import DEFAULT_MODEL
from lstpnet.predictions import ScoredPredictions
from lstpnet.recipe import Recipe
from lstpnet.reporting.rows import Row, grouped, is_complete, protocol_notes
from lstpnet.reporting.system_costs import SystemCosts, costs_of
from lstpnet.reporting.uncertainty.dependence import headline_interval, interval_note, interval_text
from lstpnet.runs import CONFIG_NAME, read_config

Key = tuple[DataKey, str]
"""Data and recipe."""
_NEVER_COMPARED = ("name", "fold", "seed", "dataset_sha256", "labels_sha256", "folds_sha256")
_HEADLINE = (
    *("dataset", "prepared", "dataset_sha256", "labels_sha256", "folds_sha256", "fold_set"),
    *("recipe", "checkpoint", "fold", "folds", "seed", "seeds"),
    *("n", "war", "uar", "fold_std", "seed_std"),
)
_CONTROL = "repeated-frame"
_HASH_DIGITS = 8
_SHA256 = re.compile("[0-9a-f]{64}")
_ONE_FRAME, _TRAINING, _PREDICTION = "WAR of one frame", "training s", "ms per clip"
"""Columns of the comparison."""
UNKNOWN = "-"
"""Replaces a setting that a run folder does not state."""


@dataclass(frozen=True, kw_only=True)
class System:
    """One line of the comparison."""

    name: str
    """Unique name among the report's systems."""
    row: Row
    """Row with its headline figures."""
    settings: Mapping[str, Any]
    """The settings in which the systems of this dataset differ; `-` if this system's folder does not state one."""
    mixed: tuple[str, ...]
    """Settings in which its runs differ from each other, so that it is not a single experiment."""
    is_stated: bool
    """Whether at least one of its run folders has a config.json."""
    war_of_one_frame: float | None = None
    """WAR of the same models with one frame of each test clip repeated; None where its runs have no controls."""
    costs: SystemCosts = field(default_factory=SystemCosts)
    """What its network, training and prediction cost."""

    def as_dict(self) -> dict[str, Any]:
        """Return the system as JSON values."""
        row = self.row.as_dict()
        return {
            "name": self.name,
            **{name: row[name] for name in _HEADLINE},
            **{f"{name}_interval": row[f"{name}_interval"] for name in ("war", "uar")},
            "war_of_one_frame": self.war_of_one_frame,
            **asdict(self.costs),
            "machines": list(self.costs.machines),
            "settings": dict(self.settings),
            "mixed_settings": list(self.mixed),
        }


def read_settings(run: ScoredRun) -> Mapping[str, Any]:
    """Return a run's settings, those of run.json too; {} without config.json. CorruptDataError if it is damaged.

    A setting that did not exist at the training has the value of the behaviour at that time.
    """
    config = read_config(run.folder, run.info)
    of_data = {"pipeline_version": run.info.pipeline_version, "fold_set": run.info.fold_set}
    if not config:
        return MappingProxyType({})
    settings = with_absent(Recipe, config["settings"])
    settings["model"] = settings["model"] or DEFAULT_MODEL  # dfer 0.1 stored no name for LSTPNet
    return MappingProxyType(settings | of_data)


def headline_rows(rows: Sequence[Row]) -> list[Row]:
    """Return one headline row per recipe, data and checkpoint; seeds with other folds get separate rows."""
    headlines = []
    for group in grouped(rows, system_key):
        means = [row for row in group if row.seed == "mean"]
        covered = {seed for row in means for seed in row.seeds}
        uncovered_rows = [row for row in group if row.seed != "mean" and row.seed not in covered]
        for seed_rows in grouped(uncovered_rows, lambda row: row.seed):
            means += [row for row in seed_rows if row.fold == "mean"] or seed_rows
        headlines += means
    return headlines


def _key(row: Row) -> Key:
    return row.data_key, row.recipe or ""


def system_key(row: Row) -> tuple[Any, ...]:
    """Return the key that the rows of one system share."""
    return *_key(row), row.pipeline_version, row.checkpoint, row.control


def systems_of(rows: Sequence[Row], runs: Sequence[ScoredRun], *, controls: Sequence[Row] = ()) -> tuple[System, ...]:
    """Return the systems of rows without controls, in order. Raises CorruptDataError for a damaged config.json.

    `controls`: the rows with controls.
    """
    settings: dict[Key, list[Mapping[str, Any]]] = {}
    for run in runs:
        settings.setdefault(run.key, []).append(read_settings(run))
    headlines = headline_rows(rows)
    names = names_of(headlines)
    systems: list[System] = []
    for group in grouped(zip(names, headlines, strict=True), lambda item: item[1].dataset):
        keys = [_key(row) for _, row in group]
        merged = {key: _merged(settings.get(key, [])) for key in keys}
        differing = _differing([values for values, _ in merged.values()])
        for (name, row), key in zip(group, keys, strict=True):
            values, mixed = merged[key]
            system_settings = {setting: values.get(setting, UNKNOWN) for setting in differing}
            runs_of_row = [run for run, _ in parts_behind(row, runs)]
            systems.append(
                System(
                    name=name,
                    row=row,
                    settings=system_settings,
                    mixed=mixed,
                    is_stated=bool(values),
                    war_of_one_frame=_war_of_one_frame(row, controls),
                    costs=costs_of(runs_of_row, checkpoint=row.checkpoint),
                )
            )
    return tuple(systems)


def _war_of_one_frame(row: Row, controls: Sequence[Row]) -> float | None:
    """Return the WAR of a system's models with one frame of each test clip repeated."""
    wanted = replace(row, control=_CONTROL)
    same = [other for other in headline_rows(controls) if system_key(other) == system_key(wanted)]
    return next((other.war for other in same if (other.folds, other.seeds) == (row.folds, row.seeds)), None)


def systems_of_predictions(name: str, rows: Sequence[Row], others: Sequence[System]) -> tuple[System, ...]:
    """Return external predictions as systems next to `others`; several only for seeds with different folds."""
    headlines, taken = headline_rows(rows), {system.name for system in others}
    settings = {
        setting: UNKNOWN for system in others if system.row.dataset == rows[0].dataset for setting in system.settings
    }
    systems = []
    for row in headlines:
        row_name = name if len(headlines) == 1 else f"{name} seed {row.seed} fold {row.fold}"
        unique_name = f"{row_name} (predictions)" if row_name in taken else row_name
        systems.append(System(name=unique_name, row=row, settings=settings, mixed=(), is_stated=False))
    return tuple(systems)


def parts_behind(row: Row, runs: Sequence[ScoredRun]) -> Iterator[tuple[ScoredRun, ScoredPredictions]]:
    """Yield the scored predictions behind a system's row with their runs, by seed and fold."""
    for run in sorted(runs, key=lambda run: (run.info.seed, run.info.fold)):
        is_of_row = (*run.key, run.info.pipeline_version) == (*_key(row), row.pipeline_version)
        if is_of_row and run.info.seed in row.seeds and run.info.fold in row.folds:
            for part in run.parts:
                if (part.checkpoint, part.control) == (row.checkpoint, row.control):
                    yield run, part


def names_of(rows: Sequence[Row]) -> list[str]:
    """Return a short name for each row: the recipe, plus the parts needed to make the names unique."""
    has_several_folders = len({row.prepared for row in rows}) > 1
    has_several_checkpoints = len({row.checkpoint for row in rows}) > 1
    names = []
    for row, data_parts in zip(rows, _data_parts([row.data_key for row in rows]), strict=True):
        parts = [*[row.prepared] * has_several_folders, *data_parts, row.recipe or ""]
        names.append("/".join(parts) + f" {row.checkpoint or ''}" * has_several_checkpoints)
    return [
        name if names.count(name) == 1 else f"{name} seed {row.seed} fold {row.fold}"
        for name, row in zip(names, rows, strict=True)
    ]


def _data_parts(keys: Sequence[DataKey]) -> list[list[str]]:
    """Return the parts that tell the data of each row from those of the others in equal folders; as few as possible."""
    parts: list[list[str]] = [[] for _ in keys]
    kinds = [
        [key.content_sha256[:_HASH_DIGITS] for key in keys],
        [f"labels {key.labels_sha256[:_HASH_DIGITS]}" for key in keys],
        [f"folds {key.fold_set}" for key in keys],
        [f"folds {key.folds_sha256[:_HASH_DIGITS]}" for key in keys],
    ]
    for words in kinds:
        longer = [[*chosen, word] for chosen, word in zip(parts, words, strict=True)]
        if _num_distinct(keys, longer) > _num_distinct(keys, parts):
            parts = longer
    return parts


def _num_distinct(keys: Sequence[DataKey], parts: Sequence[Sequence[str]]) -> int:
    return len({(key.prepared, *words) for key, words in zip(keys, parts, strict=True)})


def _merged(settings: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a system's settings, and the names of those in which its runs differ (their value is a list)."""
    known = [values for values in settings if values]
    names = [name for name in dict.fromkeys(name for values in known for name in values) if name not in _NEVER_COMPARED]
    merged, mixed = {}, []
    for name in names:
        values = list(dict.fromkeys(values.get(name, UNKNOWN) for values in known))
        merged[name] = values[0] if len(values) == 1 else values
        mixed += [name] if len(values) > 1 else []
    return merged, tuple(mixed)


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings that differ among the systems that state any."""
    known = [values for values in settings if values]
    names = dict.fromkeys(name for values in known for name in values)
    return [name for name in names if any(values.get(name) != known[0].get(name) for values in known)]


def systems_section(systems: Sequence[System], *, short: bool = False) -> Section:
    """Return the table of one dataset's systems; `short` omits intervals, deviations and costs."""
    rows = [system.row for system in systems]
    columns = {"system": [system.name for system in systems]}
    for name in systems[0].settings:
        columns[name] = [setting_text(system.settings[name]) for system in systems]
    columns["folds"] = [folds_words(row.folds, row.fold_set).split(" ", 1)[1] for row in rows]
    columns["seeds"] = [" ".join(map(str, row.seeds)) or "-" for row in rows]
    columns["n"] = [str(row.n) for row in rows]
    for name in ("war", "uar"):
        columns[name.upper()] = [per_cent(getattr(row, name)) for row in rows]
        if not short:
            intervals = [headline_interval(getattr(row, f"{name}_interval"), row.unit) for row in rows]
            columns[f"{name.upper()} 95 %"] = [interval_text(interval) for interval in intervals]
    columns[_ONE_FRAME] = [per_cent(system.war_of_one_frame) for system in systems]
    columns |= {} if short else _cost_columns([system.costs for system in systems])
    for kind in () if short else ("fold_std", "seed_std"):
        for name in ("war", "uar"):
            values = [per_cent((getattr(row, kind) or {}).get(name)) for row in rows]
            columns[f"{name.upper()} {kind.replace('_', ' ')}"] = values
    kept_columns = {
        name: cells for name, cells in columns.items() if set(cells) != {"-"} or name in systems[0].settings
    }
    title = f"side by side, {rows[0].dataset}: per cent"
    notes = _notes(systems) + _notes_of_columns(systems, kept_columns)
    return Section(title, tuple(kept_columns), tuple(zip(*kept_columns.values(), strict=True)), tuple(notes))


def _cost_columns(costs: Sequence[SystemCosts]) -> dict[str, list[str]]:
    return {
        "parameters": [_number(cost.num_parameters, ",") for cost in costs],
        "GMAC": [_number(cost.gmac, ".3g") for cost in costs],
        _TRAINING: [_number(cost.training_seconds, ",.0f") for cost in costs],
        _PREDICTION: [_number(cost.prediction_ms, ".1f") for cost in costs],
    }


def _number(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else format(value, form)


def _notes_of_columns(systems: Sequence[System], columns: Collection[str]) -> list[str]:
    """Return what the figures of a table mean that are not WAR and UAR."""
    rows = [system.row for system in systems]
    notes = [interval_note(unit) for unit in dict.fromkeys(row.unit for row in rows) if "WAR 95 %" in columns]
    if _ONE_FRAME in columns:
        notes.append(f"{_ONE_FRAME}: the same models, with the middle frame of a test clip in place of all its frames")
    if _TRAINING in columns or _PREDICTION in columns:
        machines = dict.fromkeys(words for system in systems for words in system.costs.machines)
        notes.append(f"seconds of training and milliseconds per test clip, reading included: {', '.join(machines)}")
    return notes


def _notes(systems: Sequence[System]) -> list[str]:
    names = list(systems[0].settings)
    notes = protocol_notes([(system.name, system.row.protocol) for system in systems])
    notes += [f"settings that differ: {', '.join(names)}"] if names else []
    if not names and all(system.is_stated for system in systems):
        notes.append("no setting differs")
    if len(systems) > 2:
        notes.append(
            f"whoever picks the best of these {len(systems)} lines chooses on the test clips: its figures are then too "
            "high; choose by held-out clips (--val), and report all lines"
        )
    if unstated := [system.name for system in systems if not system.is_stated]:
        notes.append(f"settings unknown, {CONFIG_NAME} is missing: {', '.join(unstated)}")
    notes += [
        f"the runs of {system.name} differ in {', '.join(system.mixed)}: they are not one experiment"
        for system in systems
        if system.mixed
    ]
    if incomplete := [system.name for system in systems if not is_complete(system.row)]:
        notes.append(f"incomplete, some class has no test clips in some fold: {', '.join(incomplete)}")
    if len({(row.fold_set, row.folds, row.n) for row in (system.row for system in systems)}) > 1:
        notes.append("the lines do not all have the same test clips: compare `folds` and `n` first")
    return notes + list(dict.fromkeys(system.row.note for system in systems if system.row.note))


def setting_text(value: Any) -> str:
    """Return a setting's value for a table; of a sha256 its first twelve digits, as in the protocol lines."""
    if isinstance(value, list):
        return ", ".join(map(setting_text, value))
    if value is None or value == "":
        return UNKNOWN
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text[:12] if _SHA256.fullmatch(text) else text

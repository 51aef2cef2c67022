"""How the runs of a report were made: command, device, versions, date, parameters, time."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dfer_data.render.tables import Section, duration
from dfer_data.shards.identity import OFFICIAL_SET
from lstpnet.dataset_identity import fold_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.recipe_files import recipe_names
from lstpnet.runs import read_config, read_epochs

_HEADER = ("run", "date", "device", "dfer", "torch", "parameters", "trained for", "command")
_NOTE = (
    "commands are made from the settings, with the prepared dataset's name in place of its path, and the sha256 of "
    "start weights in place of theirs"
)
_HASH_DIGITS = 12


def run_sections(runs: Sequence[ScoredRun]) -> list[Section]:
    """Return the table of the runs; [] without runs. Raises CorruptDataError for a damaged config.json."""
    cells = tuple(_cells(run) for run in runs)
    return [Section("how the models were trained", _HEADER, cells, (_NOTE,))] if cells else []


def _cells(run: ScoredRun) -> tuple[str, ...]:
    config, info = read_config(run.folder, run.info), run.info
    seconds = sum(float(epoch["seconds"]) for epoch in read_epochs(run.folder, run.info))
    number = config.get("num_parameters")
    return (
        f"{info.prepared}, {info.recipe}, {fold_words(info.fold, info.fold_set)}, seed {info.seed}",
        str(config.get("date", "-")),
        str(config.get("device", "-")),
        str(config.get("dfer", "-")),
        str(config.get("torch", "-")),
        "-" if number is None else f"{number:,}",
        duration(seconds) if seconds else "-",
        _command(run, config),
    )


def _command(run: ScoredRun, config: Mapping[str, Any]) -> str:
    """Return the command line of a run; `-` without its settings."""
    settings, origins, info = config.get("settings", {}), config.get("origins"), run.info
    if not isinstance(origins, dict):
        return "-"
    recipe = [origin.removeprefix("recipe ") for origin in origins.values() if str(origin).startswith("recipe ")]
    words = ["dfer", "train", "--data", info.prepared, "--fold", str(info.fold), "--seed", str(info.seed)]
    words += [] if info.fold_set == OFFICIAL_SET else ["--fold-set", info.fold_set]
    words += ["--recipe", recipe[0] if recipe[0] in recipe_names() else f"{recipe[0]}.toml"] if recipe else []
    words += ["--name", settings["name"]] if recipe and settings.get("name") not in (None, recipe[0]) else []
    words += ["--init", settings["init_sha256"][:_HASH_DIGITS]] if settings.get("init_sha256") else []
    for key, origin in sorted(origins.items()):
        if origin == "command line" and key in settings:
            value = settings[key]
            words += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
    return shlex.join(words)

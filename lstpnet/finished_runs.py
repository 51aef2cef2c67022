"""Find run folders, open the finished ones with their predictions, and score them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.storage.walk import paths_below
from dfer_data.wording import by_number
from lstpnet.dataset_identity import DataKey, data_words, fold_words
from lstpnet.predictions import Predictions, ScoredPredictions, score_predictions
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import RUN_NAME, RunInfo, read_run

ALL_WITHDRAWN = "all its test clips were withdrawn after the training: it has no figures; its weights are as they were"
"""Why a finished run has no predictions."""
_FOLD_FOLDER = re.compile("(^|-)fold-[0-9]")


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder."""

    folder: Path
    """Run folder, as it was given."""
    info: RunInfo
    """Content of run.json."""
    predictions: tuple[Predictions, ...]
    """One entry per checkpoint and control, in the order of CHECKPOINTS, then CONTROL_NAMES."""

    def __repr__(self) -> str:
        info = self.info
        fold = fold_words(info.fold, info.fold_set)
        return f"Run({str(self.folder)!r}: {info.recipe} on {info.prepared}, {fold}, seed {info.seed})"

    def _repr_html_(self) -> str:
        """Return the run as HTML for a notebook: recipe, data and figures."""
        from dfer_data.render.html import notebook_card

        info = self.info
        facts = {
            "folder": str(self.folder),
            "data": f"{info.prepared} ({info.dataset}, sha256 {data_words(info.identity)})",
            "recipe": info.recipe,
            "fold and seed": f"{fold_words(info.fold, info.fold_set).removeprefix('fold ')}, {info.seed}",
            "clips": f"{info.n_train} train, {info.n_val} held out, {len(self.predictions[0].labels)} test",
            "classes": ", ".join(info.class_names),
            "protocol": info.protocol,
        }
        facts |= {"rendered heads": "not comparable with published figures"} if info.synthetic else {}
        facts |= {"unverified": "run.json holds no hashes"} if info.is_unverified else {}
        figures = {}
        for part in score_run(self).parts:
            name = " ".join([str(part.checkpoint), part.control]).strip()
            figures[name] = f"WAR {100 * part.scores.war:.2f}, UAR {100 * part.scores.uar:.2f}"
        return notebook_card("run", facts, {"test": figures})


@dataclass(frozen=True)
class ScoredRun:
    """A finished run with its predictions scored; tables, tests and pages read it."""

    folder: Path
    """Run folder, as it was given."""
    info: RunInfo
    """Content of run.json."""
    parts: tuple[ScoredPredictions, ...]
    """One entry per checkpoint and control, in the order of CHECKPOINTS, then CONTROL_NAMES."""

    @property
    def key(self) -> tuple[DataKey, str]:
        """Data and recipe: what the runs of one system share."""
        return self.info.data_key, self.info.recipe


def score_run(run: Run) -> ScoredRun:
    """Score every checkpoint and control of a run."""
    parts = tuple(score_predictions(predictions, run.info.class_names) for predictions in run.predictions)
    return ScoredRun(run.folder, run.info, parts)


@dataclass(frozen=True)
class UnfinishedRun:
    """A run folder without results."""

    folder: Path
    """Run folder, as it was given."""
    reason: str
    """Why the run has no results."""


def find_runs(root: Path) -> list[Path]:
    """Return the run folders at or below `root`, `fold-2` before `fold-10`.

    Those with a run.json and all `[NAME-]fold-*/seed-*`.
    """
    paths = paths_below(root)
    with_run_json = {path.parent for path in paths if path.name == RUN_NAME}
    started = {
        path
        for path in paths
        if path.name.startswith("seed-") and _FOLD_FOLDER.search(path.parent.name) and path.is_dir()
    }
    return sorted(with_run_json | started, key=lambda path: by_number(path.as_posix()))


def open_run(folder: Path | str) -> Run:
    """Read the folder of a finished run.

    Raises UsageError for a folder without a finished run, CorruptDataError for damaged files, FormatVersionError for a
    run of a newer dfer.
    """
    path = Path(folder)
    if not (path / RUN_NAME).is_file():
        raise UsageError(f"{path} has no finished run: {RUN_NAME} is missing; make one with `dfer train`")
    info = read_run(path)
    if not info.finished:
        raise UsageError(f"{path} has not finished; resume its training first")
    if not info.has_predictions:
        raise UsageError(f"{path}: {ALL_WITHDRAWN}")
    return Run(path, info, read_predictions(path, info))


def load_runs(folders: Sequence[Path]) -> tuple[list[Run], list[UnfinishedRun]]:
    """Read run folders; a folder that is listed twice is read once.

    Raises FormatVersionError for a run of a newer dfer, CorruptDataError naming every damaged file.
    """
    runs, unfinished, faults = [], [], []
    for folder in {folder.resolve(): folder for folder in folders}.values():
        try:
            if not (folder / RUN_NAME).is_file():
                unfinished.append(UnfinishedRun(folder, f"started, but has no {RUN_NAME} yet"))
            elif not (info := read_run(folder)).finished:
                unfinished.append(UnfinishedRun(folder, f"{RUN_NAME} says that it has not finished"))
            elif not info.has_predictions:
                unfinished.append(UnfinishedRun(folder, ALL_WITHDRAWN))
            else:
                runs.append(Run(folder, info, read_predictions(folder, info)))
        except CorruptDataError as error:
            faults.append(str(error))
    if faults:
        raise CorruptDataError("; ".join(faults))
    return runs, unfinished

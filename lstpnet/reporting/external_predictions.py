"""Read external predictions from a CSV file and match them with a prepared dataset."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfer_data.errors import UsageError
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.sources.class_labels import known_class
from dfer_data.storage.csv_text import csv_rows, separator_of
from dfer_data.storage.files import read_regular_text
from dfer_data.wording import counted
from lstpnet.dataset_identity import chosen_fold_set
from lstpnet.metrics import predicted_classes, prior_logits
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.csv_faults import CsvFaults, exact_or_stripped, unknown_clip

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


@dataclass(frozen=True, eq=False)
class GivenPredictions:
    """External predictions for the whole test part of a fold, in the clip order of the prepared dataset."""

    path: Path
    """The file."""
    fold: int
    """Number of the fold."""
    fold_set: str
    """Name of the set of folds."""
    seed: int | None
    """Seed of the training; None for a file without the column `seed`."""
    scored: ScoredPredictions
    """Scored predictions of all test clips of the fold."""
    num_missing: int
    """Number of test clips missing from the file; their prediction is `prior`."""
    prior: str
    """The most frequent class of the fold's train clips with a face."""
    num_train: int
    """Number of clips in the fold's train part."""
    untrained: Mapping[str, int]
    """Classes without clips in the fold's train part -> number of their test clips."""


@dataclass(frozen=True, eq=False)
class ExternalPredictions:
    """The predictions of one external system: a fold and seed per entry."""

    name: str
    """Name of its file, or what the names of its files have in common."""
    dataset: PreparedDataset
    """The prepared dataset that it was tested on."""
    parts: tuple[GivenPredictions, ...]
    """By seed, then by fold."""


def read_external_predictions(
    paths: Sequence[Path], dataset: PreparedDataset, *, folds: Sequence[int] = (), fold_set: str | None = None
) -> ExternalPredictions:
    """Read the files of one external system; each holds one fold, or several folds and seeds.

    Args:
        paths: CSV files with `clip_id` and either `prediction`, JSON `logits` or one column of logits per class name;
            columns `fold` and `seed` are optional.
        dataset: the prepared dataset.
        folds: the fold of each file; (): the column `fold` names it.
        fold_set: set that the folds are of; None: the official folds, else the dataset's only own set.

    Raises:
        AnnotationError: every fault of a file with its line.
        UsageError: a file that cannot be read, an unknown fold or set, a fold and seed in two files, or no fold.
    """
    if folds and len(folds) != len(paths):
        raise UsageError(
            f"{counted(len(paths), 'file of predictions')} and {counted(len(folds), 'fold')}: give one --fold "
            "for each file"
        )
    chosen_set = chosen_fold_set(dataset, fold_set)
    fold_of_paths: Sequence[int | None] = folds or [None] * len(paths)
    given = [
        part
        for path, fold in zip(paths, fold_of_paths, strict=True)
        for part in read_given_predictions(path, dataset, fold=fold, fold_set=chosen_set)
    ]
    if len({part.seed is None for part in given}) > 1:
        raise UsageError("some of the files have the column seed: add it to all of them, or to none")
    first_parts: dict[tuple[int, int | None], GivenPredictions] = {}
    for part in given:
        if (earlier := first_parts.setdefault((part.fold, part.seed), part)) is not part:
            which = f"fold {part.fold}" + ("" if part.seed is None else f" of seed {part.seed}")
            raise UsageError(
                f"{earlier.path} and {part.path} both hold {which}, which would count twice: remove one of them, "
                "or add a column seed"
            )
    given.sort(key=lambda part: (-1 if part.seed is None else part.seed, part.fold))
    return ExternalPredictions(_common_name(paths), dataset, tuple(given))


def _common_name(paths: Sequence[Path]) -> str:
    if len(paths) == 1:
        return paths[0].name
    letters = zip(*(path.stem for path in paths), strict=False)
    stem = "".join(column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, letters))
    name = re.sub(r"[-_. ]*((fold|seed|fd|set|split)[-_. ]*)?$", "", stem)
    return name or paths[0].resolve().parent.name


def read_given_predictions(
    path: Path, dataset: PreparedDataset, *, fold: int | None = None, fold_set: str = OFFICIAL_SET
) -> tuple[GivenPredictions, ...]:
    """Read one file; `fold` None: its column `fold` names the fold of each clip. Errors as above."""
    texts = _PredictionsFile(path, dataset, fold=fold, fold_set=fold_set).read()
    return tuple(
        _matched(path, dataset, predictions, fold=number, fold_set=fold_set, seed=seed)
        for (number, seed), predictions in texts.items()
    )


def _matched(
    path: Path, dataset: PreparedDataset, predictions: Mapping[str, int], *, fold: int, fold_set: str, seed: int | None
) -> GivenPredictions:
    """Match the predictions (clip id -> class number) of a fold with all its test clips."""
    names, splits = dataset.class_names, dataset.fold(str(fold), fold_set=fold_set)
    labels = dict(zip(dataset.clips["clip_id"], dataset.clips["label"].fillna(""), strict=True))
    statuses = dict(zip(dataset.clips["clip_id"], dataset.clips["status"], strict=True))
    test_ids = [clip_id for clip_id, split in splits.items() if split == "test"]
    if unlabelled := [clip_id for clip_id in splits if labels[clip_id] not in names]:
        raise UsageError(
            f"{dataset.root} has no label for {counted(len(unlabelled), 'clip')} of fold {fold} ({unlabelled[0]}...)"
        )
    train_ids = [clip_id for clip_id, split in splits.items() if split == "train"]
    train_counts = Counter(names.index(labels[clip_id]) for clip_id in train_ids)
    with_face = Counter(names.index(labels[clip_id]) for clip_id in train_ids if statuses[clip_id] != "failed")
    prior_counts = with_face or train_counts  # a training cannot learn from the others
    prior = int(predicted_classes(prior_logits([prior_counts[i] for i in range(len(names))])[None])[0])
    scored = ScoredPredictions(
        class_names=names,
        clip_ids=tuple(test_ids),
        labels=np.array([names.index(labels[clip_id]) for clip_id in test_ids], np.int64),
        predicted=np.array([predictions.get(clip_id, prior) for clip_id in test_ids], np.int64),
        has_face=np.array([statuses[clip_id] != "failed" for clip_id in test_ids], np.bool_),
    )
    test_counts = Counter(scored.labels.tolist())
    return GivenPredictions(
        path,
        fold,
        fold_set,
        seed,
        scored,
        num_missing=sum(clip_id not in predictions for clip_id in test_ids),
        prior=names[prior],
        num_train=train_counts.total(),
        untrained={name: test_counts[i] for i, name in enumerate(names) if test_counts[i] and not train_counts[i]},
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


class _PredictionsFile:
    """Reads a CSV of predictions row by row and collects its faults."""

    def __init__(self, path: Path, dataset: PreparedDataset, *, fold: int | None, fold_set: str) -> None:
        self._path, self._dataset, self._fold, self._fold_set = path, dataset, fold, fold_set
        self._names = dataset.class_names
        self._known = set(dataset.clips["clip_id"])
        self._splits = {} if fold is None else {fold: dataset.fold(str(fold), fold_set=fold_set)}
        self._faults = CsvFaults(path)
        self._first_lines: dict[tuple[int, int | None, str], int] = {}

    def read(self) -> dict[tuple[int, int | None], dict[str, int]]:
        """Return (fold, seed) -> clip id -> class number. Raises AnnotationError, UsageError."""
        try:
            text = read_regular_text(self._path)
            rows = list(csv_rows(text, delimiter=separator_of(text, "clip_id")))
        except OSError as error:
            raise UsageError(f"--predictions {self._path} cannot be read: {error.strerror}; check the path") from error
        except ValueError as error:
            raise UsageError(f"{self._path} cannot be read as CSV in UTF-8: {error}") from error
        header = [self._class_name(cell) for cell in rows[0][1]] if rows else []
        columns = self._columns(header)
        class_numbers: dict[tuple[int, int | None], dict[str, int]] = {}
        if columns and self._fold is not None and not {"fold", "seed"} & set(header):
            class_numbers[self._fold, None] = {}  # a file without rows: no test clip of its fold is in it
        for line, cells in rows[1:] if columns else ():
            if len(cells) != len(header):
                self._faults.add("cells", line, f"{counted(len(cells), 'cell')}, the header has {len(header)}")
                continue
            row = dict(zip(header, cells, strict=True))
            row["clip_id"] = exact_or_stripped(row["clip_id"], self._known)
            if "prediction" in row:
                row["prediction"] = self._class_name(row["prediction"])
            fold, seed = self._fold_of(row, line), self._seed_of(row, line)
            is_expected = fold is not None and self._is_expected(row["clip_id"], fold, seed, line)
            number = self._class_of(row, columns, line)
            if fold is not None and is_expected and number is not None:
                class_numbers.setdefault((fold, seed), {})[row["clip_id"]] = number
        self._faults.raise_all()
        if not class_numbers:
            raise UsageError(f"{self._path} has no predictions: add a row per test clip")
        return class_numbers

    def _class_name(self, cell: str) -> str:
        return known_class(exact_or_stripped(cell, self._names), self._names)

    def _fold_of(self, row: Mapping[str, str], line: int) -> int | None:
        """Return the fold of a row; None if it is faulty."""
        if "fold" not in row:
            return self._fold
        text = row["fold"].strip()
        if not _is_number(text) or int(text) < 1:
            self._faults.add("fold", line, f"fold {text!r} is not the number of a fold")
            return None
        fold = int(text)
        if self._fold is not None and fold != self._fold:
            self._faults.add("fold", line, f"fold {fold}, but the file is given as fold {self._fold}")
            return None
        if fold not in self._splits:
            self._splits[fold] = self._dataset.fold(str(fold), fold_set=self._fold_set)
        return fold

    def _seed_of(self, row: Mapping[str, str], line: int) -> int | None:
        """Return the seed of a row; None without the column."""
        if "seed" not in row:
            return None
        text = row["seed"].strip()
        if not _is_number(text):
            self._faults.add("seed", line, f"seed {text!r} is not a whole number")
            return None
        return int(text)

    def _columns(self, header: list[str]) -> list[str]:
        """Return the columns of the prediction; [] if the header has a fault."""
        if len(set(header)) < len(header):
            self._faults.add("header", 1, f"a column is listed twice: {', '.join(header)}")
        if "clip_id" not in header:
            self._faults.add("header", 1, f"no column clip_id in: {', '.join(header) or '(empty file)'}")
        if self._fold is None and "fold" not in header:
            self._faults.add("header", 1, "no column fold, and no --fold: add one of them")
        classes = [name for name in self._names if name in header]
        forms: list[list[str]] = [[name] for name in ("prediction", "logits") if name in header]
        forms += [classes] if classes else []
        if len(forms) != 1:
            expected = f"either `prediction`, or `logits`, or one column for each of {', '.join(self._names)}"
            self._faults.add("header", 1, f"expected {expected}; found: {', '.join(header)}")
        elif forms[0] == classes and len(classes) < len(self._names):
            missing = [name for name in self._names if name not in header]
            self._faults.add("header", 1, f"no column for the class {', '.join(missing)}")
        return [] if self._faults else forms[0]

    def _is_expected(self, clip_id: str, fold: int, seed: int | None, line: int) -> bool:
        splits, key = self._splits[fold], (fold, seed, clip_id)
        if clip_id not in self._known:
            self._faults.add("unknown", line, unknown_clip(clip_id, self._known))
        elif splits.get(clip_id) != "test":
            split = splits.get(clip_id, "no part")
            text = f"clip {clip_id!r} is in {split} of fold {fold}, not in its test part"
            self._faults.add("split", line, text)
        elif key in self._first_lines:
            self._faults.add("twice", line, f"clip {clip_id!r} is already in line {self._first_lines[key]}")
        else:
            self._first_lines[key] = line
            return True
        return False

    def _class_of(self, row: dict[str, str], columns: list[str], line: int) -> int | None:
        if columns == ["prediction"]:
            if row["prediction"] in self._names:
                return self._names.index(row["prediction"])
            advice = "; give names, since lists number classes differently" if row["prediction"].isdecimal() else ""
            known = f"known: {', '.join(self._names)}{advice}"
            self._faults.add("label", line, f"unknown label {row['prediction']!r}; {known}")
            return None
        try:
            cells = json.loads(row["logits"]) if columns == ["logits"] else [row[name] for name in columns]
            if not isinstance(cells, list) or len(cells) != len(self._names):
                raise ValueError(f"expected a list of {len(self._names)} numbers")
            if any(isinstance(cell, bool) or not isinstance(cell, str | int | float) for cell in cells):
                raise ValueError("not all of them are numbers")
            values = [float(cell) for cell in cells]
        except (ValueError, OverflowError, RecursionError) as error:
            self._faults.add("logits", line, f"logits cannot be read: {error}")
            return None
        if any(math.isnan(value) or value == math.inf for value in values) or max(values) == -math.inf:
            self._faults.add("nan", line, "a logit is NaN or +inf, or all are -inf")
            return None
        return values.index(max(values))

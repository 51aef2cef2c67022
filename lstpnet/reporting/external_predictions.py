"""Read external predictions from a CSV file and match them with a prepared dataset."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfer_data.errors import UsageError
from dfer_data.storage.files import read_regular_text
from lstpnet.metrics import predicted_classes, prior_logits
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.csv_faults import CsvFaults, exact_or_stripped, unknown_clip

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


@dataclass(frozen=True, eq=False)
class GivenPredictions:
    """External predictions for the official test part of a fold, in the clip order of the prepared dataset."""

    scored: ScoredPredictions
    """Scored predictions of all test clips of the fold."""
    num_missing: int
    """Number of test clips missing from the file; their prediction is `prior`."""
    prior: str
    """The most frequent class of the fold's train part."""
    num_train: int
    """Number of clips in the fold's train part."""
    untrained: Mapping[str, int]
    """Classes without clips in the fold's train part -> number of their test clips."""


def read_given_predictions(path: Path, dataset: PreparedDataset, *, fold: int) -> GivenPredictions:
    """Read a CSV with `clip_id` and either `prediction`, JSON `logits` or one column of logits per class name.

    Raises AnnotationError with every fault and its line, UsageError for a file that cannot be read or an unknown fold.
    """
    names, splits = dataset.class_names, dataset.fold(str(fold))
    labels = dict(zip(dataset.clips["clip_id"], dataset.clips["label"].fillna(""), strict=True))
    statuses = dict(zip(dataset.clips["clip_id"], dataset.clips["status"], strict=True))
    test_ids = [clip_id for clip_id, split in splits.items() if split == "test"]
    if unlabelled := [clip_id for clip_id in splits if labels[clip_id] not in names]:
        raise UsageError(f"{dataset.root} has no label for {len(unlabelled)} clips of fold {fold} ({unlabelled[0]}...)")
    train_counts = Counter(names.index(labels[clip_id]) for clip_id, split in splits.items() if split == "train")
    prior = int(predicted_classes(prior_logits([train_counts[i] for i in range(len(names))])[None])[0])
    predictions = _PredictionsFile(path, names, splits, known=set(labels), fold=fold).read()
    scored = ScoredPredictions(
        class_names=names,
        clip_ids=tuple(test_ids),
        labels=np.array([names.index(labels[clip_id]) for clip_id in test_ids], np.int64),
        predicted=np.array([predictions.get(clip_id, prior) for clip_id in test_ids], np.int64),
        has_face=np.array([statuses[clip_id] != "failed" for clip_id in test_ids], np.bool_),
    )
    num_missing = sum(clip_id not in predictions for clip_id in test_ids)
    test_counts = Counter(scored.labels.tolist())
    untrained = {name: test_counts[i] for i, name in enumerate(names) if test_counts[i] and not train_counts[i]}
    num_train = train_counts.total()
    return GivenPredictions(scored, num_missing, prior=names[prior], num_train=num_train, untrained=untrained)


class _PredictionsFile:
    """Reads a CSV of predictions row by row and collects its faults."""

    def __init__(self, path: Path, names: Sequence[str], splits: dict[str, str], *, known: set[str], fold: int) -> None:
        self._path, self._names, self._splits, self._known, self._fold = path, names, splits, known, fold
        self._faults = CsvFaults(path)
        self._first_lines: dict[str, int] = {}

    def read(self) -> dict[str, int]:
        """Return clip id -> class number. Raises AnnotationError, UsageError."""
        try:
            text = read_regular_text(self._path)
            rows = list(self._rows(text))
        except OSError as error:
            raise UsageError(f"--predictions {self._path} cannot be read: {error.strerror}; check the path") from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{self._path} cannot be read as CSV in UTF-8: {error}") from error
        header = [cell if cell in self._names else cell.strip() for cell in rows[0][1]] if rows else []
        columns = self._columns(header)
        class_numbers: dict[str, int] = {}
        for line, cells in rows[1:] if columns else ():
            if len(cells) != len(header):
                self._faults.add("cells", line, f"{len(cells)} cells, the header has {len(header)}")
                continue
            row = dict(zip(header, cells, strict=True))
            row["clip_id"] = exact_or_stripped(row["clip_id"], self._known)
            if "prediction" in row:
                row["prediction"] = exact_or_stripped(row["prediction"], self._names)
            is_expected, number = self._is_expected(row["clip_id"], line), self._class_of(row, columns, line)
            if is_expected and number is not None:
                class_numbers[row["clip_id"]] = number
        self._faults.raise_all()
        return class_numbers

    @staticmethod
    def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of the row's first line, cells); skip empty lines."""
        reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1

    def _columns(self, header: list[str]) -> list[str]:
        """Return the columns of the prediction; [] if the header has a fault."""
        if len(set(header)) < len(header):
            self._faults.add("header", 1, f"a column is listed twice: {', '.join(header)}")
        if "clip_id" not in header:
            self._faults.add("header", 1, f"no column clip_id in: {', '.join(header) or '(empty file)'}")
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

    def _is_expected(self, clip_id: str, line: int) -> bool:
        if clip_id not in self._known:
            self._faults.add("unknown", line, unknown_clip(clip_id, self._known))
        elif self._splits.get(clip_id) != "test":
            split = self._splits.get(clip_id, "no part")
            text = f"clip {clip_id!r} is in {split} of fold {self._fold}, not in its test part"
            self._faults.add("split", line, text)
        elif clip_id in self._first_lines:
            self._faults.add("twice", line, f"clip {clip_id!r} is already in line {self._first_lines[clip_id]}")
        else:
            self._first_lines[clip_id] = line
            return True
        return False

    def _class_of(self, row: dict[str, str], columns: list[str], line: int) -> int | None:
        if columns == ["prediction"]:
            if row["prediction"] in self._names:
                return self._names.index(row["prediction"])
            self._faults.add("label", line, f"unknown label {row['prediction']!r}; known: {', '.join(self._names)}")
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

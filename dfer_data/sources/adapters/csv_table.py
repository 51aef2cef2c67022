"""A user's table: a CSV file with columns path and label, and optionally labels, split, fold and subject."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dfer_data.sources.annotation import decoded
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.catalog import not_there
from dfer_data.sources.listed_paths import LABEL_WORDS, PATH_WORDS, SPLITS, VALIDATION, ListedPath, list_lines
from dfer_data.sources.tree import DatasetTree, scan
from dfer_data.storage.csv_text import csv_rows, separator_of
from dfer_data.wording import counted

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": PATH_WORDS,
    "label": LABEL_WORDS,
    "labels": ("labels", "emotions", "classes"),
    "split": ("split", "part", "set"),
    "fold": ("fold",),
    "subject": ("subject", "group", "person", "actor"),
}
_MAY_BE_EMPTY = ("subject", "labels")
_Row = tuple[str, Mapping[str, str]]


def list_table(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List the clips that a CSV file names; `root` is the file, or the folder that holds it as its only table.

    `labels` has all labels of a clip, with | between them and `label` among them; empty: `label` alone. With `fold`
    alone, a clip is tested in that fold and trained on in all others. With `split` alone there is one fold, with
    neither there are none. See Source.
    """
    tree, name = _find_table(root)
    faults: list[str] = []
    rows = list(_rows(tree.root, name, faults))
    lines = list(_lines(rows, faults))
    return list_lines("csv", tree, lines, layout=layout, crops=crops, faults=faults, fold_rule=f"as {name} says")


def _find_table(root: Path) -> tuple[DatasetTree, str]:
    if root.is_file():
        return scan(root.parent, dataset="csv"), root.name
    tree = scan(root, dataset="csv")
    tables = [path for path in tree.files if "/" not in path and path.lower().endswith((".csv", ".tsv"))]
    if len(tables) != 1:
        raise not_there(
            "csv", f"{root} holds {counted(len(tables), 'table')} ({', '.join(tables) or 'no .csv or .tsv'})"
        )
    return tree, tables[0]


def _rows(root: Path, name: str, faults: list[str]) -> Iterator[_Row]:
    """Yield (`file:line`, column -> cell) per row; add faults of the header and of rows to `faults`."""
    text = decoded(root, name, faults)
    if text is None:
        return
    try:
        table = list(csv_rows(text, delimiter=separator_of(text, *_COLUMNS["path"])))
    except ValueError as error:
        faults.append(f"{name}: is not CSV ({error}); check the quotes around this line")
        return
    header = [cell.strip().lower() for cell in (table[0][1] if table else [])]
    indices = {column: [i for i, word in enumerate(header) if word in words] for column, words in _COLUMNS.items()}
    columns = ", ".join(header) or "(nothing)"
    faults += [f"{name}:1: no column {column} in: {columns}" for column in ("path", "label") if not indices[column]]
    faults += [f"{name}:1: two columns mean {column}: {columns}" for column, i in indices.items() if len(i) > 1]
    for line, cells in [] if faults else table[1:]:
        where = f"{name}:{line}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            faults.append(f"{where}: {counted(len(cells), 'cell')}, the header has {len(header)}")
            continue
        row = {column: cells[i[0]].strip() for column, i in indices.items() if i}
        if empty := [column for column in row if column not in _MAY_BE_EMPTY and not row[column]]:
            faults.append(f"{where}: {' and '.join(empty)} missing")
        else:
            yield where, row


def _lines(rows: Sequence[_Row], faults: list[str]) -> Iterator[ListedPath]:
    """Yield one line per row and fold that the row belongs to."""
    has_test = any(SPLITS.get(row.get("split", "").lower()) == "test" for _, row in rows)
    folds = sorted({_fold(row["fold"]) for _, row in rows if "fold" in row})
    for where, row in rows:
        labels = _all_labels(where, row, faults)
        fold, word = _fold(row.get("fold", "")), row.get("split", "").lower()
        split = SPLITS.get(word, "train" if has_test else "test")  # with a test split, validation clips are trained on
        if "fold" in row and not (re.fullmatch(r"[0-9]{1,255}", fold) and int(fold) >= 1):
            faults.append(f"{where}: fold {fold!r}; a whole number from 1 is needed")
        elif "split" in row and word not in (*SPLITS, *VALIDATION):
            faults.append(f"{where}: split {row['split']!r}; known: train, test, val")
        elif "split" in row or "fold" not in row:
            name = fold or ("1" if "split" in row else "")
            yield ListedPath(row["path"], row["label"], name, split, where, row.get("subject") or None, labels=labels)
        else:
            for name in folds:
                split = SPLITS["test" if name == fold else "train"]
                yield ListedPath(
                    row["path"], row["label"], name, split, where, row.get("subject") or None, labels=labels
                )


def _fold(cell: str) -> str:
    """Return the number of a fold without leading zeros, by which commands name it; another cell as it is."""
    return cell.lstrip("0") if re.fullmatch("0*[1-9][0-9]*", cell) else cell


def _all_labels(where: str, row: Mapping[str, str], faults: list[str]) -> tuple[str, ...] | None:
    """Return the labels of a row; None where the table has no column for several."""
    if "labels" not in row:
        return None
    labels = tuple(dict.fromkeys(word for part in row["labels"].split("|") if (word := part.strip())))
    if labels and row["label"] not in labels:
        faults.append(f"{where}: label {row['label']!r} is not among the labels {row['labels']!r}")
    return labels or (row["label"],)

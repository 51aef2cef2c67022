"""Runs of random predictions, and their figures by scikit-learn from the predictions on disk."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import write_predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.types import Report
from lstpnet.runs import PREDICTIONS_NAME, write_run
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
CONTROL = "shuffled-frames"


def write_folds(
    root: Path,
    *,
    folds: Sequence[int] = (1, 2, 3),
    seeds: Sequence[int] = (0, 1),
    checkpoints: Sequence[str] = ("last", "best"),
    synthetic: bool = False,
    faceless: bool = True,
) -> Path:
    """Write runs of random predictions; fold 2 has no clip of disgust, some clips have no face."""
    for fold in folds:
        for seed in seeds:
            rng = np.random.default_rng((fold, seed))
            number = 40 + 7 * fold
            classes = [name for name in NAMES if not (fold == 2 and name == "disgust")]
            labels = tuple(classes[i % len(classes)] for i in range(number))
            clip_ids = tuple(f"{1000 * fold + i:05d}" for i in range(number))
            has_face = rng.random(number) > (0.1 if faceless else -1)
            parts = [
                Predictions(clip_ids, labels, rng.normal(size=(number, 7)).astype(np.float32), has_face, name, control)
                for name in checkpoints
                for control in (("", CONTROL) if name == "last" else ("",))
            ]
            info = run_info(
                recipe="dfew_100%",
                fold=fold,
                seed=seed,
                class_names=NAMES,
                n_train=100 + fold,
                n_val=10,
                synthetic=synthetic,
                protocol=f"sampler segments-8x2; official fold {fold}; seed {seed}; selection: last | best",
                checkpoints=tuple(checkpoints),
            )
            folder = root / "dfew-retinaface" / "dfew_100%" / f"fold-{fold}" / f"seed-{seed}"
            write_predictions(folder, parts)
            write_run(folder, info)
    return root


def report_of(root: Path) -> Report:
    return build_report(*load_runs(find_runs(root)))


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """WAR, UAR, recalls by scikit-learn; `table` has label and guess."""
    present = sorted(set(table["label"]))
    macro = reference.recall_score(table["label"], table["guess"], labels=present, average="macro", zero_division=0)
    each = reference.recall_score(table["label"], table["guess"], labels=present, average=None, zero_division=0)
    recall = dict.fromkeys(NAMES) | dict(zip(present, each.tolist(), strict=True))
    guessed = sorted(set(table["guess"]))
    each = reference.precision_score(table["label"], table["guess"], labels=guessed, average=None, zero_division=0)
    f1 = reference.f1_score(table["label"], table["guess"], labels=present, average=None, zero_division=0)
    return {
        "n": len(table),
        "war": float(reference.accuracy_score(table["label"], table["guess"])),
        "uar": float(macro),
        "macro_f1": float(np.mean(f1)),
        "recall": recall,
        "f1": dict.fromkeys(NAMES) | dict(zip(present, f1.tolist(), strict=True)),
        "precision": dict.fromkeys(NAMES) | dict(zip(guessed, each.tolist(), strict=True)),
        "num_classes_present": len(present),
        "confusion": reference.confusion_matrix(table["label"], table["guess"], labels=NAMES).tolist(),
    }


def one(root: Path, fold: int, seed: int, checkpoint: str, control: str = "") -> pd.DataFrame:
    path = root / "dfew-retinaface" / "dfew_100%" / f"fold-{fold}" / f"seed-{seed}" / PREDICTIONS_NAME
    table = pd.read_parquet(path)
    table = table[(table["checkpoint"] == checkpoint) & (table["control"] == control)]
    return table.assign(guess=[NAMES[int(np.argmax(logits))] for logits in table["logits"]])


def mean_figures(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("war", "uar", "macro_f1")
    found: dict[str, Any] = {name: float(np.mean([part[name] for part in parts])) for name in names}
    for key in ("recall", "precision", "f1"):
        there = {name: [part[key][name] for part in parts if part[key][name] is not None] for name in NAMES}
        found[key] = {name: float(np.mean(values)) if values else None for name, values in there.items()}
    return found | {"confusion": None}


@functools.cache
def expected(root: Path, fold: Any, seed: Any, checkpoint: str, control: str, *, faces: bool = False) -> dict[str, Any]:
    """The figures of a row, named by its fold and seed, from the files."""
    if seed == "mean":
        return mean_figures([expected(root, fold, each, checkpoint, control, faces=faces) for each in (0, 1)])
    tables = {number: one(root, number, seed, checkpoint, control) for number in (1, 2, 3)}
    tables = {number: table[table["has_face"]] if faces else table for number, table in tables.items()}
    if fold == "pooled":
        return figures(pd.concat(tables.values()))
    if fold == "mean":
        parts = [figures(table) for table in tables.values()]
        total = {"n": sum(part["n"] for part in parts), "num_classes_present": 6}
        return mean_figures(parts) | total
    return figures(tables[fold])


def check(row: Mapping[str, Any], root: Path, *, tolerance: float, scale: float = 1.0) -> None:
    """Compare WAR, UAR, recalls, precisions, confusion and the figures on clips with a face of one row."""
    where = (row["fold"], row["seed"], row["checkpoint"], row.get("control") or "")
    wanted, faces = expected(root, *where), expected(root, *where, faces=True)
    for name in ("war", "uar"):
        assert row[name] == pytest.approx(scale * wanted[name], abs=tolerance), (where, name)
        assert row[f"{name}_with_face"] == pytest.approx(scale * faces[name], abs=tolerance), (where, name)
    if "macro_f1" in row:
        assert row["macro_f1"] == pytest.approx(scale * wanted["macro_f1"], abs=tolerance), where
    for key in ("recall", "precision", "f1"):
        for name, value in row[key].items():
            assert (value is None) == (wanted[key][name] is None), (where, key, name)
            assert value is None or value == pytest.approx(scale * wanted[key][name], abs=tolerance), (where, key, name)
    if "confusion" in row:
        assert row["confusion"] == wanted["confusion"], where


def cells_of_markdown(text: str) -> list[list[str]]:
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.replace("\\", "") for cell in row] for row in rows]


def named(cells: Mapping[str, str]) -> dict[str, Any]:
    """What a line of a table is about."""
    words = {name: cells[name].partition(" of ")[0] for name in ("fold", "seed")}
    row: dict[str, Any] = {name: int(word) if word.isdigit() else word for name, word in words.items()}
    return row | {"checkpoint": cells["checkpoint"], "control": cells.get("control", "")}

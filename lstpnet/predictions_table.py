"""predictions.parquet of a run: write the rows of predictions, and read them back checked."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.predictions import CHECKPOINTS, CONTROL_NAMES, Predictions
from lstpnet.run_files import NEXT_STEP, Files, check_file, facts_of, write_run_file
from lstpnet.runs import PREDICTIONS_NAME, RUN_NAME, RunInfo, refuse_half_withdrawn

ATTENTION = "attention"
"""Column of predictions.parquet that only models with attention over time have."""


def write_predictions(folder: Path, parts: Sequence[Predictions]) -> Files:
    """Write predictions.parquet with the rows of all `parts` in order, replacing an older file; returns its facts."""
    content = predictions_table(parts)
    write_run_file(folder / PREDICTIONS_NAME, content)
    return {PREDICTIONS_NAME: facts_of(content)}


def read_predictions(folder: Path, info: RunInfo) -> tuple[Predictions, ...]:
    """Read predictions.parquet of a run, one entry per checkpoint and control.

    Raises CorruptDataError if it is missing, damaged or does not match run.json: its hash there, classes, checkpoints,
    and the numbers of clips in the protocol; and while clips are withdrawn from the run.
    """
    import pyarrow as pa

    refuse_half_withdrawn(folder)
    path = folder / PREDICTIONS_NAME
    try:
        content = check_file(path, path.read_bytes(), info.files.get(PREDICTIONS_NAME))
        predictions = parse_predictions(content, class_names=info.class_names, checkpoints=info.checkpoints)
        if fault := protocol_fault(info, predictions):
            raise ValueError(fault)
        return predictions
    except FileNotFoundError as error:
        words = f"{path} is missing, though {RUN_NAME} marks the run as finished"
        raise CorruptDataError(f"{words}; {NEXT_STEP}") from error
    except (OSError, ValueError, TypeError, UsageError, pa.ArrowException) as error:
        raise CorruptDataError(f"{path} is damaged: {error}; {NEXT_STEP}") from error


def protocol_fault(info: RunInfo, predictions: Sequence[Predictions]) -> str:
    """Return how the numbers of test clips in the protocol line differ from the predictions; empty if they agree."""
    match = re.search(r"\bn_test (\d+)(?: \((\d+) without a face)?", info.protocol)
    if match is None:
        return ""
    for part in predictions:
        counts = (len(part.clip_ids), int((~part.has_face).sum()))
        for name, stated, count in zip(("test clips", "clips without a face"), match.groups(), counts, strict=True):
            if stated is not None and int(stated) != count:
                return f"it has {count} {name}, the protocol in {RUN_NAME} has {stated}"
    return ""


def predictions_table(parts: Sequence[Predictions]) -> bytes:
    """Return predictions.parquet with the rows of all `parts` in order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(with_attention=any(part.attention is not None for part in parts))
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for part in parts:
        columns["clip_id"] += part.clip_ids
        columns["label"] += part.labels
        columns["checkpoint"] += [part.checkpoint] * len(part.clip_ids)
        columns["control"] += [part.control] * len(part.clip_ids)
        columns["has_face"] += part.has_face.tolist()
        columns["logits"] += list(part.logits.astype(np.float32))
        if ATTENTION in columns:
            columns[ATTENTION] += _rows_or_nulls(part)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns, schema=schema), buffer, write_page_checksum=True)
    return buffer.getvalue()


def parse_predictions(
    content: bytes, *, class_names: Sequence[str], checkpoints: Sequence[str]
) -> tuple[Predictions, ...]:
    """Return the predictions in the bytes of a predictions.parquet, one entry per checkpoint and control.

    Raises ValueError for missing columns, unknown labels, other classes or checkpoints; pyarrow's ArrowException for
    bytes that are no table.
    """
    from dfer_data.storage.parquet import read_table

    table = read_table(content, page_checksum_verification=True)
    missing = [name for name in _schema().names if name not in table.column_names]
    if missing:
        raise ValueError(f"no column {', '.join(missing)}")
    schema = _schema(with_attention=ATTENTION in table.column_names)
    rows = table.select(schema.names).cast(schema)
    return _split_by_checkpoint(rows, class_names=class_names, checkpoints=checkpoints)


def _schema(*, with_attention: bool = False) -> Any:
    import pyarrow as pa

    text_columns = [(name, pa.string()) for name in ("clip_id", "label", "checkpoint", "control")]
    attention = [(ATTENTION, pa.list_(pa.float32()))] if with_attention else []
    return pa.schema([*text_columns, ("has_face", pa.bool_()), ("logits", pa.list_(pa.float32())), *attention])


def _rows_or_nulls(part: Predictions) -> list[npt.NDArray[np.float32] | None]:
    """Return the attention of each clip, None for a clip without one."""
    if part.attention is None:
        return [None] * len(part.clip_ids)
    return [None if np.isnan(row).all() else row.astype(np.float32) for row in part.attention]


def _split_by_checkpoint(
    table: Any, *, class_names: Sequence[str], checkpoints: Sequence[str]
) -> tuple[Predictions, ...]:
    nulls = [name for name in table.column_names if name != ATTENTION and table[name].null_count]
    if nulls:
        raise ValueError(f"empty cells in {', '.join(nulls)}")
    columns = {name: table[name].to_pylist() for name in table.column_names}
    if unknown := sorted(set(columns["label"]) - set(class_names)):
        raise ValueError(f"label {unknown[0]!r} is not a class of the run")
    widths = {len(row) for row in columns["logits"]}
    if widths != {len(class_names)}:
        raise ValueError(f"rows of {sorted(widths)} logits for {len(class_names)} classes")
    row_numbers: dict[tuple[str, str], list[int]] = {}
    for row_number, key in enumerate(zip(columns["checkpoint"], columns["control"], strict=True)):
        row_numbers.setdefault(key, []).append(row_number)
    predictions = {key: _select_rows(columns, key, numbers) for key, numbers in row_numbers.items()}
    missing = [name for name in checkpoints if (name, "") not in predictions]
    extra = sorted({name for name, _ in predictions} - set(checkpoints))
    if missing or extra:
        raise ValueError(f"the run has the checkpoints {checkpoints}, but rows lack {missing}, add {extra}")
    if len({frozenset(predictions[name, ""].clip_ids) for name in checkpoints}) > 1:
        raise ValueError("the checkpoints predict different clips")
    order = sorted(predictions, key=lambda key: (CHECKPOINTS.index(key[0]), CONTROL_NAMES.index(key[1])))
    return tuple(predictions[key] for key in order)


def _select_rows(columns: dict[str, list[Any]], key: tuple[str, str], numbers: Sequence[int]) -> Predictions:
    return Predictions(
        clip_ids=tuple(columns["clip_id"][i] for i in numbers),
        labels=tuple(columns["label"][i] for i in numbers),
        logits=np.array([columns["logits"][i] for i in numbers], np.float32),
        has_face=np.array([columns["has_face"][i] for i in numbers], np.bool_),
        checkpoint=key[0],
        control=key[1],
        attention=_stack_attention([columns[ATTENTION][i] for i in numbers] if ATTENTION in columns else []),
    )


def _stack_attention(rows: Sequence[list[float] | None]) -> npt.NDArray[np.float32] | None:
    """Return (N, T) with a NaN row for each None; None if all rows are None."""
    widths = {len(row) for row in rows if row is not None}
    if not widths:
        return None
    if len(widths) > 1:
        raise ValueError(f"attention rows of different lengths: {sorted(widths)} frames")
    nan_row = [np.nan] * widths.pop()
    return np.array([nan_row if row is None else row for row in rows], np.float32)

"""Take withdrawn clips out of a run: predictions go, hashes are renewed, and the run states how many they were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dfer_data.errors import CorruptDataError
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.changeset import NEXT, Changeset, finish_change
from dfer_data.storage.folder import FolderTarget
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import predictions_table, read_predictions
from lstpnet.run_files import facts_of, locked_run
from lstpnet.runs import PREDICTIONS_NAME, RUN_NAME, RunInfo, is_half_withdrawn, read_run, run_bytes
from lstpnet.verification.verify_run import seal_run
from lstpnet.withdrawal.names import Names

_NOTE_START, _NOTE_END = "> Withdrawn after training: ", ". The figures below include them.\n\n"
_TEST_CLIPS = re.compile(r"n_test \d+(?: \(\d+ without a face)?")


def withdrawn_clips(folder: Path, names: Names) -> int:
    """Return how many withdrawn clips the predictions of a run name; -1 if an interrupted withdrawal must be finished.

    Raises CorruptDataError for predictions that cannot be read.
    """
    import pyarrow as pa

    from dfer_data.storage.parquet import read_table

    if is_half_withdrawn(folder):
        return -1
    path = folder / PREDICTIONS_NAME
    if not path.is_file():
        return 0
    try:
        ids = read_table(path, columns=["clip_id"])["clip_id"].unique().to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise CorruptDataError(f"{path} is damaged: {error}") from error
    return sum(names.has(str(clip_id)) for clip_id in ids)


def withdraw_from_run(folder: Path, names: Names) -> int:
    """Take withdrawn clips out of a run, and return how many it named; a kill leaves the run as it was, or this call.

    A run without test clips that are left keeps its weights and has no predictions. A run of dfer 0.1 gets hashes.
    Raises LockedError during its training, CorruptDataError for a damaged run, which is left as it is.
    """
    with locked_run(folder):
        place = FolderTarget(folder).with_work(folder / NEXT)
        finish_change(place)
        if not withdrawn_clips(folder, names):
            return 0
        info = _sealed(folder)
        parts = read_predictions(folder, info)
        gone = {clip_id for part in parts for clip_id in part.clip_ids if names.has(clip_id)}
        kept = [part for part in (_without(part, gone) for part in parts) if part is not None]
        card = (folder / CARD_NAME).read_bytes() if CARD_NAME in info.files else b""
        info = _restated(info, kept, num_withdrawn=info.num_withdrawn + len(gone))
        _commit(place, info, kept, _noted(card, info.num_withdrawn))
        return len(gone)


def _sealed(folder: Path) -> RunInfo:
    """Return run.json of a run that has no fault and has hashes. Raises CorruptDataError."""
    if damages := seal_run(folder).damages:
        raise CorruptDataError(f"{folder} is damaged: {damages[0].file} {damages[0].message}; withdraw it by hand")
    return read_run(folder)


def _without(part: Predictions, gone: set[str]) -> Predictions | None:
    """Return predictions without these clips; None if none is left."""
    rows = np.flatnonzero([clip_id not in gone for clip_id in part.clip_ids])
    if not len(rows):
        return None
    return replace(
        part,
        clip_ids=tuple(part.clip_ids[row] for row in rows),
        labels=tuple(part.labels[row] for row in rows),
        logits=part.logits[rows],
        has_face=part.has_face[rows],
        attention=None if part.attention is None else part.attention[rows],
    )


def _restated(info: RunInfo, kept: Sequence[Predictions], *, num_withdrawn: int) -> RunInfo:
    """Return the content of run.json with the numbers of the test clips that are left."""
    num_clips = len(kept[0].clip_ids) if kept else 0
    num_faceless = int((~kept[0].has_face).sum()) if kept else 0

    def counted(match: re.Match[str]) -> str:
        return f"n_test {num_clips}" + (f" ({num_faceless} without a face" if "(" in match[0] else "")

    words = "withdrawn after the training"
    parts = [part for part in _TEST_CLIPS.sub(counted, info.protocol, count=1).split("; ") if not part.endswith(words)]
    protocol = "; ".join(filter(None, [*parts, f"{num_withdrawn} test clips {words}"]))
    return replace(info, protocol=protocol, num_withdrawn=num_withdrawn)


def _noted(card: bytes, num_withdrawn: int) -> bytes:
    """Return the model card with a note before its first heading that some of its clips were withdrawn."""
    text = card.decode("utf-8", "surrogateescape")
    note = f"{_NOTE_START}{num_withdrawn} test clips{_NOTE_END}"
    text = re.sub(f"{re.escape(_NOTE_START)}.*{re.escape(_NOTE_END)}", "", text)
    head, mark, rest = text.partition("## Results\n")
    return f"{head}{note if mark else ''}{mark}{rest}".encode("utf-8", "surrogateescape")


def _commit(place: FolderTarget, info: RunInfo, kept: Sequence[Predictions], card: bytes) -> None:
    """Change predictions, card and run.json together."""
    files, changes = dict(info.files), Changeset(place)
    if kept:
        content = predictions_table(kept)
        files[PREDICTIONS_NAME] = facts_of(content)
        changes.put(PREDICTIONS_NAME, content)
    else:
        files.pop(PREDICTIONS_NAME, None)
        changes.remove(PREDICTIONS_NAME)
    if CARD_NAME in files:
        files[CARD_NAME] = facts_of(card)
        changes.put(CARD_NAME, card)
    changes.put(RUN_NAME, run_bytes(place.root, info, files=files))
    changes.commit()

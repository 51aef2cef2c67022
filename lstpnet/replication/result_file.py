"""The file that a lab sends: what was measured, with ids and logits, and no picture, path or name of a machine.

A zip of two members, never compressed and without dates, so that equal results have equal bytes:

    replication.json    claim, numbers of the data, figures, verdict, versions; canonical JSON with its own sha256
    clips.csv           fold, seed, clip_id, label, num_frames, prior, and one logit per class
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.inspection.official_check import Number
from dfer_data.storage.files import read_sealed, regular_file, sealed_json, write_atomically
from lstpnet.replication.claim import Claim
from lstpnet.replication.figures import DataDifference, FigureCheck, FoldPredictions, Verdict

RESULT_VERSION = 1
MOST_RESULT_BYTES = 20 * 10**6
"""Largest result that is written or read."""
_DOCUMENT, _CLIPS = "replication.json", "clips.csv"
_COLUMNS = ("fold", "seed", "clip_id", "label", "num_frames", "prior")
_NEXT = "ask for it again; `dfer replicate NAME` writes it"
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_Text = Annotated[str, pydantic.StringConstraints(max_length=4000)]
_Sha256 = Annotated[str, pydantic.StringConstraints(pattern="^([0-9a-f]{64})?$")]


class _Record(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class DataFacts(_Record):
    """Which data were tested."""

    content_sha256: _Sha256
    labels_sha256: _Sha256
    folds_sha256: _Sha256
    lock_sha256: _Sha256
    """Of the lock that `dfer lock` makes of the data."""
    synthetic: bool
    config: dict[str, Any]
    """Settings of the preparation."""
    tool_versions: dict[str, str]
    """Packages that made the pictures."""


class TestedFold(_Record):
    """The figures of one fold and seed."""

    fold: _Text
    seed: int
    n: int
    """Test clips that count."""
    war: float
    """Fraction 0..1."""
    uar: float
    """Fraction 0..1."""
    protocol: _Text
    """What was measured, in one line."""
    weights_sha256: _Sha256
    """Of the checkpoint's file; empty for a folder."""


class ReplicationDocument(_Record):
    """Content of replication.json."""

    format: Literal["dfer-replication"] = "dfer-replication"
    version: Literal[1] = 1
    name: _Text
    """Of the claim."""
    claim: Claim
    data: DataFacts
    numbers: list[Number]
    """Numbers of the data that were compared, also equal ones."""
    differences: list[DataDifference]
    class_names: list[_Text]
    """In the order of the logits."""
    tested: list[TestedFold]
    checks: list[FigureCheck]
    verdict: Verdict
    versions: dict[str, str]
    machine: dict[str, str]
    clips_sha256: _Sha256
    """Of clips.csv."""
    sha256: _Sha256 = ""
    """Of this document."""


def result_bytes(document: ReplicationDocument, parts: Sequence[FoldPredictions]) -> bytes:
    """Return the file of a result. Raises UsageError if it is larger than 20 MB."""
    clips = _clips_bytes(parts, document.class_names)
    body = document.model_dump(mode="json", exclude={"sha256"}) | {"clips_sha256": hashlib.sha256(clips).hexdigest()}
    content = _zip({_DOCUMENT: sealed_json(body), _CLIPS: clips})
    if len(content) > MOST_RESULT_BYTES:
        raise UsageError(f"the result has {len(content) / 1e6:.0f} MB, more than 20: test fewer folds or seeds at once")
    return content


def write_result(path: Path, document: ReplicationDocument, parts: Sequence[FoldPredictions]) -> int:
    """Write the file of a result, and return its size in bytes."""
    content = result_bytes(document, parts)
    write_atomically(path, content)
    return len(content)


def read_result(path: Path) -> tuple[ReplicationDocument, tuple[FoldPredictions, ...]]:
    """Read the file of a result. At most 20 MB are read, and nothing is unpacked.

    Raises UsageError for a file that cannot be read, FormatVersionError for one of a newer dfer, CorruptDataError for
    any byte that this dfer would not have written.
    """
    try:
        with regular_file(path) as file:
            content = file.read(MOST_RESULT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    members = _members(content, path=path)
    sealed = read_sealed(members[_DOCUMENT], name=str(path), version=RESULT_VERSION, next_step=_NEXT)
    try:
        document = ReplicationDocument.model_validate_json(members[_DOCUMENT])
        parts = _parts(members[_CLIPS], document.class_names)
        is_same = _clips_bytes(parts, document.class_names) == members[_CLIPS]
    except (ValueError, KeyError, IndexError, csv.Error, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CorruptDataError(f"{path}: no dfer wrote this result ({reason}); {_NEXT}") from error
    if not is_same or hashlib.sha256(members[_CLIPS]).hexdigest() != sealed["clips_sha256"]:
        raise CorruptDataError(f"{path}: its predictions were changed; {_NEXT}")
    return document, parts


def _members(content: bytes, *, path: Path) -> dict[str, bytes]:
    """Return the members of a zip that is, byte for byte, what `_zip` makes of them."""
    members: dict[str, bytes] = {}
    try:
        if len(content) <= MOST_RESULT_BYTES:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                infos = archive.infolist()
                is_plain = [info.filename for info in infos] == [_DOCUMENT, _CLIPS] and all(
                    info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size <= len(content)
                    for info in infos
                )
                members = {info.filename: archive.read(info) for info in infos} if is_plain else {}
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, KeyError, OverflowError):
        members = {}
    if not members or _zip(members) != content:
        raise CorruptDataError(f"{path} is not a result as dfer writes it, or was changed; {_NEXT}")
    return members


def _zip(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _NO_DATE)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, content)
    return file.getvalue()


def _clips_bytes(parts: Sequence[FoldPredictions], class_names: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *class_names])
    for part in parts:
        columns = (part.clip_ids, part.labels, part.num_frames, part.priors, part.logits)
        for clip_id, label, num_frames, prior, logits in zip(*columns, strict=True):
            values = [""] * len(class_names) if prior else [str(value) for value in logits]
            writer.writerow([part.fold, part.seed, clip_id, label, num_frames, prior, *values])
    return text.getvalue().encode("utf-8")


def _parts(content: bytes, class_names: Sequence[str]) -> tuple[FoldPredictions, ...]:
    """Return the predictions of clips.csv. Raises ValueError and its relatives for what is not of that form."""
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8")), strict=True)
    if header != [*_COLUMNS, *class_names] or not rows:
        raise ValueError("clips.csv has other columns than the document names")
    groups: dict[tuple[str, int], list[list[str]]] = {}
    for row in rows:
        groups.setdefault((row[0], int(row[1])), []).append(row)
    return tuple(_part(fold, seed, group, class_names) for (fold, seed), group in groups.items())


def _part(fold: str, seed: int, rows: Sequence[Sequence[str]], class_names: Sequence[str]) -> FoldPredictions:
    ids, labels, numbers, priors = zip(*(row[2:6] for row in rows), strict=True)
    logits = np.zeros((len(rows), len(class_names)), np.float32)
    for index, (row, prior) in enumerate(zip(rows, priors, strict=True)):
        if not prior:
            logits[index] = [np.float32(value) for value in row[6:]]
    if not np.isfinite(logits).all():
        raise ValueError("a logit is not finite")
    if len(set(ids)) != len(ids):
        raise ValueError(f"fold {fold}, seed {seed} has a clip twice")
    return FoldPredictions(fold, seed, ids, labels, tuple(map(int, numbers)), priors, logits)

"""Export clips of a prepared dataset: resumable, and with the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dfer_data.errors import ConfigMismatchError, CorruptDataError, UsageError
from dfer_data.exchange.base import ExportFormat
from dfer_data.exchange.clip_source import ClipSource
from dfer_data.exchange.common_tables import common_tables
from dfer_data.exchange.manifest import (
    EXPORT_NAME,
    EXPORT_VERSION,
    EXPORT_WORK,
    SUMS_NAME,
    read_export,
    sums_bytes,
)
from dfer_data.exchange.pieces import Hashes, OnClip, finished_files, held_export, write_pieces
from dfer_data.exchange.registry import format_class
from dfer_data.exchange.selection import select
from dfer_data.exchange.settings import ExportSettings
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.storage.files import (
    atomic_file,
    canonical_json,
    read_regular,
    sealed_json,
    write_atomically,
)

_REQUEST = f"{EXPORT_WORK}/request.json"


@dataclass(frozen=True)
class ExportSummary:
    """What an export holds."""

    out: str
    format: str
    num_clips: int
    num_frames: int
    num_files: int
    num_bytes: int
    """Bytes of all files; an estimate for an export that was only planned."""
    num_new_files: int
    """Files that this call wrote; the others were there."""
    num_without_face: int
    """Clips of the folds without a face, which are not in the export."""
    num_skipped: int
    """Clips without a label or fold, left out by `unlisted="skip"`."""
    num_without_sound: int
    """Clips that are not in the export because they have no sound; 0 for formats without sound."""


def export(
    root: Path | str,
    *,
    format: str,
    out: Path | str,
    fold: str | int = "all",
    fold_set: str = "official",
    frames: str | int = "all",
    label_order: str | Path = "",
    media: str = "frames",
    paths: str = "relative",
    unlisted: str = "refuse",
    on_clip: OnClip = lambda done, total: None,
) -> ExportSummary:
    """Export the clips of a prepared dataset to the folder `out`, as `dfer export` does.

    Args:
        root: folder or URL of the prepared dataset.
        format: name of the format; see `ExportSettings` for this and the further settings.
        out: a new or empty folder, or one where the same export was interrupted, which is resumed.
        fold: `all`, or numbers of folds.
        fold_set: name of the set of folds.
        frames: `all`, or 16: the frames that are tested.
        label_order: order of the classes.
        media: of videomae: `frames` or `mp4`.
        paths: `relative` or `absolute`.
        unlisted: `refuse` or `skip` clips that lists cannot hold.
        on_clip: called after each clip.

    Raises UsageError for a request that cannot be met, ConfigMismatchError for a folder with another export,
    LockedError, CorruptDataError, OSError when the disk fails.
    """
    values: dict[str, Any] = {"fold": str(fold), "frames": str(frames), "label_order": str(label_order)}
    values |= {"fold_set": fold_set, "media": media, "paths": paths, "unlisted": unlisted}
    settings = ExportSettings(format=format, **values)
    return run_export(root, settings, Path(out), on_clip=on_clip)


def plan_export(root: Path | str, settings: ExportSettings, out: Path) -> ExportSummary:
    """Return what `run_export` would write, and about how many bytes; write nothing. Raises what it raises."""
    dataset = open_dataset(root)
    exporter = exporter_of(dataset, settings, out)
    _refuse_foreign(out, _request(dataset, exporter), dataset)
    num_bytes, num_files = _planned_bytes(exporter), _planned_files(exporter, dataset)
    return _summary(exporter, dataset, out, num_files=num_files, num_bytes=num_bytes, num_new_files=num_files)


def run_export(
    root: Path | str, settings: ExportSettings, out: Path, *, on_clip: OnClip = lambda done, total: None
) -> ExportSummary:
    """Export clips, or finish or repair an export of the same request; see `export`."""
    dataset = open_dataset(root)
    exporter = exporter_of(dataset, settings, out)
    request = _request(dataset, exporter)
    _refuse_foreign(out, request, dataset)
    if not finished_files(out):
        _refuse_full_disk(out, exporter)
    with held_export(out):
        _refuse_foreign(out, request, dataset)
        write_atomically(out / _REQUEST, canonical_json(request))
        before = finished_files(out)
        hashes, num_new = write_pieces(exporter, out, before, on_clip=on_clip)
        return finish_export(exporter, dataset, out, request, hashes, num_new=num_new)


def exporter_of(
    dataset: PreparedDataset,
    settings: ExportSettings,
    out: Path,
    *,
    without: Collection[str] = (),
    numbers: Mapping[str, int] | None = None,
) -> ExportFormat:
    """Return what writes an export; `numbers`: label numbers, in place of those of the settings."""
    kind = format_class(settings.format)
    chosen = select(
        dataset,
        settings,
        needs_lists=kind.needs_lists,
        needs_sound=kind.needs_sound,
        without=without,
        numbers=numbers,
    )
    source = ClipSource(dataset, only_16=settings.frames == "16")
    return kind(chosen, source, dataset=str(dataset.document["dataset"]), root=out.resolve().as_posix())


def _request(dataset: PreparedDataset, exporter: ExportFormat) -> dict[str, Any]:
    """Return what decides the bytes of an export; the order of classes as their numbers, which a file may give."""
    document, settings = dataset.document, exporter.selection.settings
    return {
        "version": EXPORT_VERSION,
        "settings": {**asdict(settings), "label_order": ""},
        "label_numbers": dict(exporter.selection.numbers),
        "dataset": str(document["dataset"]),
        "dataset_sha256": str(document["sha256"]),
        "out": exporter.root if settings.paths == "absolute" else "",
    }


def _refuse_foreign(out: Path, request: Mapping[str, Any], dataset: PreparedDataset) -> None:
    """Raise unless a folder is new, empty, or holds this export, finished or not."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; choose another folder")
    inside = out.resolve()
    if inside == dataset.root.resolve() or inside.is_relative_to(dataset.root.resolve()):
        raise UsageError(f"--out {out} is in the prepared dataset, whose files are all known; choose another folder")
    if (out / EXPORT_NAME).is_file():
        document = read_export(out)
        if document.get("withdrawn_clips"):
            raise ConfigMismatchError(
                f"{out} is an export that clips were withdrawn from; choose another --out, and delete this folder"
            )
        _refuse_difference(out, document["request"], request)
    elif (out / _REQUEST).is_file():
        try:
            stored = json.loads(read_regular(out / _REQUEST))
        except ValueError as error:
            raise CorruptDataError(f"{out / _REQUEST} was changed; delete {out} and export again") from error
        _refuse_difference(out, stored, request)
    elif out.is_dir() and (names := sorted(os.listdir(out))) and names != [EXPORT_WORK]:
        raise UsageError(f"--out {out} is not empty (it has {names[0]}); choose a new folder")


def _refuse_difference(out: Path, stored: Any, request: Mapping[str, Any]) -> None:
    if stored == request:
        return
    old = {**stored, **stored.get("settings", {})} if isinstance(stored, dict) else {}
    new = {**request, **request["settings"]}
    names = [name for name in new if name != "settings" and old.get(name) != new[name]]
    words = ", ".join(f"{name} {old.get(name)!s:.40} there, {new[name]!s:.40} now" for name in names)
    raise ConfigMismatchError(f"{out} holds another export ({words}); choose another --out, or delete the folder")


def _planned_bytes(exporter: ExportFormat) -> int:
    """Return about how many bytes an export has."""
    return exporter.num_table_bytes() + sum(map(exporter.num_bytes, exporter.pieces()))


def _planned_files(exporter: ExportFormat, dataset: PreparedDataset) -> int:
    """Return how many files an export has."""
    tables = [*exporter.tables(), *common_tables(exporter, dataset, str(dataset.document["sha256"]))]
    media = sum(len(piece.names) + len(piece.links) for piece in exporter.pieces())
    return media + len(tables) + len((SUMS_NAME, EXPORT_NAME))


def _refuse_full_disk(out: Path, exporter: ExportFormat) -> None:
    """Raise UsageError if the disk has clearly too little space."""
    folder = next(path for path in (out.absolute(), *out.absolute().parents) if path.is_dir())
    needed, free = _planned_bytes(exporter), shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(
            f"--out {out} needs about {needed / 1e6:,.0f} MB, its disk has {free / 1e6:,.0f} MB; choose another disk"
        )


def finish_export(
    exporter: ExportFormat,
    dataset: PreparedDataset,
    out: Path,
    request: Mapping[str, Any],
    hashes: Hashes,
    *,
    num_new: int,
    withdrawn: int = 0,
) -> ExportSummary:
    """Write tables, cards and hashes, and export.json last; after a withdrawal without hashes of the dataset."""
    sha256 = "" if withdrawn else str(dataset.document["sha256"])
    for name, blocks in (*exporter.tables(), *common_tables(exporter, dataset, sha256)):
        hashes[name] = _write_table(out / name, blocks)
        num_new += 1
    sums = sums_bytes(hashes)
    write_atomically(out / SUMS_NAME, sums)
    document = {
        "version": EXPORT_VERSION,
        "format": exporter.name,
        "request": {**request, "dataset_sha256": sha256},
        "content_sha256": "" if withdrawn else dataset.identity().content_sha256,
        "synthetic": bool(dataset.document["synthetic"]),
        "folds": list(exporter.selection.folds),
        "num_clips": len(exporter.selection.clips),
        "sums_sha256": hashlib.sha256(sums).hexdigest(),
        **({"withdrawn_clips": withdrawn} if withdrawn else {}),
    }
    write_atomically(out / EXPORT_NAME, sealed_json(document))
    facts = [os.stat(f"{out}/{name}") for name in (*hashes, SUMS_NAME, EXPORT_NAME)]
    num_bytes = sum({(fact.st_dev, fact.st_ino): fact.st_size for fact in facts}.values())  # hard links once
    return _summary(exporter, dataset, out, num_files=len(facts), num_bytes=num_bytes, num_new_files=num_new)


def _write_table(path: Path, blocks: Iterable[bytes]) -> str:
    """Write a file atomically in blocks; return its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with atomic_file(path) as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def _summary(
    exporter: ExportFormat, dataset: PreparedDataset, out: Path, *, num_files: int, num_bytes: int, num_new_files: int
) -> ExportSummary:
    chosen = exporter.selection
    silent = [clip for clip in chosen.clips if exporter.needs_sound and not exporter.path_of(clip)]
    return ExportSummary(
        out=str(out),
        format=exporter.name,
        num_clips=len(chosen.clips) - len(silent),
        num_frames=sum(clip.num_frames for clip in chosen.clips),
        num_files=num_files,
        num_bytes=num_bytes,
        num_new_files=num_new_files,
        num_without_face=len(chosen.without_face),
        num_skipped=len(chosen.skipped),
        num_without_sound=len(silent),
    )

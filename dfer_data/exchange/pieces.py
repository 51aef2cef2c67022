"""Write the pieces of an export in parallel; those that are finished stay, so that an interrupted export resumes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dfer_data.exchange.base import ExportFormat, Piece
from dfer_data.exchange.manifest import EXPORT_NAME, EXPORT_WORK, SUMS_NAME, file_fault, parse_sums, sums_bytes
from dfer_data.storage.files import read_regular, refuse_unwritable
from dfer_data.storage.folder_lock import hold_lock

_LOG = f"{EXPORT_WORK}/finished"
_WORKERS = min(8, os.cpu_count() or 1)
OnClip = Callable[[int, int], None]
"""Called with the number of finished clips, and of all."""
Hashes = dict[str, str]
"""Path below the export -> sha256."""


@contextmanager
def held_export(out: Path) -> Iterator[None]:
    """Hold the lock of an export; its work folder goes when the export is finished."""
    out.mkdir(parents=True, exist_ok=True)
    refuse_unwritable(out)
    (out / EXPORT_WORK).mkdir(exist_ok=True)

    def in_use(holder: str) -> str:
        return f"{out} is in use by {holder}; wait for it, or choose another --out"

    with hold_lock(out / EXPORT_WORK / "lock", in_use=in_use):
        yield
    if (out / EXPORT_NAME).is_file():
        shutil.rmtree(out / EXPORT_WORK, ignore_errors=True)


def finished_files(out: Path) -> Hashes:
    """Return the files of pieces that are finished, as their hashes say; those of a kill may be cut."""
    hashes: Hashes = {}
    for name in (SUMS_NAME, _LOG):
        if (out / name).is_file():
            hashes |= parse_sums(read_regular(out / name), is_cut=True)
    return hashes


def write_pieces(
    exporter: ExportFormat, out: Path, before: Hashes, *, on_clip: OnClip = lambda done, total: None
) -> tuple[Hashes, int]:
    """Write the pieces that are missing or differ from their hash; return all hashes, and how many files are new."""
    hashes: Hashes = {}
    num_done, num_new, total = 0, 0, len(exporter.selection.clips)
    with (out / _LOG).open("ab") as log, ThreadPoolExecutor(_WORKERS) as pool:
        running: deque[tuple[Piece, Future[tuple[Hashes, bool]]]] = deque()
        try:
            for number, piece in enumerate(exporter.pieces()):
                running.append((piece, pool.submit(_piece, exporter, piece, out, before, number)))
                if len(running) > 4 * _WORKERS:
                    num_new += _collect(running, hashes, log)
                    num_done += len(piece.clips)
                    on_clip(min(num_done, total), total)
            while running:
                num_done += len(running[0][0].clips)
                num_new += _collect(running, hashes, log)
                on_clip(min(num_done, total), total)
        except BaseException:
            for _, future in running:
                future.cancel()
            raise
    return hashes, num_new


def _collect(running: deque[tuple[Piece, Future[tuple[Hashes, bool]]]], hashes: Hashes, log: IO[bytes]) -> int:
    """Wait for the oldest piece and log its hashes; return how many files it wrote."""
    _, future = running.popleft()
    own, is_new = future.result()
    hashes |= own
    if is_new:
        log.write(sums_bytes(own))
        log.flush()
    return len(own) if is_new else 0


def _piece(exporter: ExportFormat, piece: Piece, out: Path, before: Hashes, number: int) -> tuple[Hashes, bool]:
    """Write a piece unless it is there; return its hashes, and whether it was written."""
    names = [*piece.names, *(new for _, new in piece.links)]
    if all(name in before for name in names) and not any(file_fault(out, name, before[name]) for name in names):
        return {name: before[name] for name in names}, False
    work = out / EXPORT_WORK / f"{number:08d}"
    shutil.rmtree(work, ignore_errors=True)
    hashes: Hashes = {}
    folders: set[str] = set()
    for name, content in exporter.files(piece):
        if (folder := name.rpartition("/")[0]) not in folders:
            (work / folder).mkdir(parents=True, exist_ok=True)
            folders.add(folder)
        with open(f"{work}/{name}", "wb", buffering=len(content) + 1) as file:  # one write; a Path would take as long
            file.write(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    if piece.folder and not (out / piece.folder).exists():
        (out / piece.folder).parent.mkdir(parents=True, exist_ok=True)
        (work / piece.folder).rename(out / piece.folder)
    else:
        for name in hashes:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).replace(out / name)
    for name, new in piece.links:
        _link(out / name, out / new)
        hashes[new] = hashes[name]
    shutil.rmtree(work, ignore_errors=True)
    return hashes, True


def _link(path: Path, new: Path) -> None:
    """Give a file another name; a copy where the disk has no hard links."""
    new.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    try:
        os.link(path, new)
    except OSError:
        shutil.copyfile(path, new)

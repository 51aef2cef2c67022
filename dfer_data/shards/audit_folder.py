"""The folder `audit` of a prepared dataset: its names; audit.json and labels.json hold the hashes of its other files.

An audit is not part of the dataset: dataset.json does not list it, and deleting the folder loses nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.base import Target
from dfer_data.storage.csv_text import csv_rows, from_spreadsheet
from dfer_data.storage.files import read_sealed, sealed_json
from dfer_data.storage.folder import FolderTarget

AUDIT = "audit"
AUDIT_NAME, AUDIT_PAIRS_NAME, AUDIT_GROUPS_NAME = f"{AUDIT}/audit.json", f"{AUDIT}/audit.parquet", f"{AUDIT}/groups.csv"
AUDIT_EMBEDDINGS_NAME = f"{AUDIT}/embeddings.parquet"
LABELS_NAME, LABELS_TABLE_NAME = f"{AUDIT}/labels.json", f"{AUDIT}/labels.csv"
LABELS_PAGE_NAME = f"{AUDIT}/labels.html"
AUDIT_PAGE_NAME, AUDIT_WORK = f"{AUDIT}/index.html", f"{AUDIT}/.work"
LABELS_WORK = f"{AUDIT}/.work-labels"
AUDIT_VERSION = 1
_AGAIN = {AUDIT_NAME: "run `dfer audit` again", LABELS_NAME: "run `dfer audit --labels` again"}


def is_of_audit(name: str) -> bool:
    """Return whether a path relative to the dataset is one of its audit."""
    return name.startswith(f"{AUDIT}/")


@contextlib.contextmanager
def held_for_audit(out: FolderTarget, work: str) -> Iterator[Path]:
    """Lock a dataset and yield its folder `work`, for temporary files; delete it if the block succeeds."""
    with out.hold(task_index=None, on_wait=lambda holder: None):
        folder = out.root.absolute() / work
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        out.remove_folder(work)


def read_audit(out: Target, name: str = AUDIT_NAME) -> dict[str, Any] | None:
    """Return audit.json, or labels.json; None where it is not there. Raises CorruptDataError, FormatVersionError."""
    if out.size(name) is None:
        return None
    path = f"{out}/{name}"
    return read_sealed(out.read(name), name=path, version=AUDIT_VERSION, next_step=_AGAIN[name])


def write_audit(out: Target, name: str, document: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write the files of an audit, and last its document (`name`) with their hashes, in place of earlier ones."""
    facts = {
        path: {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files.items()
    }
    before: Mapping[str, Any] | None = None
    with contextlib.suppress(CorruptDataError):
        before = read_audit(out, name)
    out.remove(name, *sorted(set(before["files"] if before else ()) - facts.keys()))
    sealed = sealed_json({"version": AUDIT_VERSION, **document, "files": facts})
    for path, content in {**files, name: sealed}.items():
        out.put(path, content)


def is_current(audit: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether an audit is of the clips and labels of this dataset.json; folds may have been made since."""
    return bool(audit["clips_sha256"] == document["files"][CLIPS_NAME]["sha256"])


def audited_groups(out: Target, document: Mapping[str, Any], *, flag: str = "--group-by audit") -> bytes:
    """Return groups.csv of an audit of this state of the dataset; `flag`: option that asks for it, for messages.

    Raises UsageError, CorruptDataError.
    """
    audit = read_audit(out)
    if audit is None:
        raise UsageError(f"{flag}: {out} has no finished audit; make one: dfer audit {shlex.quote(str(out))}")
    if not is_current(audit, document):
        raise UsageError(f"{flag}: {out} has changed since its audit; run it again: dfer audit {shlex.quote(str(out))}")
    content = file_of_audit(out, audit, AUDIT_GROUPS_NAME)
    if content is None:
        raise CorruptDataError(f"{out}/{AUDIT_GROUPS_NAME} is missing or was changed; run `dfer audit` again")
    return content


def groups_in(content: bytes) -> dict[str, str]:
    """Return clip id -> group of groups.csv."""
    rows = [[from_spreadsheet(cell) for cell in cells] for _, cells in csv_rows(content.decode("utf-8"))]
    return {clip_id: group for clip_id, group in rows[1:]}


def file_of_audit(out: Target, audit: Mapping[str, Any], name: str) -> bytes | None:
    """Return a file of an audit; None where it is missing or was changed."""
    facts = audit["files"].get(name)
    content = out.read(name) if facts is not None and out.size(name) is not None else b""
    return content if facts is not None and hashlib.sha256(content).hexdigest() == facts["sha256"] else None


def audit_faults(out: Target, sizes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield file and fault of each file of a finished audit that is not the one written; `sizes`: all paths."""
    names = {name for name in sizes if is_of_audit(name) and not name.startswith(AUDIT_WORK)}
    known: set[str] = set()
    for document, again in _AGAIN.items():
        try:
            audit = read_audit(out, document)
        except CorruptDataError:
            yield document, f"was changed; {again}"
            return
        if audit is None:
            continue
        known |= {document, *audit["files"]}
        for name, facts in audit["files"].items():
            if name not in names:
                yield name, f"is missing; {again}"
            elif hashlib.sha256(out.read(name)).hexdigest() != facts["sha256"]:
                yield name, f"does not match its sha256; {again}"
    if known:
        for name in sorted(names - known):
            yield name, "is not part of the audit"


def audit_note(out: Target, sizes: Iterable[str], document: Mapping[str, Any]) -> str:
    """Return a note on an audit that is unfinished or of an earlier state of the dataset; empty if it is neither."""
    if not any(map(is_of_audit, sizes)):
        return ""
    audits = {again: audit for name, again in _AGAIN.items() if (audit := read_audit(out, name)) is not None}
    if not audits:
        return f"the audit in {AUDIT}/ is not finished: run `dfer audit` again, or delete the folder"
    if old := [again for again, audit in audits.items() if not is_current(audit, document)]:
        return f"the audit in {AUDIT}/ is of an earlier state of the dataset: {' and '.join(old)}"
    return ""

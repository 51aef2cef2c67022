"""The folder `audit` of a prepared dataset: its names, and audit.json, which holds the hash of every other file in it.

An audit is not part of the dataset: dataset.json does not list it, and deleting the folder loses nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.base import Target
from dfer_data.storage.csv_text import csv_rows, from_spreadsheet
from dfer_data.storage.files import read_sealed

AUDIT = "audit"
AUDIT_NAME, AUDIT_PAIRS_NAME, AUDIT_GROUPS_NAME = f"{AUDIT}/audit.json", f"{AUDIT}/audit.parquet", f"{AUDIT}/groups.csv"
AUDIT_EMBEDDINGS_NAME = f"{AUDIT}/embeddings.parquet"
AUDIT_PAGE_NAME, AUDIT_WORK = f"{AUDIT}/index.html", f"{AUDIT}/.work"
AUDIT_VERSION = 1


def is_of_audit(name: str) -> bool:
    """Return whether a path relative to the dataset is one of its audit."""
    return name.startswith(f"{AUDIT}/")


def read_audit(out: Target) -> dict[str, Any] | None:
    """Return audit.json; None where no audit is finished. Raises CorruptDataError, FormatVersionError."""
    if out.size(AUDIT_NAME) is None:
        return None
    name = f"{out}/{AUDIT_NAME}"
    return read_sealed(out.read(AUDIT_NAME), name=name, version=AUDIT_VERSION, next_step="run `dfer audit` again")


def is_current(audit: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether an audit is of the clips and labels of this dataset.json; folds may have been made since."""
    return bool(audit["clips_sha256"] == document["files"][CLIPS_NAME]["sha256"])


def audited_groups(out: Target, document: Mapping[str, Any]) -> bytes:
    """Return groups.csv of an audit of this state of the dataset. Raises UsageError, CorruptDataError."""
    audit = read_audit(out)
    if audit is None:
        raise UsageError(f"--group-by audit: {out} has no finished audit; make one: dfer audit {out}")
    if not is_current(audit, document):
        raise UsageError(f"--group-by audit: {out} has changed since its audit; run it again: dfer audit {out}")
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
    names = {name for name in sizes if is_of_audit(name) and not name.startswith(f"{AUDIT_WORK}/")}
    try:
        audit = read_audit(out)
    except CorruptDataError:
        yield AUDIT_NAME, "was changed; run `dfer audit` again"
        return
    if audit is None:
        return
    for name, facts in audit["files"].items():
        if name not in names:
            yield name, "is missing; run `dfer audit` again"
        elif hashlib.sha256(out.read(name)).hexdigest() != facts["sha256"]:
            yield name, "does not match its sha256; run `dfer audit` again"
    for name in sorted(names - {AUDIT_NAME, *audit["files"]}):
        yield name, "is not part of the audit"


def audit_note(out: Target, sizes: Iterable[str], document: Mapping[str, Any]) -> str:
    """Return a note on an audit that is unfinished or of an earlier state of the dataset; empty if it is neither."""
    if not any(map(is_of_audit, sizes)):
        return ""
    audit = read_audit(out)
    if audit is None:
        return f"the audit in {AUDIT}/ is not finished: run `dfer audit` again, or delete the folder"
    if not is_current(audit, document):
        return f"the audit in {AUDIT}/ is of an earlier state of the dataset: run `dfer audit` again"
    return ""

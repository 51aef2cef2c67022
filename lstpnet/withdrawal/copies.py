"""Find every copy of withdrawn clips below folders, and rewrite or delete what dfer made; the rest is named.

    copies = find_copies(["runs", "reports"], clip_ids, data="prepared/dfew-retinaface")
    withdraw_copies(copies)

Call both before the clips leave the dataset: a second call after a kill then finds the same clips, and finishes.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dfer_data.auditing.tables import named_in_pairs
from dfer_data.errors import CorruptDataError, DferError, UsageError
from dfer_data.exchange.manifest import EXPORT_NAME, EXPORT_WORK
from dfer_data.exchange.withdraw import delete_export, exported_clips, is_export_of, withdraw_from_export
from dfer_data.loading.prepared import open_dataset
from dfer_data.shards.audit_folder import AUDIT, AUDIT_NAME, AUDIT_PAIRS_NAME
from dfer_data.shards.layout import CARD_NAME, CLIPS_NAME, DATASET_NAME, PLAN_NAME
from dfer_data.sources.registry import is_users_own
from dfer_data.storage.files import place_of, read_regular, write_atomically
from dfer_data.storage.walk import paths_below
from dfer_data.wording import counted
from lstpnet.learning_curves import CURVES_NAME
from lstpnet.run_files import run_holder
from lstpnet.runs import CONFIG_NAME, METRICS_NAME, PREDICTIONS_NAME, RUN_NAME, read_run
from lstpnet.withdrawal.names import Names
from lstpnet.withdrawal.pages import OfDataset, page_at
from lstpnet.withdrawal.run_clips import withdraw_from_run, withdrawn_clips
from lstpnet.withdrawal.tables import reduced_table

Action = Literal["rewrite", "delete", "leave"]
_PROBE_BYTES = 1 << 16
_RUN_FILES = (RUN_NAME, CONFIG_NAME, METRICS_NAME, PREDICTIONS_NAME, CURVES_NAME, CARD_NAME)
OnFile = Callable[[int, int], None]
"""Called with the number of files that were searched, and of all."""


@dataclass(frozen=True)
class Copy:
    """A file or folder that names or shows withdrawn clips."""

    path: Path
    """The file; the folder of a run or of another prepared dataset."""
    kind: str
    """What it is, for people."""
    action: Action
    """What `withdraw_copies` does with it; `leave`: it must be looked at by hand."""
    note: str = ""
    """What a person should know or do."""
    files: tuple[Path, ...] = field(default=(), repr=False)
    """What is deleted, in this order."""
    names: Names = field(default_factory=lambda: Names(()), repr=False, compare=False)
    """The withdrawn clips."""
    data: Path | str = ""
    """Of an export: the prepared dataset."""


@dataclass(frozen=True)
class Done:
    """What was done about a copy."""

    copy: Copy
    result: Literal["rewritten", "deleted", "left", "failed"]
    note: str = ""
    """How many clips it held, what to do by hand, or the error."""


def find_copies(
    folders: Iterable[Path | str],
    clip_ids: Collection[str],
    *,
    data: Path | str,
    keep: Iterable[Path] = (),
    on_file: OnFile = lambda done, total: None,
) -> list[Copy]:
    """Return every file below folders that names or shows withdrawn clips; change nothing.

    Args:
        folders: folders of runs, reports, predictions, pages. Links to folders are not followed.
        clip_ids: ids of the clips.
        data: the prepared dataset; it is not searched itself. A run or page of another dataset is not about these
            clips, even if its ids are the same.
        keep: files that are left alone and not named, such as a list of what must not be prepared again.
        on_file: called after each file.

    Raises UsageError for a folder that is missing or cannot be read, and what opening `data` raises.
    """
    about, names = _subject(data, clip_ids)
    roots = [Path(folder) for folder in folders]
    if missing := [str(root) for root in roots if not root.is_dir()]:
        raise UsageError(f"--also: no folder {', '.join(missing)}")
    skipped = {path.resolve() for path in keep}
    place = place_of(data)
    own = place.resolve() if isinstance(place, Path) else None
    paths = {path.parent.resolve() / path.name: path for root in roots for path in paths_below(root)}
    paths = {real: path for real, path in paths.items() if real not in skipped and not (own and _is_below(real, own))}
    copies = list(_copies(list(paths.values()), names, about, data, on_file))
    parts = {path for copy in copies for path in copy.files if path != copy.path}
    return sorted((copy for copy in copies if copy.path not in parts), key=lambda copy: copy.path)


def withdraw_copies(copies: Sequence[Copy], *, on_file: OnFile = lambda done, total: None) -> list[Done]:
    """Rewrite or delete the copies, and return what was done about each; files that dfer does not know are left alone.

    Each file changes at once or not at all; one that fails does not stop the others. `on_file`: as for `find_copies`.
    """
    results = []
    for copy in copies:
        results.append(_withdraw(copy))
        on_file(len(results), len(copies))
    return results


def _subject(data: Path | str, clip_ids: Collection[str]) -> tuple[OfDataset, Names]:
    dataset = open_dataset(data)
    table, chosen = dataset.clips, set(clip_ids)
    left = set(table["source_clip_id"][~table["clip_id"].isin(chosen)])
    gone = set(table["source_clip_id"][table["clip_id"].isin(chosen)]) - left
    name, document = str(dataset.document["dataset"]), dataset.document
    about = OfDataset(
        dataset=name,
        prepared=dataset.root.resolve().name,
        is_users_own=is_users_own(name),
        clean_sha256="" if gone or table["clip_id"].isin(chosen).any() else str(document["sha256"]),
    )
    return about, Names(chosen, gone)


def _is_below(path: Path, folder: Path) -> bool:
    return path == folder or path.is_relative_to(folder)


def _copies(
    paths: Collection[Path], names: Names, about: OfDataset, data: Path | str, on_file: OnFile
) -> Iterator[Copy]:
    """Yield the copies among paths: datasets, exports and runs first, then files that belong to none."""
    datasets = {path.parent for path in paths if path.name in (DATASET_NAME, PLAN_NAME)}
    for folder in sorted(datasets):
        yield from _dataset_copy(folder, names, about)
    exports = {path.parent for path in paths if path.name in (EXPORT_NAME, EXPORT_WORK)} - datasets
    for folder in sorted(exports):
        yield from _export_copy(folder, names, about, data)
    audits = {path.parent for path in paths if path.parent.name == AUDIT and path.name == Path(AUDIT_NAME).name}
    for folder in sorted(audits):
        yield from _audit_copy(folder, names, about, is_within=folder.parent in datasets)
    whole = datasets | exports | audits
    rest = sorted(path for path in paths if path not in whole and not whole.intersection(path.parents))
    runs = {path.parent for path in rest if path.name == RUN_NAME}
    for folder in sorted(runs):
        yield from _run_copy(folder, names, about)
    for number, path in enumerate(rest, start=1):
        is_of_run = path.parent in runs and path.name in _RUN_FILES
        if not is_of_run and (copy := _copy_at(path, names, about)) is not None:
            yield copy
        on_file(number, len(rest))


def _dataset_copy(folder: Path, names: Names, about: OfDataset) -> Iterator[Copy]:
    """Yield another prepared dataset of the same videos, which has to give up the clips by its own removal."""
    kind, note = "prepared dataset", f"run `dfer remove {shlex.quote(str(folder))}` with the same clips"
    try:
        dataset = open_dataset(folder)
        is_same = dataset.document["dataset"] == about.dataset
        if is_same and any(map(names.has, [*dataset.clips["clip_id"], *dataset.clips["source_clip_id"]])):
            yield Copy(folder, kind, "leave", note)
    except (DferError, OSError):
        texts = [_text(folder / name) for name in (PLAN_NAME, CLIPS_NAME) if (folder / name).is_file()]
        if any(text is not None and names.are_in_text(text) for text in texts):
            yield Copy(folder, kind, "leave", "it is not finished, or damaged: finish it and remove the clips from it")


def _export_copy(folder: Path, names: Names, about: OfDataset, data: Path | str) -> Iterator[Copy]:
    """Yield an export that holds or names the clips; one of another state of the dataset cannot be reduced."""
    if not (folder / EXPORT_NAME).is_file():
        yield Copy(folder, "export", "leave", "it is not finished: finish or delete it, and run the same command again")
        return
    try:
        dataset, clip_ids = exported_clips(folder)
        number = sum(map(names.has, clip_ids))
        if dataset != about.dataset or not number:
            return
        if is_export_of(folder, open_dataset(data)):
            yield Copy(folder, "export", "rewrite", counted(number, "clip"), names=names, data=data)
        elif about.is_users_own:
            yield Copy(folder, "export", "leave", "its clips have the same ids: are they the same videos?")
        else:
            yield Copy(folder, "export", "delete", "it is of another state of the dataset; make it again", data=data)
    except (DferError, OSError) as error:
        yield Copy(folder, "export", "leave", f"it cannot be searched: {error}")


def _audit_copy(folder: Path, names: Names, about: OfDataset, *, is_within: bool) -> Iterator[Copy]:
    """Yield an audit that names the clips: another dataset's, compared with this one, or a copy of this dataset's."""
    files = tuple(path for path in paths_below(folder) if path.is_file())
    try:
        pairs = named_in_pairs(read_regular(folder / Path(AUDIT_PAIRS_NAME).name))
    except (OSError, ValueError, KeyError) as error:  # pyarrow's ArrowException is a ValueError or a KeyError
        yield Copy(folder, "audit", "leave", f"it cannot be searched: {error}")
        return
    is_named = any(
        names.has(clip_b) and dataset.startswith(about.prepared) if dataset else not is_within and names.has(clip_b)
        for _, clip_b, dataset in pairs
    )
    if is_named or (not is_within and any(names.has(clip_a) for clip_a, _, _ in pairs)):
        yield Copy(folder, "audit", "delete", "`dfer audit` makes it again", files=files)


def _run_copy(folder: Path, names: Names, about: OfDataset) -> Iterator[Copy]:
    try:
        info = read_run(folder)
        number = withdrawn_clips(folder, names)
    except (DferError, OSError) as error:
        yield Copy(folder, "run", "leave", f"it cannot be searched: {error}")
        return
    if about.has(info.dataset, info.prepared) and not info.finished and (holder := run_holder(folder)):
        yield Copy(folder, "run", "leave", f"{holder} trains it on the clips now: stop it, it ends without them anyway")
        return
    if not number or info.dataset != about.dataset:
        return
    if not about.has(info.dataset, info.prepared):
        note = f"it was trained on {info.prepared}, whose clips have the same ids: are they the same videos?"
        yield Copy(folder, "run", "leave", note)
        return
    yield Copy(
        folder,
        "run",
        "rewrite",
        counted(number, "test clip") if number > 0 else "an interrupted withdrawal",
        names=names,
    )


def _copy_at(path: Path, names: Names, about: OfDataset) -> Copy | None:
    """Return the copy at a path that is part of no run and no dataset; None if it names and shows no clip."""
    try:
        if path.is_dir():
            is_named = names.are_in_path(path.as_posix())
            return Copy(path, "folder", "leave", "it is named after a clip") if is_named else None
        if not path.is_file():
            return None
        if path.is_symlink():
            return Copy(path, "link", "leave", "look at its target") if names.are_in_path(path.as_posix()) else None
        if (page := page_at(path, names, about)) is not None:
            return Copy(path, page.kind, "delete", "make it again", files=page.files) if page.files else None
        table = reduced_table(path, names)
        if table is not None and table.num_rows:
            return Copy(path, "table", "rewrite", counted(table.num_rows, "row"), names=names)
        if names.are_in_path(path.as_posix()):
            return Copy(path, "file", "leave", "it is named after a clip, and dfer did not mark it as its own")
        text = _text(path)
        if text is not None and names.are_in_text(text):
            return Copy(path, "text", "leave", "it names a clip")
    except OSError as error:
        return Copy(path, "file", "leave", f"it cannot be read: {error.strerror or error}")
    return None


def _text(path: Path) -> str | None:
    """Return the content of a text file; None for other files."""
    with path.open("rb") as file:
        if b"\0" in file.read(_PROBE_BYTES):
            return None
    return read_regular(path).decode("utf-8", "replace")


def _counted(number: int) -> str:
    return f"{number} test clip{'s' * (number > 1)}"


def _withdraw(copy: Copy) -> Done:
    try:
        if copy.action == "leave":
            return Done(copy, "left", copy.note)
        if copy.kind == "export":
            if copy.action == "delete":
                delete_export(copy.path)
                return Done(copy, "deleted", copy.note)
            number = withdraw_from_export(copy.path, copy.names.clip_ids, open_dataset(copy.data))
            return Done(copy, "rewritten", counted(number, "clip"))
        if copy.action == "delete":
            for path in copy.files:
                path.unlink(missing_ok=True)
            return Done(copy, "deleted", copy.note)
        if copy.path.is_dir():
            return Done(copy, "rewritten", counted(withdraw_from_run(copy.path, copy.names), "test clip"))
        table = reduced_table(copy.path, copy.names)
        if table is None:
            raise CorruptDataError(f"{copy.path} changed in between; run the command again")
        if table.num_rows:
            write_atomically(copy.path, table.content)
        return Done(copy, "rewritten", counted(table.num_rows, "row"))
    except (DferError, OSError) as error:
        return Done(copy, "failed", str(error))

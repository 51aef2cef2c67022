"""The files of `dfer predict`: its input videos, and the names of what it writes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError
from dfer_data.wording import counted

from . import console
from .options import refuse_targets

if TYPE_CHECKING:
    from lstpnet.checkpoints.open_model import OpenedModel

_ENDINGS = {"plots": ".png", "annotate": "-annotated.mp4"}
"""Option -> what follows a video's name without its ending."""
_STRIP = re.compile(r"-person-\d+\.png$")
_MOST_NAME_BYTES = 225  # with the longest ending, and the marks of an unfinished file, at most 255
_KINDS = {
    stat.S_ISFIFO: "a named pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


def videos_named(sources: Sequence[str]) -> list[Path]:
    """Return all videos that files, folders and patterns name.

    Raises UsageError for a source without videos, and for pipes, devices and sockets, which are never opened.
    """
    import glob

    from dfer_data.storage.walk import matching, paths_below
    from dfer_data.video.reader import VIDEO_EXTENSIONS

    paths: list[Path] = []
    for source in sources:
        matches = [Path(source)] if Path(source).exists() else matching(source)
        if not matches:
            raise UsageError(f"{source} " + ("matches no file" if glob.has_magic(source) else "does not exist"))
        for path in matches:
            videos = [file for file in paths_below(path) if file.suffix.lower() in VIDEO_EXTENSIONS]
            videos = [file for file in videos if not file.is_dir()]
            if path.is_dir() and not videos:
                raise UsageError(f"no video in {path}")
            paths += videos if path.is_dir() else [path]
    for path in paths:
        _refuse_special(path)
    return list(dict.fromkeys(paths))


def _refuse_special(path: Path) -> None:
    """Raise UsageError for what is no file, or has a name that no table can hold."""
    try:
        mode = path.stat().st_mode
    except OSError:  # becomes a failed row
        mode = 0
    for is_kind, words in _KINDS.items():
        if is_kind(mode):
            raise UsageError(f"{path} is {words}, not a video file; name files")
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a}: the name is not valid UTF-8; rename the file") from None


@dataclass(frozen=True)
class Outputs:
    """What a run writes."""

    names: Mapping[Path, str]
    """Video -> name of its pictures without their endings."""
    pictures: Mapping[tuple[str, Path], Path]
    """(option, video) -> file of `plots` and `annotate`."""
    unfinished: Path | None
    """Folder of the finished videos of an interrupted run; None for a run that writes no file."""


def check_outputs(
    csv: Path | None, folders: Mapping[str, Path], paths: Sequence[Path], *, force: bool, resume: bool
) -> Outputs:
    """Check all output paths before the work starts; create the folders of pictures and videos.

    `folders`: `plots`, `annotate` or `attention` -> folder of the files. Raises UsageError.
    """
    if force and resume:
        raise UsageError("--force starts again, --resume continues an earlier run; use only one of the two")
    for option, folder in folders.items():
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--{option} {folder} is not a folder")
        if option in _ENDINGS:
            _make_folder(option, folder)
    names = picture_names(paths)
    pictures = {
        (option, path): folder / f"{names[path]}{_ENDINGS[option]}"
        for option, folder in folders.items()
        if option in _ENDINGS
        for path in paths
    }
    targets = [*([csv] if csv is not None else []), *pictures.values()]
    if overwritten := {path.resolve() for path in targets} & {path.resolve() for path in paths}:
        raise UsageError(f"{overwritten.pop()} is one of the input videos; choose another name or folder")
    unfinished = _unfinished_folder(csv, folders)
    has_earlier_run = _check_earlier_run(unfinished, force=force, resume=resume)
    refuse_targets(*targets, force=force or has_earlier_run)
    return Outputs(names, pictures, unfinished)


def _make_folder(option: str, folder: Path) -> None:
    """Create a folder of pictures; UsageError if that is impossible, or nothing can be written there."""
    from dfer_data.storage.files import refuse_unwritable

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--{option} {folder} cannot be created: {error.strerror or error}") from error
    refuse_unwritable(folder)


def _unfinished_folder(csv: Path | None, folders: Mapping[str, Path]) -> Path | None:
    """Return the hidden folder for the finished videos of a run, next to its CSV or in its first folder."""
    if csv is not None:
        return csv.with_name("." + _cut(csv.name, str(csv.name)) + ".unfinished")
    return next(iter(folders.values()), Path()) / ".predict.unfinished" if folders else None


def _check_earlier_run(unfinished: Path | None, *, force: bool, resume: bool) -> bool:
    """Return whether an earlier run is to be resumed; UsageError where that was not said, or cannot be."""
    from lstpnet.prediction.finished_videos import count_finished

    if unfinished is None:
        if resume:
            raise UsageError("--resume: nothing is kept without --csv, --plots, --annotate or --attention")
        return False
    if force or not unfinished.is_dir():
        return False
    if not resume and (number := count_finished(unfinished)):
        raise UsageError(
            f"an earlier run left {counted(number, 'finished video')} in {unfinished}; --resume "
            "continues it, --force starts again"
        )
    return resume


def picture_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a distinct name for each video: as short as the others allow, and short enough for every file system.

    It is the video's name without its ending; with it, then with its folder, then with a hash of its path, where
    several videos would have the same name, in capitals or not.
    """
    levels: list[Callable[[Path], str]] = [
        lambda path: path.name if _STRIP.search(f"{path.stem}.png") else path.stem,
        lambda path: path.name,
        lambda path: f"{path.absolute().parent.name}-{path.name}",
        lambda path: f"{path.name}-{_hash(str(path.absolute()))}",
    ]
    names: dict[Path, str] = {}
    for level in levels:
        taken = {name.casefold() for name in names.values()}
        proposals = {path: _cut(level(path), str(path.absolute())) for path in paths if path not in names}
        counts = Counter(name.casefold() for name in proposals.values())
        names |= {
            path: name
            for path, name in proposals.items()
            if counts[name.casefold()] == 1 and name.casefold() not in taken
        }
    return {path: names[path] for path in paths}


def _cut(name: str, path: str) -> str:
    """Return a name of at most _MOST_NAME_BYTES bytes; a longer one ends with a hash of its path."""
    content = os.fsencode(name)
    if len(content) <= _MOST_NAME_BYTES:
        return name
    return content[: _MOST_NAME_BYTES - 9].decode("utf-8", "ignore") + "-" + _hash(path)


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def folder_of_strips(
    attention: Path | None, opened: OpenedModel, names: Mapping[Path, str], *, force: bool, as_json: bool
) -> Path | None:
    """Check the folder of the filmstrips, which must have none of these videos unless `force`; None for no filmstrips.

    Raises UsageError for a filmstrip that exists.
    """
    from lstpnet.evaluation.frame_attention import why_no_attention

    if attention is None:
        return None
    if reason := why_no_attention(opened.model, opened.recipe):
        console.say(f"--attention: no filmstrips: {reason}", as_json=as_json)
        return None
    _make_folder("attention", attention)
    refuse_targets(*strips_of(attention, set(names.values())), force=force)
    return attention


def strips_of(folder: Path, names: Container[str]) -> list[Path]:
    """Return the filmstrips of videos that are in a folder."""
    from dfer_data.storage.walk import entries_of

    return [path for path in entries_of(folder) if _STRIP.search(path.name) and _STRIP.sub("", path.name) in names]

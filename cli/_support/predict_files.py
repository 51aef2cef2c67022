"""The files of `dfer predict`: its input videos, and the folders of its pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError

from . import console
from .options import refuse_targets

if TYPE_CHECKING:
    from lstpnet.checkpoints.open_model import OpenedModel

_ENDINGS = {"plots": ".png", "annotate": "-annotated.mp4"}
"""Option -> what follows a video's name without its ending."""
_STRIP = re.compile(r"-person-\d+\.png$")


def videos_named(sources: Sequence[str]) -> list[Path]:
    """Return all videos that files, folders and patterns name. Raises UsageError for a source without videos."""
    import glob

    from dfer_data.video.reader import VIDEO_EXTENSIONS

    paths: list[Path] = []
    for source in sources:
        matches = [Path(source)] if Path(source).exists() else sorted(map(Path, glob.glob(source, recursive=True)))
        if not matches:
            raise UsageError(f"{source} " + ("matches no file" if glob.has_magic(source) else "does not exist"))
        for path in matches:
            videos = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_EXTENSIONS)
            if path.is_dir() and not videos:
                raise UsageError(f"no video in {path}")
            paths += videos if path.is_dir() else [path]
    return list(dict.fromkeys(paths))


def check_targets(
    csv: Path | None, folders: Mapping[str, Path], paths: Sequence[Path], *, force: bool
) -> dict[tuple[str, Path], Path]:
    """Check all output paths before the work starts; create the folders of pictures and videos.

    `folders`: `plots` or `annotate` -> folder of the files. Returns (option, video) -> file.
    """
    if folders:
        _refuse_duplicate_names(paths, " ".join(f"--{option}" for option in folders))
    for option, folder in folders.items():
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--{option} {folder} is not a folder")
        folder.mkdir(parents=True, exist_ok=True)
    names = picture_names(paths)
    targets = {
        (option, path): folder / f"{names[path]}{_ENDINGS[option]}"
        for option, folder in folders.items()
        for path in paths
    }
    if overwritten := {path.resolve() for path in targets.values()} & {path.resolve() for path in paths}:
        raise UsageError(f"{overwritten.pop()} is one of the input videos; name another folder")
    refuse_targets(*([csv] if csv is not None else []), *targets.values(), force=force)
    return targets


def picture_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return each video's name without its ending; with it where several videos differ in the ending alone."""
    stems = Counter(path.stem for path in paths)
    return {path: path.stem if stems[path.stem] == 1 else path.name for path in paths}


def _refuse_duplicate_names(paths: Sequence[Path], flags: str) -> None:
    """Raise UsageError for videos of one name in several folders: their pictures would overwrite each other."""
    names = Counter(path.name for path in paths)
    if duplicates := sorted(name for name, number in names.items() if number > 1):
        raise UsageError(
            f"{flags}: {len(duplicates)} file names occur in several folders ({duplicates[0]}); predict them separately"
        )


def folder_of_strips(
    attention: Path | None, opened: OpenedModel, paths: Sequence[Path], *, force: bool, as_json: bool
) -> Path | None:
    """Create the folder of the filmstrips and remove those of an earlier run; None if none will be drawn."""
    from lstpnet.evaluation.frame_attention import why_no_attention

    if attention is None:
        return None
    if reason := why_no_attention(opened.model, opened.recipe):
        console.say(f"--attention: no filmstrips: {reason}", as_json=as_json)
        return None
    if attention.exists() and not attention.is_dir():
        raise UsageError(f"--attention {attention} is not a folder")
    _refuse_duplicate_names(paths, "--attention")
    names = set(picture_names(paths).values())
    attention.mkdir(parents=True, exist_ok=True)
    old_strips = [
        path for path in attention.iterdir() if _STRIP.sub("", path.name) in names and _STRIP.search(path.name)
    ]
    refuse_targets(*old_strips, force=force)
    for path in old_strips:
        path.unlink()
    return attention

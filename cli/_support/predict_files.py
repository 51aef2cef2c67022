"""The files of `dfer predict`: which videos are meant, and where its pictures go."""

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

_FLAGS = {".png": "--plots", ".mp4": "--annotate"}
_STRIP = re.compile(r"-person-\d+\.png$")


def videos_named(sources: Sequence[str]) -> list[Path]:
    """Return the videos named, those in the folders named, and what patterns stand for; UsageError for nothing."""
    import glob

    from dfer_data.video.reader import VIDEO_EXTENSIONS

    paths: list[Path] = []
    for source in sources:
        named = [Path(source)] if Path(source).exists() else sorted(map(Path, glob.glob(source, recursive=True)))
        if not named:
            raise UsageError(f"{source} " + ("stands for nothing" if glob.has_magic(source) else "does not exist"))
        for path in named:
            inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in VIDEO_EXTENSIONS)
            if path.is_dir() and not inside:
                raise UsageError(f"no video in {path}")
            paths += inside if path.is_dir() else [path]
    return list(dict.fromkeys(paths))


def check_targets(csv: Path | None, folders: Mapping[str, Path], paths: Sequence[Path], *, force: bool) -> None:
    """Refuse before the work what would be refused after it; make the folders of pictures and videos.

    `folders`: ending of the files -> where they go.
    """
    if folders:
        _refuse_twice(paths, " ".join(_FLAGS[end] for end in folders))
    for end, folder in folders.items():
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{_FLAGS[end]} {folder} is no folder")
        folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{path.name}{end}" for end, folder in folders.items() for path in paths]
    if own := {path.resolve() for path in made} & {path.resolve() for path in paths}:
        raise UsageError(f"{own.pop()} is one of the videos: name another folder")
    refuse_targets(*([csv] if csv is not None else []), *made, force=force)


def _refuse_twice(paths: Sequence[Path], flags: str) -> None:
    """Refuse videos of one name from several folders, whose pictures would lie over each other."""
    names = Counter(path.name for path in paths)
    if twice := sorted(name for name, number in names.items() if number > 1):
        raise UsageError(f"{flags}: {len(twice)} names stand for several videos ({twice[0]}); predict them apart")


def folder_of_strips(
    attention: Path | None, opened: OpenedModel, paths: Sequence[Path], *, force: bool, as_json: bool
) -> Path | None:
    """Return the folder of the filmstrips, made and without those of an earlier run; None where there will be none."""
    from lstpnet.evaluation.frame_attention import why_no_attention

    if attention is None:
        return None
    if why := why_no_attention(opened.model, opened.recipe):
        console.say(f"--attention: no filmstrips: {why}", as_json=as_json)
        return None
    if attention.exists() and not attention.is_dir():
        raise UsageError(f"--attention {attention} is no folder")
    _refuse_twice(paths, "--attention")
    names = {path.name for path in paths}
    attention.mkdir(parents=True, exist_ok=True)
    before = [old for old in attention.iterdir() if _STRIP.sub("", old.name) in names and _STRIP.search(old.name)]
    refuse_targets(*before, force=force)
    for old in before:
        old.unlink()
    return attention

"""Find the runs below a folder that can predict real faces."""

from __future__ import annotations

from pathlib import Path

from dfer_data.errors import DferError
from lstpnet.finished_runs import find_runs
from lstpnet.runs import CHECKPOINTS_FOLDER, RUN_NAME, read_run


def runs_on_real_faces(root: Path, *, checkpoint: str = "last") -> list[Path]:
    """Return the finished runs at or below `root` that were trained on real faces and hold `checkpoint`, sorted.

    Runs on rendered heads know no real faces and are never among them; damaged run.json files are passed over.
    """
    folders = find_runs(root) if root.is_dir() else []
    return [folder for folder in folders if _is_usable(folder, checkpoint)]


def _is_usable(folder: Path, checkpoint: str) -> bool:
    if not (folder / RUN_NAME).is_file() or not (folder / CHECKPOINTS_FOLDER / f"{checkpoint}.safetensors").is_file():
        return False
    try:
        info = read_run(folder)
    except DferError:
        return False
    return info.finished and not info.synthetic

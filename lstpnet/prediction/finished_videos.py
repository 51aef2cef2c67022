"""The finished videos of a run of `dfer predict`, kept on disk so that an interrupted run can be resumed.

They are in a hidden folder next to the output, which is removed once the output is complete:

    videos.jsonl   first line: model and settings; then one line per finished video, appended and synced as it ends
    work/          unfinished faces
    .lock          held by the run
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from dfer_data.errors import UsageError
from dfer_data.storage.files import atomic_file, canonical_json, sha256_file
from dfer_data.storage.folder_lock import hold_folder
from lstpnet.checkpoints.custom_model import built_source
from lstpnet.runs import CHECKPOINTS_FOLDER, RUN_NAME

_FILE = "videos.jsonl"
FINISHED_FORMAT = "dfer-finished-videos"
"""Names the format in the first line of videos.jsonl."""
_FORMAT = {"format": FINISHED_FORMAT, "format_version": 1}


@dataclass(frozen=True)
class InputVideo:
    """A video as it was when the run began; one that has changed since is predicted again."""

    path: str
    """Absolute path."""
    name: str
    """Name of its pictures without their endings."""
    num_bytes: int
    """Size of its file; 0 if it is missing."""
    mtime_ns: int
    """Time of its last change; 0 if it is missing."""


def input_video(path: Path, name: str) -> InputVideo:
    """Return a video as it is now."""
    try:
        facts = path.stat()
    except OSError:
        return InputVideo(str(path.absolute()), name, 0, 0)
    return InputVideo(str(path.absolute()), name, facts.st_size, facts.st_mtime_ns)


def model_sha256(source: Path, *, checkpoint: str, custom_model: str = "") -> str:
    """Return a hash of a model: of its file and the JSON next to it, or of a run's facts and its checkpoint.

    `custom_model`: `package.module:build` that was built in place of the run's own, whose files count too.
    """
    files = [source, source.with_suffix(".json")]
    if source.is_dir():
        files = [source / RUN_NAME, source / CHECKPOINTS_FOLDER / f"{checkpoint}.safetensors"]
    hashes = [sha256_file(path) for path in files if path.is_file()]
    if custom_model and (code := built_source(custom_model)) is not None:
        hashes.append(code.sha256)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def count_finished(folder: Path) -> int:
    """Return the number of finished videos that an earlier run left in a folder."""
    return len(_read(folder)[1])


class FinishedVideos:
    """The finished videos of a run; opened by `finished_videos`."""

    def __init__(self, folder: Path, rows: Mapping[InputVideo, dict[str, Any]], file: IO[bytes]) -> None:
        self._folder, self._rows, self._file = folder, rows, file

    @property
    def work(self) -> Path:
        """An empty folder for unfinished files."""
        return self._folder / "work"

    def find(self, video: InputVideo) -> dict[str, Any] | None:
        """Return the result of a video, if an earlier run finished it as it is now."""
        return self._rows.get(video)

    def add(self, video: InputVideo, document: Mapping[str, Any]) -> None:
        """Keep the result of a video."""
        self._file.write(canonical_json({"video": vars(video), "result": dict(document)}))
        self._file.flush()
        os.fsync(self._file.fileno())

    def remove(self) -> None:
        """Remove the folder: the output is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def finished_videos(folder: Path, facts: Mapping[str, Any], *, resume: bool) -> Iterator[FinishedVideos]:
    """Open the folder of a run's finished videos, with those of an earlier run if `resume`.

    `facts`: JSON values that decide the results, such as the model's hash and the settings.
    Raises LockedError while another run holds the folder, UsageError if the earlier run had other facts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder, flag="output"):
        rows = _kept_rows(folder, facts) if resume else {}
        shutil.rmtree(folder / "work", ignore_errors=True)
        (folder / "work").mkdir()
        with atomic_file(folder / _FILE) as file:
            file.write(canonical_json(_FORMAT | {"facts": dict(facts)}))
            file.writelines(canonical_json({"video": vars(key), "result": row}) for key, row in rows.items())
        with (folder / _FILE).open("ab") as file:
            yield FinishedVideos(folder, rows, file)


def _kept_rows(folder: Path, facts: Mapping[str, Any]) -> dict[InputVideo, dict[str, Any]]:
    """Return the rows of an earlier run; UsageError if it had other facts."""
    earlier, rows = _read(folder)
    now = json.loads(canonical_json(dict(facts)))
    if earlier is not None and earlier != now:
        names = sorted(name for name in earlier.keys() | now.keys() if earlier.get(name) != now.get(name))
        changes = ", ".join(f"{name} was {_shown(earlier.get(name))}, now {_shown(now.get(name))}" for name in names)
        raise UsageError(
            f"--resume: the interrupted run had other settings ({changes}); use the same ones, or start again with "
            "--force"
        )
    return rows


def _shown(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def _read(folder: Path) -> tuple[dict[str, Any] | None, dict[InputVideo, dict[str, Any]]]:
    """Return the facts of an earlier run and its finished videos; a kill may have cut the last line."""
    path = folder / _FILE
    if not path.is_file():
        return None, {}
    lines = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    try:
        head, *documents = (json.loads(line) for line in lines)
        if {name: head[name] for name in _FORMAT} != _FORMAT:
            raise ValueError
        rows = {InputVideo(**document["video"]): dict(document["result"]) for document in documents}
        return dict(head["facts"]), rows
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is damaged: --force starts the run again") from error

"""Draw contact sheets of a prepared dataset, per class, ledger code and doubt, and single clips frame by frame."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from dfer_data.draw.contact_sheet import NUM_COLUMNS, ContactSheet, evenly_spaced, letterboxed, thumbnail
from dfer_data.draw.faces import draw_text
from dfer_data.errors import VideoError
from dfer_data.faces.clip import AMBIGUOUS
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.inspection.reliability import LOW_HIT_RATE
from dfer_data.sources.base import source_file
from dfer_data.types import FrameFlag, Image
from dfer_data.video.reader import open_video
from dfer_data.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from dfer_data.loading.prepared import PreparedDataset

MOST_ROWS = 24
"""Default maximum number of clips on a sheet."""
_FRAME_COLUMNS, _FRAME_PX = 5, 168  # whole frames of clips without faces
_MOST_DECODED = 3000
_CELL_PX, _CELLS_PER_LINE = 192, 4
_MARKED = (255, 170, 60)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A contact sheet of clips of one kind, one row per clip."""

    name: str
    """File name without suffix."""
    title: str
    """Common property of the clips."""
    clip_ids: tuple[str, ...]
    """Ids of the clips shown."""
    num_clips: int
    """Number of all clips of the kind."""
    jpeg: bytes
    """The sheet as a JPEG file."""


def sheets_of(
    dataset: PreparedDataset,
    *,
    source: Path | None = None,
    most: int = MOST_ROWS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Sheet]:
    """Yield the sheets of a dataset: its classes, then doubtful clips, then failed clips.

    Args:
        dataset: the dataset.
        source: folder of the videos; clips without faces then show frames of their video.
        most: maximum rows of a sheet; evenly spaced ids of a class or ledger code, otherwise the worst clips.
        on_progress: called with the number of finished sheets and of all sheets.

    Raises CorruptShardError for damaged bytes.
    """
    kinds = list(_kinds(dataset.clips, dataset.class_names, most=most))
    for number, (name, title, rows, num_clips) in enumerate(kinds):
        is_failed = name.startswith("code-")
        jpeg = _failed_sheet(rows, source) if is_failed else _faces_sheet(dataset, rows)
        yield Sheet(name, title, tuple(rows["clip_id"]), num_clips, jpeg)
        on_progress(number + 1, len(kinds))


def _kinds(
    clips: pd.DataFrame, class_names: Sequence[str], *, most: int
) -> Iterator[tuple[str, str, pd.DataFrame, int]]:
    """Yield name, title, the rows to show and the number of all rows of each kind of clip in the dataset."""
    usable, failed = clips[clips["status"] != "failed"], clips[clips["status"] == "failed"]
    for number, name in enumerate(class_names):
        rows = usable[usable["label"] == name]
        if len(rows):
            yield f"class-{number + 1}-{_file_stem(name)}", name, rows.iloc[evenly_spaced(len(rows), most)], len(rows)
    unlabelled = usable[usable["label"].isna() | ~usable["label"].isin(list(class_names))]
    if len(unlabelled):
        yield "unlabelled", "without a label", unlabelled.iloc[evenly_spaced(len(unlabelled), most)], len(unlabelled)
    partial = usable[usable["status"] == "partial"]
    low = usable[usable["detection_rate"].notna() & (usable["detection_rate"] < LOW_HIT_RATE)]
    doubtful = usable[(usable["ambiguity"] >= AMBIGUOUS) & (usable["ambiguity"] <= 1)]
    for name, title, rows in (
        ("partial", "partial: the source ends early or is damaged", partial),
        ("least-seen", "subject detected in less than 90 % of the frames", low.sort_values("detection_rate")),
        ("ambiguous", "another person may be the subject", doubtful.sort_values("ambiguity", ascending=False)),
    ):
        if len(rows):
            yield name, title, rows.iloc[:most], len(rows)
    for code, rows in failed.groupby("code"):
        yield f"code-{code}", f"{code}: no faces", rows.iloc[evenly_spaced(len(rows), most)], len(rows)


def _file_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name)[:40]


def _faces_sheet(dataset: PreparedDataset, rows: pd.DataFrame) -> bytes:
    sheet = ContactSheet()
    for clip in rows.to_dict("records"):
        reader, row = dataset.shard(int(clip["shard"])), int(clip["row"])
        clip16 = reader.clip16_index(row).tolist()
        indices = clip16[:: len(clip16) // NUM_COLUMNS]
        cells = [thumbnail(reader.frame(row, index, clip_id=clip["clip_id"])) for index in indices]
        sheet.add_clip(str(clip["clip_id"]), cells, note=_note(clip))
    return sheet.encode()


def _note(clip: dict[str, Any]) -> str:
    """Return the text below the id of a clip."""
    rate, score = clip["detection_rate"], clip["mean_score"]
    detection = "" if rate is None or rate != rate else f", {100 * rate:.0f} %, {score:.2f}"
    return f"{counted(clip['num_frames'], 'frame')}{detection}"


def _failed_sheet(rows: pd.DataFrame, source: Path | None) -> bytes:
    sheet = ContactSheet(num_columns=_FRAME_COLUMNS, cell_width_px=_FRAME_PX)
    for clip in rows.to_dict("records"):
        path = source_file(source, str(clip["source"])) if source is not None and clip["source"] else None
        frames = frames_of_source(path, most=_FRAME_COLUMNS) if path is not None else []
        cells = [letterboxed(image, width_px=_FRAME_PX) for image in frames]
        if cells:
            sheet.add_clip(str(clip["clip_id"]), cells, note=str(clip["code"]), is_failed=True)
        else:
            sheet.add_failure(str(clip["clip_id"]), str(clip["code"]))
    return sheet.encode()


def frames_of_source(path: Path, *, most: int) -> list[Image]:
    """Return up to `most` frames (H, W, 3) uint8 RGB, spread over the first 3,000 of a video; [] if it has none."""
    kept: list[Image] = []
    step = 1
    try:
        with open_video(path) as reader:
            for frame in reader.frames():
                if frame.index >= _MOST_DECODED:
                    break
                if frame.index % step == 0:
                    kept.append(frame.image)
                if len(kept) >= 4 * most:  # keep twice as many as needed: bounded memory for long videos
                    kept, step = kept[::2], 2 * step
    except (VideoError, OSError):
        return []
    return [kept[index] for index in evenly_spaced(len(kept), most)] if kept else []


def clip_picture(dataset: PreparedDataset, clip_id: str, *, num_frames: int = CLIP_FRAMES) -> Image:
    """Return test frames of a clip with number, time and score of each, four per line, (H, W, 3) uint8 RGB.

    Frames that fill a gap or are damaged get a border. Raises what `PreparedDataset.read_clip` does.
    """
    frames = dataset.read_clip(clip_id, num_frames=num_frames, size_px=_CELL_PX).transpose(0, 2, 3, 1)  # (T, H, W, 3)
    clip = dataset.clip(clip_id)
    reader, row = dataset.shard(int(clip["shard"])), int(clip["row"])
    first = int(reader.clip_offsets[row])
    num_lines = -(-len(frames) // _CELLS_PER_LINE)
    sheet = np.zeros((_CELL_PX * num_lines, _CELL_PX * min(_CELLS_PER_LINE, len(frames)), 3), np.uint8)
    numbers = dataset.test_frames(clip_id, num_frames=num_frames)
    for position, (index, image) in enumerate(zip(numbers, frames, strict=True)):
        record = {name: reader.tensor(name)[first + index] for name in ("frame_index", "pts_seconds", "score", "flags")}
        cell = np.ascontiguousarray(image)
        draw_text(cell, _caption(record), at=(0, _CELL_PX))
        if FrameFlag(int(record["flags"])) & (FrameFlag.GAP_FILLED | FrameFlag.DAMAGED_SOURCE):
            cv2.rectangle(cell, (1, 1), (_CELL_PX - 2, _CELL_PX - 2), _MARKED, 3)
        top, left = (side * _CELL_PX for side in divmod(position, _CELLS_PER_LINE))
        sheet[top : top + _CELL_PX, left : left + _CELL_PX] = cell
    return sheet


def _caption(record: dict[str, Any]) -> str:
    flags, score, seconds = FrameFlag(int(record["flags"])), float(record["score"]), float(record["pts_seconds"])
    time = f"{seconds:.2f} s  " if seconds == seconds else ""
    return f"{int(record['frame_index'])}  {time}{how_found(flags, score)}".rstrip()


def how_found(flags: FrameFlag, score: float) -> str:
    """Return the score of a face, or a word for why it has none; empty for shipped crops."""
    if flags & FrameFlag.GAP_FILLED:
        return "filled"
    if flags & FrameFlag.BETWEEN_KEYFRAMES:
        return "between"
    return f"{score:.2f}" if score == score else ""

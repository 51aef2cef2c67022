"""A table of all frames: where and when each face was found. For R, spreadsheets and pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import pandas as pd

from dfer_data.exchange.base import ExportFormat
from dfer_data.exchange.selection import ExportClip
from dfer_data.storage.csv_text import spreadsheet_cell

FRAMES_NAME = "frames.csv"
_ROW_BYTES = 240


class FramesCsv(ExportFormat):
    """frames.csv alone: one row per frame, and no picture."""

    name = "frames.csv"
    needs_lists = False

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield the table."""
        yield FRAMES_NAME, self._blocks()

    def num_table_bytes(self) -> int:
        """Return about the size of the table."""
        return _ROW_BYTES * sum(clip.num_frames for clip in self.selection.clips)

    def path_of(self, clip: ExportClip) -> str:
        """Return the table."""
        return FRAMES_NAME

    def usage(self) -> str:
        """Return how to read the table, and what its columns are."""
        return (
            '```python\nimport pandas as pd\nframes = pd.read_csv("THIS_FOLDER/frames.csv", dtype={"clip_id": str})\n'
            '```\n\n```r\nframes <- read.csv("THIS_FOLDER/frames.csv", colClasses = c(clip_id = "character"))\n```\n\n'
            "Columns: `clip_id`; `frame`, the number of the stored frame from 0; `frame_index` and `pts_seconds`, "
            "number and time in the source; `left`, `top`, `right`, `bottom`, the box, and `x0` to `y4`, the five "
            "landmarks (eyes, nose, corners of the mouth), in pixels of the source; `score` of the detector; and the "
            "flags `detected`, `between_keyframes`, `gap_filled`, `outside_border`, `damaged_source`."
        )

    def _blocks(self) -> Iterator[bytes]:
        """Yield the rows of a shard after the other."""
        is_first = True
        for _, clips in groupby(self.selection.clips, key=lambda clip: clip.shard):
            table = pd.concat([self._rows(clip) for clip in clips], ignore_index=True)
            yield table.to_csv(index=False, header=is_first, lineterminator="\n").encode()
            is_first = False

    def _rows(self, clip: ExportClip) -> pd.DataFrame:
        table = self.source.table(clip)
        table.insert(0, "frame", list(self.source.indices(clip)))
        table.insert(0, "clip_id", spreadsheet_cell(clip.clip_id))
        return table

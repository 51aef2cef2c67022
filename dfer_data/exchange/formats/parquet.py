"""Parquet files with one row per clip and its JPEG frames in a column."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from dfer_data.exchange.base import Piece
from dfer_data.exchange.grouped_format import GroupedFiles
from dfer_data.exchange.selection import ExportClip

_GROUP_CLIPS = 16  # rows that are read together: about 20 MB of DFEW


class ParquetFiles(GroupedFiles):
    """Files of at most 128 MiB; each holds clips that are in the same split of every fold."""

    name = "parquet"
    suffix = ".parquet"

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the file; frames are the stored JPEG bytes."""
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, self._schema(), compression="none") as writer:
            for start in range(0, len(piece.clips), _GROUP_CLIPS):
                writer.write_table(self._table(piece.clips[start : start + _GROUP_CLIPS]))
        yield piece.names[0], buffer.getvalue()

    def usage(self) -> str:
        """Return how to read rows."""
        config = f', "fold-{self.selection.folds[0]}"' if self.selection.folds else ""
        return (
            f'```python\nimport datasets\nclips = datasets.load_dataset("THIS_FOLDER"{config})\n```\n\n'
            f"pandas and DuckDB read files such as `{self.parts[0][0]}` too. `frames` holds the JPEG bytes of each "
            "frame, `pts_seconds` and `frame_index` its time and number in the source, `fold_K` the split in fold K."
        )

    def _schema(self) -> pa.Schema:
        return pa.schema(
            [
                ("clip_id", pa.string()),
                ("label", pa.string()),
                ("label_number", pa.int32()),
                *((f"fold_{fold}", pa.string()) for fold in self.selection.folds),
                ("fps", pa.float64()),
                ("num_frames", pa.int32()),
                ("frame_index", pa.list_(pa.int32())),
                ("pts_seconds", pa.list_(pa.float32())),
                ("frames", pa.list_(pa.binary())),
            ]
        )

    def _table(self, clips: Sequence[ExportClip]) -> pa.Table:
        rows = [
            {
                "clip_id": clip.clip_id,
                "label": clip.label,
                "label_number": clip.number,
                **{f"fold_{fold}": clip.splits.get(fold) for fold in self.selection.folds},
                "fps": clip.fps,
                "num_frames": clip.num_frames,
                "frame_index": self.source.source_frames(clip).tolist(),
                "pts_seconds": self.source.seconds(clip).tolist(),
                "frames": self.source.jpegs(clip),
            }
            for clip in clips
        ]
        return pa.Table.from_pylist(rows, schema=self._schema())

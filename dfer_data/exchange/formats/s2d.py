"""CSV lists with a header and folders of frames, for S2D and its successors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfer_data.exchange.base import FOLD_PARTS, FrameFolders, csv_of

_LABEL_COLUMN = {"mafw": "labels"}


class S2dLists(FrameFolders):
    """train_set_K.csv and test_set_K.csv: the folder of the frames and a label from 0."""

    name = "s2d"

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield the lists of each fold."""
        yield self.classes()
        header = ("video_name", _LABEL_COLUMN.get(self.dataset, "label"))
        for fold in self.selection.folds:
            for split in FOLD_PARTS:
                rows = ((clip.stem, clip.number) for clip in self.selection.of_split(fold, split))
                yield f"{split}_set_{fold}.csv", csv_of([header, *rows])

    def usage(self) -> str:
        """Return what the columns are."""
        return (
            "`video_name` is a folder below `clips`: give THIS_FOLDER/clips as the folder of the frames, and read it "
            "as text (pandas: `dtype={'video_name': str}`), else `00001` becomes 1. Labels count from 0, "
            "although the header is that of DFEW's own lists, whose labels count from 1."
        )

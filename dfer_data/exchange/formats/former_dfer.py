"""Lists of `path num_frames label` and folders of frames, for Former-DFER, LSTPNet, IAL, DFER-CLIP and MMA-DFER."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfer_data.exchange.base import FOLD_PARTS, FrameFolders, lines_of


class FormerDferLists(FrameFolders):
    """One list per split of each fold; its reader splits lines at spaces and sorts frames by name."""

    name = "former-dfer"
    has_path_lists = True

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield NAME_set_K_train.txt and NAME_set_K_test.txt."""
        yield self.classes()
        for fold in self.selection.folds:
            for split in FOLD_PARTS:
                name = self._list_name(fold, split)
                rows = (
                    (self.in_list(self.path_of(clip), name), clip.num_frames, clip.number)
                    for clip in self.selection.of_split(fold, split)
                )
                yield name, lines_of(rows)

    def usage(self) -> str:
        """Return which options of the readers name the lists."""
        name = self._list_name(self.selection.folds[0], "train")
        return (
            f"Each line of `{name}` is `path num_frames label`. Paths are relative to the folder of the list: start "
            "the training code there, or export with `--paths absolute`. `dfer prepare lists --source THIS_FOLDER "
            "--detector none` reads the lists back."
        )

    def _list_name(self, fold: str, split: str) -> str:
        return f"{self.dataset.upper()}_set_{fold}_{split}.txt"

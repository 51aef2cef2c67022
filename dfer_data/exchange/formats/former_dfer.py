"""Lists of `path num_frames label` and folders of frames, for Former-DFER, LSTPNet, IAL, DFER-CLIP and MMA-DFER."""

from __future__ import annotations

from dfer_data.exchange.base import FOLD_PARTS, PathLists
from dfer_data.exchange.selection import ExportClip


class FormerDferLists(PathLists):
    """One list per split of each fold; its reader splits lines at spaces and sorts frames by name."""

    name = "former-dfer"

    def lists(self, fold: str) -> dict[str, str]:
        """Return NAME_set_K_train.txt and NAME_set_K_test.txt."""
        return {self._list_name(fold, split): split for split in FOLD_PARTS}

    def cells(self, clip: ExportClip, list_name: str) -> tuple[object, ...]:
        """Return path, number of frames and label."""
        return self.in_list(self.path_of(clip), list_name), clip.num_frames, clip.number

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

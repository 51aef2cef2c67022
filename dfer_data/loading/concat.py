"""Join several prepared datasets; classes are matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.frame_sampling import FrameIndices
from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.types import Image


class ConcatClips:
    """The concatenated clips of several datasets; the id of a clip is `folder:clip id`.

    Each dataset draws the same frames as on its own.
    """

    def __init__(self, parts: Sequence[FaceClipDataset], *, class_names: Sequence[str] | None = None) -> None:
        """Join `parts`; the classes are `class_names`, or all class names in the order of the parts.

        Clips of other classes than `class_names` are left out and counted in `left_out`. Raises UsageError for parts
        that are sampled differently, whose folders have the same name, that have no clip of these classes, or whose
        items are not the stored pixels (mean and std, a transform, a type, a layout, sound), which would be lost.
        """
        if not parts:
            raise UsageError("ConcatClips needs a dataset")
        if other := next((part for part in parts if not part.is_plain), None):
            raise UsageError(
                f"{other.prepared.root}: ConcatClips gives uint8 clips, which ClipLoader reads: leave out layout, "
                "mean, std, dtype, transform and audio, and change the batches instead"
            )
        policies = {part.policy for part in parts}
        if len(policies) > 1:
            raise UsageError(f"cannot join datasets of different size, sampling or seed: {sorted(map(str, policies))}")
        folders = [part.prepared.root.resolve().name for part in parts]
        if len(set(folders)) < len(folders):
            raise UsageError(f"the folders of joined datasets need different names: {', '.join(sorted(folders))}")
        clip_classes = [np.array(part.prepared.class_names)[part.labels] for part in parts]
        if class_names is None:
            class_names = tuple(dict.fromkeys(chain.from_iterable(part.prepared.class_names for part in parts)))
        self.class_names = tuple(class_names)
        numbers = {name: number for number, name in enumerate(self.class_names)}
        kept = [[i for i, name in enumerate(names) if str(name) in numbers] for names in clip_classes]
        self.left_out = dict(Counter(str(name) for names in clip_classes for name in names if str(name) not in numbers))
        """Class name -> number of clips left out."""
        if not any(kept):
            raise UsageError(f"no clip is of the classes {', '.join(self.class_names)}")
        self._parts, self._kept = tuple(parts), [np.array(indices, np.int64) for indices in kept]
        self._starts = np.cumsum([0, *map(len, kept)])
        self.labels: npt.NDArray[np.int64] = np.array(
            [numbers[str(names[i])] for names, indices in zip(clip_classes, kept, strict=True) for i in indices],
            np.int64,
        )
        self.clip_ids = tuple(
            f"{folder}:{part.clip_ids[i]}"
            for folder, part, indices in zip(folders, parts, kept, strict=True)
            for i in indices
        )
        self.seed = parts[0].seed
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clip_ids)

    @property
    def epoch(self) -> int:
        """Number of the epoch for which training frames are drawn; setting it sets the epoch of every part."""
        return self._parts[0].epoch

    @epoch.setter
    def epoch(self, number: int) -> None:
        for part in self._parts:
            part.epoch = number

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip."""
        return max(part.item_shape for part in self._parts)  # one without clips has one view

    @property
    def num_clips_of_parts(self) -> tuple[int, ...]:
        """Number of clips from each dataset."""
        return tuple(int(stop - start) for start, stop in pairwise(self._starts))

    def read_into(self, index: int, out: Image) -> None:
        """Read one clip into `out`, uint8 of `item_shape`; several threads may do so at once."""
        part, number = self._part_of(index)
        part.read_into(number, out)

    def read_all_into(self, index: int, out: Image) -> None:
        """Read all frames of a clip into `out`, (frame_counts[index], size, size, 3) uint8."""
        part, number = self._part_of(index)
        part.read_all_into(number, out)

    def frame_indices(self, index: int) -> FrameIndices:
        """Return the frames that make up a clip in this epoch, (V, T) int32; BLACK for a black frame."""
        part, number = self._part_of(index)
        return part.frame_indices(number)

    @property
    def frame_counts(self) -> npt.NDArray[np.int64]:
        """(num_clips,) stored frames of each clip."""
        return np.concatenate(
            [part.frame_counts[indices] for part, indices in zip(self._parts, self._kept, strict=True)]
        )

    def _part_of(self, index: int) -> tuple[FaceClipDataset, int]:
        """Return the dataset that holds a clip, and its number there."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[number], int(self._kept[number][index - self._starts[number]])

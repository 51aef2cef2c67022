from __future__ import annotations

import numpy as np

from dfer_data.shards.audio_reader import _faults
from dfer_data.shards.layout import AUDIO_TENSORS
from dfer_data.shards.reader import _ROWS, _index_faults

FAR = 2**62 + 2
OFFSETS = np.array([0, FAR, -FAR, 3], "<i8")
"""Their differences overflow to positive numbers."""


def test_offsets_whose_differences_overflow_are_not_in_order() -> None:
    tensors = {name: np.zeros((3, *shape), dtype) for name, (dtype, shape) in _ROWS.items()}
    tensors |= {"clip16_index": np.zeros((3, 16), "<i4"), "frame_offsets": np.arange(4), "clip_offsets": OFFSETS}
    assert (np.diff(OFFSETS) > 0).all()
    faults = _index_faults("frames", tensors, [3], 3, size_px=8)
    assert list(faults) == ["has clip_offsets that are not in order"]
    tensors |= {"frame_offsets": OFFSETS, "clip_offsets": np.arange(4)}
    assert list(_index_faults("frames", tensors, [3], 3, size_px=8)) == ["has frame_offsets that are not in order"]
    sound = {name: np.zeros(3 + (name == "clip_offsets"), dtype) for name, dtype in AUDIO_TENSORS.items()}
    assert list(_faults(sound | {"clip_offsets": OFFSETS}, [3], 6)) == ["has clip_offsets that are not in order"]

"""Find frames that look alike among those of very many clips, by faiss: an index of clusters, 64 bytes per frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.extras import install_command

LEAST_COSINE = 0.9
"""Of two frames that look alike, after the mean of all frames is taken away."""
LEAST_ALIKE = 2
"""Sampled frames of a clip that must look like one of the other clip."""
FrameSamples = npt.NDArray[np.float32]
"""(S, 63) vectors of length 1: some frames of a clip."""
_ROUNDING = 0.01  # of a cosine, since the index holds a byte per value
_NUM_PROBES = 8  # clusters that are searched per frame
_PER_CLUSTER, _BLOCK_CLIPS = 40, 500


class SamplesOf(Protocol):
    """Returns the samples of a clip by its number."""

    def __call__(self, number: int, *, is_mirrored: bool = False) -> FrameSamples:
        """Return (S, 63)."""
        ...


def indexed_pairs(
    samples: SamplesOf, num_clips: int, *, num_own: int, on_block: Callable[[int, int], None]
) -> Iterator[tuple[int, int, bool]]:
    """Yield what `candidate_pairs` does, but for the few pairs that clusters hide. Raises UsageError without faiss."""
    faiss = _faiss(num_clips)
    index, owner = _index(faiss, samples, num_clips)
    total = -(-num_own // _BLOCK_CLIPS)
    for block, first in enumerate(range(0, num_own, _BLOCK_CLIPS)):
        numbers = range(first, min(first + _BLOCK_CLIPS, num_own))
        for is_mirrored in (False, True):
            yield from _alike_in(
                index, owner, [samples(n, is_mirrored=is_mirrored) for n in numbers], first, is_mirrored
            )
        on_block(block + 1, total)


def _faiss(num_clips: int) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UsageError(
            f"{num_clips:,} clips are too many to compare all; an index needs faiss-cpu: {install_command('index')}"
        ) from error
    return faiss


def _index(faiss: Any, samples: SamplesOf, num_clips: int) -> tuple[Any, npt.NDArray[np.int32]]:
    """Return the index of all samples, and the clip of each."""
    lengths = np.array([len(samples(number)) for number in range(num_clips)], np.int64)
    owner = np.repeat(np.arange(num_clips, dtype=np.int32), lengths)
    num_clusters = max(1, int(4 * np.sqrt(len(owner))))
    size = len(samples(0)[0])
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(size), size, num_clusters, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    num_trained = min(num_clips, -(-_PER_CLUSTER * num_clusters * num_clips // len(owner)))
    chosen = np.sort(np.random.default_rng(0).choice(num_clips, num_trained, replace=False))
    index.train(np.concatenate([samples(int(number)) for number in chosen]))
    for first in range(0, num_clips, _BLOCK_CLIPS):
        index.add(np.concatenate([samples(n) for n in range(first, min(first + _BLOCK_CLIPS, num_clips))]))
    index.nprobe = _NUM_PROBES
    return index, owner


def _alike_in(
    index: Any, owner: npt.NDArray[np.int32], queries: list[FrameSamples], first: int, is_mirrored: bool
) -> Iterator[tuple[int, int, bool]]:
    """Yield the pairs of clips `first`, `first + 1`... with later ones that share enough frames."""
    bounds, _, found = index.range_search(np.concatenate(queries), LEAST_COSINE - _ROUNDING)
    lengths = np.array([len(query) for query in queries])
    frame = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds.astype(np.int64)))
    clip = np.repeat(np.arange(len(queries)), lengths)[frame]
    frames = np.unique(np.stack([frame, clip, owner[found]]), axis=1)  # (3, N): each frame once per other clip
    later = frames[:, first + frames[1] < frames[2]]
    pairs, numbers = np.unique(later[1:], axis=1, return_counts=True)
    enough = numbers >= np.minimum(LEAST_ALIKE, lengths[pairs[0]])
    yield from ((first + int(a), int(b), is_mirrored) for a, b in pairs[:, enough].T)

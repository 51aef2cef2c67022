"""Which pairs of clips are compared over time: those of which several frames look alike, of many million pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dfer_data.auditing.candidate_index import LEAST_ALIKE, LEAST_COSINE, FrameSamples, SamplesOf, indexed_pairs
from dfer_data.auditing.frame_hashes import Film, StoredFilm
from dfer_data.auditing.time_alignment import LEAST_SHARED_FRAMES

EXACT_UP_TO = 50_000
"""Clips; more are searched with an index (the extra `index`)."""
_SAMPLES_PER_SECOND = 6.25
_BLOCK_FRAMES = 2048


def candidate_pairs(
    films: Sequence[StoredFilm], *, num_own: int, on_block: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[tuple[int, int, bool]]:
    """Yield (number of a clip, of a later clip, whether the first is mirrored) for each pair that may be one clip.

    `num_own`: the first of a pair is one of so many first clips. Raises UsageError where many clips need an index that
    is not installed.
    """
    usable = [number for number, film in enumerate(films) if film.num_frames >= LEAST_SHARED_FRAMES]
    if len(usable) < 2:
        return
    mean = np.mean([films[number].film().hashes.mean(axis=0) for number in usable], axis=0)

    def samples(number: int, *, is_mirrored: bool = False) -> FrameSamples:
        return _samples(films[usable[number]].film(), mean, is_mirrored=is_mirrored)

    find = _compared_all if len(usable) <= EXACT_UP_TO else indexed_pairs
    own = sum(number < num_own for number in usable)
    for a, b, is_mirrored in find(samples, len(usable), num_own=own, on_block=on_block):
        yield usable[a], usable[b], is_mirrored


def _compared_all(
    samples: SamplesOf, num_clips: int, *, num_own: int, on_block: Callable[[int, int], None]
) -> Iterator[tuple[int, int, bool]]:
    """Yield candidates: every sample is compared with every other one."""
    plain = [samples(number) for number in range(num_clips)]
    turned = [samples(number, is_mirrored=True) for number in range(num_clips)]
    blocks = list(_blocks([len(each) for each in plain]))
    own = [block for block in blocks if block[0] < num_own]
    total, done = sum(len(blocks) - position for position in range(len(own))), 0
    for position, (first, stop) in enumerate(own):
        for other_first, other_stop in blocks[position:]:
            for is_mirrored, queries in ((False, plain), (True, turned)):
                for a, b in _alike(queries[first:stop], plain[other_first:other_stop]):
                    if first + a < other_first + b and first + a < num_own:
                        yield first + a, other_first + b, is_mirrored
            done += 1
            on_block(done, total)


def _samples(film: Film, mean: npt.NDArray[np.float64], *, is_mirrored: bool) -> FrameSamples:
    """Return some frames per second, as vectors of length 1 from the mean of all clips."""
    step = max(1, round((film.rate or 25.0) / _SAMPLES_PER_SECOND))
    centred = (film.mirrored if is_mirrored else film).hashes[::step] - mean
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9), np.float32)


def _blocks(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) of runs of clips with at most `_BLOCK_FRAMES` samples, or of one clip."""
    first, size = 0, 0
    for number, length in enumerate(lengths):
        if size and size + length > _BLOCK_FRAMES:
            yield first, number
            first, size = number, 0
        size += length
    yield first, len(lengths)


def _alike(queries: Sequence[FrameSamples], others: Sequence[FrameSamples]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of a query and another clip with enough frames that look alike."""
    begins = [np.cumsum([0, *map(len, clips[:-1])]) for clips in (queries, others)]
    cosines = np.concatenate(queries) @ np.concatenate(others).T
    is_alike = np.maximum.reduceat(cosines, begins[1], axis=1) >= LEAST_COSINE
    numbers = np.add.reduceat(is_alike.astype(np.int32), begins[0], axis=0)
    least = np.minimum(LEAST_ALIKE, [[len(clip)] for clip in queries])
    yield from ((int(a), int(b)) for a, b in np.argwhere(numbers >= least))

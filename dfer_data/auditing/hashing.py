"""Hash the stored faces of all clips of a prepared dataset; finished shards are kept until the audit is finished."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfer_data.auditing.frame_hashes import HASH_VERSION, NUM_VALUES, StoredFilm, hashed, small_face, small_picture
from dfer_data.errors import CorruptShardError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.reader import ShardReader
from dfer_data.storage.files import atomic_file

_Stored = npt.NDArray[np.int16]


def films_of(
    dataset: PreparedDataset, work: Path, *, on_shard: Callable[[int], None] = lambda num_clips: None
) -> dict[str, StoredFilm]:
    """Return clip id -> hashes, in the order of ids, of all clips with faces.

    `work`: folder for the hashes of finished shards. `on_shard`: called with the number of clips of each shard.
    Raises CorruptShardError.
    """
    clips = dataset.clips[dataset.clips["shard"].notna()]
    ids = {(int(shard), int(row)): clip_id for clip_id, shard, row in clips[["clip_id", "shard", "row"]].to_numpy()}
    films = {}
    for number, facts in enumerate(dataset.document["shards"]):
        path = work / f"{facts['sha256']}-{HASH_VERSION}.npz"
        reader = dataset.open_shard(number)
        shard = _kept(path, num_clips=facts["num_clips"])
        if shard is None:
            shard = _hash_shard(reader)
            with atomic_file(path) as file:
                hashes = np.concatenate([np.zeros((0, NUM_VALUES), np.int16), *shard])  # a shard may have no clips
                np.savez(file, hashes=hashes, num_rows=np.array([len(rows) for rows in shard], np.int64))
        for row, stored in enumerate(shard):
            films[ids[number, row]] = StoredFilm(stored, _rate(reader, row))
        on_shard(len(shard))
    return dict(sorted(films.items()))


def _kept(path: Path, *, num_clips: int) -> list[_Stored] | None:
    """Return the hashes of a shard of an interrupted audit; None where there are none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # numpy leaves a damaged one open
            hashes, num_rows = arrays["hashes"], arrays["num_rows"]
        if len(num_rows) == num_clips and hashes.shape == (num_rows.sum(), NUM_VALUES) and hashes.dtype == np.int16:
            return np.split(hashes, np.cumsum(num_rows))[:-1]
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        pass
    return None


def _hash_shard(reader: ShardReader) -> list[_Stored]:
    return [hashed(list(_faces(reader, row))) for row in range(reader.num_clips)]


def _faces(reader: ShardReader, row: int) -> Iterator[npt.NDArray[np.uint8]]:
    if reader.store == "clips16":
        yield from (small_picture(reader.frame(row, index)) for index in range(reader.num_frames(row)))
        return
    for index, jpeg in enumerate(reader.jpegs(row, range(reader.num_frames(row)))):
        try:
            yield small_face(jpeg)
        except ValueError as error:
            raise CorruptShardError(
                f"frame {index} of the clip in row {row} is not a readable JPEG: {error}"
            ) from error


def _rate(reader: ShardReader, row: int) -> float:
    """Return the stored frames per second of a clip; 0 for frames without times."""
    first, stop = reader.clip_offsets[row : row + 2]
    times = reader.tensor("pts_seconds")[first:stop]
    length = float(times[-1] - times[0])
    return (len(times) - 1) / length if np.isfinite(length) and length > 0 else 0.0

"""Clip readers, one process each; benchmarks/loader.py runs them, some in the peers' environment.

    python clip_readers.py READER WORKERS WORK

`WORK` holds clips.json: for each clip its JPEG files (paths below WORK) and the indices of the sixteen to read. For
each line `go` on stdin, the process reads all clips once, in batches, and prints one line of JSON: CPU seconds of the
process and its workers, wall seconds, seconds to the first batch, peak memory without the workers. For `check` it
prints a CRC-32 of all clips instead, independent of their order.
"""

from __future__ import annotations

import functools
import json
import resource
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch

BATCH = 4
Read = Callable[[], Iterator[torch.Tensor]]
Clip = tuple[list[str], list[int]]


def by_pil(path: Path) -> Any:
    """Decode with PIL, as papers' code does."""
    import PIL.Image

    return np.asarray(PIL.Image.open(path).convert("RGB"))


def by_simplejpeg(path: Path) -> Any:
    """Decode with simplejpeg, as dfer does."""
    return simplejpeg.decode_jpeg(path.read_bytes())


class Folder(torch.utils.data.Dataset[torch.Tensor]):
    """Clips as folders of JPEG files, one file per frame; items have shape (16, 3, H, W)."""

    def __init__(self, work: Path, decode: Callable[[Path], Any], *, is_float: bool) -> None:
        self._work, self._clips, self._decode, self._is_float = work, clips_of(work), decode, is_float

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._clips)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return the test frames of one clip."""
        paths, indices = self._clips[index]
        images = [self._decode(self._work / paths[i]) for i in indices]
        if not self._is_float:
            return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        stacked = torch.from_numpy(np.concatenate(images, axis=2))  # (H, W, 16 * 3), as papers' transforms do
        return stacked.permute(2, 0, 1).contiguous().float().div(255).reshape(len(images), 3, *stacked.shape[:2])


def clips_of(work: Path) -> list[Clip]:
    """Return the files of each clip and the indices of its sixteen test frames."""
    return [(paths, indices) for paths, indices in json.loads((work / "clips.json").read_text())]


def decoded(jpegs: list[bytes]) -> torch.Tensor:
    """Decode sixteen images into (16, 3, H, W) uint8, as a fast user of another library would."""
    return torch.from_numpy(np.stack([simplejpeg.decode_jpeg(jpeg) for jpeg in jpegs])).permute(0, 3, 1, 2).contiguous()


def folder(work: Path, num_workers: int, *, decode: Callable[[Path], Any], is_float: bool = False) -> Read:
    """Read folders of JPEG files through a DataLoader."""
    dataset = Folder(work, decode, is_float=is_float)
    return lambda: iter(torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=num_workers))


def webdataset(work: Path, num_workers: int) -> Read:
    """Read tar files with WebDataset; one sample per clip, with all its frames."""
    import io
    import tarfile

    import webdataset as wds

    clips, target = clips_of(work), work / "webdataset"
    target.mkdir(exist_ok=True)
    for shard in range(4):  # divisible among the workers
        with tarfile.open(target / f"{shard:05d}.tar", "w") as tar:
            for number in range(shard * len(clips) // 4, (shard + 1) * len(clips) // 4):
                paths, indices = clips[number]
                files = {f"{i:05d}.jpg": (work / path).read_bytes() for i, path in enumerate(paths)}
                for name, content in {"chosen.json": json.dumps(indices).encode(), **files}.items():
                    entry = tarfile.TarInfo(f"{number:05d}.{name}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))

    def clip(sample: dict[str, Any]) -> torch.Tensor:
        return decoded([sample[f"{i:05d}.jpg"] for i in json.loads(sample["chosen.json"])])

    urls = [str(path) for path in sorted(target.glob("*.tar"))]

    def read() -> Iterator[torch.Tensor]:
        dataset = wds.WebDataset(urls, shardshuffle=False).map(clip).batched(BATCH, collation_fn=torch.stack)
        return iter(wds.WebLoader(dataset, batch_size=None, num_workers=num_workers))

    return read


def _sample(number: int, *, work: str) -> dict[str, Any]:
    """Return one sample; LitData needs a fixed number of items, so one holds all frames and one their sizes."""
    paths, indices = clips_of(Path(work))[number]
    frames = [(Path(work) / path).read_bytes() for path in paths]
    return {"facts": json.dumps([indices, [len(frame) for frame in frames]]), "frames": b"".join(frames)}


def _unpacked(sample: dict[str, Any]) -> torch.Tensor:
    indices, sizes = json.loads(sample["facts"])
    ends = np.cumsum(sizes)
    return decoded([sample["frames"][ends[i] - sizes[i] : ends[i]] for i in indices])


def litdata(work: Path, num_workers: int) -> Read:
    """Read chunks with LitData; one sample per clip, with all its frames."""
    import litdata as ld

    target = work / "litdata"
    if not target.is_dir():
        inputs = list(range(len(clips_of(work))))
        fn = functools.partial(_sample, work=str(work))
        ld.optimize(fn=fn, inputs=inputs, output_dir=str(target), num_workers=1, chunk_bytes="64MB")

    dataset = ld.StreamingDataset(str(target), shuffle=False, transform=_unpacked)
    return lambda: iter(ld.StreamingDataLoader(dataset, batch_size=BATCH, num_workers=num_workers, shuffle=False))


def ours(work: Path, num_workers: int, *, is_float: bool = False) -> Read:
    """Read shards with ClipLoader; its workers are threads."""
    from dfer_data.loading.loader import ClipLoader

    loader = ClipLoader(_dataset(work), batch_size=BATCH, shuffles=False, num_threads=num_workers)

    def read() -> Iterator[torch.Tensor]:
        pixels = torch.empty(0)
        for batch in loader.epoch(0):
            if not is_float:
                yield batch.frames
                continue
            if pixels.shape != batch.frames.shape:
                pixels = torch.empty_like(batch.frames, dtype=torch.float32)
            yield pixels.copy_(batch.frames).div_(255)

    return read


def ours_mapped(work: Path, num_workers: int) -> Read:
    """Read shards with FaceClipDataset in a DataLoader, as custom training loops do."""
    from dfer_data.loading.clip_dataset import collate

    dataset = _dataset(work)
    return lambda: (
        frames
        for frames, _, _ in torch.utils.data.DataLoader(
            dataset, batch_size=BATCH, collate_fn=collate, num_workers=num_workers
        )
    )


def _dataset(work: Path) -> Any:
    from dfer_data.loading.clip_dataset import FaceClipDataset

    facts = json.loads((work / "prepared.json").read_text())
    return FaceClipDataset(facts["root"], clip_ids=facts["clip_ids"], size_px=facts["size_px"])


def decoding_alone(work: Path, num_workers: int) -> Read:
    """Decode images in memory into one buffer: the upper bound for every JPEG reader."""
    clips = [[(work / paths[i]).read_bytes() for i in indices] for paths, indices in clips_of(work)]
    height, width, *_ = simplejpeg.decode_jpeg_header(clips[0][0])
    buffer = np.empty((BATCH, 16, height, width, 3), np.uint8)

    def read() -> Iterator[torch.Tensor]:
        for start in range(0, len(clips), BATCH):
            batch = clips[start : start + BATCH]
            for out, jpegs in zip(buffer, batch, strict=False):
                for i, jpeg in enumerate(jpegs):
                    if jpeg is jpegs[i - 1] and i:
                        out[i] = out[i - 1]
                    else:
                        simplejpeg.decode_jpeg(jpeg, buffer=out[i])
            yield torch.from_numpy(buffer[: len(batch)]).permute(0, 1, 4, 2, 3)

    return read


READERS: dict[str, Callable[[Path, int], Read]] = {
    "folder-pil": lambda work, n: folder(work, n, decode=by_pil),
    "folder-simplejpeg": lambda work, n: folder(work, n, decode=by_simplejpeg),
    "webdataset": webdataset,
    "litdata": litdata,
    "dataset": ours_mapped,
    "loader": ours,
    "decoding-alone": decoding_alone,
    "folder-pil-float": lambda work, n: folder(work, n, decode=by_pil, is_float=True),
    "loader-float": lambda work, n: ours(work, n, is_float=True),
}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def go(read: Read) -> dict[str, float]:
    """Read all clips once and return the measurements."""
    cpu, start, first = cpu_seconds(), time.perf_counter(), 0.0
    for _ in read():
        first = first or time.perf_counter() - start
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "cpu_seconds": cpu_seconds() - cpu,
        "wall_seconds": seconds,
        "first_batch_seconds": first,
        "peak_mib": int(status["VmHWM"].split()[0]) / 1024,
    }


def main() -> None:
    """Run the commands from stdin."""
    torch.set_num_threads(1)  # so that the conversion to float costs the same for all
    name, num_workers, work = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    read = READERS[name](work, num_workers)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "check":
            checksums = sorted(zlib.crc32(clip.contiguous().numpy().tobytes()) for batch in read() for clip in batch)
            print(json.dumps({"crc32": zlib.crc32(json.dumps(checksums).encode())}), flush=True)
        else:
            print(json.dumps(go(read)), flush=True)


if __name__ == "__main__":
    main()

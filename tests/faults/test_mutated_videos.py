"""Videos with damaged bytes, many in one run: each becomes a coded row or a readable clip, and no worker is lost.

The containers are mp4, mov, avi, mkv and webm; a mutation cuts, overwrites, inserts, repeats or flips bytes anywhere.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import PreparationEvent, run_preparation
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.workers.crew import WorkerLost
from tests.dfer_data import tiny

NUM_MUTATIONS = 50
NUM_MUTATIONS_SOAK = 1000
CODECS = {"mp4": "libx264", "mov": "mpeg4", "avi": "mpeg4", "mkv": "libx264", "webm": "libvpx"}
CODES = {"UNREADABLE", "NO_VIDEO_STREAM", "TOO_LARGE", "NO_FRAMES", "NO_FACE"}
"""What damage to a file may end in; CRASHED and TIMEOUT would be holes in the guard around the decoder."""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory, real_videos: Mapping[str, Path]) -> dict[str, bytes]:
    """A face over twelve small frames in each container."""
    folder = tmp_path_factory.mktemp("intact")
    images = tiny.real_pictures(real_videos["single_face.mp4"], stop=12)
    return {
        kind: tiny.write_video(folder / f"a.{kind}", images, codec=codec).read_bytes() for kind, codec in CODECS.items()
    }


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def cut_front(data: bytearray, rng: random.Random) -> None:
    del data[: rng.randrange(len(data))]


def remove(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, 400)]


def insert(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = rng.randbytes(rng.randint(1, 400))


def repeat(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    data[start:start] = data[start : start + rng.randint(1, 2000)]


def overwrite(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randint(1, 64))
    data[start:stop] = rng.choice([bytes(stop - start), b"\xff" * (stop - start), rng.randbytes(stop - start)])


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 4, 40, 400])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_the_header(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 3, 9])):
        data[rng.randrange(min(len(data), 700))] ^= 1 << rng.randrange(8)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(cut, cut_front, remove, insert, repeat),
    *(overwrite, overwrite, flip, flip, flip_the_header, flip_the_header),
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        if changed:
            rng.choice(MUTATIONS)(changed, rng)
    return bytes(changed)


def check_mutations(intact: Mapping[str, bytes], folder: Path, *, number: int, seed: int) -> Counter[str]:
    """Prepare mutated videos of every container beside the intact ones; return what became of them."""
    rng = random.Random(seed)
    for index in range(number):
        kind = list(CODECS)[index % len(CODECS)]
        path = folder / "source" / "mutated" / f"{index:04d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(intact[kind], rng))
    for kind, data in intact.items():
        (folder / "source" / "intact").mkdir(exist_ok=True)
        (folder / "source" / "intact" / f"a.{kind}").write_bytes(data)
    lost: list[WorkerLost] = []

    def note(event: PreparationEvent) -> None:
        if isinstance(event, WorkerLost):
            lost.append(event)

    request = Request(dataset="folder", source=folder / "source", det_size_px=128)
    run_preparation(
        resolve_request(request), folder / "out", num_workers=2, limits=Limits(max_stall_seconds=20), on_event=note
    )
    assert lost == []
    assert verify(folder / "out", deep=True).damages == ()
    dataset = open_dataset(folder / "out")
    found: Counter[str] = Counter()
    for row in dataset.clips.to_dict("records"):
        if row["source_clip_id"].startswith("intact/"):
            assert row["status"] == "ok"
        elif row["status"] == "failed":
            assert row["code"] in CODES
            assert row["reason"]
            found[row["code"]] += 1
        else:
            assert dataset.read_clip(row["clip_id"]).shape == (16, 3, 224, 224)
            found[row["status"]] += 1
    assert dataset.clips["source_clip_id"].nunique() == number + len(CODECS)
    return found


def test_mutated_videos_are_a_coded_row_or_a_clip(intact: dict[str, bytes], tmp_path: Path) -> None:
    found = check_mutations(intact, tmp_path, number=NUM_MUTATIONS, seed=1)
    assert found["UNREADABLE"] >= 3
    assert found["partial"] >= 3


@pytest.mark.soak
def test_a_thousand_mutated_videos(intact: dict[str, bytes], tmp_path: Path) -> None:
    found = check_mutations(intact, tmp_path, number=NUM_MUTATIONS_SOAK, seed=2)
    print(f"\n{NUM_MUTATIONS_SOAK} mutated videos: 0 workers lost, {dict(found.most_common())}")


def test_a_picture_that_grows_beyond_the_cap_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """The container says 160 x 90, each picture inside 40,000 x 40,000 (5 GB): the decoder itself must refuse."""
    path = tmp_path / "source" / "bomb.mkv"
    tiny.write_video(path, tiny.pictures(3, width_px=160, height_px=90), codec="mjpeg", pix_fmt="yuvj420p")
    start_of_frame, large = b"\xff\xc0\x00\x11\x08" + bytes([0, 90, 0, 160]), (40_000).to_bytes(2, "big")
    data = path.read_bytes()
    assert data.count(start_of_frame) == 3
    path.write_bytes(data.replace(start_of_frame, start_of_frame[:5] + large + large))
    limits = Limits(max_memory_mb=400)
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "source", det_size_px=128))
    summary = run_preparation(resolved, tmp_path / "out", num_workers=1, limits=limits)
    assert summary.num_clips == {"NO_FRAMES": 1}

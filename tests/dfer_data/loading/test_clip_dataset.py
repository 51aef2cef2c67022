"""The training Dataset: what it gives, and that it gives the same whatever reads it, in whatever order."""

from __future__ import annotations

import pickle
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from dfer_data import open_dataset, read_clip
from dfer_data.config import Request
from dfer_data.errors import CorruptShardError, UsageError
from dfer_data.frame_sampling import SAMPLERS, frames_of_clip
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling, collate
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.video.resize import resized
from tests.crops import LONG, MISSING, SHORT, damage, fold_of, label_of, write_crops

IDS = ("00001", "00002", "00008", "00022")
Frames = dict[str, torch.Tensor]


def dataset(
    root: Path, *, clip_ids: Sequence[str] = IDS, sampling: Sampling = "train", seed: int = 0, keep: bool = False
) -> FaceClipDataset:
    return FaceClipDataset(
        root, clip_ids=clip_ids, size_px=32, draw=FrameDraw(sampling=sampling, seed=seed, keep_in_memory=keep)
    )


def frames_of(data: FaceClipDataset, *, num_workers: int = 0) -> Frames:
    """Read all clips through a loader: clip id -> frames."""
    found: Frames = {}
    for frames, _, clip_ids in DataLoader(data, batch_size=3, collate_fn=collate, num_workers=num_workers):
        found |= dict(zip(clip_ids, frames, strict=True))
    return found


def equal(a: Frames, b: Frames) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[clip_id], b[clip_id]) for clip_id in a)


def shard_of(root: Path) -> Path:
    return root / "shards" / "00000.safetensors"


@pytest.mark.parametrize(("sampling", "num_frames", "size_px"), [("train", 16, 32), ("test", 16, 48), ("frame", 1, 32)])
def test_a_clip_is_uint8_frames_a_label_and_a_name(
    crops: Path, sampling: Sampling, num_frames: int, size_px: int
) -> None:
    data = FaceClipDataset(crops, fold=3, size_px=size_px, draw=FrameDraw(sampling=sampling))
    item = data[4]
    assert (item.frames.shape, item.frames.dtype) == ((num_frames, 3, size_px, size_px), torch.uint8)
    assert item.frames.is_contiguous()
    assert item.clip_id == data.clip_ids[4]
    assert len(data) == len(data.clip_ids) == len(data.labels)


def test_labels_are_those_of_the_manifest(crops: Path) -> None:
    data, prepared = FaceClipDataset(crops, fold=1, size_px=32), open_dataset(crops)
    for index in range(0, len(data), 7):
        item = data[index]
        assert prepared.class_names[item.label] == prepared.clip(item.clip_id)["label"]
        assert item.label == data.labels[index] == label_of(int(item.clip_id)) - 1


def test_red_comes_first(crops: Path) -> None:
    """Clips of the first class are red, of the third blue."""
    for clip_id, channel in (("00001", 0), ("00003", 2)):
        frames = dataset(crops, clip_ids=[clip_id], sampling="test")[0].frames
        assert int(frames.float().mean(dim=(0, 2, 3)).argmax()) == channel


@pytest.mark.parametrize("size_px", [224, 40])
@pytest.mark.parametrize("clip_id", ["00001", "00008"])
def test_test_sampling_is_what_read_clip_gives(crops: Path, clip_id: str, size_px: int) -> None:
    data = FaceClipDataset(crops, clip_ids=[clip_id], size_px=size_px, draw=FrameDraw(seed=5))
    data.epoch = 9
    assert np.array_equal(data[0].frames.numpy(), read_clip(crops, clip_id, size_px=size_px))


def test_collate_keeps_clips_labels_and_names_together(crops: Path) -> None:
    data = dataset(crops)
    frames, labels, clip_ids = collate([data[index] for index in range(len(data))])
    assert (frames.shape, frames.dtype) == ((4, 16, 3, 32, 32), torch.uint8)
    assert (labels.dtype, labels.tolist()) == (torch.int64, [label_of(int(clip_id)) - 1 for clip_id in IDS])
    assert clip_ids == list(IDS)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # Python 3.12 on forks
@pytest.mark.parametrize("sampling", ["train", "frame"])
def test_frames_depend_on_seed_epoch_and_clip_alone(crops: Path, sampling: Sampling) -> None:
    wanted = frames_of(dataset(crops, sampling=sampling))
    assert equal(frames_of(dataset(crops, sampling=sampling), num_workers=2), wanted)
    assert equal(frames_of(dataset(crops, clip_ids=IDS[::-1], sampling=sampling)), wanted)
    alone = frames_of(dataset(crops, clip_ids=IDS[1:2], sampling=sampling))
    assert equal(alone, {IDS[1]: wanted[IDS[1]]})
    assert not equal(frames_of(dataset(crops, sampling=sampling, seed=1)), wanted)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")  # Python 3.12 on forks
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("is_joined", [False, True])
def test_persistent_workers_see_each_epoch(crops: Path, method: str, is_joined: bool) -> None:
    data = pickle.loads(pickle.dumps(dataset(crops)))  # a copy shares its epoch as well
    reader = ConcatDataset([data]) if is_joined else data
    loader = DataLoader(
        reader,
        batch_size=4,
        collate_fn=collate,
        num_workers=1,
        persistent_workers=True,
        multiprocessing_context=method,
    )
    for epoch in (0, 1, 2):
        data.epoch = epoch
        found = {name: clip for frames, _, ids in loader for name, clip in zip(ids, frames, strict=True)}
        alone = dataset(crops)
        alone.epoch = epoch
        assert equal(found, {item.clip_id: item.frames for item in map(alone.__getitem__, range(len(alone)))})


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_epoch_draws_anew_and_the_same_again(crops: Path, num_workers: int) -> None:
    data, epochs = dataset(crops), []
    for epoch in (1, 2, 1):
        data.epoch = epoch
        epochs.append(frames_of(data, num_workers=num_workers))
    assert equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0]["00001"], epochs[1]["00001"])


@pytest.mark.parametrize("sampling", ["train", "test", "frame"])
def test_keeping_clips_in_memory_changes_nothing(crops: Path, sampling: Sampling) -> None:
    kept, read = dataset(crops, sampling=sampling, keep=True), dataset(crops, sampling=sampling)
    for epoch in (1, 2):
        kept.epoch = read.epoch = epoch
        assert equal(frames_of(kept), frames_of(read))
    for each in (kept, read):
        assert each[-1].clip_id == each.clip_ids[-1]
        assert torch.equal(each[-1].frames, read[len(read) - 1].frames)
        with pytest.raises(IndexError):
            each[len(each)]


@pytest.mark.parametrize("sampling", ["train", "test"])
@pytest.mark.parametrize(("number", "num_frames"), SHORT.items())
def test_short_clips_repeat_their_last_frame(crops: Path, sampling: Sampling, number: int, num_frames: int) -> None:
    frames = dataset(crops, clip_ids=[f"{number:05d}"], sampling=sampling)[0].frames
    for index in range(num_frames - 1, 16):
        assert torch.equal(frames[index], frames[num_frames - 1])
    brightness = frames[:num_frames].float().mean(dim=(1, 2, 3))
    assert (brightness.diff() > 0).all()


def test_long_clips_stay_in_order_of_time(crops: Path) -> None:
    frames = dataset(crops, clip_ids=["00001"])[0].frames
    assert (frames.float().mean(dim=(1, 2, 3))[::2].diff() > -2).all()
    assert LONG > 16


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("sampling", ["train", "test"])
def test_each_sampler_gives_the_frames_that_it_names(
    crops: Path, name: str, sampling: Literal["train", "test"]
) -> None:
    data = FaceClipDataset(crops, clip_ids=["00001"], size_px=32, draw=FrameDraw(sampling, name, seed=4))
    data.epoch = 2
    frames = data[0].frames
    rng = np.random.default_rng((4, 2 if sampling == "train" else 0, zlib.crc32(b"00001")))
    views = frames_of_clip(LONG, part=sampling, sampler_name=name, rng=rng)
    reader = data.prepared.shard(0)
    wanted = [
        [resized(reader.frame(0, int(i)), size_px=32, rule="auto").transpose(2, 0, 1) for i in view] for view in views
    ]
    assert np.array_equal(frames.numpy(), np.array(wanted) if len(views) > 1 else np.array(wanted[0]))


def test_short_clips_go_by_the_rule_asked_for(crops: Path) -> None:
    number, num_frames = next(iter(SHORT.items()))
    clip_id = f"{number:05d}"
    frames = {
        rule: FaceClipDataset(crops, clip_ids=[clip_id], size_px=32, draw=FrameDraw(short=rule))[0].frames
        for rule in ("edge", "loop", "zero", "formula")
    }
    assert not frames["zero"][num_frames:].any()
    assert frames["zero"][:num_frames].any()
    assert torch.equal(frames["loop"][num_frames], frames["edge"][0])
    assert torch.equal(frames["formula"][14], frames["edge"][0])  # all eight runs begin at frame 0
    whole = FaceClipDataset(crops, fold=3, size_px=32)
    dropped = FaceClipDataset(crops, fold=3, size_px=32, draw=FrameDraw(short="drop"))
    in_train = {f"{n:05d}" for n in SHORT if fold_of(n) != 3}
    assert set(whole.clip_ids) - set(dropped.clip_ids) == in_train
    with pytest.raises(UsageError, match=f"1 clip of fewer than 16 frames, left out by short = drop \\({clip_id}"):
        FaceClipDataset(crops, clip_ids=[clip_id, "00001"], draw=FrameDraw(short="drop"))


def test_baked_frames_are_not_passed_off_as_others(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source")
    request = Request(dataset="dfew", source=source, detector="none", store="clips16")
    run_preparation(resolve_request(request), tmp_path / "baked", num_workers=0)
    assert FaceClipDataset(tmp_path / "baked", fold=1, draw=FrameDraw(sampling="train"))[0].frames.shape == (
        16,
        3,
        224,
        224,
    )
    with pytest.raises(UsageError, match=r"16 stored frames per clip \(segments-8x2, edge\), not 16 of uniform"):
        FaceClipDataset(tmp_path / "baked", fold=1, draw=FrameDraw(sampler="uniform"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_fold_leaves_out_clips_without_a_face(crops: Path, split: Literal["train", "test"]) -> None:
    data = FaceClipDataset(crops, fold=3, split=split)
    wanted = [n for n in range(1, 71) if (fold_of(n) == 3) == (split == "test") and n not in MISSING]
    assert data.clip_ids == tuple(f"{n:05d}" for n in wanted)


def test_a_flipped_byte_names_shard_and_clip(crops: Path, tmp_path: Path) -> None:
    root = damage(Path(shutil.copytree(crops, tmp_path / "copy")), clip_id="00001")
    data = dataset(root, clip_ids=["00001", "00002"])
    with pytest.raises(
        CorruptShardError, match=r"00000\.safetensors: frame \d+ of clip 00001 does not match its CRC-32"
    ):
        frames_of(data)
    assert frames_of(dataset(root, clip_ids=["00002"])).keys() == {"00002"}


def test_a_damaged_index_names_the_shard(crops: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(crops, tmp_path / "copy"))
    content = bytearray(shard_of(root).read_bytes())
    content[100] ^= 1
    shard_of(root).write_bytes(content)
    with pytest.raises(CorruptShardError, match=r"00000\.safetensors: the index does not match"):
        dataset(root)[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "needs clip_ids or a fold"),
        ({"fold": 6}, "has no fold '6'; it has: 1, 2, 3, 4, 5"),
        ({"clip_ids": ["00001", "99999"]}, "has no clip '99999'"),
        ({"fold": 3, "split": "validation"}, "split 'validation': train or test is needed"),
        ({"fold": 3, "draw": FrameDraw(sampling="tset")}, "sampling 'tset'"),  # type: ignore[arg-type]
        ({"fold": 3, "draw": FrameDraw(seed=-1)}, "a seed from 0"),
        ({"clip_ids": ["00001", "00016"]}, r"1 clip without a face \(00016"),
    ],
)
def test_wrong_requests_are_refused_at_once(crops: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FaceClipDataset(crops, **arguments)  # type: ignore[arg-type]


def test_a_misspelt_argument_is_an_error_of_the_class(crops: Path) -> None:
    with pytest.raises(TypeError, match=r"^FaceClipDataset\(\) got an unexpected keyword argument 'size'$"):
        FaceClipDataset(crops, fold=3, size=112)  # type: ignore[call-arg]


def test_it_shows_what_it_reads(crops: Path) -> None:
    clips = FaceClipDataset(crops, fold=3, size_px=64)
    assert repr(clips) == f"FaceClipDataset('{crops}': {len(clips)} clips, 64 px)"


def test_clips_without_a_label_are_refused(face_folder: Path, retinaface_weights: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "happy/two.mp4"):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(face_folder / "happy/short.mp4", tmp_path / "source" / name)
    request = Request(dataset="folder", source=tmp_path / "source", det_size_px=160)
    run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    assert FaceClipDataset(tmp_path / "out", clip_ids=["happy/two.mp4"]).labels == (0,)
    with pytest.raises(UsageError, match=r"1 clip without a label \(one\.mp4"):
        FaceClipDataset(tmp_path / "out", clip_ids=["happy/two.mp4", "one.mp4"])


def test_an_open_dataset_can_go_to_another_process(crops: Path) -> None:
    clips = FaceClipDataset(crops, fold=1, split="test", size_px=32)
    first = clips[0]
    copy = pickle.loads(pickle.dumps(clips))
    assert torch.equal(copy[0].frames, first.frames)

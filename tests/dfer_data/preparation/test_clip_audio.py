"""`prepare --audio`, from videos to samples: states, the ledger, long videos, changes of what is prepared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dfer_data
from dfer_data.changes.remove import remove_clips
from dfer_data.errors import CorruptShardError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.clip_audio import FEWEST_SAMPLES, audio_note, cut_audio
from dfer_data.preparation.run import prepare
from dfer_data.types import Image
from dfer_data.video.audio_track import AudioTrack, Samples
from tests.buckets import serve
from tests.dfer_data import tiny
from tests.dfer_data.crop_source import source_of
from tests.dfer_data.sounds import FILM_FRAMES, FILM_SECONDS, FILM_STATES, FILM_TIMES, film_sound, onsets, write_film


@pytest.fixture(scope="module")
def faces(real_videos: dict[str, Path]) -> list[Image]:
    return tiny.real_pictures(real_videos["single_face.mp4"], stop=FILM_FRAMES)


def test_each_state_is_what_it_says(heard: Path) -> None:
    data = open_dataset(heard)
    states = data.clips.set_index("clip_id")["audio"].dropna().to_dict()
    assert states == FILM_STATES
    assert data.document["counts"]["audio"] == {"ok": 2, "none": 1, "short": 2, "silent": 1, "damaged": 1}
    assert set(data.clips["status"][data.clips["audio"].notna()]) == {"ok"}, "a fault of the sound costs no clip"
    assert data.clips["audio"].isna().sum() == 1, "a clip that failed has no sound to speak of"
    lengths = {clip_id: len(data.read_audio(clip_id)) for clip_id in FILM_STATES}
    assert lengths == {
        clip_id: 0 if state == "none" else FILM_SECONDS * 16_000 for clip_id, state in FILM_STATES.items()
    }
    assert verify(heard, deep=True).damages == ()


def test_the_run_and_the_card_count_the_states(heard: Path) -> None:
    counts = open_dataset(heard).document["counts"]["audio"]
    note = "sound: 2 clips ok, 1 none, 2 short, 1 silent, 1 damaged (column audio of clips.parquet)"
    assert (audio_note(counts), audio_note({"ok": 3}), audio_note({})) == (note, "", "")
    assert "sound: damaged" in (heard / "README.md").read_text()


def test_the_sound_can_be_read_behind_a_url(heard: Path, empty_cache: Path) -> None:
    with serve() as bucket:
        bucket.upload(heard)
        for _ in range(2):  # fetched, then out of the cache
            there = dfer_data.read_audio(bucket.url, "happy/ok.mp4")
            assert (there == dfer_data.read_audio(heard, "happy/ok.mp4")).all()
        assert len(list(empty_cache.rglob("*.audio/*.clip"))) == 1


def test_the_sound_is_that_of_the_frames(heard: Path) -> None:
    for clip_id in ("happy/ok.mp4", "happy/ok.webm"):
        samples = dfer_data.read_audio(heard, clip_id)
        assert samples.dtype == np.float32
        assert 0.5 < np.abs(samples).max() <= 1
        assert onsets(samples) == pytest.approx(FILM_TIMES, abs=0.002)
    late = dfer_data.read_audio(heard, "happy/late.mkv")
    assert onsets(late) == pytest.approx(FILM_TIMES[1:], abs=0.002)
    assert not late[: round(0.35 * 16_000)].any()


def test_the_numbers_of_the_stream_are_kept(heard: Path) -> None:
    data = open_dataset(heard)
    clip = data.clip("happy/late.mkv")
    facts = data.audio_shard(clip["shard"]).facts(clip["row"])
    expected = {"source_rate": 48_000, "source_channels": 1, "start_seconds": 0.0, "frame_seconds": 0.04}
    assert facts.items() >= expected.items()
    assert facts["stream_start_seconds"] == pytest.approx(0.36, abs=0.002)
    assert facts["num_covered"] == pytest.approx(0.6 * 16_000, abs=30)
    assert data.audio_shard(data.clip("happy/ok.mp4")["shard"]).facts(0)["source_channels"] in (1, 2)


def test_damage_is_one_line_of_the_ledger(heard: Path) -> None:
    rows = [json.loads(line) for line in (heard / "ledger.jsonl").read_text().splitlines()]
    assert [(row["clip_id"], row["code"]) for row in rows] == [
        ("sad/junk.mp4", "UNREADABLE"),
        ("happy/damaged.mp4", "DAMAGED_AUDIO"),
    ]
    assert open_dataset(heard).document["counts"]["failures"] == {"UNREADABLE": 1}


def test_a_flipped_byte_is_found_by_verify_and_by_the_read(heard: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(heard, tmp_path / "copy"))
    shard = open_dataset(copy).clip("happy/ok.mp4")["shard"]
    path = copy / f"shards/{shard:05d}.audio.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    damages = verify(copy, deep=True).damages
    assert [(damage.file, damage.clip_id) for damage in damages] == [(f"shards/{path.name}", "happy/ok.mp4")]
    with pytest.raises(CorruptShardError, match=r"the sound of clip happy/ok.mp4 does not match its CRC-32"):
        open_dataset(copy).read_audio("happy/ok.mp4")
    content[40] ^= 1
    path.write_bytes(content)
    assert [damage.file for damage in verify(copy).damages] == [f"shards/{path.name}"], "without --deep"
    path.unlink()
    assert f"shards/{path.name}" in [damage.file for damage in verify(copy).damages]


def test_a_withdrawn_clip_is_not_heard_any_more(heard: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(heard, tmp_path / "copy"))
    before = open_dataset(copy)
    raw = {clip_id: stored_bytes(copy, clip_id) for clip_id in ("happy/ok.mp4", "happy/late.mkv")}
    kept = {clip_id: before.read_audio(clip_id) for clip_id in FILM_STATES if clip_id != "happy/ok.mp4"}
    facts = before.audio_shard(before.clip("happy/damaged.mp4")["shard"]).facts(0)
    remove_clips(copy, clips=["happy/ok.mp4"], reason="withdrawn")
    after = open_dataset(copy)
    assert verify(copy, deep=True).damages == ()
    files = [path.read_bytes() for path in copy.rglob("*") if path.is_file()]
    assert any(raw["happy/late.mkv"] in content for content in files)
    assert not any(raw["happy/ok.mp4"] in content for content in files)
    assert all((after.read_audio(clip_id) == samples).all() for clip_id, samples in kept.items())
    assert after.audio_shard(after.clip("happy/damaged.mp4")["shard"]).facts(0) == facts
    assert "DAMAGED_AUDIO" in (copy / "ledger.jsonl").read_text()


def stored_bytes(out: Path, clip_id: str) -> bytes:
    data = open_dataset(out)
    clip = data.clip(clip_id)
    return data.audio_shard(clip["shard"]).samples(clip["row"]).tobytes()


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_the_clips_of_a_long_video_have_their_own_sound(tmp_path: Path, faces: list[Image], store: str) -> None:
    write_film(tmp_path / "source/long.mkv", faces, film_sound(), picture_start=0.04)
    out = tmp_path / "out"
    prepare(
        "folder",
        source=tmp_path / "source",
        out=out,
        audio=True,
        clip_seconds=0.4,
        store=store,
        engine="inline",
        det_size_px=160,
    )
    data = open_dataset(out)
    assert data.clips["audio"].tolist() == ["ok", "ok"]
    first, second = (data.read_audio(f"long.mkv#000{number}") for number in (0, 1))
    assert (len(first), len(second)) == (6400, FILM_SECONDS * 16_000 - 6400)
    assert onsets(first) == pytest.approx([FILM_TIMES[0] - 0.04], abs=0.002)
    assert onsets(second) == pytest.approx([FILM_TIMES[1] - 0.44], abs=0.002)


def test_a_dataset_without_sound_says_how_to_get_it(crops: Path) -> None:
    with pytest.raises(UsageError, match="prepared without sound; prepare it again with `dfer prepare --audio`"):
        dfer_data.read_audio(crops, open_dataset(crops).clips["clip_id"][0])


def test_pictures_have_no_sound(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", "happy/a", "sad/b")
    source.prepare(tmp_path / "out", audio=True)
    data = open_dataset(tmp_path / "out")
    assert data.clips["audio"].tolist() == ["none", "none"]
    assert data.read_audio("happy/a").shape == (0,)
    assert verify(tmp_path / "out", deep=True).damages == ()


class _Track(AudioTrack):
    """A track whose stream covers the first `num_covered` samples with ones."""

    def __init__(self, num_covered: int, *, fault: str = "") -> None:
        self._num_covered, self._fault, self.has_stream = num_covered, fault, True
        self.source_rate, self.source_channels, self.stream_start_seconds = 16_000, 1, 0.0

    def cut(self, first: int, number: int) -> tuple[Samples, int]:
        covered = np.clip(self._num_covered - first, 0, number)
        return (np.arange(number) < covered).astype(np.int16), int(covered)

    def fault(self, first: int, number: int) -> str:
        return self._fault


@pytest.mark.parametrize(
    ("num_frames", "num_covered", "state"),
    [
        (25, 16_000, "ok"),
        (25, 14_400, "ok"),
        (25, 14_399, "short"),
        (500, 20 * 16_000 - 16_000, "ok"),
        (500, 20 * 16_000 - 16_001, "short"),
        (2, FEWEST_SAMPLES, "short"),
        (2, 1280, "ok"),
        (1, 640, "short"),
    ],
)
def test_short_is_less_than_nine_tenths_or_a_second_or_1025_samples(
    num_frames: int, num_covered: int, state: str
) -> None:
    times = [number / 25 for number in range(num_frames)]
    audio = cut_audio(_Track(num_covered), times, fps=25, duration_seconds=num_frames / 25, times_fall=False)
    assert (audio.state, len(audio.samples)) == (state, num_frames * 640)


@given(
    start=st.floats(0, 1e4), steps=st.lists(st.floats(0.01, 0.2), min_size=1, max_size=30), fps=st.sampled_from([0, 25])
)
def test_the_span_is_that_of_the_frames_and_one_more(start: float, steps: list[float], fps: float) -> None:
    times = [start, *(start + float(end) for end in np.cumsum(steps))]
    audio = cut_audio(_Track(10**9), times, fps=fps, duration_seconds=60, times_fall=False)
    step = 1 / 25 if fps else float(np.median(np.diff(times)))
    assert len(audio.samples) == pytest.approx((times[-1] - start + step) * 16_000, abs=1)


@pytest.mark.parametrize(("times", "times_fall"), [([0.0, 0.04], True), ([9.0, 1.0], False), ([0.0, 4e6], False)])
def test_times_that_jump_give_no_sound_rather_than_that_of_another_place(times: list[float], times_fall: bool) -> None:
    audio = cut_audio(_Track(10**9), times, fps=25, duration_seconds=0.08, times_fall=times_fall)
    assert (audio.state, audio.fault, len(audio.samples)) == ("damaged", "the times of its frames jump", 0)

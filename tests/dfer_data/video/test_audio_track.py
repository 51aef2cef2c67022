"""Bursts at known pictures come out at the times of these pictures, whatever container and codec they were in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dfer_data.types import AUDIO_RATE, Floats
from dfer_data.video.audio_track import AudioTrack, Samples
from dfer_data.video.reader import open_video
from tests.dfer_data.sounds import FPS, bursts, damage_sound, onsets, write_film
from tests.dfer_data.tiny import pictures

FRAMES = (12, 31)
NUM_FRAMES = 40
SECONDS = NUM_FRAMES / FPS
TIMES = [frame / FPS for frame in FRAMES]


def read(path: Path, *, folder: Path) -> tuple[list[float], Floats]:
    """Return the times of the frames, and the sound from the first of them on."""
    with open_video(path) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
    with AudioTrack(path, folder=folder) as track:
        samples, _ = track.cut(round(times[0] * AUDIO_RATE), round(SECONDS * AUDIO_RATE))
    return times, as_floats(samples)


def as_floats(samples: Samples) -> Floats:
    return np.asarray(samples / 32768, np.float32)


def film(path: Path, *, rate: int = 48_000, **settings: Any) -> Path:
    start = settings.get("sound_start", 0.0)
    samples = bursts([time - start for time in TIMES], seconds=SECONDS - start, rate=rate)
    return write_film(path, pictures(NUM_FRAMES, width_px=64, height_px=48), samples, rate=rate, **settings)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("edit-list.mp4", {"video_codec": "libx264", "layout": "stereo"}),
        ("late.mp4", {"sound_start": 0.32, "codec": "libmp3lame", "rate": 44_100}),
        ("late.mkv", {"video_codec": "libx264", "sound_start": 0.32, "layout": "stereo"}),
        ("late.webm", {"video_codec": "libvpx", "sound_start": 0.32, "codec": "libopus"}),
        ("narrow.mov", {"codec": "pcm_s16le", "rate": 8_000}),
        ("narrow.mp4", {"rate": 8_000}),
        ("mp3.mkv", {"codec": "libmp3lame", "rate": 44_100}),
        ("opus.mp4", {"codec": "libopus", "layout": "stereo"}),
        ("surround.mkv", {"codec": "ac3", "layout": "5.1"}),
        ("plain.avi", {"codec": "pcm_s16le", "rate": 44_100, "layout": "stereo"}),
        ("broadcast.ts", {"video_codec": "libx264", "sound_start": 0.32}),
    ],
)
def test_a_burst_is_at_its_frame(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    if settings.get("codec", "aac") not in av.codecs_available:
        pytest.skip(f"no encoder {settings['codec']}")
    times, samples = read(film(tmp_path / name, **settings), folder=tmp_path)
    found = onsets(samples)
    assert len(found) == len(FRAMES)
    offsets = [1000 * (onset - (times[frame] - times[0])) for onset, frame in zip(found, FRAMES, strict=True)]
    print(f"{name}: {', '.join(f'{offset:+.2f}' for offset in offsets)} ms")
    assert max(map(abs, offsets)) < 2.0


def test_pictures_that_begin_late_keep_their_sound(tmp_path: Path) -> None:
    """The media of the video begins after that of the sound: the sound of the first frame is not the first sound."""
    path = film(tmp_path / "a.mp4", video_codec="libx264", picture_start=0.2)
    times, samples = read(path, folder=tmp_path)
    assert times[0] == pytest.approx(0.2, abs=0.001)
    assert onsets(samples) == pytest.approx([time - times[0] for time in TIMES], abs=0.002)


def test_every_channel_is_in_the_mix(tmp_path: Path) -> None:
    """Speech of films is in the third channel of 5.1, and absent from the first."""
    for number, name in enumerate(("left", "right", "centre")):
        factors = [float(channel == number) for channel in range(6)]
        _, samples = read(film(tmp_path / f"{name}.mkv", codec="ac3", layout="5.1", channels=factors), folder=tmp_path)
        assert np.abs(samples).max() > 0.1, name
        assert len(onsets(samples)) == len(FRAMES), name


def test_a_pause_of_the_stream_stays_a_pause(tmp_path: Path) -> None:
    """Packets are missing in the middle: what follows keeps its time, and the pause is zeros that nothing covers."""
    whole, cut = film(tmp_path / "whole.mkv", codec="pcm_s16le"), tmp_path / "cut.mkv"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            is_lost = packet.stream.type == "audio" and packet.pts is not None and 700 < packet.pts < 1000
            if packet.dts is not None and not is_lost:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    times, samples = read(cut, folder=tmp_path)
    assert onsets(samples) == pytest.approx(TIMES, abs=0.002)
    with AudioTrack(cut, folder=tmp_path) as track:
        _, num_covered = track.cut(0, round(SECONDS * AUDIO_RATE))
        assert num_covered == pytest.approx((SECONDS - 0.3) * AUDIO_RATE, abs=0.05 * AUDIO_RATE)
        assert track.fault(0, AUDIO_RATE) == ""
    assert times[0] == 0


def test_sound_is_decoded_as_far_as_it_is_needed(tmp_path: Path) -> None:
    """Clips are cut from one pass over the stream, in any order."""
    path = film(tmp_path / "a.mp4")
    with AudioTrack(path, folder=tmp_path) as track:
        first = track.cut(0, 1600)[0]
        num_written = track._num_written
        assert 1600 <= num_written < SECONDS * AUDIO_RATE / 2
        late = track.cut(round(1.2 * AUDIO_RATE), 6400)[0]
        assert (track.cut(0, 1600)[0] == first).all()
        assert onsets(as_floats(late)) == pytest.approx([TIMES[1] - 1.2], abs=0.002)
        beyond, num_covered = track.cut(100 * AUDIO_RATE, 800)
        assert (beyond.tolist(), num_covered) == ([0] * 800, 0)


def test_times_that_begin_anew_name_no_place_any_more(tmp_path: Path) -> None:
    """Two recordings in one file: the second one's times are those of the first."""
    one, two = film(tmp_path / "one.ts"), tmp_path / "two.ts"
    two.write_bytes(one.read_bytes() * 2)
    with open_video(one) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
        assert not reader.times_fall
    with open_video(two) as reader:
        assert len(list(reader.frames())) == 2 * NUM_FRAMES
        assert reader.times_fall
    with AudioTrack(two, folder=tmp_path) as track:
        first = round(times[0] * AUDIO_RATE)
        assert track.fault(first, AUDIO_RATE) == ""
        samples, _ = track.cut(first, round(SECONDS * AUDIO_RATE))
        assert onsets(as_floats(samples)) == pytest.approx(TIMES, abs=0.002)
        assert track.fault(first, 100 * AUDIO_RATE).startswith("its times jump back")
        assert track.cut(first + 10 * AUDIO_RATE, AUDIO_RATE)[1] == 0


def test_damage_is_noted_where_it_is(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    begin = damage_sound(path, start_seconds=0.8, num_packets=3)
    with AudioTrack(path, folder=tmp_path) as track:
        first = round(begin * AUDIO_RATE)
        assert track.fault(0, first - 1600) == ""
        assert track.fault(first, 1600) in ("damaged data", "Invalid data found when processing input")
        assert track.fault(first + 3200, 1600) == ""
        samples, num_covered = track.cut(0, round(SECONDS * AUDIO_RATE))
    assert onsets(as_floats(samples)) == pytest.approx(TIMES, abs=0.002)
    assert 0.02 < SECONDS - num_covered / AUDIO_RATE < 0.1
    assert not samples[first + 200 : first + 600].any()


def test_a_stream_of_rubbish_is_a_fault_everywhere(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    damage_sound(path, start_seconds=-1, num_packets=1000)
    with AudioTrack(path, folder=tmp_path) as track:
        assert track.fault(0, 1600) != ""
        assert track.cut(0, 1600)[1] == 0
        assert track.has_stream

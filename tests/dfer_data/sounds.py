"""Videos with sound for the tests: tone bursts at known times, muxed with pictures in any container and codec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from dfer_data.types import Floats, Image

FPS = 25
FILM_FRAMES = 24
FILM_SECONDS = FILM_FRAMES / FPS
FILM_TIMES = (0.2, 0.6)
"""When bursts begin in the films of `write_films`."""
FILM_STATES = {
    "happy/damaged.mp4": "damaged",
    "happy/late.mkv": "short",
    "happy/ok.mp4": "ok",
    "happy/ok.webm": "ok",
    "sad/early.mp4": "short",
    "sad/mute.mp4": "none",
    "sad/silent.mp4": "silent",
}
"""Film -> state of its sound."""
_BURST_SECONDS = 0.02


def bursts(times: Sequence[float], *, seconds: float, rate: int) -> Floats:
    """Silence with a burst of a 1 kHz tone that begins at each of `times`."""
    samples = np.zeros(round(seconds * rate), np.float32)
    length = round(_BURST_SECONDS * rate)
    for time in times:
        begin = round(time * rate)
        burst = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(length) / rate, dtype=np.float32)
        samples[begin : begin + length] = burst[: len(samples) - begin]
    return samples


def onsets(samples: Floats, *, rate: int = 16_000) -> list[float]:
    """Return the times at which bursts begin."""
    loud = np.flatnonzero(np.abs(samples) > 0.25 * np.abs(samples).max(initial=1e-6))
    first = loud[np.diff(loud, prepend=-rate) > 2 * _BURST_SECONDS * rate]
    return [float(index) / rate for index in first]


def write_film(
    path: Path,
    images: Sequence[Image],
    samples: Floats | None,
    *,
    codec: str = "aac",
    rate: int = 48_000,
    layout: str = "mono",
    video_codec: str = "mpeg4",
    sound_start: float = 0.0,
    picture_start: float = 0.0,
    channels: Sequence[float] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encode pictures at 25 frames per second, and mono samples that are played from `sound_start` on.

    `channels`: a factor per channel of the layout; None: the samples are in all of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options=dict(options or {})) as container:
        video = container.add_stream(video_codec, rate=FPS)
        assert isinstance(video, VideoStream)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        if video_codec == "mpeg4":
            video.codec_context.qmin, video.codec_context.qmax = 1, 4
        audio = None
        if samples is not None:
            audio = container.add_stream(codec, rate=rate)
            assert isinstance(audio, AudioStream)
            audio.layout = layout
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index + round(picture_start * FPS), Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if isinstance(audio, AudioStream) and samples is not None:
            _mux_sound(container, audio, samples, channels, first=round(sound_start * rate))
    return path


def _mux_sound(
    container: av.container.OutputContainer,
    stream: AudioStream,
    samples: Floats,
    channels: Sequence[float] | None,
    *,
    first: int,
) -> None:
    factors = np.ones(stream.channels, np.float32) if channels is None else np.asarray(channels, np.float32)
    for begin in range(0, len(samples), 1024):
        planes = np.ascontiguousarray(factors[:, None] * samples[None, begin : begin + 1024])
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, first + begin, Fraction(1, stream.rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def damage_sound(path: Path, *, start_seconds: float, num_packets: int) -> float:
    """Overwrite packets of the sound from a time on, without a change of the container; return the first one's time."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        places = [
            (packet.pos, packet.size, float(packet.pts * packet.time_base))
            for packet in packets
            if packet.pts is not None and packet.pos is not None and packet.time_base is not None
        ]
    chosen = [place for place in places if place[2] >= start_seconds][:num_packets]
    for position, size, _ in chosen:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return chosen[0][2]


def film_sound(seconds: float = FILM_SECONDS, start: float = 0.0) -> Floats:
    """The sound of a film, or of a part of it."""
    return bursts(
        [time - start for time in FILM_TIMES if start <= time < start + seconds], seconds=seconds, rate=48_000
    )


def write_films(folder: Path, faces: Sequence[Image]) -> Path:
    """A film of each state of the sound, all with the same FILM_FRAMES pictures, and a file that is no video."""
    write_film(folder / "happy/ok.mp4", faces, film_sound(), video_codec="libx264", layout="stereo")
    write_film(folder / "happy/ok.webm", faces, film_sound(), video_codec="libvpx", codec="libopus")
    write_film(folder / "happy/late.mkv", faces, film_sound(0.6, 0.36), sound_start=0.36)
    write_film(folder / "sad/early.mp4", faces, film_sound(0.5))
    write_film(folder / "sad/mute.mp4", faces, None)
    write_film(folder / "sad/silent.mp4", faces, np.zeros(48_000, np.float32))
    damage_sound(write_film(folder / "happy/damaged.mp4", faces, film_sound()), start_seconds=0.4, num_packets=2)
    (folder / "sad/junk.mp4").write_text("not a video")
    return folder

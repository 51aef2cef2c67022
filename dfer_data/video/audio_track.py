"""Decode the sound of a video once, as 16 kHz mono samples on the time line of its pictures.

Sample k of the time line is at k / 16000 seconds of presentation time. The stream is resampled in runs without gaps;
the first sample of each run is placed by its presentation time, so that errors never add up. FFmpeg applies edit lists
and removes the priming samples of codecs before this module sees them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from dfer_data.errors import VideoError
from dfer_data.types import AUDIO_RATE
from dfer_data.video.container import open_container
from dfer_data.video.lost_frames import packet_seconds
from dfer_data.video.packets import DAMAGE, DECODE_ERRORS, MOST_READ_ERRORS

Samples = npt.NDArray[np.int16]
"""(N,) int16 mono samples."""
_MOST_OFF_SECONDS = 0.008  # a larger distance between presentation times and counted samples is a gap or an overlap
_BACK_SECONDS = 1.0  # times that fall by more begin anew, so that they name no place any more
_AHEAD_SECONDS = 0.1  # the resampler holds less than this back
_FEWEST_HZ, _MOST_HZ = 4_000, 768_000
_MOST_ERRORS_IN_A_ROW = 500
_REPORT_EVERY = 64  # packets
_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class _Run:
    """Samples without a gap: where they begin on the time line and in the file, and how many there are."""

    first: int
    position: int
    number: int


@dataclass
class _Fault:
    """A stretch of the stream that cannot be decoded; it ends where the next sound begins."""

    start_seconds: float
    message: str
    stop_seconds: float = inf


class AudioTrack:
    """The sound of a video; use as a context manager. It is decoded as far as the clips need it.

    Samples wait in an unnamed file, so memory does not depend on the length of the video.
    """

    def __init__(self, path: Path, *, folder: Path, on_progress: Callable[[], None] = lambda: None) -> None:
        """Take a video, a folder for the file, and a function that is called repeatedly while sound is decoded."""
        self._path, self._folder, self._on_progress = path, folder, on_progress
        self._steps = self._decoded()
        self._runs: list[_Run] = []
        self._faults: list[_Fault] = []
        self._run_first = self._run_position = self._num_written = 0
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[Any, ...] = ()
        self._run_seconds = self._end_seconds = 0.0
        self._num_in_run = 0
        self.has_stream = False
        self.source_rate = self.source_channels = 0
        self.stream_start_seconds = nan

    def __enter__(self) -> AudioTrack:
        """Open the file of samples."""
        self._file = tempfile.TemporaryFile(dir=self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the video and the file."""
        self._steps.close()
        self._file.close()

    def cut(self, first: int, number: int) -> tuple[Samples, int]:
        """Return `number` samples of the time line from `first` on, and how many of them the stream covers.

        Where the stream has no sound, samples are 0. Raises OSError when the disk of the file fails.
        """
        self._decode_to((first + number) / AUDIO_RATE)
        samples, is_covered = np.zeros(number, np.int16), np.zeros(number, np.bool_)
        for run in reversed(self._all_runs()):  # where two overlap, the earlier one stays
            begin, end = max(first, run.first), min(first + number, run.first + run.number)
            if begin < end:
                self._file.seek((run.position + begin - run.first) * _SAMPLE_BYTES)
                samples[begin - first : end - first] = np.frombuffer(
                    self._file.read((end - begin) * _SAMPLE_BYTES), np.int16
                )
                is_covered[begin - first : end - first] = True
        return samples, int(is_covered.sum())

    def fault(self, first: int, number: int) -> str:
        """Return why sound between these samples cannot be decoded; empty if all can."""
        start, stop = first / AUDIO_RATE, (first + number) / AUDIO_RATE
        self._decode_to(stop)
        hits = (fault for fault in self._faults if fault.start_seconds < stop and fault.stop_seconds >= start)
        return next((fault.message for fault in hits), "")

    def _decode_to(self, seconds: float) -> None:
        while self._end_seconds < seconds + _AHEAD_SECONDS and next(self._steps, None) is not None:
            pass

    def _all_runs(self) -> list[_Run]:
        return [*self._runs, self._open_run()]

    def _open_run(self) -> _Run:
        return _Run(self._run_first, self._run_position, self._num_written - self._run_position)

    def _decoded(self) -> Generator[bool]:
        """Decode the stream step by step; True is yielded after each."""
        try:
            if os.path.isdir(self._path):  # pictures; Path.is_dir would raise an error of the source
                return
            with open_container(self._path) as container:
                stream = container.streams.best("audio")
                if not isinstance(stream, AudioStream):
                    return
                self.has_stream = True
                if stream.codec_context is None:
                    self._faults.append(_Fault(-inf, "no decoder for its codec"))
                    return
                stream.codec_context.thread_count = 1
                self.source_rate, self.source_channels = stream.rate or 0, stream.channels
                yield from self._steps_of(container, stream)
        except VideoError as error:
            self._note(error.message, None)
        except DECODE_ERRORS as error:
            self._note(_reason(error), None)
        self._end_run()
        self._end_seconds = inf

    def _steps_of(self, container: InputContainer, stream: AudioStream) -> Iterator[bool]:
        num_errors_in_a_row = 0
        for number, packet in enumerate(self._packets(container, stream)):
            if number % _REPORT_EVERY == 0:
                self._on_progress()
            try:
                frames = packet.decode()
            except DECODE_ERRORS as error:
                num_errors_in_a_row += 1
                if num_errors_in_a_row >= _MOST_ERRORS_IN_A_ROW:
                    raise
                self._note(_reason(error), packet_seconds(packet))
                continue
            for frame in frames:
                num_errors_in_a_row = 0
                if not self._add(frame):
                    return
            yield True

    def _packets(self, container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        """Yield the packets of the stream; damaged bytes between them are passed over."""
        packets, num_errors_in_a_row = container.demux(stream), 0
        while True:
            try:
                packet = next(packets, None)
            except DECODE_ERRORS as error:
                num_errors_in_a_row += 1
                if not isinstance(error, DAMAGE) or num_errors_in_a_row >= MOST_READ_ERRORS:
                    raise
                self._note(_reason(error), None)
                packets = container.demux(stream)  # an error has ended the one before
                continue
            if packet is None:
                return
            num_errors_in_a_row = 0
            yield packet

    def _note(self, message: str, seconds: float | None) -> None:
        """Note a fault after the last sound, or at a time where there was none yet; one until sound follows."""
        if self._faults and self._faults[-1].stop_seconds == inf:
            return
        has_sound = not np.isnan(self.stream_start_seconds)
        start = self._end_seconds if has_sound else -inf if seconds is None else seconds
        self._faults.append(_Fault(start, message))

    def _add(self, frame: av.AudioFrame) -> bool:
        """Resample a frame and append it; return False where the times of the stream begin anew."""
        start = frame.time if frame.pts is not None and frame.time is not None else self._end_seconds
        rate = frame.sample_rate
        kind = (rate, frame.format.name, frame.layout.name)
        if not _FEWEST_HZ <= rate <= _MOST_HZ:
            raise ValueError(f"{rate} samples per second are impossible")
        if np.isnan(self.stream_start_seconds):
            self.stream_start_seconds = self._end_seconds = start
            self.source_rate, self.source_channels = rate, frame.layout.nb_channels
        if start < self._end_seconds - _BACK_SECONDS:
            self._note(f"its times jump back from {self._end_seconds:.3f} s to {start:.3f} s", None)
            return False
        if self._faults and self._faults[-1].stop_seconds == inf:
            self._faults[-1].stop_seconds = max(start, self._faults[-1].start_seconds)
        if self._resampler is None or kind != self._kind or abs(start - self._end_seconds) > _MOST_OFF_SECONDS:
            self._end_run()
            self._begin_run(start, kind)
        if frame.is_corrupt:
            self._faults.append(_Fault(start, "damaged data", start + frame.samples / rate))
        assert self._resampler is not None
        self._num_in_run += frame.samples
        self._end_seconds = self._run_seconds + self._num_in_run / rate
        frame.pts = None  # counted here: a jitter of the times must not reach the resampler
        self._write(self._resampler.resample(frame))
        return True

    def _begin_run(self, start_seconds: float, kind: tuple[Any, ...]) -> None:
        self._resampler = av.AudioResampler("s16", "mono", AUDIO_RATE)
        self._kind, self._run_seconds, self._num_in_run = kind, start_seconds, 0
        self._run_first, self._run_position = round(start_seconds * AUDIO_RATE), self._num_written

    def _end_run(self) -> None:
        if self._resampler is not None:
            self._write(self._resampler.resample(None))
            self._runs.append(self._open_run())
        self._resampler = None
        self._run_position = self._num_written

    def _write(self, frames: list[av.AudioFrame]) -> None:
        self._file.seek(self._num_written * _SAMPLE_BYTES)
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1)
            self._file.write(samples.astype("<i2").tobytes())
            self._num_written += len(samples)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return "damaged data" if text.startswith("Error number") else text  # a decoder's own code, which has no words

"""Packets of a video, read about a second ahead, so that the end of the file is known before its last frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dfer_data.video.lost_frames import LostFrames, packet_seconds

DECODE_ERRORS = (av.error.FFmpegError, ValueError, LookupError)
"""What damaged files raise while they are read or decoded; LookupError: a stream that the header does not declare."""
_AHEAD_BYTES = 32 * 2**20
_FEWEST_AHEAD, _MOST_AHEAD = 64, 256
DAMAGE = (av.error.InvalidDataError, LookupError)
"""The errors that intact packets may follow."""
MOST_READ_ERRORS = 16
"""After so many errors in a row nothing more is read."""


class PacketsAhead:
    """The packets of a video stream; those of other streams are only timed and counted."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, *, fps: float, reads_all_streams: bool, lost: LostFrames
    ) -> None:
        """Read from the container's current position."""
        self._stream = stream
        self._container, self._read_streams = container, container.streams if reads_all_streams else [stream]
        self._source: Iterator[Packet[Any]] = container.demux(*self._read_streams)
        self._lost = lost
        self._num_ahead = min(max(_FEWEST_AHEAD, round(fps)), _MOST_AHEAD)
        self._waiting: deque[Packet[VideoStream]] = deque()
        self._waiting_bytes = 0
        self._error: Exception | None = None
        self._num_errors_in_a_row = 0
        self.damage: Exception | None = None
        self.is_at_end = False
        self.num_read = self.num_counted = 0
        self.last_pts, self.last_duration = -1, 0
        self.other_end_seconds = 0.0

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets in file order; raise what reading raised after the packets before it."""
        while True:
            self._fill()
            if not self._waiting:
                break
            packet = self._waiting.popleft()
            self._waiting_bytes -= packet.size
            yield packet
        if self._error is not None:
            raise self._error

    @property
    def waiting_seconds(self) -> list[float]:
        """Times of the packets that are read and not yet yielded."""
        return [seconds for packet in self._waiting if (seconds := packet_seconds(packet)) is not None]

    def held_seconds(self, pts: int | None) -> float:
        """Return how long the picture with the largest time is shown, if `pts` is its time; else 0."""
        return float(self.last_duration * (self._stream.time_base or 0)) if pts == self.last_pts else 0.0

    def _fill(self) -> None:
        while not self.is_at_end and len(self._waiting) < self._num_ahead and self._waiting_bytes < _AHEAD_BYTES:
            try:
                packet = next(self._source, None)
            except DECODE_ERRORS as error:
                self._meet(error)
                continue
            self._num_errors_in_a_row = 0
            if packet is None:
                self._lost.finish()
                self.is_at_end = True
                continue
            is_film = packet.stream.index == self._stream.index
            self._lost.read(packet, is_film=is_film)
            if is_film:
                self._take(packet)
            elif packet.pts is not None and packet.time_base:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                self.other_end_seconds = max(self.other_end_seconds, end)

    def _meet(self, error: Exception) -> None:
        """Continue after an error caused by damaged bytes; end at any other error, or after many errors in a row."""
        self._num_errors_in_a_row += 1
        if not isinstance(error, DAMAGE) or self._num_errors_in_a_row >= MOST_READ_ERRORS:
            self._lost.finish()
            self._error, self.is_at_end = error, True
            return
        if not isinstance(error, LookupError):
            self.damage = self.damage or error
            self._lost.note_damage()
        self._source = self._container.demux(*self._read_streams)  # an error has ended the one before

    def _take(self, packet: Packet[VideoStream]) -> None:
        self._waiting.append(packet)
        self._waiting_bytes += packet.size
        self.num_read += packet.size > 0
        self.num_counted += packet.dts is not None or packet.size > 0  # the last packet only flushes the decoder
        if packet.pts is not None:
            self.last_pts, self.last_duration = max(
                (self.last_pts, self.last_duration), (packet.pts, packet.duration or 0)
            )


def packet_counts(container: InputContainer, *, enough: int) -> dict[int, int]:
    """Count the packets of each stream, until one has `enough` of them."""
    counts: dict[int, int] = {stream.index: 0 for stream in container.streams}
    try:
        for packet in container.demux(*container.streams.video):
            counts[packet.stream.index] += packet.size > 0
            if counts[packet.stream.index] >= enough:
                break
    except DECODE_ERRORS:
        pass
    return counts

"""Frames that a damaged file has lost: a gap in the times of the frames near a sign of damage.

A gap alone is no loss: cameras and screen recorders leave frames out. A sign alone is none: damaged bytes may belong to
the sound. Signs are bytes of the file that belong to no packet, packets marked as corrupt, packets that cannot be read
or decoded, and packets that give no picture.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from av.packet import Packet

from dfer_data.video.frame_clock import is_jump

_GAP_STEPS = 1.5  # a longer step is a gap
_NEAR_STEPS = 16  # packets come in the order of decoding, up to so many steps from their time
_FEWEST_BYTES, _USUAL_HEADERS = 64, 4  # more bytes between two packets than headers take
_HEADER_SHARE = 0.025  # of a packet's bytes: MPEG streams cut it into pieces, each with a header
_LEAST_BYTE_SHARE = 0.05  # of the usual bytes of the missing frames
_MOST_INDEX_BYTES = 2000  # that may follow the last packet
_MOST_SECONDS = 10.0  # a longer gap without damaged bytes is a jump of the time stamps: two recordings joined
_REMEMBERED, _REMEMBERED_SIGNS = 31, 4096
_MOST_WAITING, _MOST_WAITING_BYTES = 32, 2**20  # sound may be read before the picture that is stored before it


@dataclass(frozen=True)
class _Overhead:
    """Bytes that an intact file of a format may have between two packets, besides their headers."""

    per_second: int = 0
    """Tables that are repeated, per second from one frame to the next."""
    per_step: int = 0
    """Marks of frames that are left out, per declared step of that time."""
    per_packet: int = 0
    """Index of a fragment, per packet of the fragment before it."""
    padding: int = 0
    """Bytes that fill a block of the format."""


_OVERHEADS: Mapping[str, _Overhead] = MappingProxyType(
    {
        "mpegts": _Overhead(per_second=20_000, padding=4 * 188),
        "avi": _Overhead(per_step=16),
        "mov": _Overhead(per_packet=16),
    }
)


@dataclass(frozen=True)
class _Read:
    """A packet, as it was read."""

    unclaimed: int | None
    """Bytes of the file before it that belong to no packet read before; None: unknown."""
    size: int
    seconds: float | None
    is_film: bool
    is_corrupt: bool


@dataclass(frozen=True)
class _Sign:
    """A sign of damage between two times."""

    low_seconds: float
    high_seconds: float
    num_bytes: float = math.inf
    """Bytes of the file that belong to no packet; infinity for a sign of another kind."""


class LostFrames:
    """Collects signs of damage while packets are read, and counts the frames that are missing in a gap."""

    def __init__(self, kind: str, *, fps: float, checks_bytes: bool, checks_pictures: bool) -> None:
        """Take the format and its declared frame rate.

        `checks_bytes`: packets fill the file in its order. `checks_pictures`: each packet with its own time is one.
        """
        self._overhead, self._fps = _OVERHEADS.get(kind, _Overhead()), fps
        self._checks_bytes, self._checks_pictures = checks_bytes, checks_pictures
        self._signs: deque[_Sign] = deque(maxlen=_REMEMBERED_SIGNS)
        self._waiting: deque[_Read] = deque()
        self._last_seconds: float | None = None
        self._seconds_before: float | None = None
        self._newest_seconds = self._newest_before = 0.0
        self._sizes: deque[int] = deque(maxlen=_REMEMBERED)
        self._rises: deque[float] = deque(maxlen=_REMEMBERED)
        self._num_claimed_bytes = self._size_before = self._num_since_rise = self._waiting_bytes = 0
        self._odd_bytes = self._excess_bytes = 0.0
        self._most_unclaimed: int | None = None
        self._highest_unclaimed = 0
        self._undecoded: deque[float] = deque(maxlen=_REMEMBERED_SIGNS)

    def read(self, packet: Packet[Any], *, is_film: bool) -> None:
        """Take a packet of any stream, in the order of the file."""
        unclaimed = None if packet.pos is None else packet.pos - self._num_claimed_bytes
        self._highest_unclaimed = max(self._highest_unclaimed, unclaimed or 0)
        self._num_claimed_bytes += packet.size
        is_picture, seconds = is_film and packet.size > 0, packet_seconds(packet)
        self._waiting.append(_Read(unclaimed, packet.size, seconds, is_picture, packet.is_corrupt))
        if is_picture and seconds is not None:
            self._last_seconds = seconds
        self._waiting_bytes += packet.size
        while len(self._waiting) > _MOST_WAITING or self._waiting_bytes > _MOST_WAITING_BYTES:
            self._compare()

    def finish(self) -> None:
        """Take the end of the file."""
        while self._waiting:
            self._compare()

    def _compare(self) -> None:
        """Look for signs of damage between the packet that waits longest and the ones before it."""
        self._note_rise()
        packet = self._waiting.popleft()
        self._waiting_bytes -= packet.size
        seconds = packet.seconds
        if seconds is not None:
            self._newest_seconds = max(self._newest_seconds, seconds)
        if not packet.is_film or seconds is None:
            return
        before = seconds if self._seconds_before is None else self._seconds_before
        span = max(abs(seconds - before), self._newest_seconds - self._newest_before)  # the sound may continue in a gap
        self._newest_before = self._newest_seconds
        most_marks = (self._overhead.per_second + self._overhead.per_step * self._fps) * span
        if self._checks_bytes and self._excess_bytes > most_marks:
            self._signs.append(_Sign(min(before, seconds), max(before, seconds), self._odd_bytes))
        self._odd_bytes = self._excess_bytes = 0.0
        if packet.is_corrupt:
            self.note_damage(seconds)
        self._sizes.append(packet.size)
        self._seconds_before = seconds

    def _note_rise(self) -> None:
        """Compare the bytes between two packets of any streams with those of the headers between packets before."""
        rise, overhead = self._rise(), self._overhead
        usual = statistics.median(self._rises or (0,)) + overhead.per_packet * self._num_since_rise
        most = _FEWEST_BYTES + _USUAL_HEADERS * usual + _HEADER_SHARE * self._size_before + overhead.padding
        if rise > most:
            self._odd_bytes += rise
            self._excess_bytes += rise - most
        if rise:
            self._rises.append(min(rise, most))
        self._num_since_rise = 0 if rise else self._num_since_rise + 1
        self._size_before = self._waiting[0].size

    def note_damage(self, seconds: float | None = None) -> None:
        """Take a sign of damage at a time; None: at the packet read last."""
        seconds = self._last_seconds if seconds is None else seconds
        if seconds is not None:
            self._signs.append(_Sign(seconds, seconds))

    def note_decoding(self, packet: Packet[Any]) -> None:
        """Take a packet that goes to the decoder."""
        if self._checks_pictures and packet.size and not packet.is_discard and packet.pts is not None:
            self._undecoded.append(float(packet.pts * (packet.time_base or 0)))

    def num_missing(self, before: float, now: float, *, usual_step: float, is_keyframe: bool) -> int:
        """Return how many frames the file has lost between two frames that follow each other.

        The times are those of the frames; `is_keyframe` says that the second one begins a group of pictures.
        """
        num_undecoded = sum(before + usual_step / 4 < seconds < now - usual_step / 4 for seconds in self._undecoded)
        while self._undecoded and self._undecoded[0] <= now:
            self._undecoded.popleft()
        if usual_step <= 0 or now - before <= _GAP_STEPS * usual_step:
            return 0
        number = round((now - before) / usual_step) - 1
        return number if num_undecoded or self._explains_gap(before, now, usual_step, is_keyframe) else 0

    def num_missing_at_end(self, last: float, end: float, *, usual_step: float, num_trailing_bytes: int) -> int:
        """Return how many frames are lost between the last frame, which ends at `last`, and the end of the video."""
        num_undecoded = sum(seconds > last - usual_step / 4 for seconds in self._undecoded)
        if usual_step <= 0:
            return 0
        number = max(round((end - last) / usual_step), num_undecoded)
        has_bytes = num_trailing_bytes > _LEAST_BYTE_SHARE * number * self._usual_bytes + _MOST_INDEX_BYTES
        is_proved = num_undecoded > 1 or has_bytes or bool(self._signs_between(last, end, usual_step))
        return number if number > 1 and is_proved else 0

    @property
    def end_bytes(self) -> int:
        """Bytes of the file up to the end of the packet read last."""
        return self._num_claimed_bytes + self._highest_unclaimed

    @property
    def first_sign_seconds(self) -> float | None:
        """Time of the first damage; None without any."""
        return self._signs[0].low_seconds if self._signs else None

    @property
    def _usual_bytes(self) -> float:
        return statistics.median(self._sizes or (1,))

    def _signs_between(self, before: float, now: float, usual_step: float) -> list[_Sign]:
        near = _NEAR_STEPS * usual_step
        return [sign for sign in self._signs if sign.low_seconds < now + near and sign.high_seconds > before - near]

    def _explains_gap(self, before: float, now: float, usual_step: float, is_keyframe: bool) -> bool:
        """Return whether a gap in the times is lost data: recordings that are joined jump too, to a keyframe."""
        signs = self._signs_between(before, now, usual_step)
        num_bytes = sum(sign.num_bytes for sign in signs if math.isfinite(sign.num_bytes))
        if num_bytes > _LEAST_BYTE_SHARE * (now - before) / usual_step * self._usual_bytes:
            return True
        can_be_joined = is_keyframe or now - before > _MOST_SECONDS
        is_joined = can_be_joined and is_jump(now - before, usual_step=usual_step)
        return not is_joined and any(math.isinf(sign.num_bytes) for sign in signs)

    def _rise(self) -> int:
        """Return by how many bytes, as far as the file is read in order, more belong to no packet than before."""
        if self._waiting[0].unclaimed is None:
            return 0
        unclaimed = min(packet.unclaimed for packet in self._waiting if packet.unclaimed is not None)
        if self._most_unclaimed is None:
            self._most_unclaimed = unclaimed
        rise = max(0, unclaimed - self._most_unclaimed)
        self._most_unclaimed += rise
        return rise


def packet_seconds(packet: Packet[Any]) -> float | None:
    """Return the presentation time of a packet, or else its decoding time."""
    ticks = packet.dts if packet.pts is None else packet.pts
    return float(ticks * packet.time_base) if ticks is not None and packet.time_base else None

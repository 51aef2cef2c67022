"""Tell whether a file ends before its film does.

Containers declare a duration in different ways, and wrongly where a recording was interrupted. What is compared with
the decoded frames therefore depends on the format: the duration of the file or of the stream, a number of packets, or
the bytes behind the last packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from dfer_data.video.container import container_seconds, size_bytes, stream_seconds
from dfer_data.video.frame_clock import FrameClock
from dfer_data.video.lost_frames import LostFrames
from dfer_data.video.packets import PacketsAhead

# Elsewhere an index names the packets.
IN_FILE_ORDER = frozenset({"matroska", "asf", "flv", "ogg", "mpeg", "mpegts", "avi"})
"""Formats whose packets are read in the order of the file."""
_DECLARE_FILE = frozenset({"matroska", "asf", "flv"})  # these formats declare one duration for all streams
_DECLARE_STREAM = frozenset({"mov", "avi"})  # one for each stream; elsewhere FFmpeg guesses from the file's end
_MIN_DECODED_SHARE = 0.8  # of the declared duration; a file with less is truncated
_WITHOUT_INDEX = frozenset({"mov", "ogg", "flv", "mpeg"})  # at the end of the file, with mov in fragments
_MOST_TRAILING_SHARE, _MOST_TRAILING_BYTES = 0.05, 1000  # of such a file, after its last packet
_MOST_UNDECODED_SHARE = 0.45  # of the packets of an AVI; where pictures are two fields, it is half of them


@dataclass(frozen=True, eq=False)
class FileEnd:
    """The end of an open file; ask once its frames are decoded."""

    container: InputContainer
    stream: VideoStream
    path: Path
    kind: str
    """Name of the container's format."""
    reads_in_order: bool
    """Whether all packets are read in the order of the file."""
    step_seconds: float
    """Declared time from one frame to the next."""
    clock: FrameClock
    packets: PacketsAhead
    lost: LostFrames

    def num_missing(self, num_frames: int) -> int:
        """Count the frames that are lost after the last one; in an AVI, whose times have no gaps, all lost ones."""
        clock, packets = self.clock, self.packets
        if not num_frames or self.kind == "asf":  # declares a longer duration
            return 0
        if self.kind == "avi":
            num_undecoded = packets.num_read - num_frames
            if not 1 < num_undecoded < _MOST_UNDECODED_SHARE * packets.num_read:
                num_undecoded = 0
            has_sign = num_undecoded or self.lost.first_sign_seconds is not None
            return max(num_undecoded, self.stream.frames - packets.num_counted) if has_sign else 0
        end = clock.last_seconds + max(clock.usual_step, packets.held_seconds(clock.last_pts))
        declared = end
        if self.kind in _DECLARE_FILE:
            end = max(end, packets.other_end_seconds)
            declared = container_seconds(self.container) + (0.0 if self.kind == "matroska" else clock.first_seconds)
        elif not clock.has_jumped and self.kind != "mov":
            declared = stream_seconds(self.stream) + clock.first_seconds
        num_trailing_bytes = size_bytes(self.path) - self.lost.end_bytes if self.kind in IN_FILE_ORDER else 0
        return self.lost.num_missing_at_end(
            end, declared, usual_step=clock.usual_step, num_trailing_bytes=num_trailing_bytes
        )

    def missing_at(self, num_frames: int) -> int:
        """Return the number of the first frame that `num_missing` counts."""
        first_seconds = self.lost.first_sign_seconds
        if self.kind != "avi" or first_seconds is None:
            return num_frames
        return max(0, round((first_seconds - self.clock.first_seconds) / self.step_seconds))

    def is_early(self, num_frames: int) -> bool:
        """Return whether the decoded frames are well short of the declared duration, or of their declared number."""
        clock, packets = self.clock, self.packets
        end = clock.last_seconds + max(self.step_seconds, packets.held_seconds(clock.last_pts))
        start = clock.first_seconds
        if self.kind in _DECLARE_FILE:  # the end of the longest stream, which need not be the pictures
            declared = container_seconds(self.container)
            end = max(end, packets.other_end_seconds)
            start = 0.0 if self.kind == "matroska" else start
        else:
            declared = stream_seconds(self.stream)
            if self.kind not in _DECLARE_STREAM and clock.has_jumped:  # the declared duration is a guess from times
                return False
        if self.reads_in_order and self.kind in _WITHOUT_INDEX:
            num_bytes = size_bytes(self.path)
            if num_bytes - self.lost.end_bytes > _MOST_TRAILING_SHARE * num_bytes + _MOST_TRAILING_BYTES:
                return True
        if (
            self.kind == "mov" and not self.reads_in_order and self.step_seconds > 2 * declared
        ):  # times of no use; edit lists hide frames of others
            return num_frames < _MIN_DECODED_SHARE * self.stream.frames
        return end - start < _MIN_DECODED_SHARE * declared

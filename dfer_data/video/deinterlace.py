"""Deinterlace pictures that a video marks as interlaced, with FFmpeg's bwdif."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av
from av.filter import Graph
from av.filter.context import FilterContext

_OPTIONS = "mode=send_frame:parity=auto:deint=interlaced:threads=1"
_NOTHING_YET = (BlockingIOError, EOFError)


class Deinterlacer:
    """Returns each picture with the one to show. Its filter starts at the first interlaced picture."""

    def __init__(self) -> None:
        """Start with no picture."""
        self._waiting: deque[av.VideoFrame] = deque()
        self._shape: tuple[int, int, str] | None = None
        self._graph: Graph | None = None  # PyAV's contexts of filters do not keep it
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def add(self, picture: av.VideoFrame) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
        """Take the next picture; yield decoded and shown pictures, which come one picture later."""
        shape = (picture.width, picture.height, picture.format.name)
        if shape != self._shape:
            yield from self.finish()
        if self._source is None and not picture.interlaced_frame:
            yield picture, picture
            return
        if self._source is None:
            self._start(picture)
        self._waiting.append(picture)
        yield from self._push(picture)

    def finish(self) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
        """Yield what is left."""
        if self._source is not None:
            yield from self._push(None)
        self._graph = self._source = self._sink = self._shape = None

    def _start(self, picture: av.VideoFrame) -> None:
        self._graph = graph = Graph()
        assert picture.time_base is not None
        self._source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        deinterlace = graph.add("bwdif", _OPTIONS)
        self._sink = graph.add("buffersink")
        self._source.link_to(deinterlace)
        deinterlace.link_to(self._sink)
        graph.configure()
        self._shape = (picture.width, picture.height, picture.format.name)

    def _push(self, picture: av.VideoFrame | None) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
        assert self._source is not None
        assert self._sink is not None
        self._source.push(picture)
        while self._waiting:
            try:
                shown = self._sink.pull()
            except _NOTHING_YET:
                return
            assert isinstance(shown, av.VideoFrame)
            yield self._waiting.popleft(), shown

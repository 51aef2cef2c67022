"""Turn HDR pictures (PQ or HLG) into plain 8-bit ones; FFmpeg's tonemap compresses the highlights.

Light is counted in units of the reference white of 203 cd/m2 (ITU-R BT.2408), which SDR shows as white: what is darker
than half of it keeps its brightness under `mobius`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType

import av
import cv2
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.codeccontext import VideoCodecContext

from dfer_data.types import Floats, Image
from dfer_data.video.tone_curves import ToneMap

_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0  # a screen for HDR masters shows up to the peak
_PEAK = _PEAK_NITS / _WHITE_NITS
_OPTIONS: Mapping[ToneMap, str] = MappingProxyType(
    {"mobius": f"tonemap=mobius:param=0.5:desat=0:peak={_PEAK:.3f}", "hable": f"tonemap=hable:desat=0:peak={_PEAK:.3f}"}
)
_PQ, _HLG = 16, 18  # transfer characteristics of ITU-T H.273
_BT2020, _UNKNOWN_PRIMARIES = 9, 2
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # ITU-R BT.2087
_LUMA_BT2020 = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
_HLG_GAMMA = 1.2  # of a screen with that peak
_BAND_ROWS = 128  # a picture of floats takes four times the memory of the decoded one
_STEPS = 65536


def hdr_name(decoder: VideoCodecContext) -> str:
    """Return `PQ` or `HLG` for a decoder of such pictures, else an empty text."""
    return {_PQ: "PQ", _HLG: "HLG"}.get(int(decoder.color_trc), "")


def pq_light(signal: Floats) -> Floats:
    """Return the light of PQ signals from 0 to 1 (SMPTE ST 2084), in units of the reference white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = np.asarray(signal, np.float64) ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.asarray(light * (10_000 / _WHITE_NITS), np.float32)


def hlg_scene_light(signal: Floats) -> Floats:
    """Return the light before the camera for HLG signals from 0 to 1 (ARIB STD-B67), from 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    values = np.asarray(signal, np.float64)
    return np.asarray(np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12), np.float32)


def _srgb(light: Floats) -> Image:
    values = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray((255 * values).round(), np.uint8)


class ToneMapper:
    """Converts decoded HDR pictures to sRGB, each by itself: the brightness does not flicker."""

    def __init__(self, curve: ToneMap) -> None:
        """Take one of FFmpeg's curves."""
        self._options = _OPTIONS[curve]
        signals = np.linspace(0, 1, _STEPS, dtype=np.float32)
        self._tables: dict[str, Floats] = {"PQ": pq_light(signals), "HLG": hlg_scene_light(signals)}
        self._shown = _srgb(signals)
        self._graphs: dict[tuple[int, ...], tuple[Graph, FilterContext, FilterContext]] = {}

    def apply(self, picture: av.VideoFrame, decoder: VideoCodecContext) -> Image:
        """Return (H, W, 3) uint8 sRGB for a picture whose decoder has a `hdr_name`."""
        name = hdr_name(decoder)
        signals = picture.to_ndarray(format="rgb48le")
        is_bt2020 = int(decoder.color_primaries) in (_BT2020, _UNKNOWN_PRIMARIES)
        image = np.empty(signals.shape, np.uint8)
        for top in range(0, len(signals), _BAND_ROWS):
            light = self._tables[name][signals[top : top + _BAND_ROWS]]
            if name == "HLG":  # from the light of the scene to that of the screen
                light *= _PEAK * cv2.transform(light, _LUMA_BT2020)[..., None] ** np.float32(_HLG_GAMMA - 1)
            if is_bt2020:
                light = np.maximum(cv2.transform(light, _TO_BT709), 0)
            mapped = np.clip(self._compress(light), 0, 1)
            image[top : top + _BAND_ROWS] = self._shown[(mapped * (_STEPS - 1) + 0.5).astype(np.uint16)]
        return image

    def _compress(self, light: Floats) -> Floats:
        band = av.VideoFrame.from_ndarray(np.ascontiguousarray(light), format="gbrpf32le")
        if light.shape not in self._graphs:
            self._graphs[light.shape] = self._graph(band)
        _, source, sink = self._graphs[light.shape]
        source.push(band)
        mapped = sink.pull()
        assert isinstance(mapped, av.VideoFrame)
        return np.asarray(mapped.to_ndarray(), np.float32)

    def _graph(self, band: av.VideoFrame) -> tuple[Graph, FilterContext, FilterContext]:
        graph = Graph()
        source = graph.add_buffer(
            width=band.width, height=band.height, format=band.format, time_base=Fraction(1, av.time_base)
        )
        tone_map, sink = graph.add("tonemap", self._options), graph.add("buffersink")
        source.link_to(tone_map)
        tone_map.link_to(sink)
        graph.configure()
        return graph, source, sink

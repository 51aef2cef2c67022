"""Pictures decoded into ready memory are those decoded alone, whatever came before them; bad ones are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg

from dfer_data.errors import CorruptShardError
from dfer_data.shards import jpeg_decoder
from dfer_data.shards.jpeg_decoder import JpegDecoder
from dfer_data.types import Image
from dfer_data.video.resize import resized
from dfer_data.video.resize_rules import JpegScale, ResizeRule

SIZES = ((32, 32), (48, 40), (20, 20), (64, 64), (32, 32), (16, 64), (64, 64), (8, 8), (32, 32))


def jpeg(height: int, width: int) -> Image:
    rng = np.random.default_rng((height, width))
    coarse = rng.integers(0, 256, (height // 4, width // 4, 3)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    return np.frombuffer(simplejpeg.encode_jpeg(np.ascontiguousarray(coarse), quality=90), np.uint8)


def into(
    decoder: JpegDecoder, content: Image, *, size_px: int = 32, decode: JpegScale = "full", resize: ResizeRule = "auto"
) -> Image:
    out = np.full((size_px, size_px, 3), 77, np.uint8)
    decoder.decode_into(content, out, "a frame", resize=resize, decode=decode)
    return out


@pytest.mark.parametrize("decode", ["full", "scaled"])
@pytest.mark.parametrize("resize", ["auto", "area", "linear"])
def test_the_picture_before_changes_nothing(decode: JpegScale, resize: ResizeRule) -> None:
    used = JpegDecoder(size_px=None)
    for height, width in SIZES:
        least_px = 32 if decode == "scaled" else 0
        alone = simplejpeg.decode_jpeg(jpeg(height, width), min_height=least_px, min_width=least_px, min_factor=2)
        wanted = resized(alone, size_px=32, rule=resize)
        assert np.array_equal(into(used, jpeg(height, width), decode=decode, resize=resize), wanted)


def test_a_scaled_picture_is_decoded_at_the_next_larger_eighth() -> None:
    decoder, content = JpegDecoder(size_px=64), jpeg(64, 64)
    assert np.array_equal(
        into(decoder, content, decode="scaled"), simplejpeg.decode_jpeg(content, min_height=32, min_width=32)
    )
    full = into(decoder, content).astype(int)
    assert 0 < np.abs(into(decoder, content, decode="scaled") - full).mean() < 8
    for size_px in (33, 80):  # a smaller shrink is faster from every pixel, and enlarging needs them
        scaled = into(decoder, content, size_px=size_px, decode="scaled")
        assert np.array_equal(scaled, into(decoder, content, size_px=size_px))


def test_threads_share_a_decoder() -> None:
    decoder, contents = JpegDecoder(size_px=None), [jpeg(*size) for size in SIZES] * 8
    wanted = [into(JpegDecoder(size_px=None), content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda content: into(decoder, content), contents))
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("decode", ["full", "scaled"])
@pytest.mark.parametrize("size", [(16, 16), (32, 40), (64, 64)])
def test_another_size_than_the_shards_is_refused(decode: JpegScale, size: tuple[int, int]) -> None:
    decoder = JpegDecoder(size_px=32)
    into(decoder, jpeg(32, 32))
    with pytest.raises(CorruptShardError, match=rf"a frame has {size[1]} x {size[0]} pixels, not 32 x 32"):
        into(decoder, jpeg(*size), decode=decode)
    with pytest.raises(CorruptShardError, match="pixels, not 32 x 32"):
        decoder.decoded(jpeg(*size), "a frame")


def test_a_picture_beyond_all_bounds_is_refused_before_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_decoder, "_MAX_CROP_PIXELS", 1000)
    for decode in ("full", "scaled"):
        decoder = JpegDecoder(size_px=None)
        with pytest.raises(CorruptShardError, match="64 x 64 pixels, more than 1000"):
            into(decoder, jpeg(64, 64), decode=decode)
        assert not hasattr(decoder._local, "buffer")


@pytest.mark.parametrize("decode", ["full", "scaled"])
@pytest.mark.parametrize("num_bytes", [0, 2, 100, 400])
def test_a_cut_picture_is_refused(decode: JpegScale, num_bytes: int) -> None:
    for size in ((32, 32), (64, 64)):
        with pytest.raises(CorruptShardError, match="a frame is not a readable JPEG"):
            into(JpegDecoder(size_px=None), jpeg(*size)[:num_bytes], decode=decode)

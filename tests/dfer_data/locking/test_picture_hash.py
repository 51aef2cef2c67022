from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from dfer_data.locking.picture_hash import SAME_BITS, num_different_bits, picture_hash
from dfer_data.types import Image
from tests.dfer_data.tiny import CONFIG, pictures


def hashed(picture: Image, *, quality: int = 95) -> int:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=quality)
    return picture_hash(bytes(jpeg), CONFIG)


def test_each_bit_is_a_cell_that_is_darker_than_the_next() -> None:
    picture = np.full((72, 90, 3), 100, np.uint8)
    picture[9:18, 20:30] = 50  # row 1, column 2
    assert hashed(picture) == 1 << (8 * 1 + 2)
    assert hashed(np.full((72, 90, 3), 100, np.uint8)) == 0


def test_plain_walls_do_not_depend_on_rounding() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((224, 224, 3), 100.0) + rng.normal(0, 2, (224, 224, 1))
    hashes = {hashed((picture + shift).astype(np.uint8)) for shift in (0, 0.2, 0.4, 0.6)}
    assert hashes == {0}


def test_the_same_picture_encoded_otherwise_is_the_same() -> None:
    for picture in pictures(5, width_px=224, height_px=224):
        assert num_different_bits(hashed(picture), hashed(picture, quality=60)) <= SAME_BITS
        mirrored = num_different_bits(hashed(picture), hashed(picture[:, ::-1]))
        assert mirrored > SAME_BITS


@pytest.mark.parametrize("side", [1, 7, 9, 15])
def test_a_tiny_picture_has_a_hash(side: int) -> None:
    ramp = np.arange(side * side * 3, dtype=np.uint8).reshape(side, side, 3)
    assert 0 <= hashed(ramp) < 2**64


def test_what_is_no_jpeg_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"."):
        picture_hash(b"not a picture", CONFIG)

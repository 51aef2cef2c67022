"""Chroma of stored faces: 4:2:0 as before by default, 4:4:4 on request, and both can be read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import simplejpeg

from dfer_data.config import PrepareConfig
from dfer_data.errors import UsageError
from dfer_data.faces.aligned_faces import decode, encoder
from tests.dfer_data.tiny import CONFIG, pictures

FINE = replace(CONFIG, jpeg_subsampling="444")
(FACE,) = pictures(1, width_px=224, height_px=224)
COLOURED = FACE.copy()
COLOURED[::2, ::2, 0] //= 2  # colour that changes from pixel to pixel


def psnr_db(config: PrepareConfig) -> float:
    error = decode(encoder(config)(COLOURED), config).astype(float) - COLOURED
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def test_the_default_stores_the_bytes_of_before_it_was_a_setting() -> None:
    assert encoder(CONFIG)(FACE) == bytes(simplejpeg.encode_jpeg(FACE, quality=95, colorsubsampling="420"))
    assert "jpeg_subsampling" not in CONFIG.as_dict()
    assert PrepareConfig.from_dict(CONFIG.as_dict()) == CONFIG


def test_full_chroma_is_stored_read_and_part_of_the_settings() -> None:
    payload = encoder(FINE)(COLOURED)
    assert simplejpeg.decode_jpeg_header(payload)[3] == "444"
    assert simplejpeg.decode_jpeg_header(encoder(CONFIG)(COLOURED))[3] == "420"
    assert FINE.as_dict() == CONFIG.as_dict() | {"jpeg_subsampling": "444"}
    assert FINE.sha256 != CONFIG.sha256
    assert PrepareConfig.from_dict(FINE.as_dict()) == FINE
    assert psnr_db(FINE) > psnr_db(CONFIG) + 3
    assert len(payload) > len(encoder(CONFIG)(COLOURED))


def test_other_chroma_is_refused() -> None:
    with pytest.raises(UsageError, match="--jpeg-subsampling 422: must be 420 or 444"):
        replace(CONFIG, jpeg_subsampling="422")  # type: ignore[arg-type]

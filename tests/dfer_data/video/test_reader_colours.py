"""A video gives the colours that it was made from, whatever matrix it declares."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from dfer_data.video.reader import open_video

MATRICES = {"BT.601": (6, 0.299, 0.114), "BT.709": (1, 0.2126, 0.0722), "BT.2020": (9, 0.2627, 0.0593)}
"""Number in ITU-T H.273, and the shares of red and blue in the brightness."""
COLOURS = [(200, 120, 90), (30, 60, 200), (220, 220, 40), (128, 128, 128), (180, 20, 40), (20, 180, 60)]
FIELD_PX = 64


def write_colours(path: Path, matrix: str) -> None:
    """Write three frames with a field per colour in limited range, converted here with a matrix."""
    number, red, blue = MATRICES[matrix]
    image = np.repeat(np.repeat(np.array([COLOURS], float) / 255, FIELD_PX, axis=1), FIELD_PX, axis=0)
    luma = image @ [red, 1 - red - blue, blue]
    u, v = (image[..., 2] - luma) / (2 - 2 * blue), (image[..., 0] - luma) / (2 - 2 * red)
    planes = [16 + 219 * luma, 128 + 224 * u[::2, ::2], 128 + 224 * v[::2, ::2]]
    data = np.concatenate([plane.round().astype(np.uint8).ravel() for plane in planes])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = luma.shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"crf": "4"}
        stream.codec_context.thread_count = 1
        stream.codec_context.colorspace, stream.codec_context.color_range = number, 1
        for pts in range(3):
            frame = av.VideoFrame.from_ndarray(data.reshape(-1, luma.shape[1]), format="yuv420p")
            frame.pts, frame.time_base = pts, Fraction(1, 25)
            frame.colorspace, frame.color_range = number, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_are_those_of_the_source_whatever_the_matrix(tmp_path: Path, matrix: str) -> None:
    path = tmp_path / "a.mp4"
    write_colours(path, matrix)
    with av.open(str(path)) as container:
        assert int(next(container.decode(video=0)).colorspace) == MATRICES[matrix][0]
    with open_video(path) as reader:
        images = [frame.image for frame in reader.frames()]
    assert len(images) == 3
    for image in images:
        for number, colour in enumerate(COLOURS):
            field = image[16:-16, FIELD_PX * number + 16 : FIELD_PX * (number + 1) - 16]
            assert np.abs(field.reshape(-1, 3).mean(axis=0) - colour).max() <= 4

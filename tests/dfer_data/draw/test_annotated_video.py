"""Videos with faces drawn into them: frames, times and sound of the source stay."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from dfer_data.draw.annotated_video import write_annotated
from dfer_data.draw.faces import Mark, colour_of, draw_marks, with_strip
from dfer_data.errors import VideoError
from dfer_data.types import Image
from tests.dfer_data.tiny import pictures, write_video

BOX = np.array([60, 30, 140, 110], np.float32)
POINTS = np.array([[80, 60], [120, 60], [100, 75], [85, 95], [115, 95]], np.float32)
RATE = 48_000


def mark(**given: object) -> Mark:
    return Mark(BOX, POINTS, colour_of(1), **given)  # type: ignore[arg-type]


def write_with_sound(path: Path, *, codec: str, num_frames: int = 50) -> Path:
    """Two seconds: dark pictures and silence, then light ones and a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        sound = container.add_stream(codec, rate=RATE)
        assert isinstance(video, VideoStream)
        assert isinstance(sound, AudioStream)
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        step = RATE // 25
        for i in range(num_frames):
            is_late = i >= num_frames // 2
            frame = av.VideoFrame.from_ndarray(np.full((90, 160, 3), 220 * is_late, np.uint8), format="rgb24")
            frame.pts = i
            container.mux(video.encode(frame))
            tone = 12_000 * is_late * np.sin(2 * np.pi * 440 * (np.arange(step) + i * step) / RATE)
            samples = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
            samples.sample_rate, samples.pts = RATE, i * step
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return path


def shown(path: Path) -> tuple[list[Image], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    images = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames]
    return images, [float(frame.time or 0) for frame in frames]


def loudness(path: Path) -> tuple[str, list[float]]:
    """Return the codec of the sound, and the level of each tenth of a second."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        codec = stream.codec_context.codec.canonical_name
        samples = np.concatenate([frame.to_ndarray().astype(float).mean(axis=0) for frame in container.decode(stream)])
    peak = np.abs(samples).max()
    return codec, [
        float(np.abs(part).max() / peak) for part in np.array_split(samples, round(len(samples) / RATE * 10))
    ]


@pytest.mark.parametrize(("ending", "codec", "kept"), [("mp4", "aac", "aac"), ("mkv", "pcm_s16le", "aac")])
def test_sound_stays_with_the_pictures(tmp_path: Path, ending: str, codec: str, kept: str) -> None:
    source = write_with_sound(tmp_path / f"in.{ending}", codec=codec)
    assert write_annotated(source, tmp_path / "out.mp4", {}) == 50
    images, times = shown(tmp_path / "out.mp4")
    assert times == pytest.approx([i / 25 for i in range(50)], abs=1e-3)
    assert [image.mean() > 100 for image in images] == [False] * 25 + [True] * 25
    codec, levels = loudness(tmp_path / "out.mp4")
    assert codec == kept
    assert max(levels[:9]) < 0.1
    assert min(levels[11:19]) > 0.5


def test_a_part_of_a_video_begins_with_its_own_sound(tmp_path: Path) -> None:
    source = write_with_sound(tmp_path / "in.mp4", codec="aac")
    assert write_annotated(source, tmp_path / "out.mp4", {}, frames=range(25, 45)) == 20
    images, times = shown(tmp_path / "out.mp4")
    assert times == pytest.approx([i / 25 for i in range(20)], abs=1e-3)
    assert min(image.mean() for image in images) > 100
    _, levels = loudness(tmp_path / "out.mp4")
    assert 7 <= len(levels) <= 9
    assert min(levels[1:7]) > 0.5


def test_uneven_times_and_odd_sides_are_kept(tmp_path: Path) -> None:
    pts = [0, 10, 50, 300, 310, 900]
    source = write_video(tmp_path / "in.mkv", pictures(6, width_px=95, height_px=61), codec="ffv1", pts=pts)
    write_annotated(source, tmp_path / "out.mp4", {})
    images, times = shown(tmp_path / "out.mp4")
    assert times == pytest.approx([t / 1000 for t in pts], abs=1e-3)
    assert images[0].shape == (62, 96, 3)


def test_faces_are_drawn_where_they_are_and_nowhere_else(tmp_path: Path) -> None:
    grey = [np.full((180, 320, 3), 128, np.uint8)] * 5
    source = write_video(tmp_path / "in.mp4", grey)
    bars: Sequence[tuple[str, float]] = [("happy", 0.9), ("sad", 0.1)]
    write_annotated(source, tmp_path / "out.mp4", {2: [mark(label="person 0", bars=bars)]})
    images, _ = shown(tmp_path / "out.mp4")
    changed = [np.abs(image.astype(int) - 128).max(axis=2) > 40 for image in images]
    assert [bool(one.any()) for one in changed] == [False, False, True, False, False]
    rows, columns = np.nonzero(changed[2])
    assert changed[2][30, 60:140].mean() > 0.9  # the upper side of the box
    assert changed[2][60, 80]  # an eye
    assert rows.max() <= 113
    assert columns.max() > 146  # bars beside it
    assert not changed[2][35:55, 65:75].any()  # the face itself is not covered


def test_what_was_not_detected_is_drawn_with_corners_alone() -> None:
    picture = np.zeros((180, 320, 3), np.uint8)
    draw_marks(picture, [mark(is_seen=False)])
    assert picture[30, 62].any()
    assert not picture[30, 100].any()


@pytest.mark.parametrize("box", [[-50, -50, 20, 20], [300, 160, 400, 300], [-1e4, -1e4, 1e4, 1e4]])
def test_boxes_beyond_the_picture_can_be_drawn(box: list[float]) -> None:
    picture = np.zeros((180, 320, 3), np.uint8)
    draw_marks(picture, [Mark(np.array(box, np.float32), POINTS - 100, colour_of(0), "a 😀 label", bars=[("é", 2.0)])])
    assert picture.any()


def test_labels_and_bars_of_a_crowd_cover_no_face_and_no_other_label() -> None:
    """A row of faces 8 px apart, and another row right below: the panels used to lie over the neighbours."""
    bars: Sequence[tuple[str, float]] = [("happy", 0.9), ("sad", 0.1), ("neutral", 0.4)]
    boxes = [(20 + 68 * column, 60 + 100 * row) for row in range(2) for column in range(5)]
    marks = [
        Mark(
            np.array([x, y, x + 60, y + 60], np.float32),
            POINTS - 1000,
            colour_of(number),
            label=f"person {number}: happy 90 %",
            short_label=str(number),
            bars=bars,
        )
        for number, (x, y) in enumerate(boxes)
    ]
    picture = np.full((240, 640, 3), 128, np.uint8)
    draw_marks(picture, marks)
    changed = np.abs(picture.astype(int) - 128).max(axis=2) > 40
    for x, y in boxes:
        assert not changed[y + 24 : y + 56, x + 4 : x + 56].any()  # all but the corner for the short label
    assert changed[60:120, 370:].any()  # the last of a row has room for its bars


def test_a_strip_warns_above_the_picture(tmp_path: Path) -> None:
    picture = np.full((90, 160, 3), 128, np.uint8)
    higher = with_strip(picture, "trained on rendered heads: says nothing about real faces")
    assert higher.shape[1:] == (160, 3)
    assert (higher[-90:] == picture).all()
    assert 20 < len(higher) - 90 < 80  # wrapped into a few lines
    source = write_video(tmp_path / "in.mp4", [picture] * 3)
    write_annotated(source, tmp_path / "out.mp4", {}, warning="a warning")
    images, _ = shown(tmp_path / "out.mp4")
    assert np.abs(images[0][1, 150].astype(int) - (255, 200, 60)).max() < 30


def test_what_cannot_be_decoded_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_text("<html>")
    with pytest.raises(VideoError, match="not a readable video"):
        write_annotated(tmp_path / "junk.mp4", tmp_path / "out.mp4", {})
    source = write_video(tmp_path / "in.mp4", pictures(4))
    with pytest.raises(VideoError, match="none of the requested frames"):
        write_annotated(source, tmp_path / "out.mp4", {}, frames=range(9, 12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "junk.mp4"]


def test_two_writers_of_one_video_leave_a_whole_one(tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "a.mp4", pictures(12)), tmp_path / "out.mp4"
    with ThreadPoolExecutor() as pool:
        numbers = list(pool.map(lambda _: write_annotated(source, out, {}), range(4)))
    assert numbers == [12] * 4
    assert len(shown(out)[0]) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]

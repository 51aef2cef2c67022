from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_data.detect.registry import build_detector
from dfer_data.frame_sampling import SAMPLERS, frames_of_clip
from dfer_data.inspection.look_settings import LookSettings
from dfer_data.inspection.video_look import VideoLook, look_at_video
from dfer_data.inspection.video_page import PersonExpressions, VideoExpressions, write_video_page
from dfer_data.inspection.video_pictures import VideoPictures, pictures_of
from tests.dfer_data.conftest import retinaface_weights
from tests.dfer_data.tiny import CONFIG, write_video
from tests.scenes import HEIGHT_PX, WIDTH_PX, rendered

__all__ = ["retinaface_weights"]
TWO_HEADS, WALL, ONE_HEAD = 20, 8, 18
"""Frames of each shot."""


@pytest.fixture(scope="module")
def look(heads_wheel: Path, retinaface_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> VideoLook:
    """A shot with two rendered heads, an empty wall, and a large head in the middle."""
    two = rendered(heads_wheel, {1: lambda t: (200.0, 170.0, 70.0), 2: lambda t: (470.0, 180.0, 50.0)}, num_frames=1)
    one = rendered(heads_wheel, {3: lambda t: (320.0, 180.0, 105.0)}, num_frames=1)
    wall = np.full((HEIGHT_PX, WIDTH_PX, 3), (20, 70, 30), np.uint8)
    warm = np.asarray(one.pictures[0] // 2 + np.array([90, 0, 0], np.uint8), np.uint8)
    shown = [*two.pictures * TWO_HEADS, *[wall] * WALL, *[warm] * ONE_HEAD]
    path = write_video(tmp_path_factory.mktemp("look") / "a <b>.mp4", shown)
    detector = build_detector(CONFIG, weights=retinaface_weights)
    assert detector is not None
    return look_at_video(path, config=CONFIG, detector=detector, settings=LookSettings(detect_every=8))


@pytest.fixture(scope="module")
def pictures(look: VideoLook) -> VideoPictures:
    return pictures_of(look)


@pytest.fixture(scope="module")
def page(look: VideoLook, pictures: VideoPictures, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "look.html"
    write_video_page(path, look, pictures)
    return path.read_text(encoding="utf-8")


def part(page: str, name: str) -> str:
    """The part of a page from one heading of the second level to the next."""
    return page.split(f'<section id="{name}">')[1].split("<h2>")[1]


def test_the_page_keeps_the_end_of_the_path_for_a_withdrawal(look: VideoLook, page: str) -> None:
    (content,) = re.findall('<meta name="dfer-video" content="([^"]*)">', page[:4000])
    assert content.endswith("/a &lt;b&gt;.mp4")
    assert not content.startswith("/")
    assert look.path.resolve().as_posix().endswith("/" + html.unescape(content))


def test_persons_cuts_and_the_subject_are_on_the_page(look: VideoLook, page: str) -> None:
    assert (len(look.tracks), look.cuts) == (3, (TWO_HEADS, TWO_HEADS + WALL))
    assert look.subject is not None
    assert look.subject.track.number == 2  # larger and in the middle
    assert re.findall(r'id="person-(\d)"', page) == ["0", "1", "2"]
    assert page.count('<span class="badge">subject</span>') == 1
    assert "Person 2 has the largest weight; person 0, the next one, has " in page
    assert page.count('class="lane"') == 4  # three persons and the axis
    cuts = part(page, "cuts")
    assert re.findall(r"<small>frame (\d+),", cuts) == ["20", "28"]
    assert f"No face in {WALL} frames ({100 * WALL / look.num_frames:.0f} %): 0.8 to 1.1 s." in page
    assert "one frame in 8, and where faces change" in page


def test_each_sampler_shows_its_sixteen_frames(pictures: VideoPictures, page: str) -> None:
    assert [sample.sampler_name for sample in pictures.samples if sample.view == 0] == list(SAMPLERS)
    samplers = part(page, "samplers")
    for sample in pictures.samples:
        expected = frames_of_clip(ONE_HEAD, part="test", sampler_name=sample.sampler_name)[sample.view]
        assert list(sample.rows) == expected.tolist()
        assert [cell.frame for cell in sample.cells] == (TWO_HEADS + WALL + expected).tolist()
        assert f"frames {' '.join(map(str, sample.rows))} of {ONE_HEAD}" in samplers
    assert samplers.count("<img ") == 16 * len(pictures.samples)


def test_another_number_of_sampled_frames(look: VideoLook, tmp_path: Path) -> None:
    pictures = pictures_of(look, num_sampled=7)
    assert {len(sample.cells) for sample in pictures.samples} == {7}
    write_video_page(tmp_path / "look.html", look, pictures)
    samplers = part((tmp_path / "look.html").read_text(encoding="utf-8"), "samplers")
    assert "The 7 test frames that each sampler takes" in samplers
    assert "Left out: segments-8x2, which cannot take 7 frames." in samplers


def test_landmarks_are_drawn_where_the_template_has_them(pictures: VideoPictures) -> None:
    face = cv2.imdecode(np.frombuffer(pictures.landmarks[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert face is not None
    green = (face[..., 1].astype(int) - np.maximum(face[..., 0], face[..., 2])) > 40
    rows, columns = np.nonzero(green)
    assert np.abs(np.array([columns.mean(), rows.mean()]) / len(face) - [0.5, 0.55]).max() < 0.15
    num_dots = cv2.connectedComponents(green.astype(np.uint8))[0] - 1
    assert num_dots == 5


def test_the_page_is_self_contained_and_small(look: VideoLook, page: str) -> None:
    assert "<h1>a &lt;b&gt;.mp4</h1>" in page
    assert "default-src 'none'; img-src data:;" in page.replace("&#39;", "'")
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert len(page) < 1_500_000
    for jpeg in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page):
        assert base64.b64decode(jpeg).startswith(b"\xff\xd8")


def test_expressions_are_shown_with_their_caveats(look: VideoLook, pictures: VideoPictures, tmp_path: Path) -> None:
    windows = ((0.0, 1.0, "happy", 0.7), (0.5, 1.5, "happy", 0.6), (1.0, 2.0, "sad", 0.9))
    person = PersonExpressions((("happy", 0.6), ("sad", 0.4)), windows)
    expressions = VideoExpressions("runs/<x>", "scores are labels", "trained on rendered heads", {2: person})
    write_video_page(tmp_path / "look.html", look, pictures, expressions=expressions)
    page = (tmp_path / "look.html").read_text()
    assert "Expressions by runs/&lt;x&gt;. scores are labels" in page
    assert '<p class="badge">trained on rendered heads</p>' in page
    assert "Likeliest class over time: 0.0 to 1.5 s happy; 1.0 to 2.0 s sad." in page
    assert page.count('<meter value="0.6000"') == 1
    assert page.count("Followed for too few frames for a prediction.") == 2

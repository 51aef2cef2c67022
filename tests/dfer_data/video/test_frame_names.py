"""The order of pictures by the numbers in their names: what is a frame, what is not, and when there is no order."""

from __future__ import annotations

import random

import pytest

from dfer_data.video.frame_names import frames_of


def shuffled(names: list[str]) -> list[str]:
    return random.Random(0).sample(names, len(names))


SERIES = {
    "number": [f"{n}.jpg" for n in range(1, 26)],
    "number, then words and a version": [f"{n}_aligned_v2.jpg" for n in range(1, 19)],
    "number, then a size": [f"frame_{n}_224x224.jpg" for n in range(1, 19)],
    "clip and number": [f"000046280-{n:03d}.jpg" for n in range(1, 19)],
    "two extensions": [f"{n:05d}.{'jpg' if n % 2 else 'BMP'}" for n in range(18)],
    "seconds": [f"{n / 25:.2f}.jpg" for n in range(12, 80)],
    "seconds of a whole turn": [f"{0.52 + n / 25:.2f}.jpg" for n in range(25)],
    "seconds as Python prints them": [f"{round(n / 25, 2)}.png" for n in range(75)],
    "seconds below one": [f"{round(n / 25, 2)}.png" for n in range(20)],
    "seconds of uneven frames": [f"{n / 29.97:.2f}.jpg" for n in range(60)],
    "seconds apart": [f"t{1.2 * n:.1f}.jpg" for n in range(20)],
    "versions": [f"clip1.{n}.jpg" for n in range(1, 25)],
    "hours to milliseconds": [f"00-00-{n // 25:02d}.{n % 25 * 40:03d}.jpg" for n in range(60)],
    "minutes and seconds": [f"00_{n // 60:02d}_{n % 60:02d}.jpg" for n in range(50, 130)],
    "with a score": [f"{random.Random(n).random():.2f}_{n:06d}.jpg" for n in range(1, 19)],
    "with a place": [f"{n}_x{random.Random(n).randint(0, 300)}.jpg" for n in range(1, 19)],
    "of one face": [f"frame_det_00_{n:06d}.bmp" for n in range(1, 19)],
    "parts that count on": [f"part{1 + n // 100}_{n:04d}.jpg" for n in range(1, 200)],
    "numbers in brackets": [f"clip ({n}).jpg" for n in range(1, 19)],
    "with gaps": ["1.jpg", "5.jpg", "50.jpg"],
    "words": ["a.jpg", "b.jpg", "c.jpg"],
    "one": ["7.jpg"],
}


@pytest.mark.parametrize("names", SERIES.values(), ids=SERIES)
def test_frames_are_in_the_order_of_time(names: list[str]) -> None:
    frames = frames_of(shuffled(names))
    assert (list(frames.names), frames.strays, frames.fault) == (names, (), "")


@pytest.mark.parametrize(
    "strays",
    [
        ["4 (1).jpg", "4 - Copy.jpg"],
        ["12 copy.jpg", "2 - Kopie (2).jpg"],
        ["thumb.jpg"],
        [f"{word}.jpg" for word in "abcdefghijklmnopqr"],
        ["1_mask.png", "cover_2.png"],
        [f"{n} (1).jpg" for n in range(1, 19)],
    ],
)
def test_copies_and_other_pictures_are_left_out(strays: list[str]) -> None:
    names = [f"{n}.jpg" for n in range(1, 19)]
    frames = frames_of(shuffled([*names, *strays]))
    assert (list(frames.names), frames.strays, frames.fault) == (names, tuple(sorted(strays)), "")


MIXED = {
    "two faces": [f"frame_det_{face:02d}_{n:06d}.bmp" for face in (0, 1) for n in range(1, 19)],
    "faces of each frame": [f"frame{n:06d}_face{face}.bmp" for face in (0, 1) for n in range(1, 19)],
    "a second face at times": [f"{n:06d}_{face}.bmp" for n in range(1, 19) for face in ((0, 1) if 5 < n < 9 else (0,))],
    "a dot between": [f"f.{face:02d}.{n:06d}.jpg" for face in (0, 1) for n in range(1, 19)],
    "parts that count anew": [f"part{part}_{n:04d}.jpg" for part in (1, 2) for n in range(1, 101)],
    "pictures and masks": [name for n in range(1, 19) for name in (f"{n}.jpg", f"{n}_mask.png")],
    "mostly words": ["a.jpg", "b.jpg", "c.jpg", "d2.jpg"],
    "one number twice": ["1.jpg", "01.jpg", "2.jpg"],
    "two formats": ["1.jpg", "1.png", "2.jpg"],
    "no pattern": ["3fa9c1.jpg", "b72e.jpg", "77.jpg"],
}


@pytest.mark.parametrize("names", MIXED.values(), ids=MIXED)
def test_mixed_series_are_a_fault_with_two_names(names: list[str]) -> None:
    frames = frames_of(shuffled(names))
    assert sum(name in frames.fault for name in names) >= 2
    assert "keep one series of numbered frames per folder" in frames.fault
    assert sorted(frames.names) == sorted(names)

from __future__ import annotations

import numpy as np

from dfer_data.auditing.frame_hashes import film_of, hashed
from tests.dfer_data.auditing.scene import film

PICTURES = [frame[4:60, 4:60, 0] for frame in film(3, 0)]


def test_brightness_and_contrast_do_not_matter() -> None:
    changed = [(0.5 * picture + 40).astype(np.uint8) for picture in PICTURES]
    cosines = (film_of(hashed(PICTURES), rate=25).hashes * film_of(hashed(changed), rate=25).hashes).sum(axis=1)
    assert cosines.min() > 0.999


def test_the_mirrored_film_is_that_of_mirrored_pictures() -> None:
    mirrored = film_of(hashed([picture[:, ::-1] for picture in PICTURES]), rate=25)
    turned = film_of(hashed(PICTURES), rate=25).mirrored
    assert np.abs(mirrored.hashes - turned.hashes).max() < 1e-3
    both = mirrored.shifts.T @ turned.shifts  # the same space
    assert np.linalg.norm(both) ** 2 > 3.99


def test_a_shifted_face_differs_along_the_shifts() -> None:
    a, b = hashed(PICTURES), hashed([np.roll(picture, 1, axis=1) for picture in PICTURES])
    plain = film_of(a, rate=25)
    change = film_of(b, rate=25).hashes - plain.hashes
    left = change - change @ plain.shifts @ plain.shifts.T
    assert (left**2).sum() < 0.15 * (change**2).sum()

"""Names of the ways in which a stored picture gets another size; `resize.py` resizes by them."""

from __future__ import annotations

from typing import Literal

ResizeRule = Literal["auto", "area", "linear"]
"""How a picture shrinks: `area` averages the pixels that a pixel covers, `linear` interpolates between the four nearest
ones, `auto` is linear below a factor of 2 and area from there on. All rules enlarge by linear interpolation."""
JpegScale = Literal["full", "scaled"]
"""`full` decodes every pixel of a JPEG; `scaled` decodes one that shrinks by 2 or more at the smallest eighth
of its size that is no smaller than the requested one, which leaves out coefficients of the JPEG instead of averaging
pixels. A resize rule then applies to the decoded picture."""

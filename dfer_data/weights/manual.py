"""Model files that no package index has and that the user downloads from their authors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfer_data.errors import WeightsError


@dataclass(frozen=True)
class Release:
    """One file that the user downloads. Its hash is not pinned; a prepared dataset records the hash of its file."""

    name: str
    """Name on the command line."""
    filename: str
    """File name in the cache."""
    url: str
    """Download address of its authors."""
    purpose: str
    """Short text on what the file is used for."""
    terms: str
    """Licence of the file and known terms of the data it was trained on."""

    def find(self, folder: Path) -> Path:
        """Return the file in `folder`; WeightsError with the address if it is missing."""
        path = folder / self.filename
        if not path.is_file():
            raise WeightsError(
                f"weights {self.name} are not in the cache, and no package index has them: download {self.url} into "
                f"{folder}, or give the file to `dfer prepare` with --weights PATH"
            )
        return path


RELEASES = (
    Release(
        name="retinaface-resnet50",
        filename="retinaface_resnet50_2020-07-20-f168fae3c.zip",
        url="https://github.com/ternaus/retinaface/releases/download/0.01/retinaface_resnet50_2020-07-20-f168fae3c.zip",
        purpose="RetinaFace face detector, ResNet-50 backbone",
        terms="MIT; trained on WIDER FACE, whose pictures are for non-commercial research",
    ),
)
"""Releases in the order of `dfer weights list`, which shows them after the assets."""


def release(name: str) -> Release | None:
    """Return the release named `name`; None if there is none."""
    return next((file for file in RELEASES if file.name == name), None)

"""Model files that no package index carries: their makers' address, and where to put them by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dfer_data.errors import WeightsError


@dataclass(frozen=True)
class Release:
    """One file that is fetched by hand. Its hash is not known here: a prepared dataset records what was used."""

    name: str
    """Name on the command line."""
    filename: str
    """File name in the cache."""
    url: str
    """Where its makers give it out."""
    purpose: str
    """What it is for, in a few words."""
    terms: str
    """Licence of the file and known terms of the data it was trained on."""

    def find(self, folder: Path) -> Path:
        """Return the file in `folder`; WeightsError with the address where it is not there."""
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
"""In the order of `dfer weights list`, after those of the package index."""


def release(name: str) -> Release | None:
    """Return the release called `name`; None where there is none."""
    return next((one for one in RELEASES if one.name == name), None)

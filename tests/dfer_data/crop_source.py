"""A source of shipped face crops that tests change: folders of a few small pictures, prepared without a detector."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from dfer_data.preparation.run import prepare
from dfer_data.preparation.summary import Summary

SIZE_PX = 32


class CropSource:
    """Folders CLASS/NAME of pictures; a number stands for their content."""

    def __init__(self, root: Path) -> None:
        """Begin without clips."""
        self.root = root
        self.contents: dict[str, int] = {}
        root.mkdir(parents=True, exist_ok=True)

    def add(self, clip_id: str, content: int, *, num_frames: int = 3) -> None:
        """Add a clip, or replace its pictures."""
        folder = self.root / clip_id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(content)
        for index in range(num_frames):
            picture = rng.integers(0, 255, (SIZE_PX, SIZE_PX, 3)).astype(np.uint8)
            (folder / f"{index:03d}.jpg").write_bytes(simplejpeg.encode_jpeg(picture))
        self.contents[clip_id] = content

    def remove(self, clip_id: str) -> None:
        """Remove a clip; its class goes with its last one."""
        folder = self.root / clip_id
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
        del self.contents[clip_id]

    def rename(self, clip_id: str, new_id: str) -> None:
        """Give a clip another id, and another class if that has one."""
        content = self.contents[clip_id]
        (self.root / new_id).parent.mkdir(exist_ok=True)
        shutil.copytree(self.root / clip_id, self.root / new_id)
        self.remove(clip_id)
        self.contents[new_id] = content

    def pictures(self, clip_id: str) -> list[bytes]:
        """Return the files of a clip."""
        return [path.read_bytes() for path in sorted((self.root / clip_id).iterdir())]

    def prepare(self, out: Path | str, **options: Any) -> Summary:
        """Prepare the clips in this process."""
        fixed: dict[str, Any] = {"detector": "none", "engine": "inline", "size_px": SIZE_PX}
        return prepare("folder", source=self.root, out=out, **(fixed | options))


def source_of(root: Path, *clip_ids: str) -> CropSource:
    """Return a source with these clips, each with its own content."""
    source = CropSource(root)
    for content, clip_id in enumerate(clip_ids):
        source.add(clip_id, content)
    return source


def contents(out: Path) -> dict[str, bytes]:
    """Return the hashed files of a prepared folder, without those that tell its history."""
    names = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".lock"))
    unequal = {"README.md", "dataset.json", "history.json", "prepare.log", "summary.json"}
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in names if path.name not in unequal}

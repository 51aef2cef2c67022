"""A small tree for every registered adapter: rendered where `dfer synth` knows its shape, else made of such a tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data.synth import trees
from dfer_data.synth.shapes import TREES
from tests.crops import write_crops


def _rendered(name: str, root: Path, heads: Path) -> Path:
    """Render half of the frames that `dfer synth` does: two or three of each clip."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "_EVERY", 2 * trees._EVERY)
        trees.write_tree(name, root / name, heads=heads, num_workers=1)
    return root / name


def _dfew(root: Path, heads: Path) -> Path:
    return write_crops(root / "dfew", num_clips=35, num_frames=lambda number: 4, is_synthetic=True)


def _afew_videos(root: Path, heads: Path) -> Path:
    """The videos of the rendered AFEW, to be listed by others."""
    if not (root / "afew").is_dir():
        _rendered("afew", root, heads)
    return root / "afew"


def _folder(root: Path, heads: Path) -> Path:
    """`label/part/video.avi`, so that folders can be kept together."""
    for path in sorted(_afew_videos(root, heads).glob("*_AFEW/*/*.avi")):
        target = root / "folder" / path.parent.name.lower() / path.parts[-3] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return root / "folder"


def _table(root: Path, heads: Path) -> Path:
    source = Path(shutil.copytree(_afew_videos(root, heads), root / "csv"))
    rows = ["path;emotion;split;subject"]
    for number, path in enumerate(sorted(source.glob("*_AFEW/*/*.avi"))):
        place = path.relative_to(source).as_posix().replace("/", "\\")
        rows.append(f"D:\\data\\{place};{path.parent.name};{'train' if 'Train' in place else 'val'};p{number % 4}")
    (source / "mine.csv").write_bytes(("\ufeff" + "\r\n".join(rows)).encode())
    return source


def _lists(root: Path, heads: Path) -> Path:
    """Former-DFER's kind: somebody's absolute paths, wrong numbers of frames, numbers for labels."""
    source = root / "lists"
    shutil.copytree(_afew_videos(root, heads), source)
    names = sorted({path.parent.name for path in source.glob("*_AFEW/*/*.avi")})
    (source / "classes.txt").write_text("\n".join(names))
    for part, split in (("Train", "train"), ("Val", "test")):
        lines = [
            f"/home/some one/AFEW/Faces/{path.stem} 99 {names.index(path.parent.name)}"
            for path in sorted((source / f"{part}_AFEW").glob("*/*.avi"))
        ]
        (source / f"AFEW_{split}.txt").write_text("\n".join(lines))
    return source


MADE: dict[str, Callable[[Path, Path], Path]] = {
    "dfew": _dfew,
    "folder": _folder,
    "csv": _table,
    "lists": _lists,
}


def make_tree(name: str, root: Path, *, heads: Path) -> Path:
    """Write the tree of an adapter; a new one needs a shape in dfer_data/synth/shapes.py, or a line above."""
    assert name in TREES or name in MADE, f"{name} has no tree: see docs/how-to/own-dataset.md"
    return _rendered(name, root, heads) if name in TREES else MADE[name](root, heads)

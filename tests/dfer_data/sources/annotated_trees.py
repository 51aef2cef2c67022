"""A small sound tree per dataset, without videos, and changes of its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.registry import SOURCES

Change = Callable[[Path], object]
TRAIN, TEST = "4_setups/All_scenes/train_All.csv", "4_setups/All_scenes/test_All.csv"
CROPS = "2_ClipsforFaceCrop"
MAFW = "Train & Test Set/single/no_caption/set_{}/{}.txt"


def write(root: Path, name: str, content: str | bytes = "x") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def put(name: str, content: str | bytes = "x") -> Change:
    return lambda root: write(root, name, content)


def ferv39k(root: Path) -> Path:
    write(root, TRAIN, "Action/Happy/0001 Happy\nAction/Sad/0001 Sad\n")
    write(root, TEST, "Action/Happy/0002 Happy\nWar/Angry/0009 Angry")
    for clip in ("Action/Happy/0001", "Action/Sad/0001", "Action/Happy/0002", "War/Angry/0009"):
        write(root, f"{CROPS}/{clip}/1.jpg")
    return root


def afew(root: Path) -> Path:
    for name in ("Train_AFEW/Angry/000000001", "Train_AFEW/Happy/000000002", "Val_AFEW/Angry/000000003"):
        write(root, f"{name}.avi")
    return root


def mafw(root: Path) -> Path:
    lines = [f"{fold:05d}.mp4 anger" for fold in range(1, 6)]
    for fold in range(1, 6):
        write(root, MAFW.format(fold, "test"), lines[fold - 1])
        write(root, MAFW.format(fold, "train"), "\n".join(line for line in lines if line != lines[fold - 1]))
        write(root, f"data/clips/{fold:05d}.mp4")
    return root


def cremad(root: Path) -> Path:
    names = [f"{actor}_IEO_{code}" for actor in (1001, 1019, 1037, 1055, 1073) for code in ("ANG_HI", "NEU_XX")]
    for name in names:
        write(root, f"VideoFlash/{name}.flv")
    rows = "".join(f'"{number}","{name}"\n' for number, name in enumerate(names, start=1))
    return write(root, "SentenceFilenames.csv", '"Stimulus_Number","Filename"\n' + rows)


def ravdess(root: Path) -> Path:
    for actor in ("01", "05", "09", "13", "17", "21"):
        write(root, f"Actor_{actor}/02-01-03-01-01-01-{actor}.mp4")
    return root


def csv(root: Path) -> Path:
    for name in ("a/1.mp4", "a/2.mp4", "b/1.mp4"):
        write(root, name)
    return write(
        root, "mine.csv", "path,label,split,subject\na/1.mp4,sad,train,x\na/2.mp4,sad,test,y\nb/1.mp4,joy,train,\n"
    )


def lists(root: Path) -> Path:
    for name in ("a/00001.mp4", "a/00002.mp4", "b/00003.mp4"):
        write(root, name)
    write(root, "classes.txt", "happy\nsad\n")
    write(root, "set_1_train.txt", "/data/x/a/00001 20 0\n/data/x/a/00002 16 1\n")
    return write(root, "set_1_test.txt", "/data/x/b/00003 20 1\n")


BASE: dict[str, tuple[Callable[[Path], Path], Layout]] = {
    "ferv39k": (ferv39k, "frames"),
    "afew": (afew, "videos"),
    "mafw": (mafw, "videos"),
    "cremad": (cremad, "videos"),
    "ravdess": (ravdess, "videos"),
    "csv": (csv, "videos"),
    "lists": (lists, "videos"),
}


def listed(name: str, root: Path) -> SourceListing:
    return SOURCES[name].list(root, layout=BASE[name][1])

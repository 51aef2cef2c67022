"""FERV39k (Wang et al., CVPR 2022): face crops in 22 scenes, one official split. It ships no videos.

Lists: `train_All.csv` and `test_All.csv` without a header, `Interview/Happy/0118 Happy`. A number is
unique only within a scene and emotion, so a clip's id is the whole path; its group is its scene.
"""

from __future__ import annotations

from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble, read_lines
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import DFEW_NAMES, emotion
from dfer_data.sources.tree import Found, by_clip, of_kind, scan

SCENES = (
    *("Action", "Argue", "Business", "Conflict", "Contest", "Crime", "Crisis", "DailyLife", "ElegantArt", "Experiment"),
    *("History", "Interview", "Liveshow", "Medicine", "OfficialEvent", "ScholarReport", "School", "Social", "Speech"),
    *("Talkshow", "Terror", "War"),
)
_LISTS: tuple[tuple[Split, str], ...] = (("train", "train_All.csv"), ("test", "test_All.csv"))


def list_ferv39k(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List FERV39k's crops. See Source."""
    tree = scan(root, dataset="ferv39k")
    entries, faults = [], list[str]()
    paths = [(split, name, tree.named(name)) for split, name in _LISTS]
    if not any(path for _, _, path in paths):
        raise not_there("ferv39k", f"no FERV39k lists below {root}", root=root)
    for split, name, path in paths:
        faults += [f"{name}: missing"] if path is None else []
        for where, line in read_lines(root, path, faults) if path else ():
            folder, _, word = line.strip().replace(",", " ").rpartition(" ")
            scene, kind, number = ("", "", *folder.strip().replace("\\", "/").rstrip("/").split("/"))[-3:]
            if scene not in SCENES or not number.isdecimal():
                faults.append(f"{where}: {line!r} is not Scene/Emotion/0001 and an emotion")
            elif emotion(word) not in DFEW_NAMES:
                faults.append(f"{where}: label {word!r}; known: {', '.join(DFEW_NAMES)}")
            elif emotion(word) != emotion(kind):
                faults.append(f"{where}: label {word!r} of a clip in the folder {kind}")
            else:
                entries.append(Entry(f"{scene}/{kind}/{int(number):04d}", emotion(word), "1", split, where, scene))
    found = by_clip(tree, of_kind(tree, "frames", crops=crops), _clip_id, faults)
    return assemble(
        "ferv39k", tree, layout=layout, class_names=DFEW_NAMES, entries=entries, found=found, faults=faults,
        wanted="2_ClipsforFaceCrop/Scene/Emotion/0001/*.jpg",
    )  # fmt: skip


def _clip_id(folder: Found) -> str | None:
    """Return `Scene/Emotion/0001` of a folder of face crops; folders of whole pictures have the same names."""
    scene, kind, number = ("", "", "", *folder.parts)[-3:]
    is_clip = scene in SCENES and emotion(kind) in DFEW_NAMES and number.isdecimal()
    return f"{scene}/{kind}/{int(number):04d}" if is_clip and "Scen" not in "/".join(folder.parts[:-3]) else None

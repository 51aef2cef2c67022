"""MELD (Poria et al., ACL 2019): utterances of a television series in train, dev and test, seven emotions.

`{train,dev,test}_sent_emo.csv` name `dia{Dialogue_ID}_utt{Utterance_ID}.mp4` in a folder of their split: ids begin anew
in each. `final_videos_testdia0_utt0.mp4` is another cut of a test clip and counts where the plain file is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dfer_data.sources.annotation import Entry, assemble
from dfer_data.sources.base import Layout, SourceListing, Split
from dfer_data.sources.catalog import not_there
from dfer_data.sources.class_labels import MELD_NAMES, emotion
from dfer_data.sources.label_table import label_rows
from dfer_data.sources.tree import DatasetTree, by_clip, of_kind, scan

_SPLITS: dict[str, Split] = {"train": "train", "dev": "train", "test": "test"}
_COLUMNS = ("Emotion", "Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime")
_PLACE = re.compile(
    r"(?:.*/)?[^/]*(train|dev|test)[^/]*/(final_videos_test)?(dia\d+_utt\d+)(?:\.[^./]+)?", re.IGNORECASE
)
_TIME = re.compile(r"(\d+):(\d\d):(\d\d),(\d+)")
_LONG_S = 60


def list_meld(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MELD's utterances, whose group is their episode; those of dev are in the train part. See Source."""
    tree, faults, long = scan(root, dataset="meld"), list[str](), list[str]()
    entries = list(_entries(tree, faults, long))
    places = {item: match for item in of_kind(tree, layout, crops=crops) if (match := _PLACE.fullmatch(item.path))}
    plain = {_clip_id(match) for match in places.values() if not match[2]}
    twins = {item: item.path for item, match in places.items() if match[2] and _clip_id(match) in plain}
    notes = ["the clips of dev are trained on, unless --val official holds them out"]
    if twins:
        notes.append(f"other cuts of test clips, left out: {len(twins):,} ({next(iter(twins.values()))}...)")
    if long:
        notes.append(f"wrong cuts, over {_LONG_S} s by their own times: {', '.join(long)}")
    found = by_clip(tree, (item for item in places if item not in twins), lambda item: _clip_id(places[item]), faults)
    return assemble(
        "meld",
        tree,
        layout=layout,
        class_names=MELD_NAMES,
        entries=entries,
        found=found,
        faults=faults,
        notes=tuple(notes),
    )


def _clip_id(match: re.Match[str]) -> str:
    return f"{match[1].lower()}/{match[3].lower()}"


def _entries(tree: DatasetTree, faults: list[str], long: list[str]) -> Iterator[Entry]:
    """Yield an entry per row; ids of utterances that are too long to be one go into `long`."""
    tables = {split: tree.named(f"{split}_sent_emo.csv") for split in _SPLITS}
    if not any(tables.values()):
        raise not_there("meld", f"no lists of MELD below {tree.root}", root=tree.root)
    faults += [f"{split}_sent_emo.csv: missing" for split, path in tables.items() if path is None]
    for split, path in tables.items():
        for where, row in label_rows(tree.root, path, _COLUMNS, faults) if path else ():
            dialogue, utterance, label = row["Dialogue_ID"], row["Utterance_ID"], emotion(row["Emotion"])
            if not (dialogue.isdecimal() and utterance.isdecimal()):
                faults.append(f"{where}: dialogue {dialogue!r}, utterance {utterance!r}: no numbers")
            elif label not in MELD_NAMES:
                faults.append(f"{where}: emotion {row['Emotion']!r}; known: {', '.join(MELD_NAMES)}")
            else:
                clip_id = f"{split}/dia{int(dialogue)}_utt{int(utterance)}"
                yield Entry(clip_id, label, "1", _SPLITS[split], where, f"S{row['Season']}E{row['Episode']}")
                long += [clip_id] if _seconds(row["EndTime"]) - _seconds(row["StartTime"]) > _LONG_S else []


def _seconds(time: str) -> float:
    """Return seconds of `0:16:41,126`; 0 for another text, which is used for no more than a note."""
    match = _TIME.fullmatch(time)
    return 3600 * int(match[1]) + 60 * int(match[2]) + int(match[3]) + float(f"0.{match[4]}") if match else 0.0

"""Read the lists of a folder: which split and fold each is for, and the clips that it names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.sources.annotation import read_lines
from dfer_data.sources.base import Split
from dfer_data.sources.listed_paths import LABEL_WORDS, PATH_WORDS, SPLITS, ListedPath
from dfer_data.sources.path_matching import plain

_LINE = re.compile(
    r"(?:\"(?P<quoted>(?:[^\"]|\"\")+)\"|(?P<path>.+?))[ \t,]+(?:(?P<frames>\d+)[ \t,]+)?(?P<label>[^\s,]+)"
)
# A word begins and ends where letters do, or where their case changes: `FERV39k_train`, `AFEWtrain`, `TrainList`.
_SPLIT_WORD = re.compile(
    r"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z]))"
    r"(?P<word>(?i:train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev))"
    r"(?:[\s_-]*(?i:set|list|data|split|file)(?:s(?![A-Za-z]))?)?(?![a-z])"
)
_FOLD = re.compile(r"(?<!data)(?:set|split|fold|fd)[\s_-]*(?P<number>\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class _List:
    """A list, as its path describes it."""

    name: str
    """Path below the root."""
    fold: str
    split: Split
    is_validation: bool
    rest: str
    """What is left of the path without split and fold; the same for all lists of a dataset."""


def listed_clips(root: Path, names: Sequence[str], faults: list[str], notes: list[str]) -> list[ListedPath] | None:
    """Return the lines of the files `names` below `root` whose paths name a split; None if no path does.

    Adds to the faults and notes. UsageError for lists of several datasets, or several lists of one split of a fold.
    """
    lists = [found for found in map(_described, names) if found]
    if not lists:
        return None
    _refuse_several(root, lists)
    by_fold: defaultdict[str, dict[str, _List]] = defaultdict(dict)
    for found in lists:
        by_fold[found.fold]["val" if found.is_validation else found.split] = found
    return [line for fold, members in by_fold.items() for line in _fold_lines(root, fold, members, faults, notes)]


def _described(name: str) -> _List | None:
    """Return the list of a path that names a split, nearest to its end: `set_2_test.txt`, `test/set_2.csv`."""
    stem = name.rpartition(".")[0]
    words = list(_SPLIT_WORD.finditer(stem))
    if not words:
        return None
    word = words[-1]["word"].lower()
    numbers = _FOLD.findall(stem)
    # The fold first: in `trainset_1` its `set` belongs to the number.
    rest = _SPLIT_WORD.sub("", _FOLD.sub("", stem))
    folders = [re.sub(r"[\W_]+", " ", part).strip().lower() for part in rest.split("/")]
    return _List(
        name,
        fold=str(int(numbers[-1])) if numbers else "1",
        split=SPLITS.get(word, "test"),
        is_validation=word not in SPLITS,
        rest="/".join(folder for folder in folders if folder),
    )


def _refuse_several(root: Path, lists: Iterable[_List]) -> None:
    """Raise UsageError, which names both, for lists of two datasets and for two lists of one split of a fold."""
    by_rest: defaultdict[str, list[_List]] = defaultdict(list)
    by_use: dict[tuple[str, str, bool], _List] = {}
    for found in lists:
        by_rest[found.rest].append(found)
    whole = [group for group in by_rest.values() if len({found.split for found in group}) == 2]
    if len(whole) > 1:
        raise UsageError(
            f"{root} holds the lists of {len(whole)} datasets ({whole[0][0].name} and {whole[1][0].name}), whose label "
            "numbers may mean different classes; give a folder with the lists of one, or, if they are folds of one "
            "dataset, name them set_1_train.txt, set_1_test.txt, set_2_train.txt and so on"
        )
    for found in lists:
        first = by_use.setdefault((found.fold, found.split, found.is_validation), found)
        if first is not found:
            raise UsageError(
                f"{root} holds two lists of {found.split} for fold {found.fold} ({first.name} and {found.name}); keep "
                f"one, or, if they are two folds, name them set_1_{found.split}.txt and set_2_{found.split}.txt"
            )


def _fold_lines(
    root: Path, fold: str, members: dict[str, _List], faults: list[str], notes: list[str]
) -> list[ListedPath]:
    """Return the lines of one fold's lists, `members`: `train`, `test`, `val` -> list; val is test if there is none."""
    if "test" not in members:
        members = {"test" if split == "val" else split: source for split, source in members.items()}
    faults += [f"fold {fold}: no list of {split}" for split in ("train", "test") if split not in members]
    rests = {members[split].rest: members[split].name for split in ("train", "test") if split in members}
    if len(rests) > 1:
        notes.append(f"fold {fold} is made of {' and '.join(rests.values())}; make sure that both are of one dataset")
    rows = {split: list(_lines(root, source, faults)) for split, source in members.items()}
    if "val" in rows:
        rows["val"] = _validation(members, rows, notes)
    return [line for lines in rows.values() for line in lines]


def _validation(members: dict[str, _List], rows: dict[str, list[ListedPath]], notes: list[str]) -> list[ListedPath]:
    """Return the lines of a validation list next to a test list, which are trained on.

    None if all of them are in the test or in the train list too. A note says which it is.
    """
    content = {split: {(plain(line.path), line.label) for line in lines} for split, lines in rows.items()}
    val = members["val"].name
    for split in ("test", "train"):
        if content["val"] and content["val"] <= content.get(split, set()):
            fact = "holds the same clips as" if content["val"] == content[split] else "holds only clips of"
            notes.append(f"{val} {fact} {members[split].name} and is not used")
            return []
    notes.append(f"the clips of {val} are trained on, because {members['test'].name} is tested")
    return [replace(line, split="train") for line in rows["val"]]


def _lines(root: Path, source: _List, faults: list[str]) -> Iterator[ListedPath]:
    rows = list(read_lines(root, source.name, faults))
    for where, text in rows[1:] if _has_header([text for _, text in rows]) else rows:
        match = _LINE.fullmatch(text.strip())
        if match is None:
            faults.append(f"{where}: {text!r} is not a path, optionally a number of frames, and a label")
            continue
        frames = int(match["frames"]) if match["frames"] else None
        path = match["path"] or match["quoted"].replace('""', '"')  # with quotes, as CSV has them
        yield ListedPath(path, match["label"], source.fold, source.split, where, None, frames)


def _has_header(lines: Sequence[str]) -> bool:
    """Whether the first line of a list names columns, as in `video_name,label`; no other line has such a class."""
    if not lines:
        return False
    words, *others = ([word.strip('"') for word in re.split(r"[\s,;]+", line.strip().lower())] for line in lines)
    names_columns = 2 <= len(words) <= 3 and words[0] in PATH_WORDS and words[-1] in (*LABEL_WORDS, "labels")
    return names_columns and all(words[-1] != other[-1] for other in others)

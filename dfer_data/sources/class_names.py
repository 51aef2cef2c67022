"""Class names of the user's data: canonical names of emotions, other words as written, names that classes.txt gives."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

from dfer_data.sources.annotation import read_lines
from dfer_data.sources.class_labels import EMOTIONS, emotion
from dfer_data.sources.tree import DatasetTree
from dfer_data.wording import counted

CLASSES_NAME = "classes.txt"
_ORDERS_DIFFER = "DFER's lists differ: DFEW's owners count from happy, LSTPNet's lists of FERV39k and AFEW from neutral"
_NO_LABEL = frozenset(("", "nan", "n/a", "#n/a", "<na>", "na", "null", "none", "nil", "-", "--", ".", "?"))
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")
_LIKE = 0.75  # of two names, as difflib counts; `feer` and `fear` have it


@dataclass(frozen=True)
class ClassNaming:
    """The classes that written labels mean."""

    names: tuple[str, ...]
    """In order: of classes.txt, else of the alphabet."""
    name_of: Mapping[str, str]
    """Written label -> class name."""
    notes: tuple[str, ...]
    """Spellings that are one class, names that look like one."""


def named_classes(
    tree: DatasetTree, labels: Mapping[str, str], faults: list[str], *, needs_words: bool = True
) -> ClassNaming:
    """Return the classes of written labels: `labels` maps each to the place where it first occurs.

    `Happy`, `happiness` and `happy` are one class; so are other words that differ in case or in `_`, `-` and spaces.
    Numbers, `1.0` too, are line numbers of classes.txt, counted from 0 or from 1, whichever fits; without the file they
    are a fault if `needs_words`, else names. A label that means a missing value is a fault.
    """
    absent = [word for word in labels if _key(word) in _NO_LABEL]
    faults += [
        f"{labels[word]}: label {word!r} means that there is none; name the emotion, or remove it" for word in absent
    ]
    words = [word for word in labels if word not in absent]
    numbers = {word: float(word) for word in words if _NUMBER.fullmatch(word)}
    path = tree.named(CLASSES_NAME)
    if not numbers or (path is None and not needs_words):
        return _classes_of(words, {word: word for word in words}, in_order=False)
    faults += [f"{labels[word]}: label {word!r}; the others are numbers" for word in words if word not in numbers]
    faults += [
        f"{labels[word]}: label {word!r} is no whole number from 0"
        for word, number in numbers.items()
        if number < 0 or not number.is_integer()
    ]
    first = labels[next(iter(numbers))]
    if path is None:
        hint = f"put {CLASSES_NAME} next to it, one name per line in the order of the numbers ({_ORDERS_DIFFER})"
        faults.append(f"{first}: labels are numbers, and no file names their emotions; {hint}")
        return ClassNaming((), {}, ())
    lines = [line.strip() for _, line in read_lines(tree.root, path, faults)]
    faults += [f"{path}: {name!r} is listed twice" for name in sorted({n for n in lines if lines.count(n) > 1})]
    start = 1 if len(lines) in numbers.values() else 0
    lowest, highest = int(min(numbers.values())), int(max(numbers.values()))
    if lowest < start or highest >= len(lines) + start:
        faults.append(f"{first}: labels from {lowest} to {highest}, but {path} has {counted(len(lines), 'name')}")
        return ClassNaming(tuple(lines), {}, ())
    if lowest > 0 and not start:
        faults.append(f"{first}: labels from {lowest} to {highest}: not clear whether {path} counts from 0 or 1")
    return _classes_of(lines, {word: lines[int(number) - start] for word, number in numbers.items()}, in_order=True)


def _classes_of(words: Sequence[str], word_of: Mapping[str, str], *, in_order: bool) -> ClassNaming:
    """Return the classes of `words`, in their order or in that of the alphabet, for written labels that mean them."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for word in words:
        spellings[_key(word)].add(unicodedata.normalize("NFC", word))
    # The plainest spelling of a word that is no emotion is its name.
    name_of_key = {
        key: key if key in EMOTIONS else min(alike, key=lambda word: (word != word.lower(), word))
        for key, alike in spellings.items()
    }
    unique = dict.fromkeys(name_of_key[_key(word)] for word in words)
    names = tuple(unique if in_order else sorted(unique))
    merged = [f"{', '.join(sorted(alike))} -> {name_of_key[key]}" for key, alike in spellings.items() if len(alike) > 1]
    notes = [f"labels in several spellings are one class: {'; '.join(sorted(merged))}"] if merged else []
    if pairs := _near(names):
        notes.append(
            f"class names that look alike, but are not one class: {'; '.join(pairs)}; correct the labels if they are"
        )
    return ClassNaming(names, {label: name_of_key[_key(word)] for label, word in word_of.items()}, tuple(notes))


def _key(word: str) -> str:
    """Return what all spellings of a class have in common."""
    return emotion(re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", " ", unicodedata.normalize("NFC", word)))


def _near(names: Iterable[str]) -> list[str]:
    """Return `this and that` for names that differ by a slip of the pen; numbered names do not."""
    unknown = {name for name in names if name not in EMOTIONS}
    pairs = [
        *combinations(sorted(unknown), 2),
        *((name, known) for name in sorted(unknown) for known in sorted(EMOTIONS)),
    ]
    return [
        f"{one} and {other}"
        for one, other in pairs
        if re.sub(r"\d", "", one) != re.sub(r"\d", "", other)
        and SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio() >= _LIKE
    ]

"""Class names of a user's own annotation: the words in it, or what classes.txt says that its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping

from dfer_data.sources.annotation import read_lines
from dfer_data.sources.tree import DatasetTree

CLASSES_NAME = "classes.txt"
_ORDERS = "DFER's lists differ: DFEW's owners count from happy, LSTPNet's lists of FERV39k and AFEW from neutral"


def named_classes(
    tree: DatasetTree, labels: Mapping[str, str], faults: list[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the class names in order, and label as written -> class name; `labels`: as written -> where, first seen.

    Numbers stand for the lines of classes.txt, counted from 0 or from 1, whichever fits.
    """
    numbers = {word: int(word) for word in labels if word.isdecimal()}
    path = tree.named(CLASSES_NAME)
    if not numbers:
        return tuple(sorted(labels)), {word: word for word in labels}
    words = {word: where for word, where in labels.items() if word not in numbers}
    faults += [f"{where}: label {word!r}; the others are numbers" for word, where in words.items()]
    first = next(where for word, where in labels.items() if word in numbers)
    if path is None:
        why = f"put {CLASSES_NAME} beside it, one name a line in their order ({_ORDERS})"
        faults.append(f"{first}: labels are numbers, and nothing says which emotions they mean; {why}")
        return (), {}
    names = [line.strip() for _, line in read_lines(tree.root, path, faults)]
    faults += [f"{path}: {name!r} stands there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    start = 1 if len(names) in numbers.values() else 0
    least, most = min(numbers.values()), max(numbers.values())
    if least < start or most >= len(names) + start:
        faults.append(f"{first}: labels from {least} to {most}, but {path} has {len(names)} names")
        return tuple(names), {}
    if least > 0 and not start:
        faults.append(f"{first}: labels from {least} to {most}: not clear whether {path} counts from 0 or 1")
    return tuple(names), {word: names[number - start] for word, number in numbers.items()}

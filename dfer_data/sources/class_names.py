"""Class names of a user's annotation: its words, or the names that classes.txt gives its numbers."""

from __future__ import annotations

from collections.abc import Mapping

from dfer_data.sources.annotation import read_lines
from dfer_data.sources.tree import DatasetTree

CLASSES_NAME = "classes.txt"
_ORDERS_DIFFER = "DFER's lists differ: DFEW's owners count from happy, LSTPNet's lists of FERV39k and AFEW from neutral"


def named_classes(
    tree: DatasetTree, labels: Mapping[str, str], faults: list[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the class names in order, and a mapping of written label -> class name.

    `labels` maps each written label to the place where it first occurs. Numbers are line numbers of classes.txt,
    counted from 0 or from 1, whichever fits.
    """
    numbers = {word: int(word) for word in labels if word.isdecimal()}
    path = tree.named(CLASSES_NAME)
    if not numbers:
        return tuple(sorted(labels)), {word: word for word in labels}
    names_among_numbers = {word: where for word, where in labels.items() if word not in numbers}
    faults += [f"{where}: label {word!r}; the others are numbers" for word, where in names_among_numbers.items()]
    first = next(where for word, where in labels.items() if word in numbers)
    if path is None:
        hint = f"put {CLASSES_NAME} next to it, one name per line in the order of the numbers ({_ORDERS_DIFFER})"
        faults.append(f"{first}: labels are numbers, and no file names their emotions; {hint}")
        return (), {}
    names = [line.strip() for _, line in read_lines(tree.root, path, faults)]
    faults += [f"{path}: {name!r} is listed twice" for name in sorted({n for n in names if names.count(n) > 1})]
    start = 1 if len(names) in numbers.values() else 0
    lowest, highest = min(numbers.values()), max(numbers.values())
    if lowest < start or highest >= len(names) + start:
        faults.append(f"{first}: labels from {lowest} to {highest}, but {path} has {len(names)} names")
        return tuple(names), {}
    if lowest > 0 and not start:
        faults.append(f"{first}: labels from {lowest} to {highest}: not clear whether {path} counts from 0 or 1")
    return tuple(names), {word: names[number - start] for word, number in numbers.items()}

"""Orders of classes that give label numbers: those of papers' code, by format and dataset."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.sources.class_labels import DFEW_NAMES, MAFW_NAMES, known_class
from dfer_data.storage.files import read_regular_text

ALPHABETICAL = "alphabetical"
_LSTPNET_FERV39K = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
_MAFW_LISTS = (*DFEW_NAMES[:3], *("angry", "surprise", "disgust", "fear"), *MAFW_NAMES[7:])
ORDERS: Mapping[str, Sequence[str]] = MappingProxyType({"dfew": DFEW_NAMES, "lstpnet-ferv39k": _LSTPNET_FERV39K})
"""Name of `--label-order` -> classes in their order. Lists of Former-DFER, DFER-CLIP, MAE-DFER and relatives number
DFEW and FERV39k as `dfew`; LSTPNet numbers FERV39k and AFEW as `lstpnet-ferv39k`."""

_OWN: Mapping[tuple[str, str], Sequence[str] | str] = MappingProxyType(
    {
        ("former-dfer", "mafw"): _MAFW_LISTS,  # DFER-CLIP and MMA-DFER; MAE-DFER keeps the order of MAFW's paper
        ("s2d", "ferv39k"): ALPHABETICAL,
        ("s2d", "mafw"): ALPHABETICAL,
    }
)
"""Format and dataset -> order of the code that reads the format, where it is not the dataset's own."""


def label_numbers(
    class_names: Sequence[str], *, used: Collection[str], order: str, format: str, dataset: str
) -> dict[str, int]:
    """Return the number of each class, from 0.

    Args:
        class_names: classes of the dataset in its own order.
        used: classes of the exported clips, which all need a number.
        order: name of an order, or path of a file with one class per line; empty: that of the format's code.
        format: name of the format.
        dataset: name of the dataset.

    Raises UsageError for an unknown order, and for classes without a number.
    """
    names = _named(order) if order else _OWN.get((format, dataset), class_names)
    if names == ALPHABETICAL:
        names = sorted(class_names)
    known = set(class_names)
    meant = [known_class(name, known) for name in names]
    if twice := next((name for name in meant if meant.count(name) > 1), ""):
        spellings = " and ".join(name for name, word in zip(names, meant, strict=True) if word == twice)
        raise UsageError(f"--label-order {order}: {spellings} are the one class {twice}; keep one of the lines")
    numbers = {name: number for number, name in enumerate(meant)}
    if missing := [name for name in class_names if name in used and name not in numbers]:
        raise UsageError(
            f"--label-order {order or 'of the format'}: class {missing[0]} has no number"
            f"{f', nor have {len(missing) - 1} more' if len(missing) > 1 else ''}; give a file that names all "
            f"{len(used)} classes, one per line"
        )
    return numbers


def _named(order: str) -> Sequence[str] | str:
    if order == ALPHABETICAL:
        return ALPHABETICAL
    if order in ORDERS:
        return ORDERS[order]
    path = Path(order)
    if not path.is_file():
        known = (*ORDERS, ALPHABETICAL)
        raise UsageError(
            f"--label-order {order}: neither an order{did_you_mean(order, known)} nor a file; known: {', '.join(known)}"
        )
    try:
        text = unicodedata.normalize("NFC", read_regular_text(path))  # as class names are
        lines = [line.strip() for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(f"--label-order {path} cannot be read: {error}") from error
    names = [line for line in lines if line]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--label-order {path}: {twice[0]} is listed twice")
    return names

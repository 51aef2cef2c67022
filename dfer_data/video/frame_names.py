"""Order the pictures of a folder by the numbers in their names, and find those that are no frames of its series."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from statistics import median

_COPY = re.compile(r"(.*\S) ?(?:\(\d+\)|[ _-]+(?:copy|kopie|copie|copia|副本)(?: ?\(?\d+\)?)?)", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")
_STEADY = 0.8  # share of even steps in a series of frames, some of which may be missing
_MAX_CARRY = 5  # medians of a step, from 0.98 to 1.02 seconds

_Row = tuple[int, ...]


@dataclass(frozen=True)
class FrameNames:
    """The pictures of a folder."""

    names: tuple[str, ...]
    """Frames in order."""
    strays: tuple[str, ...] = ()
    """Copies, and names of another pattern than the frames have."""
    fault: str = ""
    """Why the order is not known, with two names; empty if it is."""


def frames_of(pictures: Iterable[str]) -> FrameNames:
    """Return which pictures are the frames of a clip, and in which order.

    Names that are equal without their digits form a series; the largest series counts if it has most pictures. Names
    without any digits are in the order of the alphabet.
    """
    stems = {name: name.rpartition(".")[0] or name for name in sorted(pictures)}
    if not any(re.search(r"\d", stem) for stem in stems.values()):
        return FrameNames(tuple(stems))
    originals = set(stems.values())
    copies = {
        name
        for name, stem in stems.items()
        if not stem.isdecimal() and (match := _COPY.fullmatch(stem)) and match[1] in originals
    }
    series: defaultdict[str, list[str]] = defaultdict(list)
    for name, stem in stems.items():
        if name not in copies:
            series["#" if stem.isdecimal() else _NUMBER.sub("#", stem.casefold())].append(name)
    patterns = sorted(series, key=lambda pattern: ("#" not in pattern, -len(series[pattern])))  # numbered ones first
    frames, *others = (series[pattern] for pattern in patterns)
    if others and 2 * len(frames) < len(stems) - len(copies) + ("#" in patterns[1]):
        return FrameNames(tuple(stems), (), _fault("follow no common pattern", frames[0], others[0][0]))
    strays = tuple(sorted(stems.keys() - set(frames)))
    names, fault = _in_order({name: _NUMBER.split(stems[name]) for name in frames})
    return FrameNames(tuple(names), strays, fault)


def _fault(fact: str, *names: str) -> str:
    return f"the names of its pictures {fact} ({' and '.join(names)}); keep one series of numbered frames per folder"


def _in_order(parts: dict[str, list[str]]) -> tuple[list[str], str]:
    """Return names in the order of their numbers, and a fault; `parts`: name -> text, number, text, number..."""
    columns = _columns(list(parts.values()))
    names = list(parts)
    rows: dict[str, _Row] = {name: tuple(numbers[i] for numbers, _ in columns) for i, name in enumerate(names)}
    names.sort(key=lambda name: (rows[name], name))
    for first, second in pairwise(names):
        if rows[first] == rows[second]:
            return names, _fault("have the same numbers", first, second)
    if len(columns) < 2 or _is_clock([rows[name] for name in names], [radices for _, radices in columns]):
        return names, ""
    for index in sorted(range(len(columns)), key=lambda index: (-_steadiness(columns[index][0]), -index)):
        numbers = columns[index][0]
        if len(set(numbers)) == len(names) and _steadiness(numbers) >= _STEADY:
            return sorted(names, key=lambda name: rows[name][index]), ""
    if len(set(columns[-1][0])) == len(names) and names == sorted(names, key=lambda name: rows[name][-1]):
        return names, ""
    frame = max(range(len(columns)), key=lambda index: len(set(columns[index][0])))
    first, second = sorted(names, key=lambda name: rows[name][frame])[:2]
    return names, _fault("have several numbers that give no single order", first, second)


def _columns(parts: list[list[str]]) -> list[tuple[list[int], tuple[int, ...]]]:
    """Return the numbers of each place where names differ, and how many of them may make one of the place before.

    Digits after a point are a decimal fraction if their lengths differ as Python prints them, without a last zero.
    """
    columns = []
    for place in range(1, len(parts[0]), 2):
        digits = [part[place] for part in parts]
        width = max(map(len, digits))
        is_padded = len({len(number) for number in digits}) == 1
        if parts[0][place - 1] == "." and place > 1 and not is_padded:
            is_padded = not any(len(number) > 1 and number.endswith("0") for number in digits)
            digits = [number.ljust(width, "0") for number in digits] if is_padded else digits
        numbers = [int(number) for number in digits]
        if len(set(numbers)) > 1:
            columns.append((numbers, (10**width, *([60] if width == 2 else [])) if is_padded else ()))
    return columns


def _is_clock(rows: Sequence[_Row], radices: Sequence[tuple[int, ...]]) -> bool:
    """Whether sorted rows are times, such as hours, minutes and seconds: their steps are even across carries."""
    is_carry = [one[:-1] != other[:-1] for one, other in pairwise(rows)]
    for choice in product(*radices[1:]):
        seconds = []
        for first, *rest in rows:
            value = first
            for radix, number in zip(choice, rest, strict=True):
                value = value * radix + number
            seconds.append(value)
        steps = [other - one for one, other in pairwise(seconds)]
        carry = median(step for step, is_one in zip(steps, is_carry, strict=True) if is_one)
        usual = median([step for step, is_one in zip(steps, is_carry, strict=True) if not is_one] or [carry])
        is_even = carry <= _MAX_CARRY * usual and _steadiness(seconds) >= _STEADY
        if min(steps) > 0 and is_even:
            return True
    return False


def _steadiness(numbers: Sequence[int]) -> float:
    """Return the share of steps between sorted numbers that are about as large as their median."""
    steps = [other - one for one, other in pairwise(sorted(numbers))]
    middle = median(steps)
    return sum(middle <= 2 * step and step <= 2.5 * middle for step in steps) / len(steps)

"""A table with its title and notes, and its rendering as Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dfer_data.render.markdown import escaped
from dfer_data.render.visible import visible

_SHRINK = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Section:
    """A table, ready to be rendered."""

    title: str
    """One line."""
    header: tuple[str, ...]
    """Names of the columns."""
    cells: tuple[tuple[str, ...], ...]
    """One tuple per row."""
    notes: tuple[str, ...]
    """Lines below the table: protocols and remarks."""

    def are_numbers(self) -> list[bool]:
        """Return for each column whether it holds numbers only; such columns are right-aligned."""
        columns = list(zip(*self.cells, strict=True)) or [()] * len(self.header)
        return [all(cell == "-" or _NUMBER.fullmatch(cell) for cell in column) for column in columns]

    def as_markdown(self) -> str:
        """Return a heading, the table and a list of the notes as GitHub Markdown."""
        lines = [f"| {' | '.join(escaped(cell) for cell in line)} |" for line in (self.header, *self.cells)]
        lines.insert(1, f"| {' | '.join('---:' if is_number else '---' for is_number in self.are_numbers())} |")
        notes = ["", *(f"- {escaped(note.strip())}" for note in self.notes)] if self.notes else []
        return "\n".join([f"### {escaped(self.title)}", "", *lines, *notes, ""])

    def as_latex(self) -> str:
        """Return a table environment for the packages booktabs and graphicx, with the title as its caption.

        A table wider than the line is shrunk to fit.
        """
        header, *rows = (" & ".join(_escape(cell, _LATEX) for cell in line) for line in (self.header, *self.cells))
        align = "".join("r" if is_number else "l" for is_number in self.are_numbers())
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_escape(self.title, _LATEX)}}}"]
        lines += [_SHRINK, rf"\begin{{tabular}}{{{align}}}", r"\toprule", rf"{header} \\", r"\midrule"]
        lines += [*(rf"{row} \\" for row in rows), r"\bottomrule", r"\end{tabular}}"]
        lines += [rf"\par\footnotesize {_escape(note.strip(), _LATEX)}" for note in self.notes]
        return "\n".join([*lines, r"\end{table}", ""])


def _escape(text: str, special: Mapping[int, str]) -> str:
    return visible(" ".join(text.splitlines())).translate(special)


_LATEX = MappingProxyType(
    {ord(letter): f"\\{letter}" for letter in "&%$#_{}"}
    | {ord("["): "{[}", ord("\\"): r"\textbackslash{}", ord("~"): r"\textasciitilde{}", ord("^"): r"\textasciicircum{}"}
    | {ord("<"): r"\textless{}", ord(">"): r"\textgreater{}", ord("|"): r"\textbar{}", ord("\N{DAGGER}"): r"\dag{}"}
)


def per_cent(fraction: float | None) -> str:
    """Return a fraction as a percentage with two decimals; `-` for None."""
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def listed(names: Sequence[str], *, most: int = 20) -> str:
    """Return names in one line; a long list is cut to the first `most` names and the number of others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def duration(seconds: float) -> str:
    """Return a duration in the unit that suits it: `90 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

"""The report as JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from lstpnet.reporting.sections import narrowed, sections
from lstpnet.reporting.types import Report

_TABLES_PER_BATCH = 12  # LaTeX can hold only a limited number of tables that it has not placed yet
_NESTED = ("fold_std", "seed_std", "war_interval", "uar_interval")


def to_json(report: Report) -> str:
    """Return the report as one JSON document."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return all rows as one CSV table.

    `kind` is row, control, unfinished, published, system, paired, paired training, scene, group, detection,
    audited, multi label or calibration.
    """
    document = report.as_dict()
    kinds = {"row": "rows", "control": "controls", "unfinished": "unfinished", "published": "published"}
    kinds |= {"system": "systems", "paired": "paired", "paired training": "paired_trainings", "scene": "scenes"}
    kinds |= {"group": "groups", "detection": "detection", "audited": "audited", "multi label": "multi_label"}
    kinds |= {"calibration": "calibration"}
    lines = [{"kind": kind, **_flat(row)} for kind, key in kinds.items() for row in document.get(key, ())]
    header = list(dict.fromkeys(name for line in lines for name in line)) or ["kind"]
    return csv_text([header, *([spreadsheet_cell(line.get(name, "")) for name in header] for line in lines)])


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}_{key}": _cell(inner) for key, inner in value.items()}
        elif value is not None or name not in _NESTED:  # other rows have columns `fold_std_war` and so on
            cells[name] = _cell(value)
    return cells


def _cell(value: Any) -> Any:
    """Return a list as words; a list of lists (the confusion matrix) has semicolons between its rows."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "; ".join(_cell(inner) for inner in value)
    return " ".join(map(str, value)) if isinstance(value, list) else value


def to_markdown(report: Report) -> str:
    """Return the tables as GitHub Markdown."""
    return "\n".join(section.as_markdown() for section in sections(report))


def to_latex(report: Report) -> str:
    r"""Return the tables as LaTeX; the preamble needs \usepackage{booktabs} and \usepackage{graphicx}."""
    lines = ["% \\usepackage{booktabs}", "% \\usepackage{graphicx}", ""]
    narrow_sections = [narrow_section for section in sections(report) for narrow_section in narrowed(section)]
    for number, section in enumerate(narrow_sections):
        lines += ["\\clearpage"] if number and number % _TABLES_PER_BATCH == 0 else []
        lines.append(section.as_latex())
    return "\n".join(lines)


RENDERERS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {"json": to_json, "csv": to_csv, "md": to_markdown, "latex": to_latex}
)
"""Format -> function; the command line draws the console's tables from `sections`."""

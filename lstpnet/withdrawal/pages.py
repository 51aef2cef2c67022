"""Find the pages, sheets and pictures of dfer that show withdrawn clips; all can be made again by their command."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.detector_comparison.files import COMPARISON_SHEETS
from dfer_data.draw.origin_mark import origin_of
from dfer_data.inspection.dataset_page import NUMBERS_NAME, PAGE_NAME, PLOT_NAME, SHEETS_FOLDER
from dfer_data.storage.csv_text import csv_rows, from_spreadsheet
from dfer_data.storage.files import read_regular
from dfer_data.storage.walk import entries_of
from lstpnet.withdrawal.names import Names, unescaped

_HEAD_CHARS = 4000
_GENERATOR = re.compile('<meta name="generator" content="dfer [^"]*">')
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_GALLERY_TITLE = re.compile(r"(?P<prepared>.*) \((?P<dataset>[^()]*), sha256 (?P<sha256>[0-9a-f]{12})\): dfer inspect")
_LOOK_TITLE, _LOOK_VIDEO = ": dfer look", re.compile('<meta name="dfer-video" content="([^"]*)">')
_TABLE_TITLE = re.compile(r"(?P<prepared>[^\s({]+) \((?P<dataset>[^(),]+), sha256 [0-9a-f]{12}")
_CLIP_DATA = re.compile(r'<script type="application/json" id="clip-data">(.*?)</script>', re.DOTALL)
_NOT_TEXT = re.compile("<(script|style)[ >].*?</\\1>|<[^>]*>", re.DOTALL)
_COMPARISON_FILES = ("detectors.csv", "pairs.csv", "clips.csv")


@dataclass(frozen=True)
class OfDataset:
    """What a page of dfer must be about to show withdrawn clips."""

    dataset: str
    """Name of the dataset; its ids are no clips of other datasets."""
    prepared: str
    """Name of the prepared folder."""
    is_users_own: bool
    """Whether every prepared folder of this kind has ids apart from others, as those of `folder` and `csv`."""
    clean_sha256: str = ""
    """sha256 of its dataset.json if that holds none of the clips any more, else empty."""

    def has(self, dataset: str, prepared: str) -> bool:
        """Return whether a run or page with these names is about the same videos."""
        return dataset == self.dataset and (prepared == self.prepared or not self.is_users_own)


@dataclass(frozen=True)
class Page:
    """A page or picture, with all that goes with it."""

    kind: str
    """What it is, for people."""
    files: tuple[Path, ...]
    """Its files in the order of removal, the one that it is recognised by last; () if it shows no withdrawn clip."""


def page_at(path: Path, names: Names, about: OfDataset) -> Page | None:
    """Return the page or picture of dfer at `path`; None for any other file.

    Raises OSError for a file that cannot be read.
    """
    suffix = path.suffix.lower()
    try:
        if path.name == NUMBERS_NAME and (path.parent / PAGE_NAME).is_file():
            return Page("part of a page", ())
        if suffix in (".html", ".htm"):
            return _html_page(path, read_regular(path).decode("utf-8", "replace"), names, about)
        if suffix == ".json":
            return _json_page(path, json.loads(read_regular(path)), names, about)
        if suffix == ".csv":
            return _csv_page(path, read_regular(path).decode("utf-8"), names, about)
        if suffix in (".md", ".tex"):
            return _text_page(path, read_regular(path).decode("utf-8"), names, about)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if suffix in (".png", ".mp4") and (origin := origin_of(path)) is not None:
        kind = "picture" if suffix == ".png" else "annotated video"
        return _page(kind, path, is_shown=names.are_shown_by(origin))
    return None


def _page(kind: str, *files: Path, is_shown: bool) -> Page:
    return Page(kind, files if is_shown else ())


def _html_page(path: Path, text: str, names: Names, about: OfDataset) -> Page | None:
    head = text[:_HEAD_CHARS]
    title = _TITLE.search(head) or _TITLE.search(text)
    if not _GENERATOR.search(head) or title is None:
        return None
    words = html.unescape(title[1])
    if gallery := _GALLERY_TITLE.fullmatch(words):
        is_stale = not about.clean_sha256.startswith(gallery["sha256"])
        is_shown = is_stale and about.has(gallery["dataset"], gallery["prepared"])
        return _page("page of `dfer inspect`", *_gallery_files(path), is_shown=is_shown)
    if words.endswith(_LOOK_TITLE) and (video := _LOOK_VIDEO.search(head)):
        return _page("page of `dfer look`", path, is_shown=names.are_shown_by(html.unescape(video[1])))
    if words == "dfer report":
        return _page("page of `dfer report`", path, is_shown=_report_names(text, names, about))
    return None


def _gallery_files(page: Path) -> Iterator[Path]:
    folder = page.parent
    yield from (path for path in entries_of(folder / SHEETS_FOLDER) if path.suffix == ".jpg")
    yield from (folder / name for name in (PLOT_NAME, NUMBERS_NAME) if page.name == PAGE_NAME)
    yield page


def _report_names(text: str, names: Names, about: OfDataset) -> bool:
    """Return whether a page of `dfer report` lists or names a withdrawn clip."""
    clips = _CLIP_DATA.search(text)
    tables = json.loads(clips[1])["datasets"] if clips else []
    ours = [table for table in tables if _is_about(table["name"], text, about)]
    if any(names.has(clip_id) for table in ours for clip_id in table["ids"]):
        return True
    return bool(ours or not tables) and names.are_in_text(_NOT_TEXT.sub(" ", text))


def _is_about(prepared: str, page: str, about: OfDataset) -> bool:
    """Return whether a prepared folder in a page holds these videos: a card says `PREPARED (DATASET, sha256 ...`."""
    card = re.search(rf'"protocol">{re.escape(html.escape(prepared))} \(([^,()]*), sha256 ', page)
    return card is None or about.has(html.unescape(card[1]), prepared)


def _json_page(path: Path, document: Any, names: Names, about: OfDataset) -> Page | None:
    if not isinstance(document, dict):
        return None
    if {"rows", "controls", "published", "systems"} <= document.keys():
        rows = [*document["rows"], *document["controls"]]
        rows = [row for row in rows if about.has(row["dataset"], row["prepared"])]
        is_named = any(names.has(clip_id) for row in rows for clip_id in row.get("clips_without_face", ()))
        return _page("`dfer report`, JSON", path, is_shown=is_named)
    if document.get("format") == "dfer-detector-comparison":
        is_shown = any(names.are_shown_by(str(clip["clip_id"])) for clip in document["clips"])
        sheets = [sheet for sheet in entries_of(path.parent / COMPARISON_SHEETS) if sheet.suffix == ".jpg"]
        tables = [path.parent / name for name in _COMPARISON_FILES]
        return _page("`dfer detectors compare`", *sheets, *tables, path, is_shown=is_shown)
    shown = [clip_id for sheet in document.get("sheets", ()) for clip_id in sheet["shown"]]
    shown += [clip["clip_id"] for clip in document.get("clips", ()) if "num_source_frames" in clip]
    return _page("`dfer inspect`, JSON", path, is_shown=any(map(names.has, shown))) if shown else None


def _csv_page(path: Path, text: str, names: Names, about: OfDataset) -> Page | None:
    """Return a CSV of `dfer report` that lists a withdrawn clip among those without a face."""
    rows = (cells for _, cells in csv_rows(text))
    header = next(rows, [])
    if header[:1] != ["kind"] or "clips_without_face" not in header:
        return None
    lines = (dict(zip(header, map(from_spreadsheet, cells), strict=True)) for cells in rows)
    ours = (line for line in lines if about.has(line["dataset"], line["prepared"]))
    is_named = any(names.are_in_text(line["clips_without_face"]) for line in ours)
    return _page("`dfer report`, CSV", path, is_shown=is_named)


def _text_page(path: Path, text: str, names: Names, about: OfDataset) -> Page | None:
    """Return a report of `dfer report` as Markdown or LaTeX, which begins with the title of its first table."""
    words = unescaped(text)
    titles = list(_TABLE_TITLE.finditer(words))
    if not titles or not re.match(r"### .*, sha256 |% .usepackage", text):
        return None
    is_about = any(about.has(title["dataset"], title["prepared"]) for title in titles)
    return _page("`dfer report`", path, is_shown=is_about and names.are_in_text(words))

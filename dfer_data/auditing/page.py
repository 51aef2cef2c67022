"""The page of an audit: the table of folds, and the frames of both clips of every pair above each other."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import simplejpeg

from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.auditing.pairs import ClipPair
from dfer_data.draw.contact_sheet import THUMBNAIL_PX, thumbnail
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.render.html import page_template, policy, read_text
from dfer_data.render.tables import Section
from dfer_data.types import Image
from dfer_data.wording import counted

MOST_PAIRS = 300
"""Pairs with pictures on the page; the table holds all."""
_NUM_COLUMNS = 8
_QUALITY = 80


@dataclass(frozen=True)
class StripView:
    """A clip, or a pair of clips, as the page shows it."""

    title: str
    facts: str
    strips: tuple[str, ...]
    """JPEGs as base64 of each clip; frames of a pair that are the same moment are above each other."""
    names: tuple[str, ...]


def audit_page(
    datasets: Mapping[str, PreparedDataset],
    films: Mapping[str, Mapping[str, StoredFilm]],
    pairs: Sequence[ClipPair],
    sections: Sequence[Section],
) -> bytes:
    """Return index.html, which needs no other file. Raises CorruptShardError.

    `datasets` and `films`: dataset, as pairs name it -> the dataset, or clip id -> film; `''` is the audited one.
    """
    shown = sorted(pairs, key=lambda pair: (pair.kind, _weakness(pair)))[:MOST_PAIRS]
    columns = "clip_a, clip_b, dataset_b" if len(datasets) > 1 else "clip_a, clip_b"
    return strip_page(
        datasets[""],
        [_view(pair, datasets, films) for pair in shown],
        sections,
        heading="Pairs",
        hint=f"{len(shown)} of {counted(len(pairs), 'pair')}; audit.parquet has all. An audit names candidates, "
        f"a person decides: write {columns}, is_duplicate or is_same_person into a CSV and run dfer audit with "
        "--decisions.",
        is_synthetic=all(dataset.document["synthetic"] for dataset in datasets.values()),
    )


def strip_page(
    dataset: PreparedDataset,
    views: Sequence[StripView],
    sections: Sequence[Section],
    *,
    heading: str,
    hint: str,
    is_synthetic: bool,
) -> bytes:
    """Return a page of tables and filmstrips, which needs no other file; `heading` and `hint` are of the filmstrips."""
    style, script = read_text("page.css"), read_text("page.js")
    text = page_template("audit.html.j2", package="dfer_data.auditing").render(
        version=version("dfer"),
        title=f"{dataset.root.resolve().name} ({dataset.document['dataset']})",
        synthetic=is_synthetic,
        sections=sections,
        views=views,
        heading=heading,
        hint=hint,
        style=style,
        script=script,
        policy=policy(style, script, images="data:"),
    )
    return str(text).encode("utf-8", "backslashreplace")


def _view(
    pair: ClipPair, datasets: Mapping[str, PreparedDataset], films: Mapping[str, Mapping[str, StoredFilm]]
) -> StripView:
    numbers_a, numbers_b = _moments(pair, films)
    strips = (
        clip_strip(datasets[""], pair.clip_a, numbers_a, is_mirrored=False),
        clip_strip(datasets[pair.dataset_b], pair.clip_b, numbers_b, is_mirrored=pair.is_mirrored),
    )
    name_b = f"{pair.dataset_b}: {pair.clip_b}" if pair.dataset_b else pair.clip_b
    clips = (datasets[""].clip(pair.clip_a), datasets[pair.dataset_b].clip(pair.clip_b))
    labels = [str(clip["label"]) for clip in clips if clip["label"]]
    return StripView(f"{pair.clip_a} and {name_b}", ", ".join(_facts(pair, labels)), strips, (pair.clip_a, name_b))


def _weakness(pair: ClipPair) -> float:
    """Return what orders pairs of a kind: the surest first."""
    return -pair.match.strength if pair.match else -2 if pair.face_distance is None else pair.face_distance


def _facts(pair: ClipPair, labels: Sequence[str]) -> Iterator[str]:
    yield pair.kind
    if len(set(labels)) > 1:
        yield f"labels {' and '.join(labels)}"
    if pair.face_distance is not None:
        yield f"distance of the faces {pair.face_distance:.3f}"
    if pair.match is not None:
        yield counted(pair.match.num_frames, "frame")
        yield f"agreement {pair.match.agreement:.3f}"
        yield f"distance {1 - pair.match.similarity:.4f}"
        if pair.match.speed != 1:
            yield f"speed {pair.match.speed:.2f}"
    if pair.is_mirrored:
        yield "mirrored (shown turned back)"
    if pair.has_same_bytes:
        yield "the same file"
    if pair.judged is not None:
        yield f"judged: {'yes' if pair.judged else 'no'}"


def _moments(pair: ClipPair, films: Mapping[str, Mapping[str, StoredFilm]]) -> tuple[list[int], list[int]]:
    """Return the frames to show of both clips: the same moments where they match, else spread over each."""
    first, second = films[""].get(pair.clip_a), films[pair.dataset_b].get(pair.clip_b)
    lengths = [0 if film is None else film.num_frames for film in (first, second)]
    match = pair.match
    if match is None or first is None or second is None:
        return spread_frames(lengths[0]), spread_frames(lengths[1])
    steps = np.linspace(0, match.num_frames - 1, _NUM_COLUMNS).round()
    per_frame = match.speed * (second.rate / first.rate if first.rate and second.rate else 1.0)
    others = np.clip(np.rint(match.first_b + steps * per_frame), 0, lengths[1] - 1)
    return (match.first_a + steps).astype(int).tolist(), others.astype(int).tolist()


def spread_frames(num_frames: int) -> list[int]:
    """Return the frames that stand for a whole clip."""
    return [round(frame) for frame in np.linspace(0, num_frames - 1, min(num_frames, _NUM_COLUMNS)).tolist()]


def clip_strip(dataset: PreparedDataset, clip_id: str, numbers: Sequence[int], *, is_mirrored: bool = False) -> str:
    """Return frames side by side as a JPEG in base64; empty for a clip without faces."""
    if not numbers:
        return ""
    clip = dataset.clip(clip_id)
    reader, row = dataset.shard(int(clip["shard"])), int(clip["row"])
    faces = [thumbnail(reader.frame(row, number, clip_id=clip_id)) for number in numbers]
    strip: Image = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX * _NUM_COLUMNS, 3), np.uint8)
    for column, face in enumerate(faces):
        strip[:, column * THUMBNAIL_PX : (column + 1) * THUMBNAIL_PX] = face[:, ::-1] if is_mirrored else face
    return base64.b64encode(simplejpeg.encode_jpeg(strip, quality=_QUALITY)).decode("ascii")

"""Compare the faces of all clips, and name those that may show one person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfer_data.auditing.face_embedding import SECONDS_PER_CLIP, Embeddings, embeddings_of
from dfer_data.auditing.identity import LEAST_CLIPS, ClipVectors, IdentityLimit, choose_limit, near_pairs, persons
from dfer_data.auditing.pairs import ClipPair, chained
from dfer_data.auditing.results import embedding_facts
from dfer_data.auditing.tables import read_embeddings
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.audit_folder import AUDIT_EMBEDDINGS_NAME, file_of_audit, is_current, read_audit
from dfer_data.storage.folder import FolderTarget
from dfer_data.types import Floats
from dfer_data.wording import counted

LONG_MINUTES = 3.0
"""A longer job says what an interruption costs."""


@dataclass(frozen=True, eq=False)
class ComparedFaces:
    """The embeddings of all clips, and how near those of one person are."""

    vectors: Mapping[str, Embeddings]
    """Dataset, as pairs name it -> embeddings."""
    limit: IdentityLimit

    def pairs(self) -> Iterator[ClipPair]:
        """Yield the pairs of clips of the audited dataset, and of it and another one, that may show one person."""
        own = list(self.vectors[""])
        for name, vectors in self.vectors.items():
            clip_ids = list(vectors)
            others = _stacked(vectors) if name else None
            for a, b, distance in near_pairs(_stacked(self.vectors[""]), others, self.limit.distance):
                yield ClipPair(own[a], clip_ids[b], "identity", name, face_distance=round(distance, 4))


def compared_faces(
    datasets: Mapping[str, PreparedDataset],
    out: FolderTarget,
    work: Path | None,
    on_step: Callable[[int, int, str], None],
    on_note: Callable[[str], None],
) -> ComparedFaces:
    """Embed faces of all clips, or take what an earlier audit has kept.

    `work`: folder for the embeddings of finished shards; None: they are not stored, and `on_note` gets what an
    interruption of a long job costs. Raises UsageError for too few clips, and as `embeddings_of`.
    """
    own = datasets[""]
    num_clips = {name: int(dataset.clips["shard"].notna().sum()) for name, dataset in datasets.items()}
    if num_clips[""] < LEAST_CLIPS:
        raise UsageError(
            f"--identity: {own.root} has {counted(num_clips[''], 'clip')} with faces, and a limit needs the distances "
            f"of {LEAST_CLIPS}; compare its pages by eye, or leave the option out"
        )
    kept = _kept_embeddings(out, own)
    num_new = sum(number for name, number in num_clips.items() if name or kept is None)
    minutes = num_new * SECONDS_PER_CLIP / 60
    if work is None and minutes >= LONG_MINUTES:
        on_note(
            f"embedding the faces of {num_new:,} clips takes about {minutes:,.0f} minutes of one core; nothing of it "
            "is stored without --keep-embeddings, so an interrupted audit does it again"
        )
    done, vectors = 0, {}

    def finished() -> None:
        nonlocal done
        done += 1
        on_step(done, sum(num_clips.values()), "comparing faces")

    for name, dataset in datasets.items():
        known = None if name else kept
        vectors[name] = embeddings_of(dataset, work=work, on_clip=finished) if known is None else known
    return ComparedFaces(vectors, choose_limit(_stacked(vectors[""])))


def person_links(pairs: Sequence[ClipPair], faces: ComparedFaces | None) -> list[tuple[str, str]]:
    """Return links between the dataset's clips that are taken for one person; a judgement on a pair comes first."""
    own = [pair for pair in pairs if pair.kind == "identity" and not pair.dataset_b]
    judged = {
        verdict: [(pair.clip_a, pair.clip_b) for pair in own if pair.judged is verdict] for verdict in (True, False)
    }
    if faces is None:
        return judged[True]
    number = {clip_id: position for position, clip_id in enumerate(faces.vectors[""])}
    near = [
        (number[pair.clip_a], number[pair.clip_b], pair.face_distance)
        for pair in own
        if pair.counts and pair.face_distance is not None
    ]
    different = [(number[a], number[b]) for a, b in judged[False] if a in number and b in number]
    found = persons(_stacked(faces.vectors[""]), near, faces.limit.distance, different=different)
    groups: dict[int, list[str]] = {}
    for clip_id, person in zip(number, found, strict=True):
        groups.setdefault(person, []).append(clip_id)
    return [*judged[True], *(link for clips in groups.values() for link in chained(clips))]


def _kept_embeddings(out: FolderTarget, dataset: PreparedDataset) -> dict[str, Floats] | None:
    """Return the embeddings that the last audit of this state of the dataset has kept; None where there are none."""
    audit = read_audit(out)
    if audit is None or not is_current(audit, dataset.document) or not audit.get("identity"):
        return None
    content = file_of_audit(out, audit, AUDIT_EMBEDDINGS_NAME)
    if content is None or any(audit["identity"][name] != value for name, value in embedding_facts().items()):
        return None
    return read_embeddings(content)


def _stacked(vectors: Embeddings) -> ClipVectors:
    return np.stack(list(vectors.values())) if vectors else np.zeros((0, 128), np.float32)

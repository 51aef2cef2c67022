"""What an audit found: counted, and written into the folder `audit` of its dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dfer_data.auditing.face_embedding import EMBEDDING_WEIGHTS, NUM_EMBEDDED, Embeddings
from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.auditing.identity import IdentityLimit
from dfer_data.auditing.page import audit_page
from dfer_data.auditing.pairs import ClipPair, copy_links, groups_of
from dfer_data.auditing.tables import embeddings_table, groups_table, pairs_table
from dfer_data.auditing.time_alignment import LEAST_SHARED_FRAMES
from dfer_data.auditing.where import FoldCounts, fold_counts, splits_of
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.render.tables import Section
from dfer_data.shards.audit_folder import (
    AUDIT,
    AUDIT_EMBEDDINGS_NAME,
    AUDIT_GROUPS_NAME,
    AUDIT_NAME,
    AUDIT_PAGE_NAME,
    AUDIT_PAIRS_NAME,
    write_audit,
)
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.folder import FolderTarget
from dfer_data.weights.assets import asset

LIMITS = ((0.43, 0.992), (0.62, 0.95))
"""Strength and similarity of which a match needs one pair; chosen on rendered heads and three videos of real people:
copies of these are less alike, and agree more (benchmarks/audit.py)."""


@dataclass(frozen=True)
class Findings:
    """All that an audit found, not yet written."""

    datasets: Mapping[str, PreparedDataset]
    """Dataset, as pairs name it -> the dataset; `''` is the audited one."""
    films: Mapping[str, Mapping[str, StoredFilm]]
    """Dataset -> clip id -> hashes."""
    pairs: Sequence[ClipPair]
    num_compared: int
    links: Sequence[tuple[str, str]]
    """Clips that persons connect, beyond copies."""
    limit: IdentityLimit | None = None
    """None where faces were not compared."""
    num_near: int = 0
    """Pairs of the dataset's own clips within this limit, copies too."""
    embeddings: Embeddings | None = None
    """To be stored; None: not asked for."""


@dataclass(frozen=True)
class AuditSummary:
    """What an audit found."""

    folder: Path
    num_clips: int
    """Clips of the dataset."""
    num_compared: int
    """Pairs that were compared over time."""
    num_duplicates: int
    """Pairs of duplicates within the dataset, without those that a person has ruled out."""
    num_between: int
    """Pairs with a clip of another dataset."""
    num_overlaps: int
    """Clips that are cut from the same video as another."""
    num_groups: int
    """Groups of at least two clips."""
    num_judged: int
    """Pairs that a person has judged."""
    num_two_labels: int
    """Pairs of duplicates under two labels."""
    num_too_short: int
    """Clips with fewer frames than can be compared; they are found only as the same file."""
    num_identity: int
    """Pairs of other clips within the dataset that may show one person."""
    num_other_people: int
    """How many of them do not, as estimated: those within the limit that are copies, or judged, are none of them."""
    limit: IdentityLimit | None
    """How near such pairs are; None where faces were not compared."""
    folds: tuple[FoldCounts, ...]


def write_findings(out: FolderTarget, found: Findings) -> AuditSummary:
    """Write the files of an audit, audit.json last, in place of an earlier one; return what was found."""
    dataset = found.datasets[""]
    labels = {name: _labels(each) for name, each in found.datasets.items()}
    clip_ids, splits = dataset.clips["clip_id"].tolist(), splits_of(dataset)
    copies = groups_of(clip_ids, copy_links(found.pairs))
    groups = groups_of(clip_ids, [*copy_links(found.pairs), *found.links])
    counts = fold_counts(found.pairs, splits, copies=copies, groups=None if found.limit is None else groups)
    summary = _summary(found, Path(dataset.root) / AUDIT, groups, labels, counts)
    files = {
        AUDIT_PAIRS_NAME: pairs_table(found.pairs, found.films, labels, splits, groups),
        AUDIT_GROUPS_NAME: groups_table(groups),
        AUDIT_PAGE_NAME: audit_page(found.datasets, found.films, found.pairs, [fold_section(counts)]),
    }
    if found.embeddings is not None:
        files[AUDIT_EMBEDDINGS_NAME] = embeddings_table(found.embeddings)
    document = {
        "clips_sha256": _clips_sha256(dataset),
        "with": {name: _clips_sha256(each) for name, each in found.datasets.items() if name},
        "limits": LIMITS,
        "identity": None if found.limit is None else asdict(found.limit) | embedding_facts(),
        "counts": {
            name: getattr(summary, name) for name in ("num_clips", "num_duplicates", "num_identity", "num_groups")
        },
    }
    write_audit(out, AUDIT_NAME, document, files)
    out.sync(AUDIT)
    return summary


def embedding_facts() -> dict[str, object]:
    """Return what two embeddings must have in common to be compared, as audit.json holds it."""
    return {"weights_sha256": asset(EMBEDDING_WEIGHTS).sha256, "faces_per_clip": NUM_EMBEDDED}


def _clips_sha256(dataset: PreparedDataset) -> str:
    return str(dataset.document["files"][CLIPS_NAME]["sha256"])


def _labels(dataset: PreparedDataset) -> dict[str, str | None]:
    table = dataset.clips[["clip_id", "label"]].astype(object)
    return {clip_id: label if isinstance(label, str) else None for clip_id, label in table.to_numpy()}


def _summary(
    found: Findings,
    folder: Path,
    groups: Mapping[str, str],
    labels: Mapping[str, Mapping[str, str | None]],
    counts: Sequence[FoldCounts],
) -> AuditSummary:
    inside = [pair for pair in found.pairs if pair.counts and not pair.dataset_b]
    copies = [pair for pair in inside if pair.kind == "duplicate"]
    return AuditSummary(
        folder,
        len(groups),
        found.num_compared,
        len(copies),
        sum(bool(pair.dataset_b) and pair.counts for pair in found.pairs),
        sum(pair.kind == "overlap" for pair in found.pairs),
        sum(size > 1 for size in Counter(groups.values()).values()),
        sum(pair.judged is not None for pair in found.pairs),
        sum(len({labels[""][pair.clip_a], labels[""][pair.clip_b]} - {None}) == 2 for pair in copies),
        sum(film.num_frames < LEAST_SHARED_FRAMES for film in found.films[""].values()),
        sum(pair.kind == "identity" for pair in inside),
        num_other_people(found),
        found.limit,
        tuple(counts),
    )


def num_other_people(found: Findings) -> int:
    """Return how many pairs that may show one person are expected to show two.

    The share is of all pairs within the limit. Copies show one person, so none of the wrong pairs leaves with them.
    """
    if found.limit is None:
        return 0
    own = [pair for pair in found.pairs if pair.kind == "identity" and not pair.dataset_b]
    num_judged_wrong = sum(pair.judged is False for pair in own)
    num_left = round(found.limit.wrong_share * found.num_near) - num_judged_wrong
    return max(0, min(num_left, sum(pair.judged is None for pair in own)))


def fold_section(counts: Sequence[FoldCounts]) -> Section:
    """Return the table of pairs per fold."""
    header = (
        "fold",
        "pairs in train",
        "pairs in test",
        "pairs across",
        "test clips with a copy in train",
        "test clips",
        "identity pairs across",
        "test clips with a person in train",
    )
    figures = [
        (row.inside_train, row.inside_test, row.across, row.leaked, row.num_test, row.people_across, row.people_leaked)
        for row in counts
    ]
    shown = 8 if any(row.people_leaked is not None for row in counts) else 6
    rows = tuple((row.fold, *map(str, cells[: shown - 1])) for row, cells in zip(counts, figures, strict=True))
    return Section("Pairs per fold", header[:shown], rows, ())

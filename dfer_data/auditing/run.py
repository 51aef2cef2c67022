"""Audit a prepared dataset: hash its faces, compare clips that look alike over time, and write what was found.

PREPARED/audit/audit.parquet  groups.csv  index.html  audit.json
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dfer_data.auditing.candidates import candidate_pairs
from dfer_data.auditing.frame_hashes import Film
from dfer_data.auditing.hashing import films_of
from dfer_data.auditing.page import audit_page
from dfer_data.auditing.pairs import ClipPair, chained, groups_of, read_decisions, with_decisions
from dfer_data.auditing.tables import groups_table, pairs_table
from dfer_data.auditing.time_alignment import LEAST_SHARED_FRAMES, TimeMatch, best_match
from dfer_data.auditing.where import FoldCounts, fold_counts, splits_of
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.render.tables import Section
from dfer_data.shards.audit_folder import (
    AUDIT,
    AUDIT_GROUPS_NAME,
    AUDIT_NAME,
    AUDIT_PAGE_NAME,
    AUDIT_PAIRS_NAME,
    AUDIT_VERSION,
    AUDIT_WORK,
)
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.storage.files import is_url, sealed_json
from dfer_data.storage.folder import FolderTarget

LIMITS = ((0.43, 0.992), (0.62, 0.95))
"""Strength and similarity of which a match needs one pair; chosen on rendered heads and three videos of real people:
copies of these are less alike, and agree more (benchmarks/audit.py)."""
OnAuditStep = Callable[[int, int, str], None]
"""Called with the finished parts of a step, all of them (0: unknown), and what is being done."""


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
    folds: tuple[FoldCounts, ...]


def audit(
    data: Path | str,
    *,
    others: Sequence[Path | str] = (),
    decisions: Path | None = None,
    on_step: OnAuditStep = lambda done, total, doing: None,
) -> AuditSummary:
    """Find clips that show the same moments, and write PREPARED/audit; an earlier audit is replaced.

    Args:
        data: folder of a prepared dataset.
        others: prepared datasets whose clips are compared with its clips, by path or URL.
        decisions: CSV with clip_a, clip_b, is_duplicate: pairs that a person has judged.
        on_step: shows progress.

    Interrupt it at any time: the same call keeps the hashes of finished shards. Raises UsageError, LockedError,
    CorruptDataError.
    """
    if is_url(data):
        raise UsageError(f"{data}: an audit is written into the dataset's folder; copy the dataset and audit the copy")
    judged = {} if decisions is None else read_decisions(decisions)
    out = FolderTarget(Path(data))
    dataset = PreparedDataset(out.root)
    with out.hold(task_index=None, on_wait=lambda holder: None):
        work = out.root.absolute() / AUDIT_WORK
        work.mkdir(parents=True, exist_ok=True)
        opened = {"": dataset, **_named(others, dataset)}
        films = _all_films(opened, work, on_step)
        matches, num_compared = _matches(opened, films, on_step)
        pairs = [*matches.values(), *_cut_from_one(dataset)]
        if decisions is not None:
            pairs = with_decisions(pairs, judged, known=dataset.clips["clip_id"], path=decisions)
        pairs = sorted(pairs, key=lambda pair: pair.key)
        summary = _written(out.with_work(work), opened, films, pairs, num_compared)
        out.remove_folder(AUDIT_WORK)
        return summary


def _named(others: Sequence[Path | str], own: PreparedDataset) -> dict[str, PreparedDataset]:
    """Return the other datasets by the names that tables give them: their folders', numbered where two are alike.

    Raises UsageError for the audited dataset itself.
    """
    opened: dict[str, PreparedDataset] = {}
    for other in others:
        dataset = PreparedDataset(other)
        if dataset.root.resolve() == own.root.resolve():
            raise UsageError(
                f"--with {other}: that is the audited dataset; its clips are compared with each other anyway"
            )
        name = number = dataset.root.resolve().name
        while number in opened:
            number = f"{name}-{len(opened) + 1}"
        opened[number] = dataset
    return opened


def _all_films(datasets: Mapping[str, PreparedDataset], work: Path, on_step: OnAuditStep) -> dict[str, dict[str, Film]]:
    total = sum(int(dataset.document["counts"]["clips"]) for dataset in datasets.values())
    done, films = 0, {}

    def finished(num_clips: int) -> None:
        nonlocal done
        done += num_clips
        on_step(done, max(done, total), "hashing")

    for name, dataset in datasets.items():
        films[name] = films_of(dataset, work, on_shard=finished)
    return films


def _matches(
    datasets: Mapping[str, PreparedDataset], films: Mapping[str, Mapping[str, Film]], on_step: OnAuditStep
) -> tuple[dict[tuple[str, str, str], ClipPair], int]:
    """Return the duplicates by key, and the number of pairs that were compared over time."""
    clips = [(name, clip_id) for name, of_dataset in films.items() for clip_id in of_dataset]
    source = {
        (name, clip_id): video
        for name, dataset in datasets.items()
        for clip_id, video in dataset.clips[["clip_id", "source_clip_id"]].to_numpy()
    }
    found: dict[tuple[str, str, str], ClipPair] = {pair.key: pair for pair in _same_files(datasets)}
    num_compared = 0
    listed = [films[name][clip_id] for name, clip_id in clips]
    candidates = candidate_pairs(
        listed, num_own=len(films[""]), on_block=lambda done, total: on_step(done, total, "comparing")
    )
    for a, b, is_mirrored in candidates:
        (name_a, clip_a), (name_b, clip_b) = clips[a], clips[b]
        if name_a == name_b and source[clips[a]] == source[clips[b]]:
            continue
        match = best_match(listed[a].mirrored if is_mirrored else listed[a], listed[b])
        num_compared += 1
        if match is None or not is_duplicate(match):
            continue
        pair = ClipPair(clip_a, clip_b, "duplicate", name_b, match, is_mirrored)
        before = found.get(pair.key)
        if before is None or before.match is None or before.match < match:
            is_same = before is not None and before.has_same_bytes
            found[pair.key] = ClipPair(clip_a, clip_b, "duplicate", name_b, match, is_mirrored, is_same)
    return found, num_compared


def is_duplicate(match: TimeMatch) -> bool:
    """Return whether a match is strong enough, for how alike its frames are."""
    return any(match.strength >= strength and match.similarity >= similarity for strength, similarity in LIMITS)


def _same_files(datasets: Mapping[str, PreparedDataset]) -> Iterator[ClipPair]:
    """Yield pairs of clips of the same track of files with the same bytes; of shipped crops, of the same frames."""
    copies: defaultdict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    for name, dataset in datasets.items():
        clips = dataset.clips[dataset.clips["shard"].notna()]
        columns = clips[["clip_id", "source_clip_id", "source_sha256", "track", "shard", "row"]]
        for clip_id, video, sha256, track, shard, row in columns.astype(object).to_numpy():
            copies[sha256 or _frames_sum(dataset, shard, row), str(track)].append((name, video, clip_id))
    for clips in copies.values():
        first = {video: clip_id for name, video, clip_id in reversed(clips) if not name}  # one clip per video
        for clip_a, clip_b in chained(list(first.values())):
            yield ClipPair(clip_a, clip_b, "duplicate", has_same_bytes=True)
        others = {(name, video): clip_id for name, video, clip_id in reversed(clips) if name}
        for (name, _), clip_b in others.items():
            for clip_a in first.values():
                yield ClipPair(clip_a, clip_b, "duplicate", name, has_same_bytes=True)


def _frames_sum(dataset: PreparedDataset, shard: int, row: int) -> str:
    reader = dataset.shard(int(shard))
    first, stop = reader.clip_offsets[int(row) : int(row) + 2]
    return hashlib.sha256(reader.crc32[first:stop].tobytes()).hexdigest()


def _cut_from_one(dataset: PreparedDataset) -> Iterator[ClipPair]:
    """Yield each clip with the next one that is cut from the same video."""
    for _, clips in dataset.clips.groupby("source_clip_id", sort=True):
        for clip_a, clip_b in chained(clips["clip_id"].tolist()):
            yield ClipPair(clip_a, clip_b, "overlap")


def _written(
    out: FolderTarget,
    datasets: Mapping[str, PreparedDataset],
    films: Mapping[str, Mapping[str, Film]],
    pairs: Sequence[ClipPair],
    num_compared: int,
) -> AuditSummary:
    """Write the files of an audit, audit.json last; return what was found."""
    dataset = datasets[""]
    labels = {name: _labels(each) for name, each in datasets.items()}
    groups, splits = groups_of(dataset.clips["clip_id"].tolist(), pairs), splits_of(dataset)
    counts = fold_counts(groups, pairs, splits)
    summary = _summary(Path(dataset.root) / AUDIT, films[""], groups, pairs, labels, counts, num_compared)
    files = {
        AUDIT_PAIRS_NAME: pairs_table(pairs, films, labels, splits),
        AUDIT_GROUPS_NAME: groups_table(groups),
        AUDIT_PAGE_NAME: audit_page(datasets, films, pairs, [fold_section(counts)]),
    }
    document = {
        "version": AUDIT_VERSION,
        "clips_sha256": _clips_sha256(dataset),
        "with": {name: _clips_sha256(each) for name, each in datasets.items() if name},
        "limits": LIMITS,
        "counts": {name: getattr(summary, name) for name in ("num_clips", "num_duplicates", "num_groups")},
        "files": {
            name: {"num_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
        },
    }
    out.remove(AUDIT_NAME)
    for name, content in {**files, AUDIT_NAME: sealed_json(document)}.items():
        out.put(name, content)
    out.sync(AUDIT)
    return summary


def _clips_sha256(dataset: PreparedDataset) -> str:
    return str(dataset.document["files"][CLIPS_NAME]["sha256"])


def _labels(dataset: PreparedDataset) -> dict[str, str | None]:
    table = dataset.clips[["clip_id", "label"]].astype(object)
    return {clip_id: label if isinstance(label, str) else None for clip_id, label in table.to_numpy()}


def _summary(
    folder: Path,
    films: Mapping[str, Film],
    groups: Mapping[str, str],
    pairs: Sequence[ClipPair],
    labels: Mapping[str, Mapping[str, str | None]],
    counts: Sequence[FoldCounts],
    num_compared: int,
) -> AuditSummary:
    inside = [pair for pair in pairs if pair.counts and pair.kind == "duplicate" and not pair.dataset_b]
    sizes: defaultdict[str, int] = defaultdict(int)
    for group in groups.values():
        sizes[group] += 1
    return AuditSummary(
        folder,
        len(groups),
        num_compared,
        len(inside),
        sum(bool(pair.dataset_b) and pair.counts for pair in pairs),
        sum(pair.kind == "overlap" for pair in pairs),
        sum(size > 1 for size in sizes.values()),
        sum(pair.judged is not None for pair in pairs),
        sum(len({labels[""][pair.clip_a], labels[""][pair.clip_b]} - {None}) == 2 for pair in inside),
        sum(len(film.hashes) < LEAST_SHARED_FRAMES for film in films.values()),
        tuple(counts),
    )


def fold_section(counts: Sequence[FoldCounts]) -> Section:
    """Return the table of pairs per fold."""
    header = (
        "fold",
        "pairs in train",
        "pairs in test",
        "pairs across",
        "test clips with a copy in train",
        "test clips",
    )
    rows = tuple(
        (row.fold, *map(str, (row.inside_train, row.inside_test, row.across, row.leaked, row.num_test)))
        for row in counts
    )
    return Section("Pairs per fold", header, rows, ())

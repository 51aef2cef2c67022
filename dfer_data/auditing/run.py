"""Audit a prepared dataset: hash its faces, compare clips that look alike over time, and write what was found.

PREPARED/audit/audit.parquet  groups.csv  index.html  audit.json
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from dfer_data.auditing.candidates import candidate_pairs
from dfer_data.auditing.film_matcher import FilmMatcher
from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.auditing.hashing import films_of
from dfer_data.auditing.pairs import ClipPair, PairKey, chained, read_decisions, with_decisions, without_copies
from dfer_data.auditing.people import compared_faces, person_links
from dfer_data.auditing.results import LIMITS, AuditSummary, Findings, write_findings
from dfer_data.auditing.time_alignment import TimeMatch
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.audit_folder import AUDIT_WORK, held_for_audit
from dfer_data.shards.reader import ShardReader
from dfer_data.storage.files import place_of
from dfer_data.storage.folder import FolderTarget

OnAuditStep = Callable[[int, int, str], None]
"""Called with the finished parts of a step, all of them (0: unknown), and what is being done."""


def audit(
    data: Path | str,
    *,
    others: Sequence[Path | str] = (),
    decisions: Path | None = None,
    identity: bool = False,
    keep_embeddings: bool = False,
    on_step: OnAuditStep = lambda done, total, doing: None,
    on_note: Callable[[str], None] = lambda words: None,
) -> AuditSummary:
    """Find clips that show the same moments, and write PREPARED/audit; an earlier audit is replaced.

    Args:
        data: folder of a prepared dataset.
        others: prepared datasets whose clips are compared with its clips, by path or URL.
        decisions: CSV with clip_a, clip_b, for pairs with others also dataset_b (the name of the folder), and
            is_duplicate or is_same_person: pairs that a person has judged.
        identity: also name clips that may show the same person, by an embedding of some faces of each clip.
        keep_embeddings: store the embeddings of the dataset's clips, which are biometric data, for the next audit.
        on_step: shows progress.
        on_note: shows what an interruption of a long comparison of faces costs.

    Interrupt it at any time: the same call keeps the hashes of finished shards, but embeddings only with
    `keep_embeddings`. Raises UsageError, LockedError, CorruptDataError, WeightsError.
    """
    place = place_of(data)
    if isinstance(place, str):
        raise UsageError(f"{data}: an audit is written into the dataset's folder; copy the dataset and audit the copy")
    if keep_embeddings and not identity:
        raise UsageError("--keep-embeddings: there are none without --identity")
    out = FolderTarget(place)
    dataset = PreparedDataset(out.root)
    opened = {"": dataset, **_named(others, dataset)}
    judged = {} if decisions is None else read_decisions(decisions, datasets=opened)
    with held_for_audit(out, AUDIT_WORK) as work:
        kept = work if keep_embeddings else None
        faces = compared_faces(opened, out, kept, on_step, on_note) if identity else None
        films = _all_films(opened, work, on_step)
        matches, num_compared = _matches(opened, films, on_step)
        near = list(faces.pairs()) if faces else []
        pairs = [*matches.values(), *_cut_from_one(dataset), *near]
        if decisions is not None:
            known = {name: each.clips["clip_id"] for name, each in opened.items()}
            pairs = with_decisions(pairs, judged, known=known, path=decisions)
        pairs = sorted(without_copies(pairs), key=lambda pair: pair.key)
        found = Findings(opened, films, pairs, num_compared, person_links(pairs, faces))
        if faces is not None:
            found = replace(found, num_near=sum(not pair.dataset_b for pair in near))
            found = replace(found, limit=faces.limit, embeddings=faces.vectors[""] if keep_embeddings else None)
        return write_findings(out.with_work(work), found)


def _named(others: Sequence[Path | str], own: PreparedDataset) -> dict[str, PreparedDataset]:
    """Return the other datasets by the names that tables give them: their folders', numbered where two are alike.

    Raises UsageError for the audited dataset itself.
    """
    opened: dict[str, PreparedDataset] = {}
    for other in others:
        dataset = PreparedDataset(other)
        roots = [each.root.resolve() for each in opened.values()]
        if dataset.root.resolve() in roots:
            raise UsageError(f"--with {other}: named twice")
        if dataset.root.resolve() == own.root.resolve():
            raise UsageError(
                f"--with {other}: that is the audited dataset; its clips are compared with each other anyway"
            )
        name = number = dataset.root.resolve().name
        while number in opened:
            number = f"{name}-{len(opened) + 1}"
        opened[number] = dataset
    return opened


def _all_films(
    datasets: Mapping[str, PreparedDataset], work: Path, on_step: OnAuditStep
) -> dict[str, dict[str, StoredFilm]]:
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
    datasets: Mapping[str, PreparedDataset], films: Mapping[str, Mapping[str, StoredFilm]], on_step: OnAuditStep
) -> tuple[dict[PairKey, ClipPair], int]:
    """Return the duplicates by key, and the number of pairs that were compared over time."""
    clips = [(name, clip_id) for name, of_dataset in films.items() for clip_id in of_dataset]
    source = {
        (name, clip_id): video
        for name, dataset in datasets.items()
        for clip_id, video in dataset.clips[["clip_id", "source_clip_id"]].to_numpy()
    }
    found: dict[PairKey, ClipPair] = {pair.key: pair for pair in _same_files(datasets)}
    num_compared = 0
    listed = [films[name][clip_id] for name, clip_id in clips]
    matcher = FilmMatcher(listed)
    candidates = candidate_pairs(
        listed, num_own=len(films[""]), on_block=lambda done, total: on_step(done, total, "comparing")
    )
    for a, b, is_mirrored in candidates:
        (name_a, clip_a), (name_b, clip_b) = clips[a], clips[b]
        if name_a == name_b and source[clips[a]] == source[clips[b]]:
            continue
        match = matcher.match(a, b, is_mirrored=is_mirrored)
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
        clips, opened = dataset.clips[dataset.clips["shard"].notna()], lru_cache(maxsize=8)(dataset.open_shard)
        columns = clips[["clip_id", "source_clip_id", "source_sha256", "track", "shard", "row"]]
        for clip_id, video, sha256, track, shard, row in columns.astype(object).to_numpy():
            copies[sha256 or _frames_sum(opened(int(shard)), int(row)), str(track)].append((name, video, clip_id))
    for clips in copies.values():
        first = {video: clip_id for name, video, clip_id in reversed(clips) if not name}  # one clip per video
        for clip_a, clip_b in chained(list(first.values())):
            yield ClipPair(clip_a, clip_b, "duplicate", has_same_bytes=True)
        others = {(name, video): clip_id for name, video, clip_id in reversed(clips) if name}
        for (name, _), clip_b in others.items():
            for clip_a in first.values():
                yield ClipPair(clip_a, clip_b, "duplicate", name, has_same_bytes=True)


def _frames_sum(reader: ShardReader, row: int) -> str:
    first, stop = reader.clip_offsets[row : row + 2]
    return hashlib.sha256(reader.crc32[first:stop].tobytes()).hexdigest()


def _cut_from_one(dataset: PreparedDataset) -> Iterator[ClipPair]:
    """Yield each clip with the next one that is cut from the same video."""
    for _, clips in dataset.clips.groupby("source_clip_id", sort=True):
        for clip_a, clip_b in chained(clips["clip_id"].tolist()):
            yield ClipPair(clip_a, clip_b, "overlap")

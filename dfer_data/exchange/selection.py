"""Choose the clips, folds, frames and label numbers of an export."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.exchange.label_orders import label_numbers
from dfer_data.exchange.settings import ExportSettings
from dfer_data.exchange.stems import stems_of
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.shards.layout import AUDIO_COLUMN
from dfer_data.sources.make_folds import folds_command

_SHOWN = 3


@dataclass(frozen=True)
class ExportClip:
    """A clip with faces."""

    clip_id: str
    stem: str
    """Path of its files, without suffix, below the folder of a kind of files."""
    label: str | None
    number: int | None
    """Number of the label; None without a label."""
    splits: Mapping[str, str]
    """Exported fold -> train or test, for the folds that hold the clip."""
    num_frames: int
    """Number of exported frames."""
    fps: float
    shard: int
    row: int
    audio: str = ""
    """State of its sound; empty in a dataset without sound."""


@dataclass(frozen=True)
class Selection:
    """What an export holds."""

    settings: ExportSettings
    clips: tuple[ExportClip, ...]
    """In the order of the shards."""
    folds: tuple[str, ...]
    """Exported folds, by number."""
    numbers: Mapping[str, int]
    """Class -> label number."""
    without_face: tuple[str, ...]
    """Ids of clips of the folds that have no face, and so no frames."""
    skipped: tuple[str, ...]
    """Ids of clips that are left out because they have no label or are in none of the folds."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of their numbers."""
        return tuple(sorted(self.numbers, key=self.numbers.__getitem__))

    def of_split(self, fold: str, split: str) -> Iterator[ExportClip]:
        """Yield the clips of a split of a fold, in the order of ids."""
        yield from sorted(
            (clip for clip in self.clips if clip.splits.get(fold) == split), key=lambda clip: clip.clip_id
        )


def select(
    dataset: PreparedDataset,
    settings: ExportSettings,
    *,
    needs_lists: bool,
    needs_sound: bool = False,
    without: Collection[str] = (),
    numbers: Mapping[str, int] | None = None,
) -> Selection:
    """Return what an export of a dataset holds.

    `needs_lists`: every clip needs a label and a fold. `without`: ids that are left out, whose names stay reserved.
    `numbers`: label numbers, in place of those of the settings.
    Raises UsageError for unknown folds, a dataset without folds or sound, clips that lists cannot hold, and classes
    without a number.
    """
    folds = _fold_names(dataset, settings, is_required=needs_lists)
    splits_of = {fold: dataset.fold(fold, fold_set=settings.fold_set) for fold in folds}
    table = dataset.clips
    if needs_sound:
        dataset.require_audio()
    stems = stems_of(table["clip_id"])
    rows = [row for row in table.to_dict("records") if row["clip_id"] not in without]
    splits = {
        row["clip_id"]: {fold: splits_of[fold][row["clip_id"]] for fold in folds if row["clip_id"] in splits_of[fold]}
        for row in rows
    }
    labels = {row["clip_id"]: _text(row["label"]) for row in rows}
    is_chosen = {id_: bool(splits[id_]) or settings.fold_names is None for id_ in splits}
    chosen = [row for row in rows if is_chosen[row["clip_id"]]]
    ids = [row["clip_id"] for row in chosen if needs_lists]
    skipped = [clip_id for clip_id in ids if not (splits[clip_id] and labels[clip_id])]
    if skipped and settings.unlisted == "refuse":
        raise UsageError(_unlisted(skipped, splits, labels))
    kept = [row for row in chosen if row["clip_id"] not in set(skipped)]
    usable = [row for row in kept if row["status"] != "failed"]
    if not usable:
        raise UsageError(f"{dataset.root} has no clip to export: none with a face in the chosen folds")
    if numbers is None:
        numbers = label_numbers(
            dataset.class_names,
            used={label for row in usable if (label := labels[row["clip_id"]])},
            order=settings.label_order,
            format=settings.format,
            dataset=str(dataset.document["dataset"]),
        )
    is_16 = settings.frames == "16" or dataset.document["config"]["store"] == "clips16"
    clips = [
        ExportClip(
            clip_id=row["clip_id"],
            stem=stems[row["clip_id"]],
            label=labels[row["clip_id"]],
            number=numbers.get(labels[row["clip_id"]] or ""),
            splits=splits[row["clip_id"]],
            num_frames=CLIP_FRAMES if is_16 else int(row["num_frames"]),
            fps=float(row["fps"]),
            shard=int(row["shard"]),
            row=int(row["row"]),
            audio=str(row.get(AUDIO_COLUMN, "")),
        )
        for row in usable
    ]
    return Selection(
        settings=settings,
        clips=tuple(sorted(clips, key=lambda clip: (clip.shard, clip.row))),
        folds=folds,
        numbers=numbers,
        without_face=tuple(row["clip_id"] for row in kept if row["status"] == "failed"),
        skipped=tuple(skipped),
    )


def _fold_names(dataset: PreparedDataset, settings: ExportSettings, *, is_required: bool) -> tuple[str, ...]:
    chosen = settings.fold_names
    if settings.fold_set == OFFICIAL_SET and OFFICIAL_SET not in dataset.fold_sets:
        if not is_required and chosen is None:
            return ()
        if dataset.fold_sets:
            step = f"choose one with --fold-set: {', '.join(dataset.fold_sets)}"
        else:
            step = f"make some: `{folds_command(dataset.root)}`, then export with --fold-set own"
        raise UsageError(f"{dataset.root} has no official folds, and lists and --fold need some; {step}")
    known = dataset.fold_names(settings.fold_set)
    if chosen is None:
        return known
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"--fold {settings.fold}: {dataset.root} has no fold {unknown[0]}; it has: {', '.join(known)}")
    return tuple(name for name in known if name in chosen)


def _unlisted(skipped: Sequence[str], splits: Mapping[str, Any], labels: Mapping[str, str | None]) -> str:
    first = skipped[0]
    fact = "is in none of the folds" if labels[first] else "has no label"
    more = f", and {len(skipped) - 1} more have no fold or no label" if len(skipped) > 1 else ""
    return f"clip {first} {fact}{more}: lists need both; leave such clips out with --unlisted skip"


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) else None

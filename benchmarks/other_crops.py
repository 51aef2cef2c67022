"""How far other crops of the same videos move the score of a trained network: the tolerance of `dfer replicate`.

    python -m benchmarks.other_crops [--work DIR] [--seeds 0 1 2] [--json FILE]

Trains the demo recipe on fold 3 and tests it on the 56 test videos of the fold, prepared again: with the same settings,
with faces 10 % larger and smaller, by the box instead of landmarks, with landmarks that are not smoothed, as smaller
JPEG, and with dlib. `--work` holds the demo dataset and its runs, as `dfer-demo` does after `dfer replicate demo`;
missing parts are added. About three minutes on two cores, and one per seed that is not trained yet.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.demo_scores import dfer, prepare_demo
from dfer_data import open_dataset, prepare
from lstpnet.checkpoints.open_model import OpenedModel, open_model
from lstpnet.evaluation.cross_dataset import evaluate_on, tested_clips

FOLD = "3"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "the same settings": {},
    "faces 10 % larger": {"template_scale": 0.88},
    "faces 10 % smaller": {"template_scale": 0.72},
    "the box instead of landmarks": {"align": "box"},
    "landmarks not smoothed": {"smoothing_window_frames": 1, "smoothing_order": 0},
    "JPEG of quality 75": {"jpeg_quality": 75},
    "dlib": {"detector": "dlib"},
}
"""Name -> settings that differ from the demo's."""


def write_test_videos(work: Path) -> Path:
    """Copy the test videos of the fold into a folder per class, named by their ids."""
    data, out = open_dataset(work / "prepared/dfew-retinaface"), work / "other-crops/videos"
    labels = dict(zip(data.clips["clip_id"], data.clips["label"], strict=True))
    for clip_id, split in data.fold(FOLD).items():
        path = out / str(labels[clip_id]) / f"{clip_id}.mp4"
        if split == "test" and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(work / f"data/dfew/Clip/original/{clip_id}.mp4", path)
    return out


def predicted(opened: OpenedModel, prepared: Path) -> dict[str, list[str]]:
    """Return clip -> label and predicted class."""
    data = open_dataset(prepared)
    clip_ids = tested_clips(data, folds=[], fold_set="official")
    result = evaluate_on(opened, data, clip_ids, is_masked=False, device=torch.device("cpu"))
    return {clip: pair for clip, *pair in zip(result.clip_ids, result.labels, result.predictions, strict=True)}


def main() -> None:
    """Prepare, test and print one line per variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder of the demo; default: a temporary one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        prepare_demo(work)
        models: dict[int, OpenedModel] = {}
        for seed in options.seeds:
            dfer(f"train --fold {FOLD} --seed {seed} --data prepared/dfew-retinaface", work)
            opened = open_model(work / f"runs/dfew-retinaface/demo/fold-{FOLD}/seed-{seed}")
            models[seed] = replace(opened, recipe=replace(opened.recipe, precision="f32"))
        videos = write_test_videos(work)
        before: dict[int, dict[str, list[str]]] = {}
        rows = []
        for number, (name, settings) in enumerate(VARIANTS.items()):
            out = work / f"other-crops/prepared-{number}"
            prepare("folder", source=videos, out=out, **{"detector": "retinaface", **settings})
            for seed, opened in models.items():
                clips = predicted(opened, out)
                plain = before.setdefault(seed, clips)
                right, right_before = (sum(label == guess for label, guess in part.values()) for part in (clips, plain))
                others = sum(clips[clip] != plain[clip] for clip in plain)
                points = round(100 * (right - right_before) / len(clips), 2)
                row = {"crops": name, "seed": seed, "right": right, "of": len(clips), "points": points}
                rows.append({**row, "other_predictions": others})
                print(json.dumps(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

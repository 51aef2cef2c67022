"""Measure the HTML report of 2,000 clips with filmstrips: its size, and the time to make and open it.

    python -m benchmarks.report_page [--work DIR] [--clips 2000] [--recipes 3] [--rounds 5] [--json FILE]

`--work` holds the demo dataset, prepared by RetinaFace; by default it is made in a temporary folder. The clips are the
demo's heads with random shift, light and grain per clip, so that all differ and a filmstrip is as large as one of a
film (12 kB in base 64). They are prepared into a separate folder, with five folds and random predictions per recipe.
The browser itself times the opening: Debian's Chromium on PATH through playwright, a new instance per round, from the
start of the navigation to the end of the load event, and until the page with its list of clips is drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from benchmarks.peers.contestant import prepared
from dfer_data import open_dataset
from dfer_data.config import Request
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.types import Image
from lstpnet.finished_runs import Run
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.html.page import to_html
from lstpnet.runs import RunInfo

SIZE_PX, GRAIN = 112, 28.0
"""Side of the crops; standard deviation of the noise on their pixels, of 255."""
NUM_FOLDS = 5


def main() -> None:
    """Print the size of the page and its times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("--recipes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = many_clips(open_dataset(prepared(options.work or work)), work, num_clips=options.clips)
        runs = [run for number in range(options.recipes) for run in runs_of(dataset, f"recipe-{number}", seed=number)]
        start = time.perf_counter()
        page = to_html(build_report(runs, against=("dfew",)), datasets=[dataset])
        facts: dict[str, Any] = {"clips": options.clips, "making_seconds": time.perf_counter() - start}
        (work / "report.html").write_text(page, encoding="utf-8")
        facts |= {"filmstrips": page.count('id="strip-0-'), "megabytes": (work / "report.html").stat().st_size / 1e6}
        facts |= opened(work / "report.html", rounds=options.rounds)
    contents = f"{facts['clips']} clips, {options.recipes} recipes, {facts['filmstrips']} filmstrips"
    print(f"{contents}: {facts['megabytes']:.1f} MB")
    print(f"made in {facts['making_seconds']:.1f} s")
    for name in ("loaded", "drawn"):
        if times := facts.get(f"{name}_seconds"):
            print(f"{name} after {statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})")
    if options.json:
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


def many_clips(heads: PreparedDataset, work: Path, *, num_clips: int) -> PreparedDataset:
    """Write `num_clips` clips in DFEW's tree of crops, prepare them unchanged, open the result."""
    faces = heads.clips[heads.clips["status"] != "failed"]
    films = [heads.read_clip(clip_id, size_px=SIZE_PX).transpose(0, 2, 3, 1) for clip_id in faces["clip_id"]]
    numbers = {name: number for number, name in enumerate(heads.class_names, start=1)}
    labels = [numbers[label] for label in faces["label"]]
    source = work / "crops"
    for clip in range(num_clips):
        folder = source / "Clip/clip_224x224" / f"{clip + 1:05d}"
        folder.mkdir(parents=True)
        for index, frame in enumerate(grained(films[clip % len(films)], seed=clip), start=1):
            (folder / f"{index}.jpg").write_bytes(simplejpeg.encode_jpeg(frame, quality=90))
    for fold in range(1, NUM_FOLDS + 1):
        for split in ("train", "test"):
            path = source / "EmoLabel_DataSplit" / f"{split}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            split_clips = [clip for clip in range(num_clips) if (clip % NUM_FOLDS == fold - 1) == (split == "test")]
            lines = [f"{clip + 1},{labels[clip % len(labels)]}\n" for clip in split_clips]
            path.write_text("".join(["video_name,label\n", *lines]))
    run_preparation(
        resolve_request(Request(dataset="dfew", source=source, detector="none")), work / "prepared-crops", num_workers=0
    )
    return open_dataset(work / "prepared-crops")


def grained(film: Image, *, seed: int) -> Image:
    """Return frames (16, S, S, 3) with a random shift, light and noise."""
    rng = np.random.default_rng(seed)
    moved = np.roll(film, tuple(rng.integers(-8, 9, 2)), axis=(1, 2)).astype(np.float32)
    lit = moved * rng.uniform(0.7, 1.2) + rng.uniform(-20, 20) + rng.normal(0, GRAIN, film.shape)
    return np.clip(lit, 0, 255).astype(np.uint8)


def runs_of(dataset: PreparedDataset, recipe: str, *, seed: int) -> Iterator[Run]:
    """Yield one run per fold; most predictions are correct."""
    rng = np.random.default_rng(seed)
    names = dataset.class_names
    label_of = dict(zip(dataset.clips["clip_id"], dataset.clips["label"], strict=True))
    for fold in range(1, NUM_FOLDS + 1):
        splits = dataset.fold(str(fold))
        test = tuple(clip_id for clip_id, split in splits.items() if split == "test")
        logits = rng.normal(size=(len(test), len(names))).astype(np.float32)
        logits[np.arange(len(test)), [names.index(label_of[clip_id]) for clip_id in test]] += 2
        info = RunInfo(
            dataset="dfew",
            prepared=dataset.root.name,
            dataset_sha256=dataset.identity().content_sha256,
            recipe=recipe,
            fold=fold,
            seed=0,
            class_names=names,
            n_train=len(splits) - len(test),
            n_val=0,
            synthetic=True,
            protocol="random predictions for a benchmark",
            checkpoints=("last",),
            finished=True,
        )
        labels = tuple(label_of[clip_id] for clip_id in test)
        predictions = Predictions(test, labels, logits, np.ones(len(test), np.bool_), "last")
        yield Run(Path("runs", recipe, f"fold-{fold}", "seed-0"), info, (predictions,))


def opened(path: Path, *, rounds: int) -> dict[str, Any]:
    """Return for each round the seconds until the page is loaded, and until its list of clips is drawn."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("page not opened: Chromium is not on PATH; apt-get install chromium")
        return {}
    from playwright.sync_api import sync_playwright

    times: dict[str, list[float]] = {"loaded_seconds": [], "drawn_seconds": []}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.add_init_script(_DRAWN)
            page.goto(path.as_uri(), wait_until="load")
            while (drawn := page.evaluate("window.drawn")) is None:
                time.sleep(0.05)
            if page.locator("#clip-table .clip").count() == 0:
                raise SystemExit("the page has no list of clips")
            times["loaded_seconds"].append(
                page.evaluate("performance.getEntriesByType('navigation')[0].duration") / 1e3
            )
            times["drawn_seconds"].append(drawn / 1e3)
            browser.close()
    return times


_DRAWN = """
addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => (window.drawn = performance.now()))));
"""

if __name__ == "__main__":
    main()
